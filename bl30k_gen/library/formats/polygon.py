"""Polygons, which may be concave, into triangles."""

import numpy as np

LARGEST = 64  # corners of a concave polygon that is cut with care; the cost grows with their cube


def split(sizes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Cut many polygons into (T, 3) triangles, as positions in ``points``.

    ``points``: (C, 3), the corners of one polygon after the other; ``sizes``: (P,) how many each has, 3 or more.
    Convex polygons become fans.
    """
    starts = np.cumsum(sizes) - sizes
    triangles = [np.empty((0, 3), dtype=np.int64)]
    for size in np.unique(sizes):
        corners = starts[sizes == size][:, None] + np.arange(size)
        if size > 3:
            reflex = _reflex(points[corners])
            if size == 4:  # a fan from the one reflex corner stays inside
                turn = (reflex.argmax(axis=1)[:, None] + np.arange(4)) % 4
                corners = np.take_along_axis(corners, turn, axis=1)
            elif size <= LARGEST:
                concave = reflex.any(axis=1)
                triangles += [polygon[triangulate(points[polygon])] for polygon in corners[concave]]
                corners = corners[~concave]
        for second in range(1, size - 1):
            triangles.append(corners[:, [0, second, second + 1]])
    return np.concatenate(triangles)


def _reflex(polygons: np.ndarray) -> np.ndarray:
    """(P, N) whether a corner of (P, N, 3) polygons turns against the polygon's own sense."""
    after = np.roll(polygons, -1, axis=1)
    centre = polygons.mean(axis=1, keepdims=True)
    normal = np.cross(polygons - centre, after - centre).sum(axis=1, keepdims=True)
    turn = (np.cross(polygons - np.roll(polygons, 1, axis=1), after - polygons) * normal).sum(axis=2)
    return turn < -1e-9 * np.abs(turn).max(axis=1, keepdims=True)


def triangulate(points: np.ndarray) -> np.ndarray:
    """Cut a simple polygon, (N, 2) or (N, 3) and about flat, into (N - 2, 3) triangles of the same winding.

    Ears are cut off one by one, O(N^2); a polygon that has none left (it crosses itself) ends as a fan.
    """
    flat = np.asarray(points, dtype=np.float64)
    if flat.shape[1] == 3:
        flat = _project(flat)
    after = np.roll(flat, -1, axis=0)
    if (flat[:, 0] * after[:, 1] - flat[:, 1] * after[:, 0]).sum() < 0:
        flat = flat * (1, -1)  # seen from the other side, so that corners that turn left are convex
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


def _project(points: np.ndarray) -> np.ndarray:
    """Drop the axis along which the polygon's normal (Newell's) is longest."""
    centred = points - points.mean(axis=0)
    normal = np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)
    return np.delete(centred, np.abs(normal).argmax(), axis=1)


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
    """Positive where a, b, c turn left; c may be (N, 2)."""
    return (b[0] - a[0]) * (c[..., 1] - a[1]) - (b[1] - a[1]) * (c[..., 0] - a[0])
