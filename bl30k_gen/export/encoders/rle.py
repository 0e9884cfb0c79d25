"""Masks in COCO's run-length encoding."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bl30k_gen.export.source import Ids

Box = list[int]


class Encoded(NamedTuple):
    """One object in one frame.

    counts: COCO's compressed run lengths, column by column.
    size: (height, width) of the frame, pixels.
    area: pixels.
    box: x, y, width, height in pixels; x and y of the top left pixel.
    """

    counts: str
    size: tuple[int, int]
    area: int
    box: Box

    @property
    def rle(self) -> dict[str, str | list[int]]:
        """As COCO's JSON has it."""
        return {"size": list(self.size), "counts": self.counts}

    @property
    def plain_rle(self) -> dict[str, list[int]]:
        """The same not compressed: lengths of runs of background and object by turns, the first of background."""
        flat = np.concatenate([[False], decode(self).ravel(order="F"), [False]])
        ends = np.flatnonzero(flat[1:] != flat[:-1])
        total = self.size[0] * self.size[1]
        lengths = np.diff(np.concatenate([[0], ends, [total]]))
        return {"size": list(self.size), "counts": lengths[: len(lengths) - (ends[-1] == total)].tolist()}


def encode(ids: Ids) -> dict[int, Encoded]:
    """Every object that an (H, W) mask of ids shows, by its id."""
    from pycocotools import mask as coco

    present = [int(value) for value in np.unique(ids) if value]
    if not present:
        return {}
    each = np.asfortranarray(ids[..., None] == np.array(present, ids.dtype), dtype=np.uint8)
    encoded = coco.encode(each)
    areas, boxes = coco.area(encoded), coco.toBbox(encoded)
    height, width = ids.shape
    return {
        value: Encoded(rle["counts"].decode(), (height, width), int(area), [int(x) for x in box])
        for value, rle, area, box in zip(present, encoded, areas, boxes, strict=True)
    }


def decode(encoded: Encoded) -> npt.NDArray[np.bool_]:
    """(H, W) whether each pixel is of the object."""
    from pycocotools import mask as coco

    return coco.decode(encoded.rle).astype(bool)
