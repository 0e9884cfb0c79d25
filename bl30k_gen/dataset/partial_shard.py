"""A partial shard: a tar to which a task appends one finished video after another.

It lies in ``Shards/.staging/<shard>/<owner>/part.tar``; that folder is a lease (``render/output/lease.py``), as the
staging folder of a video is. A video is committed when its commit marker (``ShardLayout.marker``) names this shard.
The marker is made in that folder and renamed out of it, after the bytes of the video are on the disk. So only the
shard's owner can commit a video. Bytes behind the last committed video were being written when the writer was killed.

Each video begins with its metadata, which lists its files: one read finds all of them and the start of the next
video. Appending to an HDF5 file may damage it, so HDF5 shards also begin as such a tar.
"""

import contextlib
import io
import os
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import METADATA, PARTIAL, ShardLayout
from bl30k_gen.dataset.names import is_name
from bl30k_gen.dataset.shards import SUFFIXES, ByteRange, FolderIndex, index_ranges, save_index
from bl30k_gen.dataset.writers import SUFFIX, ShardFormat, tar_end, tar_header, tar_padding, write_shard
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json


class PartialShard:
    """The partial shard in the folder of a lease. Threads may share it.

    Args:
        heading: files that every shard of the dataset begins with, by their path.
    """

    def __init__(self, folder: Path, heading: Mapping[str, bytes]):
        self.path = folder / PARTIAL
        self.videos: set[str] = set()
        self._heading = heading
        self._ranges: list[ByteRange] = []
        self._end = 0  # size of the committed part, bytes
        self._lock = threading.RLock()
        self._uncertain = False  # whether it is unknown if the last video is committed
        self._descriptor: int | None = None  # None before the first video: there is no file

    def append(
        self, name: str, members: Mapping[str, bytes], commit: Callable[[], None], is_committed: Callable[[], bool]
    ) -> None:
        """Append a video and commit it.

        Args:
            members: its metadata first, then the files in the order in which the metadata lists them.
            commit: commits the video; called when its bytes are on the disk.
            is_committed: called after an error of ``commit``, which may have taken effect all the same. If it returns
                False, the video is removed again. If it raises OSError, the video stays, and this partial shard is
                left to recovery.

        Raises:
            FileNotFoundError: the folder has another owner now.
            UserError: the disk is full.
        """
        with self._lock, files.clear_disk_errors(self.path):
            if self._descriptor is None:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
                self._descriptor = os.open(self.path, flags, 0o666)
            block, ranges = _tar_of(members if self._end else {**self._heading, **members}, self._end)
            try:
                _write(self._descriptor, block, self._end)
                self._uncertain = True
                try:
                    commit()
                except (OSError, UserError) as error:
                    if isinstance(error, FileNotFoundError) or not is_committed():
                        self._uncertain = False
                        raise
                self._uncertain = False
            except BaseException:
                if not self._uncertain:
                    with contextlib.suppress(OSError):
                        os.ftruncate(self._descriptor, self._end)
                raise
            self._end += len(block)
            self._ranges += ranges
            self.videos.add(name)

    def finish(self, target: Path, kind: ShardFormat) -> None:
        """Turn the committed videos into the shard ``target``, with its index; without a video write nothing.

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
                save_index(self.path, self._ranges, target)
                files.replace(self.path, target)
        elif self.videos:
            finish_abandoned(self.path.parent, target, kind, self.videos.__contains__)

    def close(self) -> None:
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None


def finish_abandoned(folder: Path, target: Path, kind: ShardFormat, is_committed: Callable[[str], bool]) -> None:
    """Turn the partial shard of a killed writer in ``folder`` into the shard ``target``; may be called repeatedly.

    The videos are copied: the writer may only have been suspended, and could continue writing to its own file.

    Args:
        is_committed: whether the video of this name is committed.

    Raises:
        FileNotFoundError: the folder has another owner now.
        UserError: the disk is full.
    """
    partial = folder / PARTIAL
    if not partial.exists() or target.exists():
        return
    videos = list(_videos(partial, is_committed))
    if any(name for name, _ in videos):
        built = folder / f"finished{SUFFIX[kind]}"
        ranges = write_shard(built, kind, _contents(partial, videos), parents=False)
        save_index(built, ranges, target)
        with files.clear_disk_errors(target):
            files.replace(built, target)


def find_shards(shards: ShardLayout) -> list[Path]:
    """The finished shards of a dataset, and its partial ones."""
    partial = shards.partials()  # listed first: one may be finished between the two listings
    finished = sorted(path for path in shards.root.iterdir() if path.suffix in SUFFIXES)
    names = {path.stem for path in finished}
    return finished + [path for path in partial if shard_name(path) not in names]


def shard_name(path: Path) -> str:
    """Name of a finished or partial shard."""
    return ShardLayout.of_partial(path)[1] if path.name == PARTIAL else path.stem


def index_partial(path: Path) -> dict[str, FolderIndex]:
    """The index of the committed videos in a partial shard, as ``shards.index_shard``. Raises UserError."""
    shards, shard = ShardLayout.of_partial(path)
    videos = _videos(path, lambda name: shards.holds(name, shard))
    with files.clear_disk_errors(path):
        return index_ranges((found for _, ranges in videos for found in ranges), path)


def _tar_of(members: Mapping[str, bytes], begin: int) -> tuple[bytes, list[ByteRange]]:
    """Consecutive tar members as bytes, and the ranges of their contents when they are written at ``begin``."""
    block, ranges = io.BytesIO(), []
    for path, data in members.items():
        block.write(tar_header(path, len(data)))
        ranges.append(ByteRange(path, begin + block.tell(), len(data)))
        block.write(data)
        block.write(tar_padding(len(data)))
    return block.getvalue(), ranges


def _write(descriptor: int, data: bytes, offset: int) -> None:
    """Write data and sync it to the disk."""
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
    files.sync_descriptor(descriptor)


def _videos(partial: Path, is_committed: Callable[[str], bool]) -> Iterator[tuple[str, list[ByteRange]]]:
    """(name, its files) of each committed video in order; files before the first video have the name ""."""
    with open(partial, "rb") as file:
        end = os.fstat(file.fileno()).st_size
        while (first := _next_member(file)) is not None:
            name, ranges = "", [first]
            if first.path.startswith(f"{METADATA}/"):
                name = first.path.removeprefix(f"{METADATA}/").removesuffix(".json")
                if not (is_name(name) and is_committed(name)):
                    return
                ranges += _listed_members(first, file.read(first.size))
            last = ranges[-1]
            if last.end > end:
                return
            yield name, ranges
            file.seek(last.end + len(tar_padding(last.size)))


def _listed_members(metadata: ByteRange, content: bytes) -> Iterator[ByteRange]:
    """Ranges of the files that a video's metadata lists; none if it is damaged: `verify` reports them missing."""
    _, offset, size = metadata
    with contextlib.suppress(UserError, ValueError, KeyError, TypeError, AttributeError):
        for path, entry in parse_json(content, "metadata", "")["files"].items():
            offset += size + len(tar_padding(size)) + len(tar_header(path, entry["bytes"]))
            size = entry["bytes"]
            yield ByteRange(path, offset, size)


def _next_member(file: io.BufferedReader) -> ByteRange | None:
    """The contents of the member whose header comes next; None without a valid header."""
    header = file.read(tarfile.BLOCKSIZE)
    try:
        entry = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return None
    return ByteRange(entry.name, file.tell(), entry.size)


def _contents(partial: Path, videos: list[tuple[str, list[ByteRange]]]) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of every file; each video is read at once."""
    with open(partial, "rb") as file:
        for _, ranges in videos:
            begin = ranges[0].offset
            file.seek(begin)
            data = file.read(ranges[-1].end - begin)
            for path, offset, size in ranges:
                yield path, data[offset - begin : offset - begin + size]
