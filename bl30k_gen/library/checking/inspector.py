"""Examines assets in a child process that is used again and again, and survives whatever they do to it."""

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
PATIENCE = 5  # times the seconds of processor time, on the wall: the machine may be busy, or the child asleep
SAVE_EVERY = 500  # assets after which the index is written, so that an interrupted check continues there


@dataclass(frozen=True)
class Bounds:
    """What the child may use for one asset."""

    seconds: float  # of processor time, or ``PATIENCE`` times that on the wall
    memory_gb: float


class Inspector:
    """A child process, started when it is needed. Use it as a context manager.

    Args:
        command: what runs; see ``health``.
    """

    def __init__(self, bounds: Bounds, command: Sequence[str] = CHILD):
        self.bounds = bounds
        self.command = command
        self.started = 0  # processes, all in all
        self._process: LineProcess | None = None

    def __enter__(self) -> "Inspector":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def examine(self, path: str, kind: AssetKind, limits: Limits) -> Health:
        """What is wrong with an asset; what crashes or hangs the process is refused, and fatal."""
        asked = json.dumps({"path": path, "kind": kind, "limits": limits.model_dump()})
        for attempt in range(2):
            fresh = self._process is None
            try:
                answer = json.loads(self._ask(asked))
                return Health(answer["refused"], False, tuple(answer["remarks"]))
            except TimeoutError:
                reason = f"takes more than {self.bounds.seconds:g} s to load"
            except Ended as end:
                reason = self._death(end)
            self.close()
            if fresh or attempt:  # else an earlier asset may have left the process in a bad way: once more
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
            lambda waited: process.processor_seconds() - before <= seconds and waited <= PATIENCE * seconds
        )

    def _death(self, end: Ended) -> str:
        if end.signal is not None:
            return f"crashes the loader ({end.signal})"
        return f"crashes the loader, or needs more than {self.bounds.memory_gb:g} GiB of memory"


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
