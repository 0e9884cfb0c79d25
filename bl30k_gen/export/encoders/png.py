"""Images without loss."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image


def png(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """A PNG: grey of an (H, W) array, 8 or 16 bits as it has; RGB of an (H, W, 3) uint8 one."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def put(path: Path, data: bytes) -> None:
    """Write a file into a folder that may not exist yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
