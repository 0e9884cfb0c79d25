"""What is done to shards whose makers are gone: finishing them, keeping their records, taking videos out."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import METADATA, Layout, discard_staging, list_visible
from bl30k_gen.dataset.part import PART, finish
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.dataset.shards import SUFFIXES, index_path, save_index
from bl30k_gen.dataset.trees import ShardTree
from bl30k_gen.dataset.writers import SUFFIX, Kind, write_shard
from bl30k_gen.render.output.lease import Leases, try_rename


def finish_dead_shard(layout: Layout, kind: Kind, observer: Leases, shard: str) -> bool:
    """Finish the shard of a dead worker; False if it lives, as far as is known.

    Args:
        observer: leases on the shards of ``layout``.

    Raises:
        UserError: the disk is full.
    """
    lease = observer.acquire(shard)
    if lease is None:
        return False
    target = layout.shards.root / f"{shard}{SUFFIX[kind]}"
    try:
        finish(lease.folder, target, kind, lambda name: (layout.recorded(name) or ("", ""))[1] == shard)
        discard_staging(observer.layout, shard)
    finally:
        observer.release(lease)
    return True


def remove_if_void(claim: Path) -> bool:
    """Remove the claim of a video whose link leads nowhere."""
    if claim.exists():
        return False
    claim.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        claim.parent.rmdir()
    return True


def restore_records(layout: Layout) -> None:
    """Write the records anew where all are gone, for instance because the dataset was copied without links."""
    finished = [path for path in sorted(layout.shards.root.glob("*")) if path.suffix in SUFFIXES]
    if not finished or list_visible(layout.records):
        return
    prepared = files.temporary_name(layout.records)
    with files.clear_disk_errors(prepared):
        prepared.mkdir()
        for shard in finished:
            store = VideoStore(shard, ShardTree([shard]))
            for name in store.videos:
                os.symlink(f"{store.required_metadata(name)['split']}/{shard.stem}", prepared / name)
        if not try_rename(prepared, layout.records):  # another run was first
            shutil.rmtree(prepared)


def record_all(layout: Layout, store: VideoStore) -> None:
    """Record what lies in a finished shard and is not recorded."""
    for name in sorted(set(store.videos) - set(layout.published())):
        shard = _holder(store, name)
        os.symlink(f"{store.required_metadata(name)['split']}/{shard.stem}", layout.record(name))


def take_out(
    layout: Layout, kind: Kind, leases: Leases, store: VideoStore, names: Iterable[str], damaged: Iterable[Path]
) -> list[str]:
    """Write shards anew without these videos, and the damaged ones as far as they can be read.

    Killed at any point, what was taken out and is still recorded is found missing by `verify`.

    Args:
        leases: on the shards of ``layout``.

    Returns:
        Those of the videos whose shard a worker has: they were left alone.

    Raises:
        UserError: the disk is full.
    """
    of_shard: dict[Path, list[str]] = {shard: [] for shard in damaged}
    for name in names:
        if (shard := _shard_of(layout, kind, store, name)) is not None:
            of_shard.setdefault(shard, []).append(name)
    busy = []
    for shard, bad in sorted(of_shard.items()):
        lease = None if shard.name == PART else leases.acquire(shard.stem)
        if lease is None:
            busy += bad
            continue
        _rewrite(shard, kind, lease.folder, bad)
        for name in bad:
            layout.record(name).unlink(missing_ok=True)
        discard_staging(leases.layout, shard.stem)
        leases.release(lease)
    return busy


def _rewrite(shard: Path, kind: Kind, folder: Path, bad: list[str]) -> None:
    store = VideoStore(shard, ShardTree([shard] if shard.exists() else [], damaged=lambda *_: None))
    kept = [name for name in store.videos if name not in bad]
    if kept:
        built = folder / f"rewritten{SUFFIX[kind]}"
        rows = write_shard(built, kind, _contents(store, kept), parents=False)
        save_index(built, rows, shard)
        files.replace(built, shard)
    else:
        shard.unlink(missing_ok=True)
        Path(str(index_path(shard))).unlink(missing_ok=True)


def _shard_of(layout: Layout, kind: Kind, store: VideoStore, name: str) -> Path | None:
    """The shard that holds a video, or that should."""
    if store.tree.exists(f"{METADATA}/{name}.json"):
        return _holder(store, name)
    recorded = layout.recorded(name)
    return layout.shards.root / f"{recorded[1]}{SUFFIX[kind]}" if recorded else None


def _holder(store: VideoStore, name: str) -> Path:
    """The shard, or part of one, that holds a video."""
    assert isinstance(store.tree, ShardTree)
    return Path(str(store.tree.shard_of(f"{METADATA}/{name}.json")))


def _contents(store: VideoStore, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Everything in a shard but other videos, in the order in which a part has it."""
    for path in store.tree.files(""):
        yield path, store.tree.read(path)
    for name in names:
        metadata = f"{METADATA}/{name}.json"
        for path in [metadata, *sorted(store.members(name).keys() - {metadata})]:
            yield path, store.tree.read(path)
