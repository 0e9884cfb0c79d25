"""PNG images, and writing of files into new folders."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def png(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """A PNG: greyscale for an (H, W) array, with its 8 or 16 bits; RGB for an (H, W, 3) uint8 array."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def put(path: Path, data: bytes) -> None:
    """Write a file; create its folder if it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
