"""Local control: an interaction that may change the mask inside a box only (MiVOS, section 5).

The user drags a box; whatever the interaction, it works on the crop and its answer is put back into the whole.
"""

from math import ceil
from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from models.aggregate import aggregate

Map = TypeVar("Map", Tensor, np.ndarray)

MARGIN = 3
"""Pixels at the crop's edge that are not put back: near it the network lacks context."""


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``; the latter two lie outside."""

    top: int
    left: int
    bottom: int
    right: int

    def crop(self, x: Map) -> Map:
        """The box of (..., H, W), sharing its memory."""
        return x[..., self.top : self.bottom, self.left : self.right]

    def scaled(self, size: tuple[int, int], target: tuple[int, int]) -> "Box":
        """The box in frames of ``target`` that covers this one in frames of ``size``."""
        (height, width), (rows, columns) = size, target
        bottom, right = ceil(self.bottom * rows / height), ceil(self.right * columns / width)
        return Box(self.top * rows // height, self.left * columns // width, bottom, right)


def check_box(box: tuple[int, int, int, int], size: tuple[int, int]) -> Box:
    """The box, cut to a frame of ``size``. Raises ValueError if nothing of it is inside."""
    top, left, bottom, right = map(int, box)
    inside = Box(max(0, top), max(0, left), min(size[0], bottom), min(size[1], right))
    if inside.top >= inside.bottom or inside.left >= inside.right:
        raise ValueError(f"box {tuple(box)} (top, left, bottom, right) has no pixel in frames of {size[1]}x{size[0]}")
    return inside


def stitch(whole: Tensor, part: Tensor, box: Box) -> Tensor:
    """Put the answer for a crop back.

    Args:
        whole: probabilities (O, H, W) of the frame.
        part: probabilities (O, h, w) of the box, whose margin is left out if it is larger than two margins both ways.

    Returns: (O, H, W), inside aggregated with a background of one half, outside as it was, bit for bit.
    """
    height, width = box.bottom - box.top, box.right - box.left
    margin = MARGIN if min(height, width) > 2 * MARGIN else 0
    target = Box(box.top + margin, box.left + margin, box.bottom - margin, box.right - margin)
    whole = whole.clone()
    inside = Box(margin, margin, height - margin, width - margin).crop(part)
    target.crop(whole).copy_(aggregate(inside, dim=0, background="half", keep_background=False))
    return whole
