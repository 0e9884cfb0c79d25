"""Runs an export: finds the units that are not finished, and writes them in one or several processes."""

import json
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bl30k_gen.dataset import files
from bl30k_gen.dataset.pack import identity
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format
from bl30k_gen.export.source import SourceVideo, VideoEntry, entries, fingerprint
from bl30k_gen.export.target import Target
from bl30k_gen.text import plural

_WHOLE = "dataset"  # name of the unit that `Format.finish` writes
_UNIT = "unit-"  # prefix of the other units' names


@dataclass
class ExportSummary:
    """The result of an export."""

    format: str
    out: str
    videos: int
    written: int = 0  # units
    kept: int = 0  # units that were finished before
    files: int = 0  # written by this call
    bytes: int = 0  # written by this call

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)

    def text(self) -> str:
        kept = ", the others were there already" if self.kept else ""
        written = f"{plural(self.files, 'file')} written{kept}"
        return f"{self.out}: {plural(self.videos, 'video')} as {self.format}; {written}"


def export(
    store: VideoStore,
    kind: Format,
    out: Path,
    names: Sequence[str] | None = None,
    workers: int = 1,
    lists: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ExportSummary:
    """Write a dataset in another format. A stopped export continues; units with changed videos are written again.

    Args:
        names: only these videos; None: all.
        workers: number of processes.
        lists: as for ``entries``.
        progress: called with the number of finished units and of all units.

    Raises:
        UserError: the folder holds something else, the dataset lacks what the format needs, or the disk is full.
    """
    videos, target = entries(store, names, lists), Target(out)
    claim = {"dataset": identity(store), "format": kind.name, "version": kind.version, **kind.model_dump(mode="json")}
    with target.claimed(store.path, claim):
        jobs = [
            _Job(unit.name, unit.videos, _digest([fingerprint(store, video) for video in unit.videos]))
            for unit in kind.units(store, videos)
        ]
        if unknown := sorted(set(target.finished()) - {job.key for job in jobs} - {_WHOLE}):
            name = unknown[0].removeprefix(_UNIT)
            raise UserError(f"{out} holds {name}, which is not exported now", "choose another --out")
        missing = [job for job in jobs if not target.is_done(job.key, job.fingerprint)]
        summary = ExportSummary(kind.name, str(out), len(videos), len(missing), len(jobs) - len(missing))
        progress(summary.kept, len(jobs))
        for count, written in enumerate(_write(store, kind, target, missing, workers), start=1):
            _add(summary, written)
            progress(summary.kept + count, len(jobs))
        dataset_fingerprint = _digest([job.fingerprint for job in jobs])
        if not target.is_done(_WHOLE, dataset_fingerprint):
            with files.clear_disk_errors(out / _WHOLE):
                kind.finish(store, videos, out, target.staging(_WHOLE))
                _add(summary, target.publish(_WHOLE, dataset_fingerprint))
    return summary


@dataclass(frozen=True)
class _Job:
    """A unit, and the fingerprint of its videos."""

    unit: str
    videos: tuple[VideoEntry, ...]
    fingerprint: str

    @property
    def key(self) -> str:
        """Name of the unit in the target."""
        return f"{_UNIT}{self.unit}"


def _write(
    store: VideoStore, kind: Format, target: Target, jobs: list[_Job], workers: int
) -> Iterator[dict[str, int]]:
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            yield _write_job(store, kind, target, job)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), context, _set_context, (store, kind, target)) as pool:
        yield from pool.map(_write_in_worker, jobs)


_context: tuple[VideoStore, Format, Target]  # set in each worker process


def _set_context(store: VideoStore, kind: Format, target: Target) -> None:
    global _context
    _context = store, kind, target


def _write_in_worker(job: _Job) -> dict[str, int]:
    return _write_job(*_context, job)


def _write_job(store: VideoStore, kind: Format, target: Target, job: _Job) -> dict[str, int]:
    with files.clear_disk_errors(target.out / job.key):
        kind.write(job.unit, [SourceVideo(store, video) for video in job.videos], target.staging(job.key))
        return target.publish(job.key, job.fingerprint)


def _add(summary: ExportSummary, written: dict[str, int]) -> None:
    summary.files += len(written)
    summary.bytes += sum(written.values())


def _digest(value: list[Any]) -> str:
    return files.sha256_bytes(json.dumps(value).encode())
