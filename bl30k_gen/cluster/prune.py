"""Clear up after workers that are gone: their leases, logs of published videos, and scratch."""

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import Layout, ShardLayout, finish_publishing
from bl30k_gen.render import process
from bl30k_gen.render.child import remove_dead_scratch, scratch_root
from bl30k_gen.render.output.lease import FREE, Leases, holders
from bl30k_gen.render.output.shard_recovery import finish_dead_shard, remove_if_void

UNFINISHED = (".new", ".discarded")  # hidden folders in .staging that a killed worker may leave
WRITTEN = (".", "ImageSets", "Logs", "Shards", "Shards/.unfinished")  # whose files have a hidden name at first
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
    free = _free_leases if config.runtime.store == "folder" else _free_shards
    return Pruned(
        leases=free(layout, config, wait),
        logs=_remove_logs(layout),
        leftovers=_remove_leftovers(layout),
        scratch=len(remove_dead_scratch(scratch_root(scratch))),
    )


def _free_leases(layout: Layout, config: Config, wait: Callable[[float], None]) -> list[str]:
    """Acquire what is stale, and release it; returns the videos of which that was done."""
    mine = Layout(layout.root, process.new_name())
    observer = Leases(mine, config.runtime.lease_timeout)

    def free(name: str) -> bool:
        lease = observer.acquire(name)
        if lease is None:
            return False
        finish_publishing(mine, name)
        observer.release(lease)
        return True

    held = [name for name, lease in holders(layout).items() if lease.name != FREE]
    return _all_that_can_be_had(free, held, observer.timeout, wait)


def _free_shards(layout: Layout, config: Config, wait: Callable[[float], None]) -> list[str]:
    """Finish the shards of dead workers, and remove their claims; the videos that were claimed."""
    kind = config.runtime.store
    assert kind != "folder"
    observer = Leases(ShardLayout(layout.shards.root, process.new_name()), config.runtime.lease_timeout)
    with observer:  # copying a shard takes longer than others would wait
        shards = list(holders(layout.shards))
        _all_that_can_be_had(
            lambda shard: finish_dead_shard(layout.shards, kind, observer, shard), shards, observer.timeout, wait
        )
    return [name for name, claim in holders(layout).items() if remove_if_void(claim)]


def _all_that_can_be_had(
    free: Callable[[str], bool], names: list[str], timeout: float, wait: Callable[[float], None]
) -> list[str]:
    """Those of the names that could be freed, at once or after watching their owners' heartbeats."""
    freed = [name for name in names if free(name)]
    if len(freed) < len(names):
        wait(timeout)
        freed += [name for name in names if name not in freed and free(name)]
    return sorted(freed)


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
    making = (layout.making, layout.shards.making)
    found = [path for folder in making for suffix in UNFINISHED for path in folder.glob(f".*{suffix}")]
    found += [path for folder in WRITTEN for path in (layout.root / folder).glob(".*.part")]
    removed = 0
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # its writer has just finished
            if path.stat().st_mtime < time.time() - OLD:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed
