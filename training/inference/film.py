"""Writes MP4 films frame by frame, in a format that browsers play."""

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bl30k_gen.dataset.files import clear_disk_errors, replace, temporary_name
from bl30k_gen.errors import UserError
from bl30k_gen.export.encoders.movie import write_rgb

RATE = 24.0
"""Frames a second of a film whose video does not state its rate."""
QUALITY = 21
"""H.264's constant rate factor."""


def write_film(
    path: Path, images: Iterable[NDArray[np.uint8]], rate: float = 0.0, tick: Callable[[int], None] | None = None
) -> int:
    """Write (H, W, 3) uint8 images of one size as MP4 (H.264), and return their number.

    The format needs even sides: an odd height or width gets one more row or column, a copy of the last.

    Args:
        rate: frames a second; ``RATE`` where it is 0.
        tick: called with the number of images written so far.

    Raises:
        UserError: the encoder is not installed, or the folder cannot be written to.
    """
    temporary, count = temporary_name(path), 0
    given = iter(images)
    first = next(given)
    height, width = (side + side % 2 for side in first.shape[:2])

    def even() -> Iterator[NDArray[np.uint8]]:
        nonlocal count
        for image in chain([first], given):
            rows, columns = image.shape[:2]
            yield np.pad(image, ((0, height - rows), (0, width - columns), (0, 0)), "edge")
            count += 1
            if tick is not None:
                tick(count)

    try:
        with clear_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_rgb(temporary, even(), (height, width), rate or RATE, "h264", QUALITY)
        except ImportError:
            raise UserError(f"{path} needs the package av", "pip install 'bl30k[train]'") from None
        with clear_disk_errors(path):
            replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return count
