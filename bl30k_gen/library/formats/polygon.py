"""Triangulate polygons, which may be concave, and find polygons that coincide."""

import mapbox_earcut
import numpy as np

MAX_WORK = 5 * 10**8
"""Sum of squared numbers of corners of all concave polygons: the worst case of ear clipping, then a few seconds."""


class TooMuchWork(ValueError):
    """Polygons have so many corners that triangulating them might take minutes."""


def split(sizes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Triangulate polygons: convex ones become fans, concave ones are cut by ear clipping.

    Args:
        sizes: (P,) number of corners of each polygon, 3 or more.
        points: (C, 3) corners of one polygon after the other; each polygon is approximately planar.

    Returns:
        (T, 3) indices into ``points``.

    Raises:
        TooMuchWork: concave polygons have too many corners.
    """
    starts = np.cumsum(sizes) - sizes
    triangles = [np.empty((0, 3), dtype=np.int64)]
    work = 0.0
    for size in np.unique(sizes):
        corners = starts[sizes == size][:, None] + np.arange(size)
        if size > 3:
            flat = _project(points[corners])
            reflex = _reflex(flat)
            if size == 4:  # a fan from the one reflex corner stays inside
                turn = (reflex.argmax(axis=1)[:, None] + np.arange(4)) % 4
                corners = np.take_along_axis(corners, turn, axis=1)
            else:
                concave = reflex.any(axis=1)
                work += float(np.count_nonzero(concave)) * float(size) ** 2
                if work > MAX_WORK:
                    raise TooMuchWork("has concave polygons of too many corners to cut them into triangles")
                cut = zip(corners[concave], flat[concave], strict=True)
                triangles += [polygon[triangulate(outline)] for polygon, outline in cut]
                corners = corners[~concave]
        for second in range(1, size - 1):
            triangles.append(corners[:, [0, second, second + 1]])
    return np.concatenate(triangles)


def triangulate(outline: np.ndarray) -> np.ndarray:
    """Triangulate a simple polygon (N, 2) into (N - 2, 3) triangles of its winding; one without area becomes a fan.

    A polygon that intersects itself may give fewer triangles.
    """
    outline = np.ascontiguousarray(outline, dtype=np.float64)
    triangles = mapbox_earcut.triangulate_float64(outline, np.array([len(outline)], np.uint32)).reshape(-1, 3)
    if not len(triangles):
        later = np.arange(1, len(outline) - 1)
        return np.stack([np.zeros_like(later), later, later + 1], axis=1)
    if _area(outline[triangles]).sum() * _area(outline[None])[0] < 0:
        triangles = triangles[:, ::-1]
    return _with_all_corners(triangles.astype(np.int64), len(outline))


def _with_all_corners(triangles: np.ndarray, count: int) -> np.ndarray:
    """Add collinear corners, which ear clipping leaves out, so that no gap opens to neighbouring polygons.

    They lie on edges of the polygon: the triangle at such an edge is replaced by a fan.
    """
    kept = np.unique(triangles)
    if len(kept) == count:
        return triangles
    rows = triangles.tolist()
    apexes = {(t[k - 2], t[k - 1]): (n, t[k]) for n, t in enumerate(rows) for k in range(3)}
    added: list[list[int]] = []
    replaced: dict[int, list[list[int]]] = {}
    for start, end in zip(kept.tolist(), [*kept[1:].tolist(), int(kept[0]) + count], strict=True):
        chain = [corner % count for corner in range(start, end + 1)]
        if len(chain) == 2 or (chain[0], chain[-1]) not in apexes:
            continue
        number, apex = apexes[chain[0], chain[-1]]
        fan = [[apex, a, b] for a, b in zip(chain, chain[1:], strict=False)]
        if number in replaced:  # a second edge of one triangle: divide the piece that has this edge
            whole = next((t for t in replaced[number] if {chain[0], chain[-1]} <= set(t)), None)
            if whole is None:
                continue
            replaced[number].remove(whole)
            apex = next(corner for corner in whole if corner not in (chain[0], chain[-1]))
            fan = [[apex, a, b] for a, b in zip(chain, chain[1:], strict=False)]
        replaced.setdefault(number, []).extend(fan)
    for fans in replaced.values():
        added += fans
    return np.array([t for n, t in enumerate(rows) if n not in replaced] + added, dtype=np.int64)


def first_of_equal(rows: np.ndarray, rank: np.ndarray | None = None) -> np.ndarray:
    """(P,) bool: whether each of (P, N) rows is the first one with its set of vertex numbers, in any order.

    Args:
        rank: (P,) by which rows are ordered; None: by their index.
    """
    ordered = np.sort(rows, axis=1)
    order = np.lexsort((np.arange(len(rows)) if rank is None else rank, *ordered.T))
    ordered = ordered[order]
    first = np.ones(len(rows), dtype=bool)
    first[order[1:]] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return first


def first_of_equal_polygons(sizes: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """As ``first_of_equal``, for polygons with ``sizes`` (P,) and the vertex numbers ``corners`` (C,)."""
    starts = np.cumsum(sizes) - sizes
    first = np.ones(len(sizes), dtype=bool)
    for size in np.unique(sizes):
        chosen = np.flatnonzero(sizes == size)
        first[chosen] = first_of_equal(corners[starts[chosen][:, None] + np.arange(size)])
    return first


def _project(polygons: np.ndarray) -> np.ndarray:
    """(P, N, 3) -> (P, N, 2): drop the axis along which a polygon's normal (Newell's method) is longest."""
    centred = polygons - polygons.mean(axis=1, keepdims=True)
    normal = np.cross(centred, np.roll(centred, -1, axis=1)).sum(axis=1)
    kept = np.array([[1, 2], [2, 0], [0, 1]])[np.abs(normal).argmax(axis=1)]
    return np.take_along_axis(centred, kept[:, None, :], axis=2)


def _reflex(outlines: np.ndarray) -> np.ndarray:
    """(P, N) whether a corner of (P, N, 2) polygons is reflex: it turns against the polygon's winding."""
    before, after = np.roll(outlines, 1, axis=1), np.roll(outlines, -1, axis=1)
    turn = _cross(outlines - before, after - outlines) * _area(outlines)[:, None]
    return turn < -1e-9 * np.abs(turn).max(axis=1, keepdims=True)


def _area(outlines: np.ndarray) -> np.ndarray:
    """(P,) twice the signed areas of (P, N, 2) polygons."""
    return _cross(outlines, np.roll(outlines, -1, axis=1)).sum(axis=1)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
