"""Triangulate the caps of extruded shapes.

``library.formats.polygon`` triangulates polygons of any size, but differently, which would change built-in shapes.
"""

import numpy as np


def triangulate(points: np.ndarray) -> np.ndarray:
    """Triangulate a simple polygon (N, 2) into (N - 2, 3) triangles of the same winding.

    Ear clipping in O(N^2); the rest of a polygon without ears, which intersects itself, becomes a fan.
    """
    flat = np.asarray(points, dtype=np.float64)
    after = np.roll(flat, -1, axis=0)
    if (flat[:, 0] * after[:, 1] - flat[:, 1] * after[:, 0]).sum() < 0:
        flat = flat * (1, -1)  # mirrored to be counter-clockwise: corners that turn left are convex
    ring = list(range(len(flat)))
    triangles = []
    while len(ring) > 3:
        ear = next((i for i in range(len(ring)) if _is_ear(flat, ring, i)), None)
        if ear is None:
            break
        triangles.append((ring[ear - 1], ring[ear], ring[(ear + 1) % len(ring)]))
        ring.pop(ear)
    triangles += [(ring[0], ring[i], ring[i + 1]) for i in range(1, len(ring) - 1)]
    return np.array(triangles, dtype=np.int64)


def _is_ear(flat: np.ndarray, ring: list[int], i: int) -> bool:
    corners = (ring[i - 1], ring[i], ring[(i + 1) % len(ring)])
    a, b, c = flat[list(corners)]
    if _turn(a, b, c) <= 0:
        return False
    others = flat[[k for k in ring if k not in corners]]
    inside = (_turn(a, b, others) >= 0) & (_turn(b, c, others) >= 0) & (_turn(c, a, others) >= 0)
    same = (others == a).all(axis=1) | (others == b).all(axis=1) | (others == c).all(axis=1)
    return not (inside & ~same).any()


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Positive if a, b, c turn left; c may be (N, 2)."""
    return (b[0] - a[0]) * (c[..., 1] - a[1]) - (b[1] - a[1]) * (c[..., 0] - a[0])
