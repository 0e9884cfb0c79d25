"""Run a command line of the project in a forked process, with limits of time and memory.

The process forks from one that has imported the commands' modules already, so that a run takes no seconds of imports.
"""

import contextlib
import gc
import importlib
import io
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.input_files import ANNOTATE, GENERATE

MAX_SECONDS = 20.0  # of a command, on an idle machine
MAX_MEMORY = 3 << 30  # bytes of a command
MODULES = (
    *("av", "cv2", "h5py", "matplotlib.figure", "bl30k_gen.cli", "bl30k_gen.dataset.report", "bl30k_gen.export.coco"),
    *("training.annotator.annotate", "training.cli", "training.engine.dry_run", "training.engine.export"),
    *("training.experiments.tables", "training.inference.segment", "training.interactive.script"),
    *("training.pipeline.plan", "training.runs.compare"),
)


@dataclass
class CommandResult:
    """How a command ended.

    code: the exit code; None if the command was stopped or left a process, as ``stopped`` says.
    output: of both streams.
    """

    code: int | None
    output: str
    seconds: float
    stopped: str = ""


def preload() -> None:
    """Import the modules that the commands import, once for all of them."""
    for name in MODULES:
        importlib.import_module(name)
    import torch

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    gc.collect()
    gc.freeze()  # a collection in a child would copy the pages that it shares with this process


def run(line: str, workspace: Path, max_seconds: float = MAX_SECONDS) -> CommandResult:
    """Run a command line in a process of its own, in the folder ``workspace``. Raises nothing, whatever it does."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        child = os.fork()
        if child == 0:
            _run_in_child(line, workspace, output.fileno())
        code, stopped = _wait(child, began + max_seconds)
        output.seek(0)
        text = output.read(1 << 20).decode(errors="backslashreplace")
    return CommandResult(code, text, time.perf_counter() - began, stopped)


def _run_in_child(line: str, workspace: Path, output: int) -> None:
    """Run the command in this process, with both streams into a file descriptor, and exit: never returns."""
    code = 1
    try:
        os.setsid()
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # so that commands start no processes for speed
        os.chdir(workspace)
        null = os.open("/dev/null", os.O_RDONLY)
        for target, source in ((0, null), (1, output), (2, output)):
            os.dup2(source, target)
        sys.stdout = io.TextIOWrapper(os.fdopen(os.dup(1), "wb", 0), encoding="utf-8", write_through=True)
        sys.stderr = io.TextIOWrapper(os.fdopen(os.dup(2), "wb", 0), encoding="utf-8", write_through=True)
        os.environ.update(HOME=str(workspace / "cache"), XDG_CACHE_HOME=str(workspace / "cache"), COLUMNS="120")
        program, *words = line.split()
        sys.argv = [f"{program}.py", *words]
        _call_entry_point(program)
        code = 0
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _call_entry_point(program: str) -> None:
    if program == GENERATE:
        from bl30k_gen.cli import main

        main()
        return
    from training.annotator import annotate
    from training.cli import main as train_main

    if program == ANNOTATE:
        annotate.Server = _SessionOpener  # type: ignore[misc,assignment]
        sys.argv.insert(1, ANNOTATE)
    train_main()


class _SessionOpener:
    """Replaces the annotator's server: opens the session and ends, without serving a page."""

    url = ""

    def __init__(self, frames: object, make: Callable[[], object], host: str, port: int):
        self._make = make

    def run(self) -> None:
        workspace = self._make()
        try:
            workspace.wait_until_open()  # type: ignore[attr-defined]
        finally:
            workspace.close()  # type: ignore[attr-defined]


def _wait(child: int, deadline: float) -> tuple[int | None, str]:
    """Wait for a process that leads a group; kill it where it exceeds a limit.

    Returns:
        The exit code and "", or None and the reason.
    """
    stopped, max_memory = "", MAX_MEMORY + _resident_bytes(os.getpid())  # it begins with the pages of this process
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        if time.perf_counter() > deadline:
            stopped = "did not end"
        elif _resident_bytes(child) > max_memory:
            stopped = "took gigabytes"
        if stopped:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    if not _ends_by_itself(child):
        stopped = stopped or "left a process"
    return (None, stopped) if stopped else (os.waitstatus_to_exitcode(status), "")


def _ends_by_itself(group: int) -> bool:
    """Whether the other processes of a group end within two seconds; kills them otherwise."""
    with contextlib.suppress(ProcessLookupError):
        for _ in range(100):
            os.killpg(group, 0)
            time.sleep(0.02)
        os.killpg(group, signal.SIGKILL)
        return False
    return True


def _resident_bytes(process: int) -> int:
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def slowdown() -> float:
    """The ratio of wall time to processor time of a busy loop on this machine now: 1 if it is idle."""
    wall, processor = time.perf_counter(), time.process_time()
    while time.process_time() - processor < 0.05:
        pass
    return (time.perf_counter() - wall) / 0.05
