"""Packs a dataset into a few large shards, tar or HDF5, and unpacks them again into byte-identical files.

A shard holds the videos of one segment (names with the same letters) under their paths in the dataset, and a copy of
the dataset's small files (lists, card, configuration), so that it can be used without the others. In HDF5 each file
is a one-dimensional uint8 array at its path. Packing the same files again gives the same bytes.
"""

import contextlib
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.claim import claim, refuse_input, require_free
from bl30k_gen.dataset.layout import (
    IMAGE_SETS,
    METADATA,
    SHARDS,
    Layout,
    finish_publishing,
    list_visible,
    move_folder,
)
from bl30k_gen.dataset.listing import video_names
from bl30k_gen.dataset.modalities import MODALITIES, RGB
from bl30k_gen.dataset.reader import CONFIG, VideoStore, open_dataset
from bl30k_gen.dataset.shards import CHECKSUMS, SUFFIXES, index_path, index_shard
from bl30k_gen.dataset.trees import ShardTree
from bl30k_gen.dataset.writers import SUFFIX, ShardFormat, write_shard
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_text
from bl30k_gen.remote import Place, RemotePath, place

_ANOTHER = "choose another --out"
UNPACKER = "unpack"  # owner of the staging folders of videos that are being unpacked
_SEGMENT = re.compile(r"([A-Za-z]+)\d+")


def pack(
    store: VideoStore,
    out: Place,
    kind: ShardFormat,
    prefix: str = "BL30K",
    progress: Callable[[str], object] = lambda name: None,
) -> list[Place]:
    """Write ``<prefix>_<segment>`` shards with their MD5 and SHA-256 lists; finished shards are kept.

    Args:
        out: a folder or its URL. For a URL each shard is written to a temporary folder and then uploaded.
        progress: called with the name of each finished shard.

    Raises:
        UserError: the disk is full, a file cannot be read, or ``out`` holds anything but shards of this dataset.
    """
    claim(out, "pack", {"dataset": identity(store), "kind": kind, "prefix": prefix}, [store.path])
    shards: list[Place] = []
    digests = _recorded(out) if isinstance(out, RemotePath) else {}
    for segment, names in _segments(store.videos).items():
        path = out / f"{prefix}{segment and '_'}{segment}{SUFFIX[kind]}"
        members = ((member, store.tree.read(member)) for member, _ in _members(store, names))
        if isinstance(path, RemotePath):
            if path.name not in digests or not _is_packed(store, names, path):
                digests[path.name] = _upload(members, kind, path)
                _record(out, digests)
        else:
            if not _is_packed(store, names, path):
                write_shard(path, kind, members)
            index_shard(path)
        shards.append(path)
        progress(path.name)
    _record(out, digests | {path.name: _digests(path) for path in shards if isinstance(path, Path)})
    return shards


def _upload(members: Iterator[tuple[str, bytes]], kind: ShardFormat, target: RemotePath) -> dict[str, str]:
    """Write a shard to a temporary folder, upload it with its index, and return its digests."""
    target.require_writable()
    with tempfile.TemporaryDirectory(prefix="bl30k-pack-") as folder:
        shard = Path(folder) / target.name
        write_shard(shard, kind, members)
        index_shard(shard)
        index_path(target).write_bytes((shard.parent / index_path(target).name).read_bytes())
        target.upload(shard)
        return _digests(shard)


def _record(out: Place, digests: dict[str, dict[str, str]]) -> None:
    """Write the lists of checksums: ``digests`` are ``{shard: {algorithm: digest}}``."""
    for algorithm, name in CHECKSUMS.items():
        lines = (f"{found[algorithm]}  {shard}\n" for shard, found in digests.items())
        files.write_atomically(out / name, "".join(lines))


def _recorded(out: RemotePath) -> dict[str, dict[str, str]]:
    """Recorded digests of the finished remote shards: computing them again would download the shards."""
    found: dict[str, dict[str, str]] = {}
    for algorithm, name in CHECKSUMS.items():
        with contextlib.suppress(FileNotFoundError):
            for line in read_text(out / name).splitlines():
                digest, _, shard = line.partition("  ")
                found.setdefault(shard, {})[algorithm] = digest
    return {shard: digests for shard, digests in found.items() if digests.keys() == CHECKSUMS.keys()}


def unpack(source: str | Place, root: Path, progress: Callable[[str], object] = lambda name: None) -> int:
    """Unpack a shard, or a folder of them, into a dataset folder; existing videos are skipped.

    Videos appear whole; after a power cut `verify` finds those that were not written to the disk. Links, and members
    with absolute paths or ``..``, are refused before anything is written.

    Args:
        progress: called with the name of each video when it is unpacked or skipped.

    Returns:
        The number of videos unpacked.

    Raises:
        UserError: a shard is damaged or unsafe, the folder holds something else (nothing is changed then), a worker
            has one of the videos, or the disk is full.
    """
    store, layout, unpacked = open_dataset(source), Layout(root, UNPACKER), 0
    refuse_input(root, [place(source)])
    missing = _missing_files(store, layout)
    for path, data in missing.items():  # first: by these files a repeated call recognises the dataset
        files.write_atomically(layout.root / path, data)
    for name in store.videos:
        members = store.members(name)
        with files.clear_disk_errors(layout.staging(name)):
            if not _is_unpacked(layout, name, members):
                _unpack_video(store, layout, name, members)
                unpacked += 1
            with contextlib.suppress(OSError):
                layout.staging(name).parent.rmdir()
        progress(name)
    with contextlib.suppress(OSError):
        layout.staging_root.rmdir()
    return unpacked


def _missing_files(store: VideoStore, layout: Layout) -> dict[str, bytes]:
    """The dataset's small files that its folder lacks, and its lists with the names that they lack.

    Raises UserError where the folder holds something else, or a dataset that is rendered into shards.
    """
    root, wanted = layout.root, {path: store.tree.read(path) for path in _root_files(store)}
    if (root / SHARDS).exists():
        raise UserError(f"{root} is rendered into shards", _ANOTHER)
    begun = any((root / path).exists() for path in wanted)
    if not begun:
        own = (RGB, *{path.split("/")[0] for name in store.videos[:1] for path in store.members(name)})
        require_free(root, (IMAGE_SETS,) if CONFIG in wanted else (IMAGE_SETS, *own))
        if not wanted and (root / METADATA).exists() and METADATA not in store.tree.folders(""):
            raise UserError(f"{root} holds another dataset", _ANOTHER)
    missing = {}
    for path, data in wanted.items():
        present = (root / path).read_bytes() if (root / path).exists() else None
        if path.startswith(f"{IMAGE_SETS}/") and present not in (None, data):
            names = video_names(present, root / path)
            added = [line for line in video_names(data, Path(path)) if line not in set(names)]
            if CONFIG not in wanted and added:
                raise UserError(f"{root / path} lists other videos than that of {store.path}", _ANOTHER)
            if added:
                missing[path] = "".join(f"{name}\n" for name in sorted([*names, *added])).encode()
        elif present is None:
            missing[path] = data
        elif present != data:
            raise UserError(f"{root} holds another dataset: its {path} is not that of {store.path}", _ANOTHER)
    return missing


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
    """Whether a video exists. Raises UserError where a worker has it, or another video has its name."""
    others = [owner for owner in list_visible(layout.staging(name).parent) if owner != UNPACKER]
    if others:
        raise UserError(f"a worker has {name} of {layout.root} ", f"let it finish, or {_ANOTHER}")
    if f"{METADATA}/{name}.json" in members:
        return finish_publishing(layout, name)
    exist = all((layout.root / folder).exists() for folder in _frame_folders(members))
    if exist:
        for path, size in members.items():
            if not (layout.root / path).exists() or (layout.root / path).stat().st_size != size:
                raise UserError(f"{layout.root / path} is not that of the shard", _ANOTHER)
    return exist


def identity(store: VideoStore) -> str:
    """Identifies a dataset: the SHA-256 of its configuration, or without one its path."""
    if store.tree.exists(CONFIG):
        return files.sha256_bytes(store.tree.read(CONFIG))
    return str(store.path.resolve())


def _frame_folders(members: dict[str, int]) -> list[str]:
    return sorted({path.rpartition("/")[0] for path in members})


def _segments(names: list[str]) -> dict[str, list[str]]:
    """Names by their letters; one segment "" if a name is not letters followed by digits."""
    segments: dict[str, list[str]] = {}
    for name in names:
        match = _SEGMENT.fullmatch(name)
        if match is None:
            return {"": names}
        segments.setdefault(match[1], []).append(name)
    return segments


def _members(store: VideoStore, names: list[str]) -> Iterator[tuple[str, int]]:
    """Paths and sizes of the members of a shard, in their order."""
    yield from _root_files(store).items()
    for name in names:
        yield from store.members(name).items()


def _root_files(store: VideoStore) -> dict[str, int]:
    """Paths and sizes of the dataset's small files: those in its root, and its lists."""
    names = [n for n in store.tree.files("") if not n.endswith(SUFFIXES) and not n.startswith(".")]
    return {name: store.tree.size(name) for name in names + store.image_set_paths()}


def _is_packed(store: VideoStore, names: list[str], path: Place) -> bool:
    """Whether a shard holds exactly these videos: paths, sizes, small files and metadata (with digests) are equal."""
    if not path.exists():
        return False
    try:
        tree = ShardTree([path])
    except UserError:  # truncated or damaged
        return False
    wanted = dict(_members(store, names))
    present = {
        f"{folder}/{file}" if folder else file: size
        for folder, found in index_shard(path).items()
        for file, size in zip(found.names, found.sizes.tolist(), strict=True)
    }
    no_frames = (member for member in wanted if member.split("/")[0] not in MODALITIES)
    return present == wanted and all(tree.read(member) == store.tree.read(member) for member in no_frames)


def _digests(path: Path) -> dict[str, str]:
    """``{algorithm: hexadecimal digest}`` of a file, read once."""
    hashes = {algorithm: hashlib.new(algorithm) for algorithm in CHECKSUMS}
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            for running in hashes.values():
                running.update(block)
    return {algorithm: running.hexdigest() for algorithm, running in hashes.items()}
