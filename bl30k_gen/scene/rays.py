"""Cast rays from the camera through arbitrary positions of an image: which surface is hit, is a point occluded.

``raster`` samples the centres of pixels; a moving point is hardly ever at one. Here each position is tested exactly
against every triangle that covers it, without interpolation.
"""

import copy
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bl30k_gen.scene.geometry import BACKDROP, Body, Bools, Floats, Geometry, Ints
from bl30k_gen.scene.raster import BATCH, NOTHING, Surface, expand, in_front, on_faces, opaque

MIN_GAP = 1e-6  # by which an occluder is nearer, relative to depth: absorbs rounding and coinciding surfaces
EDGE_TOLERANCE = 1e-9  # barycentric; positions on an edge count as inside, so that no crack opens between triangles


class _Hits(NamedTuple):
    """N pairs of a position and a projected triangle that covers it."""

    places: Ints  # (N,)
    inverse_depth: Floats  # (N,) 1 / metres
    triangles: Ints  # (N,)

    def select(self, kept: Bools) -> "_Hits":
        return _Hits(self.places[kept], self.inverse_depth[kept], self.triangles[kept])


def cast(geometry: Geometry, frame: int, points: Floats) -> Surface:
    """The surfaces that rays through (N, 2) positions hit first; x and y in pixels, centres of pixels at +0.5.

    Positions beyond the image hit nothing.
    """
    nearest = np.zeros(len(points))  # inverse depths
    ids, faces = np.zeros(len(points), np.uint8), np.full(len(points), NOTHING, np.int32)
    places = _Places(geometry, points)
    for body in geometry.bodies:
        for hits in _hits(geometry, body, frame, places):
            np.maximum.at(nearest, hits.places, hits.inverse_depth)
            wins = hits.inverse_depth == nearest[hits.places]
            ids[hits.places[wins]] = body.id
            faces[hits.places[wins]] = hits.triangles[wins]
    return on_faces(geometry, frame, ids, faces, points)


def hidden(geometry: Geometry, frame: int, ids: npt.NDArray[np.uint8], points: Floats, depth: Floats) -> Bools:
    """(N,) whether surface points are occluded by another surface, or another part of their own.

    Args:
        ids: (N,) ids of the bodies that the points belong to.
        points: (N, 2) their projections, x and y in pixels. Those beyond the image count as not occluded.
        depth: (N,) metres.
    """
    occluded = np.zeros(len(points), dtype=bool)
    places = _Places(geometry, points, depth)
    of_objects = places.subset(ids != BACKDROP)  # the flat backdrop does not occlude itself
    for body in geometry.bodies:
        for hits in _hits(geometry, body, frame, of_objects if body.id == BACKDROP else places):
            occluded[hits.places[hits.inverse_depth * depth[hits.places] > 1 + MIN_GAP]] = True
    return occluded


def inside(geometry: Geometry, points: Floats) -> Bools:
    """(...) whether (..., 2) positions lie in the image."""
    return np.all((points >= 0) & (points < [geometry.width, geometry.height]), axis=-1)


class _Places:
    """Positions in an image, sorted by pixel, so that those in a span of a pixel row are a slice.

    Args:
        points: (N, 2) x and y in pixels; those beyond the image are left out.
        depth: (N,) metres, of the points at these positions; triangles entirely behind them are skipped.
    """

    def __init__(self, geometry: Geometry, points: Floats, depth: Floats | None = None):
        self.rows, self.columns = geometry.height, geometry.width
        within = np.flatnonzero(inside(geometry, points))
        column, row = points[within].astype(np.int64).T
        cells = row * self.columns + column
        order = np.argsort(cells, kind="stable")
        self._take(within[order], cells[order], points, depth)

    def _take(self, numbers: Ints, cells: Ints, points: Floats, depth: Floats | None) -> None:
        """Hold the positions ``numbers`` of all, which are sorted by their pixels ``cells``."""
        self._cells, self._all = cells, (points, depth)
        self.numbers = numbers
        self.points = points[numbers]
        self.depth = None if depth is None else depth[numbers]
        counts = np.bincount(cells, minlength=self.rows * self.columns)
        self.starts = np.concatenate([[0], np.cumsum(counts)])  # of every pixel's slice, and the end
        self._sums = np.zeros((self.rows + 1, self.columns + 1), np.int64)  # of all cells above and to the left
        self._sums[1:, 1:] = counts.reshape(self.rows, self.columns).cumsum(axis=0).cumsum(axis=1)

    def subset(self, chosen: Bools) -> "_Places":
        """The positions for which ``chosen`` (N,) is true."""
        kept = chosen[self.numbers]
        part = copy.copy(self)
        part._take(self.numbers[kept], self._cells[kept], *self._all)
        return part

    def count(self, top: Ints, bottom: Ints, left: Ints, right: Ints) -> Ints:
        """The number of positions in the rows [top, bottom) and columns [left, right)."""
        sums = self._sums
        return sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]


def _hits(geometry: Geometry, body: Body, frame: int, places: _Places) -> Iterator[_Hits]:
    """Hits of rays through positions with a body, without those in its holes, in batches."""
    project = geometry.intrinsics @ geometry.to_camera(body, frame)[:3]
    points = geometry.vertices(body, frame) @ project[:, :3].T + project[:, 3]
    for flat, faces, source in in_front(points, body.faces):
        for place, inverse, number in _covering(places, flat, faces):
            hits = _Hits(places.numbers[place], inverse, source[number])
            if body.holes is not None:
                kept = opaque(geometry, body, frame, hits.triangles, places.points[place])
                hits = hits.select(kept)
            yield hits


def _covering(places: _Places, points: Floats, faces: Ints) -> Iterator[_Hits]:
    """Hits with triangles whose (V, 3) points are (x, y, inverse depth); positions as numbered in ``places``."""
    limit = np.array([places.columns, places.rows])
    first = np.clip(np.floor(points[:, :2]), 0, limit).astype(np.int32)
    end = np.clip(np.floor(points[:, :2]) + 1, 0, limit).astype(np.int32)
    left, top = _over_corners(np.minimum, first, faces)
    right, bottom = _over_corners(np.maximum, end, faces)
    count = places.count(top, np.maximum(top, bottom), left, np.maximum(left, right))
    kept = np.flatnonzero((count > 0) & (bottom > top) & (right > left))
    batch = np.cumsum(count[kept]) // BATCH
    for chosen in np.split(kept, np.flatnonzero(np.diff(batch)) + 1):
        of_triangle, row = expand(top[chosen], bottom[chosen])
        begin = row.astype(np.int64) * places.columns
        of_span, place = expand(
            places.starts[begin + left[chosen][of_triangle]], places.starts[begin + right[chosen][of_triangle]]
        )
        number = of_triangle[of_span]
        if places.depth is not None:
            nearest = points[:, 2][faces[chosen]].max(axis=1)
            in_front_of = nearest[number] * places.depth[place] > 1 + MIN_GAP
            place, number = place[in_front_of], number[in_front_of]
        hits = _inside(places.points, points[faces[chosen]], place, number)
        yield hits._replace(triangles=chosen[hits.triangles])


def _over_corners(reduce: np.ufunc, values: Ints, faces: Ints) -> tuple[Ints, Ints]:
    """The minimum or maximum (``reduce``) x and y of each face's corners."""
    extremes = reduce(reduce(values[faces[:, 0]], values[faces[:, 1]]), values[faces[:, 2]])
    return extremes[:, 0], extremes[:, 1]


def _inside(places: Floats, corners: Floats, place: Ints, number: Ints) -> _Hits:
    """Hits among candidate pairs of a position and one of (F, 3, 3) triangles, given by their numbers.

    The weights of corners b and c are products of a triangle's vectors with the vector from its corner a to the
    position. Most pairs fail on the first weight, so each step tests only those that have passed the one before.
    """
    a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        inverse = 1 / (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
        x, y = (places[place, axis] - a[number, axis] for axis in (0, 1))
        of_b = x * (ac[:, 1] * inverse)[number] - y * (ac[:, 0] * inverse)[number]
        kept = np.flatnonzero((of_b >= -EDGE_TOLERANCE) & (of_b <= 1 + EDGE_TOLERANCE))
        place, number, x, y, of_b = place[kept], number[kept], x[kept], y[kept], of_b[kept]
        of_c = y * (ab[:, 0] * inverse)[number] - x * (ab[:, 1] * inverse)[number]
        kept = np.flatnonzero((of_c >= -EDGE_TOLERANCE) & (of_b + of_c <= 1 + EDGE_TOLERANCE))
    place, number, of_b, of_c = place[kept], number[kept], of_b[kept], of_c[kept]
    return _Hits(place, a[number, 2] + of_b * ab[number, 2] + of_c * ac[number, 2], number)
