"""Writers of tar and HDF5 shards, whose bytes depend only on the files in them and their order."""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bl30k_gen.dataset import files
from bl30k_gen.dataset.shards import ByteRange

ShardFormat = Literal["tar", "hdf5"]
SUFFIX: dict[ShardFormat, str] = {"tar": ".tar", "hdf5": ".h5"}


def tar_header(path: str, size: int) -> bytes:
    """The header of a file in a tar; owner, group and time are 0."""
    entry = tarfile.TarInfo(path)
    entry.size = size
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def tar_padding(size: int) -> bytes:
    """The padding after the contents of a file in a tar."""
    return bytes(-size % tarfile.BLOCKSIZE)


def tar_end(size: int) -> bytes:
    """The end of a tar that has ``size`` bytes so far."""
    zeros = 2 * tarfile.BLOCKSIZE
    return bytes(zeros + -(size + zeros) % tarfile.RECORDSIZE)


class TarWriter:
    def __init__(self, path: Path):
        self._file = open(path, "wb")

    def add(self, path: str, data: bytes) -> int:
        """Append a file; return the offset of its contents."""
        self._file.write(tar_header(path, len(data)))
        offset = self._file.tell()
        self._file.write(data)
        self._file.write(tar_padding(len(data)))
        return offset

    def close(self) -> None:
        with self._file:
            self._file.write(tar_end(self._file.tell()))


class Hdf5Writer:
    """Writes each file as a contiguous uint8 array, so that it can also be read without HDF5."""

    def __init__(self, path: Path):
        import h5py

        self._disk = _Disk(path)
        self._file = h5py.File(self._disk, "w", libver="latest")

    def add(self, path: str, data: bytes) -> int:
        """Append a file; return the offset of its contents."""
        array = self._file.create_dataset(path, data=np.frombuffer(data, np.uint8))
        self._disk.raise_failure()
        return array.id.get_offset() or 0

    def close(self) -> None:
        self._file.close()
        self._disk.close()
        self._disk.raise_failure()


class _Disk(io.FileIO):
    """A file that raises no error while it is written, as the HDF5 library crashes on one: see ``raise_failure``."""

    def __init__(self, path: Path):
        super().__init__(path, "w+")
        self._failure: OSError | None = None

    def write(self, data: Any, /) -> int:  # any object with a buffer
        view = memoryview(data).cast("B")
        written = 0
        try:
            while written < len(view) and self._failure is None:
                written += super().write(view[written:])
        except OSError as error:
            self._failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self._failure = self._failure or error
            return self.tell() if size is None else size

    def raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure


WRITERS: dict[ShardFormat, Callable[[Path], TarWriter | Hdf5Writer]] = {"tar": TarWriter, "hdf5": Hdf5Writer}


def write_shard(
    path: Path, kind: ShardFormat, members: Iterator[tuple[str, bytes]], parents: bool = True
) -> list[ByteRange]:
    """Write a shard that appears complete or not at all.

    Args:
        parents: create missing folders.

    Returns:
        The byte range of each file in it.

    Raises:
        UserError: the disk is full, or the folder may not be written.
    """
    ranges = []
    with files.clear_disk_errors(path):
        if parents:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary = files.temporary_name(path)
        try:
            writer = WRITERS[kind](temporary)
            try:
                for name, data in members:
                    ranges.append(ByteRange(name, writer.add(name, data), len(data)))
            finally:
                writer.close()
            files.sync(temporary)
            files.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return ranges
