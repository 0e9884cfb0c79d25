"""Films as MP4, written frame by frame."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bl30k_gen.dataset.files import clear_disk_errors, replace, temporary_name
from bl30k_gen.errors import UserError

RATE = 24.0
"""Frames a second of a film whose video says nothing about it."""


def write_film(
    path: Path, images: Iterable[NDArray[np.uint8]], rate: float = 0.0, tick: Callable[[int], None] | None = None
) -> int:
    """Write (H, W, 3) uint8 images of one size as MP4, and return their number.

    Args:
        rate: frames a second; ``RATE`` where it is 0.
        tick: is told how many images are done.

    Raises:
        UserError: OpenCV has no encoder here, or the folder may not be written.
    """
    import cv2  # here, because most commands write no film

    temporary = temporary_name(path).with_suffix(".mp4")
    film, count = cv2.VideoWriter(), 0
    try:
        with clear_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        for image in images:
            height, width = image.shape[:2]
            code = cv2.VideoWriter.fourcc(*"mp4v")
            if not count and not film.open(str(temporary), code, rate or RATE, (width, height)):
                raise UserError(f"{path} cannot be written", "OpenCV lacks the encoder mp4v here")
            film.write(np.ascontiguousarray(image[..., ::-1]))
            count += 1
            if tick is not None:
                tick(count)
        film.release()
        with clear_disk_errors(path):
            replace(temporary, path)
    finally:
        film.release()
        temporary.unlink(missing_ok=True)
    return count
