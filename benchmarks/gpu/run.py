"""A benchmark run with a deadline: checks of the environment, the rows of results, and the page made of them.

Results are written after every row, so that an aborted run leaves what was measured before. This module needs no
packages but PyTorch with torchvision.
"""

import argparse
import contextlib
import importlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

Row = dict[str, Any]

_STARTED = time.time()  # the deadline includes the imports

GRACE = 20.0
"""Seconds after the deadline at which the process is ended."""


def fail(problem: str, remedy: str) -> NoReturn:
    print(f"error: {problem}: {remedy}", file=sys.stderr, flush=True)
    raise SystemExit(2)


def require(*modules: str) -> None:
    """Import modules; exit with one line that names all that are missing."""
    missing = []
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            missing.append(f"{module} ({error})" if error.name not in (None, module) else module)
    if missing:
        fail(f"this Python lacks {', '.join(missing)}", "install them, or unpack their wheels on PYTHONPATH")


def has(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def parser_of(doc: str, minutes: float) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=minutes, help=f"time of the run ({minutes:g})")
    parser.add_argument("--results", type=Path, metavar="FILE", help="the Markdown page; its rows lie beside it")
    parser.add_argument("--dry-run", action="store_true", help="every step once, small, on the processor")
    return parser


def device_of(dry_run: bool) -> str:
    """The name of the device: the GPU, or in a dry run the processor."""
    import torch

    if dry_run:
        torch.set_num_threads(1)  # more threads are slower on a busy processor
        return "cpu"
    if not torch.cuda.is_available():
        fail(f"PyTorch {torch.__version__} finds no GPU", "--dry-run tries all steps on the processor")
    return "cuda"


def hardware(device: str) -> str:
    """Describe the GPU with its memory, CUDA and PyTorch, or the processors."""
    import torch

    from benchmarks.page import machine

    if device == "cpu":
        return f"{machine()}, PyTorch {torch.__version__}"
    about = torch.cuda.get_device_properties(0)
    return (
        f"{about.name}, {about.total_memory / 2**30:.0f} GiB, {about.multi_processor_count} multiprocessors, "
        f"CUDA {torch.version.cuda}, PyTorch {torch.__version__}, {machine()}"
    )


class Run:
    """Rows of results, a page made of them, and a deadline.

    Args:
        page: the Markdown page to keep up to date.
        store: the JSON of ``head`` and all rows.
        minutes: the run's time from the start of the process. ``GRACE`` seconds later the process is ended.
        head: facts about the run that are stored with the rows.
        describe: writes the page's text from the rows so far and ``head``.
        earlier: rows of earlier runs.
    """

    def __init__(
        self,
        page: Path,
        store: Path,
        minutes: float,
        head: Row,
        describe: Callable[[list[Row], Row], str],
        earlier: Sequence[Row] = (),
    ):
        self.page, self.store, self.head, self.describe = page, store, head, describe
        self.rows: list[Row] = list(earlier)
        self.errors = 0
        self.ends = _STARTED + 60 * minutes
        self._watch = threading.Timer(max(1.0, self.left() + GRACE), self._end)
        self._watch.daemon = True
        self._watch.start()
        self.write()

    def left(self) -> float:
        """Seconds until the deadline."""
        return self.ends - time.time()

    def record(self, kind: str, **row: Any) -> Row:
        """Add a row, print it, and write all results."""
        row = {"kind": kind, **row}
        self.rows.append(row)
        shown = " ".join(f"{key} {_short(value)}" for key, value in row.items() if key != "kind")
        print(f"[{self.left():5.0f} s left] {kind}: {shown}", flush=True)
        self.write()
        return row

    def write(self) -> None:
        from bl30k_gen.dataset.files import write_atomically, write_json

        write_json(self.store, {**self.head, "rows": self.rows})
        write_atomically(self.page, self.describe(self.rows, self.head).rstrip() + "\n")

    @contextlib.contextmanager
    def attempt(self, kind: str, **row: Any) -> Iterator[None]:
        """Run a step; record an exception as a row with its error, and continue."""
        try:
            yield
        except Exception as error:  # of a driver, a compiler or a missing package
            traceback.print_exc()
            self.errors += 1
            first = next(iter(str(error).strip().splitlines()), "")
            self.record(kind, **row, error=f"{type(error).__name__}: {first}")

    def close(self) -> int:
        """Write the results for the last time; returns the exit code."""
        self._watch.cancel()
        self.head["seconds"] = round(time.time() - _STARTED)
        self.write()
        print(f"{self.page} is written, {len(self.rows)} rows, {self.errors} of them errors", flush=True)
        return 1 if self.errors else 0

    def _end(self) -> None:
        print(f"error: time is up in the middle of a step; {self.page} has what was done before", flush=True)
        os._exit(1)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
