"""Masks in COCO's run-length encoding."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bl30k_gen.export.source import Ids

Box = list[int]


class Encoded(NamedTuple):
    """The encoded mask of one object in one frame."""

    counts: str  # COCO's compressed run lengths, column by column
    size: tuple[int, int]  # (height, width) of the frame, pixels
    area: int  # pixels
    box: Box  # x, y, width, height in pixels; x and y are those of the top left pixel

    @property
    def rle(self) -> dict[str, str | list[int]]:
        """The compressed RLE as in COCO's JSON."""
        return {"size": list(self.size), "counts": self.counts}

    @property
    def plain_rle(self) -> dict[str, list[int]]:
        """The uncompressed RLE: alternate lengths of runs of background and object, beginning with background."""
        flat = np.concatenate([[False], decode(self).ravel(order="F"), [False]])
        ends = np.flatnonzero(flat[1:] != flat[:-1])
        total = self.size[0] * self.size[1]
        lengths = np.diff(np.concatenate([[0], ends, [total]]))
        return {"size": list(self.size), "counts": lengths[: len(lengths) - (ends[-1] == total)].tolist()}


def encode(ids: Ids) -> dict[int, Encoded]:
    """``{id: encoded mask}`` of all objects in an (H, W) mask of ids."""
    from pycocotools import mask as coco

    present = [int(value) for value in np.unique(ids) if value]
    if not present:
        return {}
    object_masks = np.asfortranarray(ids[..., None] == np.array(present, ids.dtype), dtype=np.uint8)
    encoded = coco.encode(object_masks)
    areas, boxes = coco.area(encoded), coco.toBbox(encoded)
    height, width = ids.shape
    return {
        value: Encoded(rle["counts"].decode(), (height, width), int(area), [int(x) for x in box])
        for value, rle, area, box in zip(present, encoded, areas, boxes, strict=True)
    }


def decode(encoded: Encoded) -> npt.NDArray[np.bool_]:
    """(H, W) bool: the mask of the object."""
    from pycocotools import mask as coco

    return coco.decode(encoded.rle).astype(bool)
