"""Read-only trees of files: a folder, or shards that are presented as one folder; local or remote.

Paths are relative to the root of the dataset.
"""

import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from bl30k_gen import platforms
from bl30k_gen.dataset.files import is_there
from bl30k_gen.dataset.layout import METADATA, PARTIAL
from bl30k_gen.dataset.modalities import MASK, RGB
from bl30k_gen.dataset.partial_shard import index_partial
from bl30k_gen.dataset.shards import (
    HEADER,
    FolderIndex,
    index_damaged,
    index_shard,
    require_datasets,
    require_header,
)
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import LIMIT, read_bytes
from bl30k_gen.remote import Entry, Place, RemotePath, RemoteRanges

Damaged = Callable[[Place, UserError], None]

FILE_LIMIT = 1 << 30  # bytes of a file of a dataset; stored annotations are the largest
_OF_VIDEOS = (RGB, MASK, METADATA)


class FolderTree:
    """A folder on disk. Hidden files are left out: they are still being written.

    An entry that is neither file nor folder, such as a dangling link, is listed as a file, and reading it raises an
    error: if it were left out, a video would be one frame shorter.
    """

    complete = True  # all videos of the dataset's lists should exist

    def __init__(self, root: Path):
        self.root = root

    def folders(self, path: str) -> list[str]:
        """Sorted names of the folders in a folder; empty where it does not exist."""
        return sorted(entry.name for entry in self._scan(path) if _is_folder(entry))

    def files(self, path: str) -> list[str]:
        """Sorted names of the files in a folder; empty where it does not exist."""
        return sorted(entry.name for entry in self._scan(path) if not _is_folder(entry))

    def exists(self, path: str) -> bool:
        """Whether a file exists, readable or not."""
        return is_there(self.root / path)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return (self.root / path).stat().st_size

    def read(self, path: str) -> bytes:
        """Contents of a file. Raises UserError naming a file that cannot be read."""
        try:
            return read_bytes(self.root / path, FILE_LIMIT)
        except FileNotFoundError as error:
            raise UserError(f"{self.root / path} cannot be read", str(error.strerror)) from None

    def _scan(self, path: str) -> list[os.DirEntry]:
        try:
            with os.scandir(self.root / path) as entries:
                return [entry for entry in entries if not entry.name.startswith(".")]
        except (FileNotFoundError, NotADirectoryError):
            return []


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


class RemoteTree:
    """A remote folder. Each folder in it is listed only once: the dataset is assumed not to change."""

    complete = True

    def __init__(self, root: RemotePath):
        self.root = root
        self._listed: dict[str, dict[str, Entry]] = {}

    def folders(self, path: str) -> list[str]:
        return sorted(name for name, entry in self._list(path).items() if entry.is_folder)

    def files(self, path: str) -> list[str]:
        return sorted(name for name, entry in self._list(path).items() if not entry.is_folder)

    def exists(self, path: str) -> bool:
        folder, _, name = path.rpartition("/")
        return name in self._list(folder) and not self._list(folder)[name].is_folder

    def size(self, path: str) -> int:
        folder, _, name = path.rpartition("/")
        entry = self._list(folder).get(name)
        return entry.size if entry is not None and entry.size is not None else (self.root / path).stat().st_size

    def read(self, path: str) -> bytes:
        """Contents of a file. Raises UserError naming a file that cannot be read or is larger than ``LIMIT``."""
        file = self.root / path
        try:
            size = self.size(path)
            if size > LIMIT:
                raise UserError(f"{file} has {size:,} bytes", "no file of a dataset has; check the URL")
            data = file.read(0, size)
        except FileNotFoundError:
            raise UserError(f"{file} cannot be read", "there is no such file") from None
        if len(data) != size:
            raise UserError(f"{file} is cut off", "copy or download it again")
        return data

    def _list(self, path: str) -> dict[str, Entry]:
        if path not in self._listed:
            found = (self.root / path if path else self.root).listing()
            self._listed[path] = {name: entry for name, entry in found.items() if not name.startswith(".")}
        return self._listed[path]


class LocalRanges:
    """Reads ranges of a local file; processes and threads may share it."""

    def __init__(self, path: Path):
        self._descriptor = os.open(path, platforms.READING)

    def read(self, offset: int, size: int) -> bytes:
        return platforms.read_at(self._descriptor, size, offset)

    def close(self) -> None:
        os.close(self._descriptor)


class ShardTree:
    """Tar or HDF5 shards, presented as one folder.

    Path components before ``JPEGImages`` in a shard are removed. Safe in forked processes (reads are positioned) and
    in spawned ones (a copy opens the shards again).

    Args:
        shards: finished and partial shards.
        beside: the folder of a dataset that is rendered into shards: files that belong to no video are read from it.
        damaged: called with each damaged shard; its readable files are used. To find damage, local shards are scanned
            even if they have a saved index. None: a damaged shard is an error.
    """

    def __init__(
        self, shards: Sequence[Place], beside: FolderTree | RemoteTree | None = None, damaged: Damaged | None = None
    ):
        self.shards = list(shards)
        self.beside = beside
        self.complete = beside is not None
        self._opened: dict[int, LocalRanges | RemoteRanges] = {}
        self._prefixes: list[str] = []  # of each shard: the path before ``JPEGImages``
        # Whether to compare what is read with the index; not for scanned shards, whose index is fresh.
        self._compares = [damaged is None or isinstance(shard, RemotePath) for shard in self.shards]
        self._checked: set[tuple[int, str]] = set()  # (shard number, folder) that were compared with the index
        pieces: dict[str, list[tuple[int, tuple[str, ...], np.ndarray, np.ndarray]]] = {}
        for number, shard in enumerate(self.shards):
            index = _index(shard, damaged)
            prefix = _prefix_before_frames(index, shard)
            self._prefixes.append(prefix)
            for path, folder in index.items():
                inside = (path + "/").removeprefix(prefix).rstrip("/")
                pieces.setdefault(inside, []).append((number, folder.names, folder.offsets, folder.sizes))
        self._index = {path: self._merged(path, parts) for path, parts in pieces.items()}
        self._children: dict[str, set[str]] = {}
        for path in self._index:
            while path:
                path, _, name = path.rpartition("/")
                self._children.setdefault(path, set()).add(name)

    def folders(self, path: str) -> list[str]:
        beside = self._beside(path)
        return sorted(self._children.get(path, set()).union(beside.folders(path) if beside else []))

    def files(self, path: str) -> list[str]:
        if beside := self._beside(path):
            return beside.files(path)
        return list(self._index[path][0]) if path in self._index else []

    def exists(self, path: str) -> bool:
        beside = self._beside(path)
        return beside.exists(path) if beside else self._position(path) is not None

    def size(self, path: str) -> int:
        beside = self._beside(path)
        return beside.size(path) if beside else self._row(path)[2]

    def read(self, path: str) -> bytes:
        """Contents of a file. Raises UserError naming a file that is missing or truncated."""
        if beside := self._beside(path):
            return beside.read(path)
        number, offset, size = self._row(path)
        shard = self.shards[number]
        header = HEADER if self._compares[number] and shard.suffix == ".tar" else 0
        try:
            if number not in self._opened:
                self._opened[number] = RemoteRanges(shard) if isinstance(shard, RemotePath) else LocalRanges(shard)
            data = self._opened[number].read(offset - header, header + size) if offset >= header else b""
        except OSError as error:
            raise UserError(f"shard {shard} cannot be read", error.strerror or "there is no such file") from None
        if len(data) != header + size:
            raise UserError(f"shard {shard} is cut off in {path}", "copy or download it again")
        if header:
            require_header(data[:header], self._prefixes[number] + path, size, shard)
        elif self._compares[number]:
            self._require_datasets(number, path.rpartition("/")[0])
        return data[header:]

    def _require_datasets(self, number: int, folder: str) -> None:
        """Compare a folder of the HDF5 shard ``number`` with the index, the first time that it is read."""
        if (number, folder) in self._checked:
            return
        names, shards, offsets, sizes = self._index[folder]
        inside = shards == number
        names_inside = tuple(name for name, is_inside in zip(names, inside, strict=True) if is_inside)
        files = FolderIndex(names_inside, offsets[inside], sizes[inside])
        require_datasets(self.shards[number], (self._prefixes[number] + folder).rstrip("/"), files)
        self._checked.add((number, folder))

    def shard_of(self, path: str) -> Place:
        """The shard, finished or partial, that holds a file of a video."""
        return self.shards[self._row(path)[0]]

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_opened": {}}

    def __del__(self):
        for opened in getattr(self, "_opened", {}).values():
            opened.close()

    def _beside(self, path: str) -> FolderTree | RemoteTree | None:
        """The tree beside the shards from which a path is read; None for files of videos."""
        return None if path.split("/")[0] in _OF_VIDEOS else self.beside

    def _position(self, path: str) -> int | None:
        folder, _, name = path.rpartition("/")
        names = self._index[folder][0] if folder in self._index else ()
        position = bisect_left(names, name)
        return position if position < len(names) and names[position] == name else None

    def _row(self, path: str) -> tuple[int, int, int]:
        """Shard number, offset and size of a file."""
        position = self._position(path)
        if position is None:
            raise UserError(f"{path} is not in {self.shards[0]}", "pass every shard of the dataset")
        _, shards, offsets, sizes = self._index[path.rpartition("/")[0]]
        return int(shards[position]), int(offsets[position]), int(sizes[position])

    def _merged(self, path: str, parts: list) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
        """Names, shard numbers, offsets and sizes of the files of a folder, which may lie in several shards."""
        if len(parts) == 1:
            shard, names, offsets, sizes = parts[0]
            return names, np.full(len(names), shard, np.int32), offsets, sizes
        rows: dict[str, tuple[int, int, int]] = {}
        for shard, names, offsets, sizes in parts:
            for row in zip(names, offsets.tolist(), sizes.tolist(), strict=True):
                if row[0] in rows and path.split("/")[0] in _OF_VIDEOS:
                    both = f"{self.shards[rows[row[0]][0]]} and {self.shards[shard]}"
                    raise UserError(f"{path}/{row[0]} is in both {both}", "leave one of them out")
                rows.setdefault(row[0], (shard, *row[1:]))
        ordered = sorted(rows)
        columns = np.array([rows[name] for name in ordered], np.int64).T
        return tuple(ordered), columns[0].astype(np.int32), columns[1], columns[2]


Tree = FolderTree | RemoteTree | ShardTree


def _index(shard: Place, damaged: Damaged | None) -> dict[str, FolderIndex]:
    if isinstance(shard, Path) and shard.name == PARTIAL:
        return index_partial(shard)
    try:  # a remote shard is not scanned, which would download it: its index is compared with what is read
        return index_shard(shard, trust_saved=damaged is None or isinstance(shard, RemotePath))
    except UserError as error:
        if damaged is None:
            raise
        damaged(shard, error)
        return index_damaged(shard)


def _prefix_before_frames(folders: Iterable[str], shard: Place) -> str:
    prefixes = set()
    for path in folders:
        parts = path.split("/")
        if RGB in parts:
            prefixes.add("".join(f"{part}/" for part in parts[: parts.index(RGB)]))
    if len(prefixes) > 1:
        raise UserError(f"shard {shard} holds several datasets: {', '.join(sorted(prefixes))}", "unpack it with tar")
    return prefixes.pop() if prefixes else ""
