import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset.masks import encode_mask


@pytest.fixture
def write_video():
    """write_video(folder, frames, names=None): label maps as palette PNGs."""

    def write(folder, frames, names=None):
        folder.mkdir(parents=True, exist_ok=True)
        for index, ids in enumerate(frames):
            name = names[index] if names else f"{index:05d}"
            (folder / f"{name}.png").write_bytes(encode_mask(np.asarray(ids, np.uint8)))

    return write


@pytest.fixture
def save_png():
    """save_png(path, array): writes pixels unchanged (L, 16-bit or RGB)."""

    def save(path, pixels):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)

    return save


def moving_squares(frames=8, size=(48, 64)):
    """(T, H, W) uint8: object 1 moves right by two pixels a frame, object 2 does not move."""
    video = np.zeros((frames, *size), np.uint8)
    for t in range(frames):
        video[t, 30:40, 40:56] = 2
        video[t, 5:20, 4 + 2 * t : 20 + 2 * t] = 1
    return video


@pytest.fixture
def squares():
    return moving_squares()
