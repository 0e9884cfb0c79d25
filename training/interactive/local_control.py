"""Local control: an interaction changes the mask only inside a box (MiVOS, section 5).

The interaction is computed on the crop of the box, and its result is put back into the frame.
"""

from math import ceil
from typing import NamedTuple, TypeVar

import numpy as np
from torch import Tensor

from models.aggregate import aggregate

Map = TypeVar("Map", Tensor, np.ndarray)

MARGIN = 3
"""Pixels at the edge of the crop that are not put back, because the network lacks context there."""


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``; ``bottom`` and ``right`` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    def crop(self, x: Map) -> Map:
        """The box of (..., H, W), sharing its memory."""
        return x[..., self.top : self.bottom, self.left : self.right]

    def scaled(self, size: tuple[int, int], target: tuple[int, int]) -> "Box":
        """The box for frames resized from ``size`` to ``target``, enlarged to whole pixels."""
        (height, width), (rows, columns) = size, target
        bottom, right = ceil(self.bottom * rows / height), ceil(self.right * columns / width)
        return Box(self.top * rows // height, self.left * columns // width, bottom, right)


def check_box(box: tuple[int, int, int, int], size: tuple[int, int]) -> Box:
    """The part of the box inside a frame of ``size``. Raises ValueError if it is empty."""
    top, left, bottom, right = map(int, box)
    inside = Box(max(0, top), max(0, left), min(size[0], bottom), min(size[1], right))
    if inside.top >= inside.bottom or inside.left >= inside.right:
        raise ValueError(f"box {tuple(box)} (top, left, bottom, right) has no pixel in frames of {size[1]}x{size[0]}")
    return inside


def stitch(whole: Tensor, part: Tensor, box: Box, margin: int = MARGIN) -> Tensor:
    """Put the result for a crop back into the frame.

    Args:
        whole: probabilities (O, H, W) of the frame.
        part: probabilities (O, h, w) of the box.
        margin: pixels at the edge of the box that stay as they are, if the box is larger than two margins.

    Returns: (O, H, W), inside aggregated with a background of one half, outside exactly as before.
    """
    height, width = box.bottom - box.top, box.right - box.left
    margin = margin if min(height, width) > 2 * margin else 0
    target = Box(box.top + margin, box.left + margin, box.bottom - margin, box.right - margin)
    whole = whole.clone()
    inside = Box(margin, margin, height - margin, width - margin).crop(part)
    target.crop(whole).copy_(aggregate(inside, dim=0, background="half", keep_background=False))
    return whole
