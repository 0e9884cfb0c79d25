"""Background families."""

import numpy as np


def sky(random: np.random.Generator) -> np.ndarray:
    mix = np.linspace(0, 1, 768)[:, None, None]
    one, two = random.uniform(0, 255, (2, 3))
    return np.broadcast_to(one * mix + two * (1 - mix), (768, 1024, 3)).astype(np.uint8)


BACKGROUNDS = {"sky": sky}
