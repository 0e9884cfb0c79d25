"""Clear up after workers that are gone: their leases, logs that have served, and scratch."""

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bl30k_gen.cluster import process
from bl30k_gen.cluster.child import remove_dead_scratch, scratch_root
from bl30k_gen.cluster.lease import FREE, Leases, holders
from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import Layout, finish_publishing

UNFINISHED = (".new", ".discarded")  # hidden folders in .staging that a killed worker may leave
WRITTEN = (".", "ImageSets", "Logs")  # folders with files that are written under a hidden name first
OLD = 3600.0  # seconds; nothing takes so long to be written


@dataclass(frozen=True)
class Pruned:
    leases: list[str]  # videos that are free again, with the frames so far
    logs: int  # of videos that are published
    leftovers: int  # temporary files and folders of killed workers
    scratch: int  # folders on this machine


def prune(layout: Layout, config: Config, scratch: Path | None, wait: Callable[[float], None] = time.sleep) -> Pruned:
    """Clear up; live workers are left alone, so leases of other machines are watched for ``lease_timeout`` seconds.

    Args:
        scratch: the folder that tasks were told to use, on this machine; None: the usual one.

    Raises:
        UserError: something may not be written.
    """
    return Pruned(
        leases=_free_leases(layout, config.runtime.lease_timeout, wait),
        logs=_remove_logs(layout),
        leftovers=_remove_leftovers(layout),
        scratch=len(remove_dead_scratch(scratch_root(scratch))),
    )


def _free_leases(layout: Layout, timeout: float, wait: Callable[[float], None]) -> list[str]:
    """Take over what is stale, and give it back."""
    observer = Leases(Layout(layout.root, process.new_name()), timeout)
    held = sorted(name for name, lease in holders(layout).items() if lease.name != FREE)
    freed = _take_and_release(observer, held)
    if len(freed) < len(held):
        wait(timeout)
        freed += _take_and_release(observer, [name for name in held if name not in freed])
    return sorted(freed)


def _take_and_release(observer: Leases, names: list[str]) -> list[str]:
    """Those of the leases that could be had."""
    freed = []
    for name in names:
        lease = observer.take(name)
        if lease is not None:
            finish_publishing(observer.layout, name)
            observer.release(lease)
            freed.append(name)
    return freed


def _remove_logs(layout: Layout) -> int:
    """Logs of published videos, and what tasks printed before the latest submission."""
    removed = 0
    for name in layout.published():
        if layout.log(name).exists():
            layout.log(name).unlink()
            removed += 1
    for folder in sorted((layout.root / "Slurm").glob("*/"))[:-1]:
        for path in folder.glob("*.log"):
            path.unlink()
            removed += 1
    return removed


def _remove_leftovers(layout: Layout) -> int:
    """Hidden files and folders that were being written when their writer was killed."""
    found = [path for suffix in UNFINISHED for path in (layout.root / ".staging").glob(f".*{suffix}")]
    found += [path for folder in WRITTEN for path in (layout.root / folder).glob(".*.part")]
    removed = 0
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # its writer has just finished
            if path.stat().st_mtime < time.time() - OLD:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed
