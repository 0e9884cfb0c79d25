"""Examines assets in a child process that is used again and again, and survives whatever they do to it."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from bl30k_gen.config import Limits
from bl30k_gen.library.catalogue import index
from bl30k_gen.library.catalogue.folder import SUFFIXES
from bl30k_gen.library.catalogue.index import Health, Index, Progress
from bl30k_gen.library.load import LOADER_VERSION

CHILD = (sys.executable, "-P", "-m", "bl30k_gen.library.checking.health")  # -P: nothing from the folder where it runs
PATIENCE = 5  # times the seconds of processor time, on the wall: the machine may be busy, or the child asleep
LOOK_EVERY = 0.5  # seconds
SAVE_EVERY = 500  # assets after which the index is written, so that an interrupted check goes on there


@dataclass(frozen=True)
class Bounds:
    """What the child may use for one asset."""

    seconds: float  # of processor time, or ``PATIENCE`` times that on the wall
    memory_gb: float


class Inspector:
    """A child process, started when it is needed. Use it as a context manager."""

    def __init__(self, bounds: Bounds, command: Sequence[str] = CHILD):
        self.bounds = bounds
        self.command = command
        self.started = 0  # processes, all in all
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "Inspector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def examine(self, path: str, kind: str, limits: Limits) -> Health:
        """What is wrong with an asset; what crashes or hangs the process is refused, and fatal."""
        asked = json.dumps({"path": path, "kind": kind, "limits": limits.model_dump()}) + "\n"
        for attempt in range(2):
            fresh = self._process is None
            try:
                answer = json.loads(self._ask(asked.encode()))
                return Health(answer["refused"], False, tuple(answer["remarks"]))
            except TimeoutError:
                reason = f"takes more than {self.bounds.seconds:g} s to load"
            except EOFError:
                reason = self._death()
            self.close()
            if fresh or attempt:  # else an earlier asset may have left the process in a bad way: once more
                break
        return Health(f"{path}: {reason}", True, ())

    def close(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None

    def _ask(self, line: bytes) -> bytes:
        if self._process is None:
            self._start()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()
        answer, output = b"", self._process.stdout.fileno()
        before, waited = processor_time(self._process.pid), 0.0
        pause = min(LOOK_EVERY, self.bounds.seconds)
        while not answer.endswith(b"\n"):
            if not select.select([output], [], [], pause)[0]:
                used, waited = processor_time(self._process.pid) - before, waited + pause
                if used > self.bounds.seconds or waited > PATIENCE * self.bounds.seconds:
                    raise TimeoutError
                continue
            if not (data := os.read(output, 1 << 16)):
                raise EOFError
            answer += data
        return answer

    def _start(self) -> None:
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
        self._process = subprocess.Popen(
            [*self.command, "--memory-gb", str(self.bounds.memory_gb)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=True,  # Ctrl-C is for the parent
        )
        self.started += 1

    def _death(self) -> str:
        code = self._process.wait()
        if code < 0:
            return f"crashes the loader ({signal.Signals(-code).name})"
        return f"crashes the loader, or needs more than {self.bounds.memory_gb:g} GiB of memory"


def processor_time(pid: int) -> float:
    """Seconds of processor time that a process has used; 0 where the system has no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # in user mode and in the kernel


@dataclass
class Findings:
    """What a check of a folder found."""

    checked: int = 0
    sound: int = 0
    refused: dict[str, str] = field(default_factory=dict)  # file -> reason
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, file: str, health: Health) -> None:
        self.checked += 1
        self.sound += not health.refused
        if health.refused:
            self.refused[file] = health.refused
        elif health.remarks:
            self.remarks[file] = health.remarks


def check(
    folder: str,
    limits: Limits,
    bounds: Bounds,
    workers: int,
    again: bool = False,
    progress: Progress = lambda items, _: items,
) -> Findings:
    """Examine what a folder holds and record it in its index; what was examined before is not, unless ``again``.

    Files that an asset refers to are not watched: after a change of those alone, ask for ``again``.

    Raises:
        UserError: as ``index.update``.
    """
    found, _ = index.update(folder, workers)
    known = not again and found.limits == limits and found.loader == LOADER_VERSION
    files = [file for file, row in found.rows.items() if not known or row.health is None]
    found.limits, found.loader = limits, LOADER_VERSION
    if not known:
        found.rows = {file: row._replace(health=None) for file, row in found.rows.items()}
    unsaved = 0
    try:
        for file, health in progress(_examined(folder, files, limits, bounds, workers), len(files)):
            found.rows[file] = found.rows[file]._replace(health=health)
            unsaved += 1
            if unsaved == SAVE_EVERY:
                index.write(folder, found)
                unsaved = 0
    finally:
        index.write(folder, found)
    return _findings(found)


def _findings(found: Index) -> Findings:
    findings = Findings()
    for file, row in found.rows.items():
        if row.health is not None:
            findings.add(file, row.health)
    return findings


def _examined(
    folder: str, files: list[str], limits: Limits, bounds: Bounds, workers: int
) -> Iterator[tuple[str, Health]]:
    idle: SimpleQueue[Inspector] = SimpleQueue()
    inspectors = [Inspector(bounds) for _ in range(max(1, min(workers, len(files) // 4)))]
    for inspector in inspectors:
        idle.put(inspector)

    def examine(file: str) -> tuple[str, Health]:
        kind = "model" if file.lower().endswith(SUFFIXES["model"]) else "texture"
        inspector = idle.get()
        try:
            return file, inspector.examine(f"{Path(folder).as_posix()}/{file}", kind, limits)
        finally:
            idle.put(inspector)

    pool = ThreadPoolExecutor(len(inspectors))
    try:
        yield from pool.map(examine, files)
    finally:
        pool.shutdown(cancel_futures=True)
        for inspector in inspectors:
            inspector.close()
