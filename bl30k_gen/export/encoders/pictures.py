"""Grey pictures without loss."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image


def png(values: npt.NDArray[np.uint8] | npt.NDArray[np.uint16]) -> bytes:
    """A grey PNG, 8 or 16 bits as the (H, W) array has."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()
