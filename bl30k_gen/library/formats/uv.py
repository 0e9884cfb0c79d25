"""Texture coordinates for meshes that bring none."""

import numpy as np


def box_projection(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Project each face along the axis its normal is nearest to; one texture covers one unit of length.

    Args:
        vertices: (V, 3) float, of a model with a unit diagonal.
        faces: (F, 3) int.

    Returns:
        (F, 3, 2) float32 coordinates per corner. The projections never shrink a face below 1/sqrt(3) of its
        size, so textures are not smeared; they do break at the seams between two axes.
    """
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axis = np.abs(normals).argmax(axis=1)
    # The two axes that stay, upright where one of them is z.
    across = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    return (np.take_along_axis(corners, across[:, None, :], axis=2) + 0.5).astype(np.float32)
