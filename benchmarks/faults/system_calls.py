"""System calls that fail: single faults, injected one by one into builds in folders, tar and HDF5 shards.

    python -m benchmarks.faults.system_calls --results docs/results/robustness.md

A build publishes three synthetic videos through the same stores as rendering does, without Blender. In each trial one
call on the dataset's folder, drawn at random, fails: by a wrapper of ``os`` and ``open`` (which at times performs the
operation and then reports a failure, as network file systems do), or by ``strace --inject`` in a separate process,
which reaches the calls of C libraries. After the fault no published video may be lost, the entry point must have
printed one line and ended with exit code 2 (or no error happened), and repeating the build must give the same bytes.
"""

import argparse
import builtins
import contextlib
import errno
import functools
import io
import os
import random
import re
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks.page import ROOT, command, memory_folder, parser_of, publish_section, table
from bl30k_gen.config import Config
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.layout import Layout, write_image_sets
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.verify import verify
from bl30k_gen.errors import run_entry_point
from bl30k_gen.render import process
from bl30k_gen.render.output.store import open_store
from tests.support.synthetic import stage, synthetic_config

Store = Literal["folder", "tar", "hdf5", "run"]  # "run": the run folder of `training_calls`
Injector = Literal["wrapper", "strace"]

STORES: tuple[Store, ...] = ("folder", "tar", "hdf5")
NAMES = ["a00000", "a00001", "a00002"]
PATHS = ("open", "mkdir", "rename", "replace", "symlink", "unlink", "rmdir", "listdir", "scandir", "stat", "lstat")
PATHS = (*PATHS, "readlink")
DESCRIPTORS = ("pwrite", "fsync", "ftruncate")
ERRORS = (errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EXDEV, errno.EACCES)
CHANGING = ("mkdir", "rename", "replace", "symlink", "unlink", "rmdir", "pwrite", "fsync", "ftruncate")
SYSTEM_CALLS = ("mkdir", "rename", "symlink", "unlink", "rmdir", "write", "pwrite64", "fsync", "ftruncate")
DONE = "EIO, but done"
HEADING = "System calls that fail"
MAX_SECONDS = 60.0  # of a build under strace


@dataclass(frozen=True)
class Fault:
    """The ``number``-th call of ``call`` fails with ``error``; if ``done``, after the operation was performed."""

    injector: Injector
    store: Store
    call: str
    number: int
    error: int
    done: bool = False

    @property
    def kind(self) -> str:
        return DONE if self.done else errno.errorcode[self.error]


@dataclass
class Outcome:
    """How the entry point ended under a fault, and the dataset after it.

    code: the exit code. lost: published videos that cannot be read. same: whether the same build again, without a
    fault, gives the expected bytes.
    """

    fault: Fault
    code: int
    output: str  # of standard error
    lost: list[str]
    same: bool

    @property
    def traceback(self) -> bool:
        return self.code not in (0, 2) or self.output.count("\n") > 1

    @property
    def passed(self) -> bool:
        return self.same and not self.lost and not self.traceback


def config_of(store: Store) -> Config:
    return synthetic_config(f"runtime.store={store}", "runtime.lease_timeout=0.5")


def build(root: Path, config: Config) -> None:
    """Do a worker's steps without Blender: acquire, stage, publish and release each video, and write the lists."""
    layout = Layout(root, process.new_name())
    if not layout.config.exists():
        write_atomically(layout.config, config.to_yaml())
    with open_store(config, layout, None, NAMES) as store:
        for name in NAMES:
            claim = None if store.has(name) else store.acquire(name)
            if claim is None:
                continue
            try:
                if not store.complete(name):
                    store.publish(claim, stage(store.frames, config, int(name[1:])))
            finally:
                store.release(claim)
    write_image_sets(layout)


class Wrapper:
    """A context manager that counts the calls of this thread on a folder, and makes one of them fail."""

    def __init__(self, root: Path, fault: Fault | None = None):
        self.root, self.fault = str(root), fault
        self.counts: Counter[str] = Counter()
        self._thread = threading.get_ident()
        self._original: dict[tuple[Any, str], Callable[..., Any]] = {}

    def __enter__(self) -> "Wrapper":
        for module, name in [*((os, name) for name in (*PATHS, *DESCRIPTORS)), (builtins, "open"), (io, "open")]:
            original = self._original[module, name] = getattr(module, name)
            setattr(module, name, functools.partial(self._call, name, original))
        return self

    def __exit__(self, *_: object) -> None:
        for (module, name), original in self._original.items():
            setattr(module, name, original)

    def _call(self, name: str, original: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        if threading.get_ident() != self._thread or not any(map(self._is_inside, arguments[:2])):
            return original(*arguments, **named)
        self.counts[name] += 1
        fault = self.fault
        if fault is None or (name, self.counts[name]) != (fault.call, fault.number):
            return original(*arguments, **named)
        if fault.done:
            original(*arguments, **named)
        raise OSError(fault.error, os.strerror(fault.error), str(arguments[0]))

    def _is_inside(self, place: Any) -> bool:
        if isinstance(place, int) and not isinstance(place, bool):
            try:
                place = self._original[os, "readlink"](f"/proc/self/fd/{place}")
            except OSError:
                return False
        return isinstance(place, (str, os.PathLike)) and os.fspath(place).startswith(f"{self.root}/")


@functools.cache
def expected(store: Store) -> dict[str, bytes]:
    """``content`` after a build without a fault."""
    with scratch() as root:
        build(root, config_of(store))
        return content(root)


def content(root: Path) -> dict[str, bytes]:
    """``{path: bytes}`` of all videos."""
    store = open_dataset(root)
    return {path: store.tree.read(path) for name in store.videos for path in store.members(name)}


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder, in a temporary one of its own."""
    with memory_folder("bl30k-calls-") as folder:
        (folder / "data").mkdir()
        yield folder / "data"


def calls_of(store: Store, injector: Injector = "wrapper") -> Counter[str]:
    """The number of calls of each kind in a build without a fault."""
    with scratch() as root:
        if injector == "wrapper":
            with Wrapper(root) as wrapper:
                build(root, config_of(store))
            return wrapper.counts
        trace = root.parent / "trace"
        _strace(root, store, ["-e", f"trace={','.join(SYSTEM_CALLS)}", "-o", str(trace)])
        found = re.findall(r"^(?:\d+ +)?(\w+)\(", trace.read_text(errors="replace"), re.MULTILINE)
    return Counter(call for call in found if call in SYSTEM_CALLS)


def draw_faults(count: int, seed: int, injector: Injector = "wrapper") -> list[Fault]:
    """Draw single faults, with equal probability for every store and call."""
    rng = random.Random(seed)
    calls = {store: calls_of(store, injector) for store in STORES}
    found = []
    for number in range(count):
        store = STORES[number % len(STORES)]
        call = rng.choice(sorted(calls[store]))
        done = injector == "wrapper" and call in CHANGING and rng.random() < 0.4
        error = errno.EIO if done else rng.choice(ERRORS)
        found.append(Fault(injector, store, call, rng.randint(1, calls[store][call]), error, done))
    return found


def run(fault: Fault) -> Outcome:
    """Inject a fault into a build in a new folder, and repeat the build without it."""
    with scratch() as root:
        if fault.injector == "wrapper":
            code, output = in_this_process(root, fault, lambda: build(root, config_of(fault.store)))
        else:
            code, output = _under_strace(root, fault)
        lost = sorted(set(_published(root)) - set(_readable(root)))
        build(root, config_of(fault.store))
        same = content(root) == expected(fault.store) and verify(root).ok
    return Outcome(fault, code, output, lost, same)


def in_this_process(root: Path, fault: Fault, work: Callable[[], None]) -> tuple[int, str]:
    """Run ``work`` as an entry point under a fault; returns its exit code and standard error."""
    output, code = io.StringIO(), 0
    arguments, sys.argv[1:] = sys.argv[1:], []
    try:
        with contextlib.redirect_stderr(output), Wrapper(root, fault):
            run_entry_point(work)
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    except Exception as error:  # what a user would see as a traceback
        code = 1
        output.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.argv[1:] = arguments
    return code, output.getvalue()


def _under_strace(root: Path, fault: Fault) -> tuple[int, str]:
    inject = f"inject={fault.call}:error={errno.errorcode[fault.error]}:when={fault.number}"
    try:
        result = _strace(root, fault.store, ["-e", f"trace={fault.call}", "-e", inject, "-o", "/dev/null"])
    except subprocess.TimeoutExpired:
        return -1, "it did not end"
    return result.returncode, result.stderr


def _strace(root: Path, store: Store, flags: list[str]) -> subprocess.CompletedProcess[str]:
    command = ["strace", "-f", "-q", *flags, sys.executable, "-B", "-m", "benchmarks.faults.system_calls"]
    command += ["--build", store, "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=MAX_SECONDS, cwd=ROOT)


def _published(root: Path) -> list[str]:
    try:
        return Layout(root).published()
    except OSError:
        return []


def _readable(root: Path) -> list[str]:
    """Videos of which every file matches the metadata."""
    if not _published(root):
        return []
    store = open_dataset(root)
    bad = {problem.video for problem in verify(root, names=store.videos).problems}
    return [name for name in store.videos if name not in bad]


def table_of(outcomes: list[Outcome]) -> str:
    """Markdown table of the outcomes by kind of fault."""
    rows: list[list[str | int]] = []
    for injector in ("wrapper", "strace"):
        for kind in dict.fromkeys(sorted(o.fault.kind for o in outcomes if o.fault.injector == injector)):
            of_kind = [o for o in outcomes if (o.fault.injector, o.fault.kind) == (injector, kind)]
            rows.append(
                [
                    injector,
                    kind,
                    len(of_kind),
                    sum(o.code == 0 for o in of_kind),
                    sum(o.code == 2 and not o.traceback for o in of_kind),
                    sum(o.traceback for o in of_kind),
                    sum(bool(o.lost) for o in of_kind),
                    sum(not o.same for o in of_kind),
                ]
            )
    rows.append(["all", "", *(sum(int(row[column]) for row in rows) for column in range(2, 8))])
    head = ["By", "Error", "Faults", "no harm", "one line, exit 2", "tracebacks", "lost", "other bytes after"]
    return table(head, [[str(cell) for cell in row] for row in rows])


def list_failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Markdown lines of the outcomes that did not pass; empty if all passed."""
    failed = [o for o in outcomes if not o.passed]
    lines = [f"- {o.fault}: exit {o.code}, {o.output.strip()[-200:]!r}, lost {o.lost}" for o in failed]
    return ["", "What was not as it should be:", "", *lines] if lines else []


def page(outcomes: list[Outcome], seed: int) -> str:
    return "\n".join(
        [
            f"`{command()}`",
            "",
            f"Seed {seed}; three videos in folders, a tar shard and an HDF5 shard; single faults in "
            f"{len({(o.fault.store, o.fault.call) for o in outcomes})} pairs of store and call.",
            "",
            table_of(outcomes),
            *list_failures(outcomes),
        ]
    )


def run_all(planned: Sequence[Fault], run: Callable[[Fault], Outcome]) -> list[Outcome]:
    """Inject each fault by ``run``; prints bad outcomes and progress."""
    outcomes = []
    for number, fault in enumerate(planned, 1):
        outcomes.append(run(fault))
        if not outcomes[-1].passed:
            print(outcomes[-1], flush=True)
        if number % 20 == 0:
            print(f"{number} of {len(planned)}, {sum(not o.passed for o in outcomes)} bad", flush=True)
    return outcomes


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--count", type=int, default=600, help="faults by the wrapper")
    parser.add_argument("--strace", type=int, default=90, help="faults by strace, if it is installed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--build", choices=STORES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        sys.argv[1:] = []
        run_entry_point(lambda: build(arguments.root, config_of(arguments.build)))
        return
    planned = draw_faults(arguments.count, arguments.seed)
    if shutil.which("strace"):
        planned += draw_faults(arguments.strace, arguments.seed, "strace")
    outcomes = run_all(planned, run)
    publish_section(HEADING, page(outcomes, arguments.seed), arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
