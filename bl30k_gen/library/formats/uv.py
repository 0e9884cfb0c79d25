"""Texture coordinates for meshes without any."""

import numpy as np


def box_projection(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Project each face along the axis that is nearest to its normal; the texture has a size of 1 x 1.

    Args:
        vertices: (V, 3) float, of a model with a unit diagonal.
        faces: (F, 3) int.

    Returns:
        (F, 3, 2) float32 coordinates per corner. A projected face keeps at least 1/sqrt(3) of its area, so textures
        are not smeared; there are seams between faces of different axes.
    """
    corners = vertices[faces].astype(np.float64)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    axis = np.abs(normals).argmax(axis=1)
    # The other two axes; z, if it is one of them, is upright in the texture.
    across = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    return (np.take_along_axis(corners, across[:, None, :], axis=2) + 0.5).astype(np.float32)
