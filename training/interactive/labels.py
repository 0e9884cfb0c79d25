"""Labels of frames at the size of the frames, the latest kept, for several threads."""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.interactive.state import Maps

KEPT = 64
"""Frames whose labels are kept."""


class LatestLabels:
    """The labels of each frame's newest maps; ``compute`` makes them of maps and the objects to show.

    Threads may look while another one works.
    """

    def __init__(self, compute: Callable[[Maps, tuple[int, ...]], NDArray[np.uint8]]):
        self._compute = compute
        self._kept: OrderedDict[int, tuple[Maps, tuple[int, ...], NDArray[np.uint8]]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, frame: int, maps: Maps, objects: tuple[int, ...]) -> NDArray[np.uint8]:
        """(H, W) ids of a frame's maps."""
        with self._lock:
            known = self._kept.get(frame)
        if known is None or known[0] is not maps or known[1] != objects:
            known = maps, objects, self._compute(maps, objects)
        with self._lock:
            self._kept[frame] = known
            self._kept.move_to_end(frame)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known[2]
