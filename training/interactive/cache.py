"""A cache of encoded frames, so that each frame is encoded once."""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

from models.propagation import Query


class EncodedFrames:
    """``encoded[t]`` is frame ``t`` with its query. The most recently used ones are kept, up to ``limit`` bytes."""

    def __init__(self, encode: Callable[[int], tuple[Tensor, Query]], limit: int):
        self._encode, self._limit = encode, limit
        self._cached: OrderedDict[int, tuple[Tensor, Query]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._cached)

    def __getitem__(self, frame: int) -> tuple[Tensor, Query]:
        if frame in self._cached:
            self._cached.move_to_end(frame)
            return self._cached[frame]
        encoded = self._cached[frame] = self._encode(frame)
        self._bytes += _nbytes(encoded)
        while self._bytes > self._limit and len(self._cached) > 1:
            self._bytes -= _nbytes(self._cached.popitem(last=False)[1])
        return encoded


def _nbytes(encoded: tuple[Tensor, Query]) -> int:
    return sum(x.numel() * x.element_size() for x in (encoded[0], *encoded[1]))
