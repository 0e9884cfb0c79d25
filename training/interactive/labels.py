"""A cache of label maps at the size of the frames, for several threads."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.interactive.state import Maps

MAX_CACHED = 64
"""Frames whose labels are cached."""


class LatestLabels:
    """The labels of each frame's newest maps; ``compute`` makes them from maps and the objects to show.

    Several threads may use it at the same time.
    """

    def __init__(self, compute: Callable[[Maps, tuple[int, ...]], NDArray[np.uint8]]):
        self._compute = compute
        self._cached: OrderedDict[int, tuple[Maps, tuple[int, ...], NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, frame: int, maps: Maps, objects: tuple[int, ...]) -> NDArray[np.uint8]:
        """(H, W) ids of a frame's maps."""
        with self._lock:
            cached = self._cached.get(frame)
        if cached is None or cached[0] is not maps or cached[1] != objects:
            cached = maps, objects, self._compute(maps, objects)
        with self._lock:
            self._cached[frame] = cached
            self._cached.move_to_end(frame)
            while len(self._cached) > MAX_CACHED:
                self._cached.popitem(last=False)
        return cached[2]
