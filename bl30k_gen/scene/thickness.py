"""Measure how thin a model is, as chairs, trees and bicycles are, without relying on category names."""

from functools import lru_cache

import numpy as np

from bl30k_gen.library.asset import Model
from bl30k_gen.scene.raster import silhouette

GRID = 96  # cells along the model's diagonal


@lru_cache(maxsize=24)
def thickness(model: Model) -> float:
    """Mean width of a model's silhouettes along its three axes, as a ratio of its diagonal.

    The width of a silhouette is twice its area divided by the length of its outline: the width of a long strip, the
    radius of a disc. The outline's length is estimated from its crossings with the grid's lines (Cauchy-Crofton).
    """
    widths = []
    for axis in range(3):
        seen = silhouette(np.delete(model.vertices, axis, axis=1) * GRID + GRID / 2, _faces(model), (GRID, GRID))
        seen = np.pad(seen, 1)
        crossings = sum(np.count_nonzero(np.diff(seen, axis=side)) for side in (0, 1))
        widths.append(2 * np.count_nonzero(seen) / (np.pi / 4 * crossings) / GRID if crossings else 0.0)
    return float(np.mean(widths))


def _faces(model: Model) -> np.ndarray:
    return np.concatenate([part.faces for part in model.parts])
