"""The index of a tar or HDF5 shard: the byte range of each file in it.

Both kinds store every JPEG and PNG as contiguous bytes. With the index, a frame is one positioned read of the shard,
without a tar or HDF5 library, and processes may share the open shard. The index is saved beside the shard
(``<shard>.index.json``) if that folder can be written; the index of a remote shard, in the user's cache.
"""

import contextlib
import hashlib
import json
import logging
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bl30k_gen.dataset.files import user_cache, write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import open_regular, read_json
from bl30k_gen.remote import Place, RemotePath

SUFFIXES = (".tar", ".h5", ".hdf5")
CHECKSUMS = {"md5": "MD5SUMS", "sha256": "SHA256SUMS"}  # lists of shards, by `pack`
_END = 1 << 16  # bytes at either end of a shard that identify it in its index
_COPY_AGAIN = "copy or download it again"
_NO_INDEX = (OSError, ValueError, KeyError, TypeError, AttributeError, UserError)  # of a missing or damaged index
_INDEX_LIMIT = 1 << 30  # bytes
MAX_DEPTH = 10  # nested groups of an HDF5 shard
HEADER = tarfile.BLOCKSIZE  # bytes of a tar header, directly before the contents of its member

log = logging.getLogger(__name__)


class ByteRange(NamedTuple):
    """The byte range of the contents of a file in a shard."""

    path: str  # in the shard
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size


@dataclass(frozen=True)
class FolderIndex:
    """The files of one folder inside a shard, sorted by name, with the byte ranges of their contents."""

    names: tuple[str, ...]
    offsets: np.ndarray  # (N,) int64
    sizes: np.ndarray  # (N,) int64


def index_shard(shard: Place, trust_saved: bool = True) -> dict[str, FolderIndex]:
    """Folders of a shard by their path in it ("" is its root), from its saved index or by scanning it.

    Args:
        trust_saved: use a saved index; False: always scan.

    Raises:
        UserError: the shard is missing, compressed, truncated or damaged.
    """
    try:
        identity = _identity(shard)
        end = shard.stat().st_size
    except OSError as error:
        raise UserError(f"shard {shard} cannot be read", error.strerror or "there is no such file") from None
    if trust_saved and (saved := _saved_columns(shard, identity)) is not None:
        with contextlib.suppress(ValueError, TypeError, AttributeError):
            return _folders(saved, shard, end)
    if isinstance(shard, RemotePath):
        log.warning(
            "%s has no %s beside it: all of its %.1f GB is read once", shard, index_path(shard).name, end / 1e9
        )
    columns = _columns(_scan(shard), shard)
    with contextlib.suppress(OSError, UserError):  # a saved index only spares the next scan
        _save(_cached(shard) if isinstance(shard, RemotePath) else index_path(shard), identity, columns)
    return _folders(columns, shard, end)


def index_ranges(ranges: Iterable[ByteRange], shard: Place) -> dict[str, FolderIndex]:
    """The index of a shard with known byte ranges, as ``index_shard``. Raises UserError where it is truncated."""
    return _folders(_columns(ranges, shard), shard, shard.stat().st_size)


def index_damaged(shard: Place) -> dict[str, FolderIndex]:
    """The readable files of a shard that ``index_shard`` refuses: by its saved index, or those before the damage."""
    ranges: list[ByteRange] = []
    end = shard.stat().st_size if shard.exists() else 0
    try:
        saved = _read_saved(index_path(shard))["folders"]
        for folder, columns in saved.items():
            ranges += (ByteRange(f"{folder}/{n}" if folder else n, o, s) for n, o, s in zip(*columns, strict=True))
    except _NO_INDEX:
        with contextlib.suppress(UserError, OSError):
            for found in _scan(shard):
                ranges.append(found)
    return _folders(_columns((found for found in ranges if found.end <= end), shard), shard, end)


def save_index(shard: Place, ranges: Iterable[ByteRange], target: Path) -> None:
    """Save the index of ``shard`` beside ``target``, the path to which it will be renamed."""
    _save(index_path(target), _identity(shard), _columns(ranges, shard))


def index_path(shard: Place) -> Place:
    return shard.with_name(shard.name + ".index.json")


def _cached(shard: RemotePath) -> Path:
    """Path in the user's cache for the index of a remote shard that has none beside it."""
    return user_cache() / "shards" / f"{hashlib.sha256(shard.url.encode()).hexdigest()[:32]}.json"


def _saved_columns(shard: Place, identity: dict[str, int | str]) -> dict[str, list[list]] | None:
    """The folders in the saved index, if it is the index of this shard."""
    for path in [index_path(shard), *([_cached(shard)] if isinstance(shard, RemotePath) else [])]:
        with contextlib.suppress(*_NO_INDEX):
            saved = _read_saved(path)
            if saved["shard"] == identity:
                return dict(saved["folders"])
    return None


def _read_saved(path: Place) -> dict[str, Any]:
    return read_json(path, "remove it", limit=_INDEX_LIMIT)


def require_header(header: bytes, path: str, size: int, shard: Place) -> None:
    """Raises UserError where ``header``, the bytes before the contents of a tar member, is not that member's."""
    try:
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise _wrong_index(shard, path) from None
    name = entry.name.removeprefix("./")
    short = path.isascii() and len(path) < tarfile.LENGTH_NAME  # longer names are in another header before this one
    if entry.size != size or (short and name != path):
        raise _wrong_index(shard, path)


def require_datasets(shard: Place, path: str, folder: FolderIndex) -> None:
    """Raises UserError where the files of a folder have other byte ranges in an HDF5 shard than in the index."""
    import h5py

    try:
        with _source(shard) as source, h5py.File(source, "r") as file:
            group = file[path] if path else file
            for name, offset, size in zip(folder.names, folder.offsets.tolist(), folder.sizes.tolist(), strict=True):
                node = group[name]
                if node.size * node.dtype.itemsize != size or (node.id.get_offset() or 0) != offset:
                    raise _wrong_index(shard, f"{path}/{name}")
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError):
        raise _wrong_index(shard, path) from None


def _wrong_index(shard: Place, path: str) -> UserError:
    return UserError(f"{index_path(shard)} is wrong about {path}", "remove it: it is made anew")


def _save(path: Place, identity: dict[str, int | str], columns: dict[str, list[list]]) -> None:
    write_atomically(path, json.dumps({"shard": identity, "folders": columns}, separators=(",", ":")))


def _columns(ranges: Iterable[ByteRange], shard: Place) -> dict[str, list[list]]:
    """``{folder: [names, offsets, sizes]}``, folders and names sorted."""
    found: dict[str, dict[str, tuple[str, int, int]]] = {}
    for path, offset, size in ranges:
        folder, slash, name = path.rpartition("/")
        if slash and not folder:
            raise UserError(f"shard {shard}: {path} is an absolute path", "do not trust it")
        # A tar may hold a path twice; the later one is valid, as in unpacking.
        found.setdefault(folder, {})[name] = (name, offset, size)
    return {
        folder: [list(column) for column in zip(*sorted(rows.values()), strict=True)]
        for folder, rows in sorted(found.items())
    }


def _folders(columns: dict[str, list[list]], shard: Place, end: int) -> dict[str, FolderIndex]:
    shared: dict[tuple[str, ...], tuple[str, ...]] = {}  # thousands of videos have the same frame names
    folders = {}
    for path, (names, offsets, sizes) in columns.items():
        if not all(_is_plain(part) for part in (*path.split("/"), *names) if part or path):
            raise UserError(f"shard {shard}: a path in {path or 'its root'} leads outside", "do not trust it")
        if not len(names) == len(offsets) == len(sizes) or sorted(names) != list(names):
            raise ValueError(f"columns of {path} do not fit")
        key = tuple(names)
        folder = FolderIndex(shared.setdefault(key, key), np.array(offsets, np.int64), np.array(sizes, np.int64))
        inside = (folder.offsets >= 0) & (folder.sizes >= 0) & (folder.offsets + folder.sizes <= end)
        if not inside.all():
            raise UserError(f"shard {shard} is cut off in {path}", _COPY_AGAIN)
        folders[path] = folder
    return folders


def _is_plain(part: str) -> bool:
    return part not in ("", ".", "..") and not set(part) & set("/\\\0")


def _identity(shard: Place) -> dict[str, int | str]:
    """Size and digest of both ends of a shard: changed by replacing or resizing it, not by copying it."""
    size = shard.stat().st_size
    with open_regular(shard) as file:
        ends = file.read(_END)
        file.seek(max(0, size - _END))
        ends += file.read(_END)
    return {"bytes": size, "ends": hashlib.sha256(ends).hexdigest()}


def _scan(shard: Place) -> Iterable[ByteRange]:
    return _scan_tar(shard) if shard.suffix == ".tar" else _scan_hdf5(shard)


def _scan_tar(shard: Place) -> Iterator[ByteRange]:
    end_of_file = shard.stat().st_size
    try:
        with open_regular(shard) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            while (entry := archive.next()) is not None:
                if entry.offset_data + entry.size > end_of_file:
                    raise tarfile.ReadError(f"{entry.name} has {entry.size} bytes")
                archive.members = []  # type: ignore[attr-defined]  # the archive would keep every header in memory
                if entry.isreg() and not entry.issparse():
                    yield ByteRange(entry.name.removeprefix("./"), entry.offset_data, entry.size)
                elif not entry.isdir():
                    raise UserError(f"shard {shard}: {entry.name} is a link or a special file", "do not trust it")
            file.seek(end := archive.offset)
            after = file.read(tarfile.BLOCKSIZE)
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        remedy = f"decompress it if it is compressed, else {_COPY_AGAIN}"
        raise UserError(f"shard {shard} is cut off or no tar ({error})", remedy) from None
    # tarfile takes a damaged or missing header for the end; the real end is marked by zeros.
    if after != bytes(tarfile.BLOCKSIZE):
        raise UserError(f"shard {shard} is cut off or damaged at byte {end}", _COPY_AGAIN)


def _source(shard: Place) -> contextlib.AbstractContextManager[Any]:
    """The argument for the HDF5 library: a path, which it reads fastest, or an open remote file."""
    return open_regular(shard) if isinstance(shard, RemotePath) else contextlib.nullcontext(shard)


def _scan_hdf5(shard: Place) -> list[ByteRange]:
    import h5py

    ranges: list[ByteRange] = []
    try:
        with _source(shard) as source, h5py.File(source, "r") as file:
            groups: list[tuple[str, h5py.Group]] = [
                ("", file)
            ]  # a loop: the library's visitor may overflow the stack
            for prefix, group in groups:
                for name in group:
                    path = f"{prefix}{name}"
                    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                        raise UserError(f"shard {shard}: {path} is a link", "do not trust it")
                    node = group[name]
                    if isinstance(node, h5py.Dataset):
                        ranges.append(ByteRange(path, *_offset_and_size(node, path, shard)))
                    elif path.count("/") >= MAX_DEPTH:
                        raise UserError(f"shard {shard} is nested too deeply", "do not trust it")
                    else:
                        groups.append((f"{path}/", node))
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:  # depending on what is damaged
        raise UserError(f"shard {shard} is cut off, damaged or no HDF5 file ({error})", _COPY_AGAIN) from None
    return ranges


def _offset_and_size(node: Any, path: str, shard: Place) -> tuple[int, int]:
    """Offset and size in bytes of an HDF5 dataset that holds the bytes of a file. Raises UserError for others."""
    if node.ndim > 1 or (node.dtype.kind in "biufc" and node.dtype.itemsize > 1):
        raise UserError(f"shard {shard}: {path} holds numbers, not a file's bytes", "leave it out")
    offset, size = node.id.get_offset(), (node.size or 0) * node.dtype.itemsize
    if size and offset is None:
        raise UserError(f"shard {shard}: {path} is compressed or chunked", "pack it with `generate.py pack`")
    return offset or 0, size
