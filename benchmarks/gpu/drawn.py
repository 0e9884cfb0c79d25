"""Draw videos of discs, for benchmarks that need no data."""

from pathlib import Path

import numpy as np
from PIL import Image

from bl30k_gen.dataset.files import encode_jpeg, write_atomically
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import encode_mask

FRAMES = 12


def draw_dataset(root: Path, size: tuple[int, int], videos: int) -> None:
    """Write videos of two discs that move over smooth noise, in the layout of the datasets.

    Args:
        size: (height, width).
    """
    layout, (height, width), rng = Layout(root), size, np.random.default_rng(0)
    y, x = np.mgrid[:height, :width]
    for video in range(videos):
        coarse = rng.integers(0, 255, (height // 12, width // 12, 3), np.uint8)
        ground = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
        places, moves = rng.uniform(0.3, 0.7, (2, 2)) * (width, height), rng.normal(0, width / 100, (2, 2))
        for number in range(FRAMES):
            ids = np.zeros((height, width), np.uint8)
            for label, (left, top) in enumerate(places + number * moves, 1):
                ids[(x - left) ** 2 + (y - top) ** 2 < (height / 5) ** 2] = label
            rgb = np.where(ids[..., None] > 0, 255 - ground // 2 - 60 * ids[..., None], ground).astype(np.uint8)
            write_atomically(layout.rgb(f"drawn{video}", number), encode_jpeg(rgb, 90, "4:2:0"))
            write_atomically(layout.mask(f"drawn{video}", number), encode_mask(ids))
