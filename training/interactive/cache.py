"""Frames with what the network sees in them, so that each is encoded once a video."""

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor

from models.propagation import Query


class EncodedFrames:
    """``encoded[t]`` is frame ``t`` with its query. Those used last are kept, as many as fit into ``limit`` bytes."""

    def __init__(self, encode: Callable[[int], tuple[Tensor, Query]], limit: int):
        self._encode, self._limit = encode, limit
        self._kept: OrderedDict[int, tuple[Tensor, Query]] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def __getitem__(self, frame: int) -> tuple[Tensor, Query]:
        if frame in self._kept:
            self._kept.move_to_end(frame)
            return self._kept[frame]
        encoded = self._kept[frame] = self._encode(frame)
        self._bytes += _nbytes(encoded)
        while self._bytes > self._limit and len(self._kept) > 1:
            self._bytes -= _nbytes(self._kept.popitem(last=False)[1])
        return encoded


def _nbytes(encoded: tuple[Tensor, Query]) -> int:
    return sum(x.numel() * x.element_size() for x in (encoded[0], *encoded[1]))
