"""A shard in the making: an unfinished tar to which a task appends one finished video after another.

It lies in ``Shards/.staging/<shard>/<owner>/part.tar``, which is a lease (``cluster/lease.py``) as the staging folder
of a video is. A video counts when its record (``Layout.record``) names this shard: the record is made in that folder
and renamed out of it, so that only the shard's owner can make a video count, and the bytes are on the disk by then.
Whatever follows the last video that counts was being written when its writer was killed.

Each video begins with its metadata, which lists its files: one read tells where all of them are and where the next
video begins. An HDF5 file cannot be appended to without being in danger, so HDF5 shards, too, begin as such a tar.
"""

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import METADATA, Layout
from bl30k_gen.dataset.names import is_name
from bl30k_gen.dataset.shards import SUFFIXES, ByteRange, FolderIndex, index_rows, save_index
from bl30k_gen.dataset.writers import SUFFIX, ShardFormat, tar_end, tar_header, tar_padding, write_shard
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json

PART = "part.tar"


class Part:
    """The shard in the making in the folder of a lease. Threads may share it.

    Args:
        heading: files that every shard of the dataset begins with, by their path.
    """

    def __init__(self, folder: Path, heading: Mapping[str, bytes]):
        self.path = folder / PART
        self.videos: set[str] = set()
        self._heading = heading
        self._rows: list[ByteRange] = []
        self._end = 0
        self._lock = threading.RLock()
        self._uncertain = False  # whether its last video counts
        self._descriptor: int | None = None  # there is no file before the first video

    def append(
        self, name: str, members: Mapping[str, bytes], publish: Callable[[], None], counts: Callable[[], bool]
    ) -> None:
        """Append a video and make it count.

        Args:
            members: its metadata first, then the files in the order in which the metadata lists them.
            publish: called when the bytes are on the disk.
            counts: asked after an error of ``publish``, which may have been done all the same: whether the video
                counts. If it does not, it is taken out again; if that cannot be told (OSError), it stays, and this
                partial shard is left to recovery.

        Raises:
            FileNotFoundError: the folder has another owner now.
            UserError: the disk is full.
        """
        with self._lock, files.clear_disk_errors(self.path):
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o666)
            block, rows = _tar_of(members if self._end else {**self._heading, **members}, self._end)
            try:
                _write(self._descriptor, block, self._end)
                self._uncertain = True
                try:
                    publish()
                except (OSError, UserError) as error:
                    if isinstance(error, FileNotFoundError) or not counts():
                        self._uncertain = False
                        raise
                self._uncertain = False
            except BaseException:
                if not self._uncertain:
                    with contextlib.suppress(OSError):
                        os.ftruncate(self._descriptor, self._end)
                raise
            self._end += len(block)
            self._rows += rows
            self.videos.add(name)

    def finish(self, target: Path, kind: ShardFormat) -> None:
        """Turn what there is into the shard ``target``, with its index beside it; without a video, into nothing.

        Raises:
            FileNotFoundError: the folder has another owner now.
            UserError: the disk is full.
        """
        if self._uncertain:
            raise UserError(
                f"{self.path} may hold a video more than is known",
                "the next run finishes it: give the same command again",
            )
        if self.videos and kind == "tar":
            assert self._descriptor is not None  # there is a video
            with files.clear_disk_errors(self.path):
                os.ftruncate(self._descriptor, self._end)
                _write(self._descriptor, tar_end(self._end), self._end)
                save_index(self.path, self._rows, target)
                files.replace(self.path, target)
        elif self.videos:
            finish(self.path.parent, target, kind, self.videos.__contains__)

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def finish(folder: Path, target: Path, kind: ShardFormat, counts: Callable[[str], bool]) -> None:
    """Turn what a killed writer left in ``folder`` into the shard ``target``; killed itself, it may be called again.

    The videos are copied: the writer may only have been stopped, and could continue to write into its own file.

    Args:
        counts: whether a video counts.

    Raises:
        FileNotFoundError: the folder has another owner now.
        UserError: the disk is full.
    """
    part = folder / PART
    if not part.exists() or target.exists():
        return
    videos = list(_videos(part, counts))
    if any(name for name, _ in videos):
        built = folder / f"finished{SUFFIX[kind]}"
        rows = write_shard(built, kind, _contents(part, videos), parents=False)
        save_index(built, rows, target)
        with files.clear_disk_errors(target):
            files.replace(built, target)


def find_shards(layout: Layout) -> list[Path]:
    """The finished shards of a dataset, and the parts of those that are in the making."""
    parts = sorted(layout.shards.making.glob(f"*/*/{PART}"))  # first: one may be finished meanwhile
    finished = sorted(path for path in layout.shards.root.iterdir() if path.suffix in SUFFIXES)
    names = {path.stem for path in finished}
    return finished + [part for part in parts if shard_of(part) not in names]


def shard_of(part: Path) -> str:
    """Name of the shard that a part will be."""
    return part.parents[1].name


def index_part(part: Path) -> dict[str, FolderIndex]:
    """As ``shards.index_shard``, of a part: what counts in it. Raises UserError where it cannot be read."""
    layout, shard = Layout(part.parents[4]), shard_of(part)
    videos = _videos(part, lambda name: (layout.recorded(name) or ("", ""))[1] == shard)
    with files.clear_disk_errors(part):
        return index_rows((row for _, rows in videos for row in rows), part)


def _tar_of(members: Mapping[str, bytes], begin: int) -> tuple[bytes, list[ByteRange]]:
    """A run of tar members, and where their contents will lie when it is written at ``begin``."""
    block, rows = io.BytesIO(), []
    for path, data in members.items():
        block.write(tar_header(path, len(data)))
        rows.append((path, begin + block.tell(), len(data)))
        block.write(data)
        block.write(tar_padding(len(data)))
    return block.getvalue(), rows


def _write(descriptor: int, data: bytes, offset: int) -> None:
    """Write and have it on the disk."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
    files.sync_descriptor(descriptor)


def _videos(part: Path, counts: Callable[[str], bool]) -> Iterator[tuple[str, list[ByteRange]]]:
    """(name, rows) of each video that counts, in their order; what comes before them has the name ""."""
    with open(part, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        while (row := _next_row(file)) is not None:
            path, offset, size = row
            name, rows = "", [row]
            if path.startswith(f"{METADATA}/"):
                name = path.removeprefix(f"{METADATA}/").removesuffix(".json")
                if not (is_name(name) and counts(name)):
                    return
                rows += _rows_after(row, file.read(size))
            path, offset, size = rows[-1]
            if offset + size > end:
                return
            yield name, rows
            file.seek(offset + size + len(tar_padding(size)))


def _rows_after(row: ByteRange, metadata: bytes) -> Iterator[ByteRange]:
    """Where the files lie that a video's metadata lists; nothing where it is damaged; `verify` misses them."""
    _, offset, size = row
    with contextlib.suppress(UserError, ValueError, KeyError, TypeError, AttributeError):
        for path, entry in parse_json(metadata, "metadata", "")["files"].items():
            offset += size + len(tar_padding(size)) + len(tar_header(path, entry["bytes"]))
            size = entry["bytes"]
            yield path, offset, size


def _next_row(file: io.BufferedReader) -> ByteRange | None:
    """The member whose header comes next; None where there is none."""
    header = file.read(tarfile.BLOCKSIZE)
    try:
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return entry.name, file.tell(), entry.size


def _contents(part: Path, videos: list[tuple[str, list[ByteRange]]]) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of every file; each video is one read."""
    with open(part, "rb") as file:
        for _, rows in videos:
            begin = rows[0][1]
            file.seek(begin)
            data = file.read(rows[-1][1] + rows[-1][2] - begin)
            for path, offset, size in rows:
                yield path, data[offset - begin : offset - begin + size]
