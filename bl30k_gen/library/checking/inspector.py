"""Examine assets in a child process, which is reused, and restarted when an asset makes it crash or hang."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from bl30k_gen.config import Limits
from bl30k_gen.library.asset import AssetKind
from bl30k_gen.library.catalogue import index
from bl30k_gen.library.catalogue.folder import SUFFIXES
from bl30k_gen.library.catalogue.index import Health, Index, Progress
from bl30k_gen.library.load import LOADER_VERSION
from bl30k_gen.line_process import Ended, LineProcess, python_module

CHILD = python_module("bl30k_gen.library.checking.health")
WALL_FACTOR = 5  # wall-clock limit relative to that of processor time: the machine may be busy, or the child asleep
SAVE_EVERY = 500  # assets after which the index is written, so that an interrupted check continues there


@dataclass(frozen=True)
class Bounds:
    """Limits of the child process for one asset."""

    seconds: float  # of processor time, or ``WALL_FACTOR`` times as much wall-clock time
    memory_gb: float


class Inspector:
    """A child process that examines assets, started on first use. Use it as a context manager.

    Args:
        command: of the child; see ``health``.
    """

    def __init__(self, bounds: Bounds, command: Sequence[str] = CHILD):
        self.bounds = bounds
        self.command = command
        self.started = 0  # number of processes so far
        self._process: LineProcess | None = None

    def __enter__(self) -> "Inspector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def examine(self, path: str, kind: AssetKind, limits: Limits) -> Health:
        """The health of an asset. One that crashes or hangs the process is refused, and fatal."""
        request = json.dumps({"path": path, "kind": kind, "limits": limits.model_dump()})
        for attempt in range(2):
            fresh = self._process is None
            try:
                answer = json.loads(self._ask(request))
                return Health(answer["refused"], False, tuple(answer["remarks"]))
            except TimeoutError:
                reason = f"takes more than {self.bounds.seconds:g} s to load"
            except Ended as end:
                reason = self._crash(end)
            self.close()
            if fresh or attempt:  # else an earlier asset may have damaged the process: try once in a new one
                break
        return Health(f"{path}: {reason}", True, ())

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def _ask(self, line: str) -> bytes:
        if self._process is None:
            self._process = LineProcess(
                [*self.command, "--memory-gb", str(self.bounds.memory_gb)],
                {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            self.started += 1
        process, seconds = self._process, self.bounds.seconds
        before = process.processor_seconds()
        process.send(line)
        return process.receive(
            lambda waited: process.processor_seconds() - before <= seconds and waited <= WALL_FACTOR * seconds
        )

    def _crash(self, end: Ended) -> str:
        if end.signal is not None:
            return f"crashes the loader ({end.signal})"
        return f"crashes the loader, or needs more than {self.bounds.memory_gb:g} GiB of memory"


@dataclass
class Findings:
    """Results of the check of a folder."""

    checked: int = 0
    sound: int = 0  # assets that can be used
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
    """Examine the assets of a folder and record the results in its index.

    Args:
        again: also examine assets that were examined before and have not changed. Needed after a change of files
            that an asset refers to, which are not tracked.

    Raises:
        UserError: as ``index.update``.
    """
    current, _ = index.update(folder, workers)
    continued = not again and current.limits == limits and current.loader == LOADER_VERSION
    files = [file for file, row in current.rows.items() if not continued or row.health is None]
    current.limits, current.loader = limits, LOADER_VERSION
    if not continued:
        current.rows = {file: row._replace(health=None) for file, row in current.rows.items()}
    unsaved = 0
    try:
        for file, health in progress(_examined(folder, files, limits, bounds, workers), len(files)):
            current.rows[file] = current.rows[file]._replace(health=health)
            unsaved += 1
            if unsaved == SAVE_EVERY:
                index.write(folder, current)
                unsaved = 0
    finally:
        index.write(folder, current)
    return _findings(current)


def _findings(checked: Index) -> Findings:
    findings = Findings()
    for file, row in checked.rows.items():
        if row.health is not None:
            findings.add(file, row.health)
    return findings


def _examined(
    folder: str, files: list[str], limits: Limits, bounds: Bounds, workers: int
) -> Iterator[tuple[str, Health]]:
    """Examine files in parallel, each worker with an inspector of its own; results in the order of the files."""
    idle: SimpleQueue[Inspector] = SimpleQueue()
    inspectors = [Inspector(bounds) for _ in range(max(1, min(workers, len(files) // 4)))]
    for inspector in inspectors:
        idle.put(inspector)

    def examine(file: str) -> tuple[str, Health]:
        kind: AssetKind = "model" if file.lower().endswith(SUFFIXES["model"]) else "texture"
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
