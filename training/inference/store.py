"""What a session keeps of its frames: probabilities in half the space of floats, and what the network saw."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from models.propagation import Query

STEPS = 65535
"""Probabilities are whole numbers of this fraction, exact to 1e-5."""


def pack(prob: Tensor) -> np.ndarray:
    """Probabilities as uint16."""
    return (prob.clamp(0, 1) * STEPS).round().to(torch.int32).cpu().numpy().astype(np.uint16)


def unpack(packed: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """float32 probabilities."""
    return torch.from_numpy(packed.astype(np.int32)).to(device).float() / STEPS


class EncodedFrames:
    """Frames with what the network sees in them, encoded once as long as those used last fit into a number of bytes."""

    def __init__(self, encode: Callable[[int], tuple[Tensor, Query]], limit: int):
        self._encode, self._limit = encode, limit
        self._kept: OrderedDict[int, tuple[Tensor, Query]] = OrderedDict()
        self._bytes = 0

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
