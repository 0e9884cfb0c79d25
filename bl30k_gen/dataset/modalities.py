"""What is rendered and stored of every frame: one table, from which all that handles frames takes what it needs.

A new modality is an entry here, its pass in ``blender/passes.py``, and its faults in ``dataset/verify.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from bl30k_gen.dataset.files import decode_rgb, encode_jpeg
from bl30k_gen.dataset.masks import encode_mask, read_values


class ImageOptions(Protocol):
    """How RGB frames are stored, see ``config.Image``."""

    @property
    def quality(self) -> int: ...

    @property
    def subsampling(self) -> str: ...


@dataclass(frozen=True)
class Modality:
    """How the frames of one modality are stored."""

    suffix: str  # of the files
    encoding: str  # of the files, as Pillow calls it
    encode: Callable[[np.ndarray, ImageOptions], bytes]
    """Pixels (H, W, ...) uint8 as a file's bytes; raises ValueError for another shape or type."""
    decode: Callable[[bytes, Path], np.ndarray]
    """The opposite; raises UserError naming the path where the bytes are damaged."""

    def file_name(self, frame: int) -> str:
        """``00000.jpg`` for frame 0."""
        return f"{frame:05d}{self.suffix}"


RGB, MASK = "JPEGImages", "Annotations"
MODALITIES = {
    RGB: Modality(".jpg", "JPEG", lambda rgb, image: encode_jpeg(rgb, image.quality, image.subsampling), decode_rgb),
    MASK: Modality(".png", "PNG", lambda ids, image: encode_mask(ids), read_values),
}
"""By the folder that holds their frames, in a dataset as in a staging folder."""
