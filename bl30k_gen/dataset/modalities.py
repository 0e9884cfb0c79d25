"""The modalities that are rendered and stored for every frame, in one table.

A new modality needs an entry here, a pass in ``blender/passes.py``, and checks in ``dataset/verify.py``.
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
    encoding: str  # of the files, in Pillow's terms
    encode: Callable[[np.ndarray, ImageOptions], bytes]
    """(H, W, ...) uint8 pixels -> bytes of a file; raises ValueError for another shape or type."""
    decode: Callable[[bytes, Path], np.ndarray]
    """Bytes of a file -> pixels; raises UserError naming the path where the bytes are damaged."""

    def file_name(self, frame: int) -> str:
        """``00000.jpg`` for frame 0."""
        return f"{frame:05d}{self.suffix}"


RGB, MASK = "JPEGImages", "Annotations"
MODALITIES = {
    RGB: Modality(".jpg", "JPEG", lambda rgb, image: encode_jpeg(rgb, image.quality, image.subsampling), decode_rgb),
    MASK: Modality(".png", "PNG", lambda ids, image: encode_mask(ids), read_values),
}
"""Keys are the folders of their frames, in a dataset as in a staging folder."""
