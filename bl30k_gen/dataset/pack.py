"""Pack a dataset into a few large shards, tar or HDF5, and unpack them again; byte for byte the same files.

A shard holds the videos of one segment (names that share their letters) under the paths that they have in the
folder, and a copy of the dataset's small files (lists, card, configuration), so that it is of use alone. In HDF5
each file is a one-dimensional uint8 array at that path. Packing the same files again gives the same bytes.
"""

import hashlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import FRAME_FOLDERS, METADATA, Layout, finish_publishing, move_folder
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.dataset.shards import SUFFIXES, index_shard
from bl30k_gen.dataset.trees import ShardTree
from bl30k_gen.dataset.writers import SUFFIX, Kind, write_shard
from bl30k_gen.errors import UserError

CHECKSUMS = {"md5": "MD5SUMS", "sha256": "SHA256SUMS"}
_SEGMENT = re.compile(r"([A-Za-z]+)\d+")


def pack(
    store: VideoStore,
    out: Path,
    kind: Kind,
    prefix: str = "BL30K",
    progress: Callable[[str], object] = lambda name: None,
) -> list[Path]:
    """Write ``<prefix>_<segment>`` shards with their MD5 and SHA-256 lists; finished shards are kept.

    Args:
        progress: called with each shard's name when it is finished.

    Raises:
        UserError: the disk is full, or a file cannot be read.
    """
    shards = []
    for segment, names in _segments(store.videos).items():
        path = out / f"{prefix}{segment and '_'}{segment}{SUFFIX[kind]}"
        if not _is_packed(store, names, path):
            write_shard(path, kind, ((member, store.tree.read(member)) for member, _ in _members(store, names)))
        index_shard(path)
        shards.append(path)
        progress(path.name)
    digests = {path.name: _digests(path) for path in shards}
    for algorithm, name in CHECKSUMS.items():
        lines = (f"{found[algorithm]}  {shard}\n" for shard, found in digests.items())
        files.write_atomically(out / name, "".join(lines))
    return shards


def unpack(source: Path, root: Path, progress: Callable[[str], object] = lambda name: None) -> int:
    """Unpack a shard, or a folder of them, into a dataset folder; videos that are there already are skipped.

    A video appears whole; after a power cut, `verify` tells what the disk has not kept. Members with absolute paths
    or ``..`` and links are refused before anything is written.

    Args:
        progress: called with each video's name when it is there.

    Returns:
        The number of videos unpacked.

    Raises:
        UserError: a shard is damaged or unsafe, or the disk is full.
    """
    store, layout, unpacked = open_dataset(source), Layout(root), 0
    for name in store.videos:
        members = store.members(name)
        if not _is_unpacked(layout, name, members):
            with files.clear_disk_errors(layout.staging(name)):
                _unpack_video(store, layout, name, members)
            unpacked += 1
        progress(name)
    for path in _root_files(store):
        files.write_atomically(layout.root / path, store.tree.read(path))
    return unpacked


def _unpack_video(store: VideoStore, layout: Layout, name: str, members: dict[str, int]) -> None:
    shutil.rmtree(layout.staging(name), ignore_errors=True)
    metadata = f"{METADATA}/{name}.json"
    for path in members.keys() - {metadata}:
        kind, file = path.split("/")[0], path.rpartition("/")[2]
        target = layout.staging(name) / kind / file
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(store.tree.read(path))
    if metadata in members:
        files.write_atomically(layout.staged_metadata(name), store.tree.read(metadata))
        finish_publishing(layout, name)
        return
    for folder in _frame_folders(members):
        move_folder(layout.staging(name) / folder.split("/")[0], layout.root / folder)
    layout.staging(name).rmdir()


def _is_unpacked(layout: Layout, name: str, members: dict[str, int]) -> bool:
    if f"{METADATA}/{name}.json" in members:
        return finish_publishing(layout, name)
    return all((layout.root / folder).exists() for folder in _frame_folders(members))


def _frame_folders(members: dict[str, int]) -> list[str]:
    return sorted({path.rpartition("/")[0] for path in members})


def _segments(names: list[str]) -> dict[str, list[str]]:
    """Names by the letters that they begin with; all in one segment if a name is not letters and digits."""
    segments: dict[str, list[str]] = {}
    for name in names:
        match = _SEGMENT.fullmatch(name)
        if match is None:
            return {"": names}
        segments.setdefault(match[1], []).append(name)
    return segments


def _members(store: VideoStore, names: list[str]) -> Iterator[tuple[str, int]]:
    """Paths and sizes of what goes into a shard, in their order there."""
    yield from _root_files(store).items()
    for name in names:
        yield from store.members(name).items()


def _root_files(store: VideoStore) -> dict[str, int]:
    """The dataset's small files: what lies in its root, and its lists."""
    names = [n for n in store.tree.files("") if not n.endswith(SUFFIXES)] + store.image_set_paths()
    return {name: store.tree.size(name) for name in names}


def _is_packed(store: VideoStore, names: list[str], path: Path) -> bool:
    """Whether a shard holds just these videos: the same paths, sizes, small files, and metadata with its digests."""
    if not path.exists():
        return False
    try:
        tree = ShardTree([path])
    except UserError:  # cut off or damaged
        return False
    wanted = dict(_members(store, names))
    present = {
        f"{folder}/{file}" if folder else file: size
        for folder, found in index_shard(path).items()
        for file, size in zip(found.names, found.sizes.tolist(), strict=True)
    }
    telling = (member for member in wanted if member.split("/")[0] not in FRAME_FOLDERS)
    return present == wanted and all(tree.read(member) == store.tree.read(member) for member in telling)


def _digests(path: Path) -> dict[str, str]:
    """Hexadecimal digest by algorithm, from one pass over the file."""
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in CHECKSUMS}
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            for running in hashes.values():
                running.update(block)
    return {algorithm: running.hexdigest() for algorithm, running in hashes.items()}
