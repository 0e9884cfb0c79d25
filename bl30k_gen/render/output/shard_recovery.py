"""Recovery of shards: finishing those of dead workers, restoring commit markers, removing videos."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import METADATA, PARTIAL, Layout, ShardLayout, discard_staging, list_visible
from bl30k_gen.dataset.partial_shard import finish_abandoned
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.dataset.shards import SUFFIXES, index_path, save_index
from bl30k_gen.dataset.trees import ShardTree
from bl30k_gen.dataset.writers import SUFFIX, ShardFormat, write_shard
from bl30k_gen.render.output.lease import Leases, try_rename


def finish_dead_shard(shards: ShardLayout, kind: ShardFormat, observer: Leases, shard: str) -> bool:
    """Finish the shard of a dead worker; False if the worker may still be running.

    Args:
        observer: leases on ``shards``.

    Raises:
        UserError: the disk is full.
    """
    lease = observer.acquire(shard)
    if lease is None:
        return False
    try:
        target = shards.finished(shard, SUFFIX[kind])
        finish_abandoned(lease.folder, target, kind, lambda name: shards.holds(name, shard))
        discard_staging(observer.area, shard)
    finally:
        observer.release(lease)
    return True


def remove_if_void(claim: Path) -> bool:
    """Remove the claim of a video if its link dangles; return whether it did."""
    if claim.exists():
        return False
    claim.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        claim.parent.rmdir()
    return True


def restore_markers(shards: ShardLayout) -> None:
    """Write all commit markers again if there is none, for instance because a dataset was copied without links."""
    finished = [path for path in sorted(shards.root.glob("*")) if path.suffix in SUFFIXES]
    if not finished or list_visible(shards.markers):
        return
    prepared = files.temporary_name(shards.markers)
    with files.clear_disk_errors(prepared):
        prepared.mkdir()
        for shard in finished:
            store = VideoStore(shard, ShardTree([shard]))
            for name in store.videos:
                os.symlink(f"{store.required_metadata(name)['split']}/{shard.stem}", prepared / name)
        if not try_rename(prepared, shards.markers):  # another run was first
            shutil.rmtree(prepared)


def mark_all(layout: Layout, store: VideoStore) -> None:
    """Write the commit markers of videos that lie in finished shards and have none."""
    for name in sorted(set(store.videos) - set(layout.published())):
        shard = _holder(store, name)
        os.symlink(f"{store.required_metadata(name)['split']}/{shard.stem}", layout.shards.marker(name))


def remove_videos(
    layout: Layout,
    kind: ShardFormat,
    leases: Leases,
    store: VideoStore,
    names: Iterable[str],
    damaged: Iterable[Path],
) -> list[str]:
    """Write shards again without these videos, and damaged shards as far as they can be read.

    If this is killed, `verify` reports the removed videos that still have a commit marker as missing.

    Args:
        leases: on the shards of ``layout``.
        names: videos to remove.
        damaged: shards that are written again even if none of ``names`` lies in them.

    Returns:
        The videos that were left alone because a worker has their shard.

    Raises:
        UserError: the disk is full.
    """
    bad_videos: dict[Path, list[str]] = {shard: [] for shard in damaged}
    for name in names:
        if (shard := _shard_of(layout, kind, store, name)) is not None:
            bad_videos.setdefault(shard, []).append(name)
    busy = []
    for shard, bad in sorted(bad_videos.items()):
        lease = None if shard.name == PARTIAL else leases.acquire(shard.stem)
        if lease is None:
            busy += bad
            continue
        _rewrite(shard, kind, lease.folder, bad)
        for name in bad:
            layout.shards.marker(name).unlink(missing_ok=True)
        discard_staging(leases.area, shard.stem)
        leases.release(lease)
    return busy


def _rewrite(shard: Path, kind: ShardFormat, folder: Path, bad: list[str]) -> None:
    store = VideoStore(shard, ShardTree([shard] if shard.exists() else [], damaged=lambda *_: None))
    kept = [name for name in store.videos if name not in bad]
    if kept:
        built = folder / f"rewritten{SUFFIX[kind]}"
        ranges = write_shard(built, kind, _contents(store, kept), parents=False)
        save_index(built, ranges, shard)
        files.replace(built, shard)
    else:
        shard.unlink(missing_ok=True)
        Path(str(index_path(shard))).unlink(missing_ok=True)


def _shard_of(layout: Layout, kind: ShardFormat, store: VideoStore, name: str) -> Path | None:
    """The shard that holds a video, or should hold it by its commit marker; None if there is neither."""
    if store.tree.exists(f"{METADATA}/{name}.json"):
        return _holder(store, name)
    committed = layout.shards.committed(name)
    return layout.shards.finished(committed[1], SUFFIX[kind]) if committed else None


def _holder(store: VideoStore, name: str) -> Path:
    """The shard, finished or partial, that holds a video."""
    assert isinstance(store.tree, ShardTree)
    return Path(str(store.tree.shard_of(f"{METADATA}/{name}.json")))


def _contents(store: VideoStore, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of a shard's own files and of these videos, in the order of a partial shard."""
    for path in store.tree.files(""):
        yield path, store.tree.read(path)
    for name in names:
        metadata = f"{METADATA}/{name}.json"
        for path in [metadata, *sorted(store.members(name).keys() - {metadata})]:
            yield path, store.tree.read(path)
