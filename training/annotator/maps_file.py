"""Stores the probabilities of a session on disk, each map compressed separately, so they need not be in memory."""

import math
import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from bl30k_gen.errors import UserError
from training.interactive.state import Maps, significant

MAX_CACHED = 24
"""Arrays in the cache."""
MAX_UNUSED = 64 * 2**20
"""Bytes of unused maps that may stay in a file before it is rewritten."""

Reference = list[Any]
"""[offset, length, objects, areas, doubts] of maps in the file. Rewriting the file changes the offset in place."""


class MapsFile:
    """A file to which maps are appended. Written maps leave memory, and are read on access.

    size: (h, w) of the arrays.
    """

    def __init__(self, path: Path, size: tuple[int, int]):
        self.path, self.size = path, size
        self._file = open(path, "a+b", buffering=0)  # noqa: SIM115 (open as long as the session is)
        self._references: WeakKeyDictionary[Maps, Reference] = WeakKeyDictionary()
        self._maps: WeakValueDictionary[int, Maps] = WeakValueDictionary()
        self._arrays: OrderedDict[int, NDArray[np.uint16]] = OrderedDict()
        self._lock = threading.RLock()  # the page reads while the session writes

    def close(self) -> None:
        self._file.close()

    def sync(self) -> None:
        """Flush everything written to the disk."""
        os.fsync(self._file.fileno())

    def refer(self, maps: Maps) -> Reference:
        """The reference of maps. Maps that are not in the file are written, and leave memory."""
        if maps not in self._references:
            data = zlib.compress(_planes(maps.array), 1)
            with self._lock:
                offset = self._file.seek(0, os.SEEK_END)
                write_all(self._file, data)
                rounded = [[significant(value) for value in values] for values in (maps.areas, maps.doubts)]
                reference = [offset, len(data), list(maps.objects), *rounded]
                self._references[maps] = reference
                self._maps[offset] = maps
            maps.leave_memory(lambda: self.read(reference))
        return self._references[maps]

    def find(self, reference: Reference) -> Maps:
        """The maps of a reference; their array is read on access."""
        offset, _, objects, areas, doubts = reference
        if not len(objects) == len(areas) == len(doubts):
            raise ValueError("maps of another number of objects")
        if not all(math.isfinite(value) for value in (*areas, *doubts)):
            raise ValueError("maps without an area")
        maps = self._maps.get(offset)
        if maps is None:
            maps = Maps.stored(objects, self.size, areas, doubts, lambda: self.read(reference))
            self._maps[offset], self._references[maps] = maps, reference
        return maps

    def read(self, reference: Reference) -> NDArray[np.uint16]:
        """The array of a reference. Raises UserError if the file is damaged."""
        with self._lock:
            offset, length, objects = reference[:3]
            array = self._arrays.get(offset)
            if array is None:
                try:
                    data = zlib.decompress(os.pread(self._file.fileno(), length, offset))
                    array = _from_planes(data, (len(objects), *self.size))
                except (OSError, ValueError, zlib.error) as error:
                    raise UserError(f"{self.path} is damaged ({error})", "restore it from a copy") from None
                self._arrays[offset] = array
                while len(self._arrays) > MAX_CACHED:
                    self._arrays.popitem(last=False)
            return array

    @property
    def wasteful(self) -> bool:
        """Whether most of the file belongs to unused maps."""
        size = os.fstat(self._file.fileno()).st_size
        if size < MAX_UNUSED:
            return False
        return size > MAX_UNUSED + 2 * sum(reference[1] for reference in self._references.values())

    def rewrite(self, path: Path, publish: Callable[[], None]) -> None:
        """Copy the used maps to another file, switch to it, call ``publish``, and delete the old file.

        If any of this fails, the old file stays in use.
        """
        with self._lock:
            old, before = self._file, self.path
            moved = [(reference, reference[0]) for _, reference in list(self._references.items())]
            new = open(path, "w+b", buffering=0)  # noqa: SIM115
            try:
                offsets = []
                for reference, offset in moved:
                    offsets.append(new.tell())
                    write_all(new, os.pread(old.fileno(), reference[1], offset))
                self._switch(new, path, zip((reference for reference, _ in moved), offsets, strict=True))
                self.sync()
                publish()
            except BaseException:
                self._switch(old, before, moved)
                new.close()
                path.unlink(missing_ok=True)
                raise
        old.close()
        before.unlink(missing_ok=True)

    def _switch(self, file: FileIO, path: Path, offsets: Iterable[tuple[Reference, int]]) -> None:
        self._file, self.path = file, path
        for reference, offset in offsets:
            reference[0] = offset
        self._arrays.clear()
        self._maps = WeakValueDictionary({reference[0]: maps for maps, reference in self._references.items()})


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of ``data``: a file without a buffer may take a part of it. Raises OSError, as on a full disk.

    With a buffer, what a full disk has refused would be written again later, with whatever comes next.
    """
    left = memoryview(data)
    while left:
        left = left[file.write(left) or 0 :]


def _planes(array: NDArray[np.uint16]) -> bytes:
    """High bytes, then low bytes: separated they compress better."""
    return (array >> 8).astype(np.uint8).tobytes() + array.astype(np.uint8).tobytes()


def _from_planes(data: bytes, shape: tuple[int, ...]) -> NDArray[np.uint16]:
    high, low = np.frombuffer(data, np.uint8).reshape(2, *shape).astype(np.uint16)
    return high << 8 | low
