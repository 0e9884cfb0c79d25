"""Removes what dead workers left: leases, logs of published videos, temporary files, scratch folders."""

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

UNFINISHED = (".new", ".discarded")  # suffixes of hidden folders in .staging that a killed worker may leave
WRITTEN = (".", "ImageSets", "Logs", "Shards", "Shards/.unfinished")  # folders whose files are hidden while written
OLD = 3600.0  # seconds, longer than any write takes, and than a running task is silent


@dataclass(frozen=True)
class Pruned:
    leases: list[str]  # videos that are free again, with the frames so far
    logs: int  # of published videos
    leftovers: int  # temporary files and folders of killed workers
    scratch: int  # folders on this machine


def prune(layout: Layout, config: Config, scratch: Path | None, wait: Callable[[float], None] = time.sleep) -> Pruned:
    """Remove what dead workers left. Leases of other machines are first watched for ``lease_timeout`` seconds.

    Args:
        scratch: the scratch folder of the tasks, on this machine; None: as ``child.scratch_root``.

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
    """Acquire and release stale leases; return their videos."""
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
    return _free_all(free, held, observer.timeout, wait)


def _free_shards(layout: Layout, config: Config, wait: Callable[[float], None]) -> list[str]:
    """Finish the shards of dead workers and remove their claims; return the videos that were claimed."""
    kind = config.runtime.store
    assert kind != "folder"
    observer = Leases(ShardLayout(layout.shards.root, process.new_name()), config.runtime.lease_timeout)
    with observer:  # sends heartbeats: copying a shard may take longer than the timeout
        shards = list(holders(layout.shards))
        _free_all(
            lambda shard: finish_dead_shard(layout.shards, kind, observer, shard), shards, observer.timeout, wait
        )
    return [name for name, claim in holders(layout).items() if remove_if_void(claim)]


def _free_all(
    free: Callable[[str], bool], names: list[str], timeout: float, wait: Callable[[float], None]
) -> list[str]:
    """Free what can be freed, now or after watching heartbeats for ``timeout`` seconds; return its names."""
    freed = [name for name in names if free(name)]
    if len(freed) < len(names):
        wait(timeout)
        freed += [name for name in names if name not in freed and free(name)]
    return sorted(freed)


def _remove_logs(layout: Layout) -> int:
    """Remove logs of published videos, and the output of ended tasks before the latest submission."""
    removed = 0
    for name in layout.published():
        if layout.log(name).exists():
            layout.log(name).unlink()
            removed += 1
    for folder in sorted((layout.root / "Slurm").glob("*/"))[:-1]:
        for path in folder.glob("*.log"):
            if path.stat().st_mtime < time.time() - OLD:  # else its task may still run
                path.unlink()
                removed += 1
    return removed


def _remove_leftovers(layout: Layout) -> int:
    """Remove hidden files and folders whose writer was killed."""
    staging = (layout.staging_root, layout.shards.staging_root)
    found = [path for folder in staging for suffix in UNFINISHED for path in folder.glob(f".*{suffix}")]
    found += [path for folder in WRITTEN for path in (layout.root / folder).glob(".*.part")]
    removed = 0
    for path in found:
        with contextlib.suppress(FileNotFoundError):  # its writer has just finished
            if path.stat().st_mtime < time.time() - OLD:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed
