"""Texture families."""

import numpy as np


def stripes(random: np.random.Generator) -> np.ndarray:
    x = np.linspace(0, 2 * np.pi * random.integers(3, 9), 512)
    mix = (0.5 + 0.5 * np.sin(x))[None, :, None]
    one, two = random.uniform(0, 255, (2, 3))
    return np.broadcast_to(one * mix + two * (1 - mix), (512, 512, 3)).astype(np.uint8)


TEXTURES = {"stripes": stripes}
