"""A small z-buffer rasteriser for a SceneSpec, independent of Blender.

It samples like a ray tracer with one ray per pixel: a pixel belongs to the nearest triangle that covers its centre,
from either side. At full resolution it is the base of all annotations (``surface``) and an independent check of the
segmentation pass; at every few pixels it is cheap enough to check each frame before it is published (``compare``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bl30k_gen.config import Check
from bl30k_gen.library.asset import Model
from bl30k_gen.scene.geometry import BACKDROP, Body, Bools, Floats, Geometry, Ints
from bl30k_gen.scene.spec import SceneSpec
from bl30k_gen.scene.trajectory import NEAR_CLIP

BATCH = 1 << 22  # samples processed at a time; bounds the memory
NOTHING = -1  # face number where there is no surface


class Fragments(NamedTuple):
    """N pairs of a grid sample and a triangle that covers it."""

    where: Ints  # (N,) flat indices into the grid
    inverse_depth: Floats  # (N,) 1 / metres, of the triangle at the sample
    faces: Ints  # (N,)

    def select(self, kept: Bools) -> "Fragments":
        return Fragments(self.where[kept], self.inverse_depth[kept], self.faces[kept])


@dataclass(frozen=True)
class Layer:
    """One body drawn alone, without the others that may occlude it."""

    body: Body
    depth: Floats  # (H, W) metres along the camera's axis; infinite outside of the body
    faces: npt.NDArray[np.int32]  # (H, W), NOTHING outside of the body


@dataclass(frozen=True)
class Surface:
    """The visible surface points: at each pixel's centre, shape S = (H, W), or at N positions, S = (N,)."""

    ids: npt.NDArray[np.uint8]  # S; 0 for the backdrop and where there is no surface
    faces: npt.NDArray[np.int32]  # S; number of the body's face, NOTHING where there is no surface
    barycentrics: Floats  # (*S, 3) weights of the face's corners, at least 0, sum 1; NaN where there is no surface
    depth: Floats  # S; metres along the camera's axis, NaN where there is no surface

    @property
    def seen(self) -> Bools:
        """Bool of shape S: whether there is a surface."""
        return self.faces != NOTHING


def predict(spec: SceneSpec, models: Mapping[str, Model], frame: int, *, step: int = 1) -> npt.NDArray[np.uint8]:
    """Predict the object ids of one frame, at every ``step``-th pixel of every ``step``-th row.

    Transparency is ignored: with ``render.alpha: clip`` the silhouettes are upper bounds.

    Args:
        models: every model of ``spec`` by the id of its asset.

    Returns:
        uint8 ids of the pixels ``subsample(mask, step)`` of a full-size mask; 0 for the backdrop and where there is
        no surface.
    """
    geometry = Geometry(spec, models)
    shape = _grid(spec, step)
    nearest = np.zeros(shape[0] * shape[1])  # inverse depths
    ids = np.zeros(shape[0] * shape[1], dtype=np.uint8)
    for body in geometry.bodies:
        for where, inverse_depth, _ in _drawn(geometry, body, frame, step):
            np.maximum.at(nearest, where, inverse_depth)
            ids[where[inverse_depth == nearest[where]]] = body.id
    return ids.reshape(shape)


def visibility(
    spec: SceneSpec, models: Mapping[str, Model], frame: int, *, step: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Visible and amodal area of each object: two (O,) arrays of numbers of samples in the image.

    Arguments as for ``predict``.
    """
    geometry = Geometry(spec, models)
    seen = np.bincount(predict(spec, models, frame, step=step).ravel(), minlength=256)
    rows, columns = _grid(spec, step)
    backdrop = np.zeros(rows * columns)  # inverse depths
    covered = np.zeros((256, rows * columns), dtype=bool)
    for body in geometry.bodies:
        for where, inverse_depth, _ in _drawn(geometry, body, frame, step):
            if body.id == BACKDROP:
                np.maximum.at(backdrop, where, inverse_depth)
            covered[body.id, where[inverse_depth > backdrop[where]]] = True
    ids = [thing.id for thing in spec.objects]
    return seen[ids], covered[ids].sum(axis=1)


def layers(geometry: Geometry, frame: int) -> Iterator[Layer]:
    """Draw each body alone, at full size: the backdrop, then the objects in their order."""
    shape = (geometry.height, geometry.width)
    for body in geometry.bodies:
        nearest = np.zeros(shape[0] * shape[1])  # inverse depths
        faces = np.full(shape[0] * shape[1], NOTHING, dtype=np.int32)
        for fragments in _drawn(geometry, body, frame, 1):
            if body.holes is not None:
                fragments = _without_holes(geometry, body, frame, fragments)
            where, inverse_depth, number = fragments
            np.maximum.at(nearest, where, inverse_depth)
            wins = inverse_depth == nearest[where]
            faces[where[wins]] = number[wins]
        with np.errstate(divide="ignore"):
            yield Layer(body, (1 / nearest).reshape(shape), faces.reshape(shape))


def surface(geometry: Geometry, frame: int, drawn: Iterator[Layer] | None = None) -> Surface:
    """The visible surface at the centre of every pixel of a frame.

    Args:
        drawn: the frame's ``layers``, if they have been drawn already.
    """
    shape = (geometry.height, geometry.width)
    nearest = np.full(shape, np.inf)
    ids, faces = np.zeros(shape, np.uint8), np.full(shape, NOTHING, np.int32)
    for layer in layers(geometry, frame) if drawn is None else drawn:
        wins = layer.depth < nearest
        nearest[wins], faces[wins], ids[wins] = layer.depth[wins], layer.faces[wins], layer.body.id
    rows, columns = np.indices(shape)
    points = np.stack([columns + 0.5, rows + 0.5], axis=-1)
    return on_faces(geometry, frame, ids, faces, points)


def on_faces(
    geometry: Geometry,
    frame: int,
    ids: npt.NDArray[np.uint8],
    faces: npt.NDArray[np.int32],
    points: Floats,
) -> Surface:
    """Complete a ``Surface`` of which the ids and faces are known: its barycentrics and depth.

    Args:
        ids, faces: S, as in ``Surface``.
        points: (*S, 2) x and y in pixels, centres of pixels at +0.5.
    """
    barycentrics, depth = np.full((*ids.shape, 3), np.nan), np.full(ids.shape, np.nan)
    for body, here in of_bodies(geometry, ids, faces):
        corners = _corners(geometry, body, frame)
        weights = _barycentrics(corners, faces[here], rays(geometry, points[here]))
        barycentrics[here] = weights
        depth[here] = np.einsum("ni,ni->n", weights, corners[faces[here], :, 2])
    return Surface(ids, faces, barycentrics, depth)


def opaque(geometry: Geometry, body: Body, frame: int, faces: Ints, points: Floats) -> Bools:
    """(N,) whether (N,) faces of a body with holes are surface at (N, 2) positions x, y in pixels."""
    assert body.holes is not None
    return body.holes.opaque(faces, _barycentrics(_corners(geometry, body, frame), faces, rays(geometry, points)))


def of_bodies(
    geometry: Geometry, ids: npt.NDArray[np.uint8], faces: npt.NDArray[np.int32]
) -> Iterator[tuple[Body, tuple[Ints, ...]]]:
    """Each visible body with the indices of its points, as from ``nonzero``."""
    seen = faces != NOTHING
    for body in geometry.bodies:
        here = np.nonzero(seen & (ids == body.id))
        if len(here[0]):
            yield body, here


def rays(geometry: Geometry, points: Floats) -> Floats:
    """(..., 3) ray directions of depth 1 in the camera's axes, through (..., 2) positions x, y in pixels."""
    k = geometry.intrinsics
    flat = (points - k[:2, 2]) / np.diag(k)[:2]
    return np.concatenate([flat, np.ones((*flat.shape[:-1], 1))], axis=-1)


def _corners(geometry: Geometry, body: Body, frame: int) -> Floats:
    """(F, 3, 3) corners of a body's faces in the camera's axes."""
    view = geometry.to_camera(body, frame)
    return (geometry.vertices(body, frame) @ view[:3, :3].T + view[:3, 3])[body.faces]


def _barycentrics(corners: Floats, faces: Ints, directions: Floats) -> Floats:
    """(N, 3) barycentric weights at which rays from the origin intersect the planes of triangles.

    Weights are clipped at 0, so that the point lies in the triangle even if a ray hits its edge, or the triangle is
    seen edge-on. After Moeller and Trumbore 1997; what does not depend on the ray is computed once per face.

    Args:
        corners: (F, 3, 3) triangles.
        faces: (N,) the triangle of each ray.
        directions: (N, 3).
    """
    a, b, c = np.moveaxis(corners, 1, 0)
    ab, ac = b - a, c - a
    terms = np.stack([np.cross(ac, ab), np.cross(a, ac), np.cross(ab, a)], axis=1)
    determinant, of_b, of_c = np.einsum("nij,nj->in", terms[faces], directions)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_b, of_c = of_b / determinant, of_c / determinant
    weights = np.stack([1 - of_b - of_c, of_b, of_c], axis=1)
    weights[~np.isfinite(weights).all(axis=1)] = 1 / 3
    np.clip(weights, 0, None, out=weights)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def _grid(spec: SceneSpec, step: int) -> tuple[int, int]:
    """Numbers of rows and columns of the sample grid."""
    return len(range(step // 2, spec.video.height, step)), len(range(step // 2, spec.video.width, step))


def _drawn(geometry: Geometry, body: Body, frame: int, step: int) -> Iterator[Fragments]:
    """The ``_fragments`` of one body at every ``step``-th pixel of every ``step``-th row."""
    k = geometry.intrinsics.copy()
    k[:2, 2] -= step // 2 + 0.5  # pixel centres become whole numbers
    k[:2] /= step
    project = k @ geometry.to_camera(body, frame)[:3]
    points = geometry.vertices(body, frame) @ project[:, :3].T + project[:, 3]
    return _fragments(points, body.faces, _grid(geometry.spec, step))


def _without_holes(geometry: Geometry, body: Body, frame: int, fragments: Fragments) -> Fragments:
    """The fragments (of a grid at full size) that are not in a hole."""
    rows, columns = np.divmod(fragments.where, geometry.width)
    kept = opaque(geometry, body, frame, fragments.faces, np.stack([columns + 0.5, rows + 0.5], axis=1))
    return fragments.select(kept)


def subsample(mask: np.ndarray, step: int) -> np.ndarray:
    """The pixels of a full-size (H, W) mask that ``predict`` predicts."""
    return mask[step // 2 :: step, step // 2 :: step]


def silhouette(points: np.ndarray, faces: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bool grid of the samples that are covered by (F, 3) faces of (V, 2) points x, y."""
    seen = np.zeros(shape[0] * shape[1], dtype=bool)
    for fragments in _scan(np.concatenate([points, np.ones((len(points), 1))], axis=1), faces, shape):
        seen[fragments.where] = True
    return seen.reshape(shape)


def compare(
    rendered: np.ndarray, spec: SceneSpec, models: Mapping[str, Model], frame: int, check: Check
) -> list[str]:
    """Compare a rendered mask with the prediction; returns one line per wrong object, an empty list if none is.

    The image is divided into cells, ``check.grid`` along the width, and one pixel of each is compared. The prediction
    samples that pixel's centre, so both masks can differ only by rounding, where an edge passes exactly through the
    centre. An object may be wrong in a ratio ``check.slack`` of its boundary cells (those with a neighbour on the
    other side of its predicted outline) plus ``check.floor`` cells; more means that something else was drawn. With
    ``render.alpha: clip`` a surface may have holes, so only cells where no surface is predicted count.

    Args:
        rendered: (H, W) ids of the frame.
        models: every model of ``spec`` by the id of its asset.
    """
    video = spec.video
    if rendered.shape != (video.height, video.width):
        size = " x ".join(str(n) for n in rendered.shape[::-1])
        return [f"the mask is {size} pixels, not {video.width} x {video.height}"]
    step = max(1, video.width // check.grid)
    seen, expected = subsample(rendered, step), predict(spec, models, frame, step=step)
    numbers = [thing.id for thing in spec.objects]
    problems = [f"id {n} belongs to no object" for n in np.setdiff1d(seen, [0, *numbers])]
    for number in numbers:
        inside = expected == number
        wrong = inside != (seen == number)
        if spec.render.alpha == "clip":
            wrong &= expected == 0
        allowed = check.floor + check.slack * np.count_nonzero(_boundary(inside))
        if np.count_nonzero(wrong) > allowed:
            problems.append(
                f"object {number}: {np.count_nonzero(wrong)} cells wrong, {np.count_nonzero(inside)} predicted, "
                f"{np.count_nonzero(seen == number)} seen, at most {allowed:.1f} may be wrong"
            )
    return problems


def _boundary(inside: np.ndarray) -> np.ndarray:
    """Cells with one of their four neighbours on the other side of the outline."""
    boundary = np.zeros_like(inside)
    across, down = inside[:, 1:] != inside[:, :-1], inside[1:] != inside[:-1]
    boundary[:, 1:] |= across
    boundary[:, :-1] |= across
    boundary[1:] |= down
    boundary[:-1] |= down
    return boundary


def _fragments(points: Floats, faces: Ints, shape: tuple[int, int]) -> Iterator[Fragments]:
    """Samples of a grid that lie in projected triangles, in batches.

    Args:
        points: (V, 3), for each vertex (x * z, y * z, z) where (x, y) is its place in the grid and z its depth.
        faces: (F, 3).
        shape: rows and columns of the grid, whose samples are at whole numbers.
    """
    for triangles, corners, source in in_front(points, faces):
        for where, inverse_depth, number in _scan(triangles, corners, shape):
            yield Fragments(where, inverse_depth, source[number])


def in_front(points: Floats, faces: Ints) -> Iterator[tuple[Floats, Ints, Ints]]:
    """Clip triangles, whose (V, 3) points are (x * z, y * z, z), at the near plane, and project them.

    Yields:
        (V', 3) points (x, y, 1 / z), in which planes stay planes; their (F', 3) faces; and (F',) the number of the
        original face of each.
    """
    front = points[:, 2] >= NEAR_CLIP
    if front.all():
        yield _projected(points), faces, np.arange(len(faces))
        return
    count = front[faces].sum(axis=1)
    crossing = np.flatnonzero((count == 1) | (count == 2))
    pieces, source = _clipped(points[faces[crossing]])
    cut = pieces.reshape(-1, 3)
    yield _projected(cut), np.arange(len(cut)).reshape(-1, 3), crossing[source]
    whole = np.flatnonzero(count == 3)
    yield _projected(np.where(front[:, None], points, 1.0)), faces[whole], whole


def _projected(points: Floats) -> Floats:
    """(N, 3) points (x * z, y * z, z) to (x, y, 1 / z)."""
    inverse = 1 / points[:, 2:]
    return np.concatenate([points[:, :2] * inverse, inverse], axis=1)


def _clipped(triangles: Floats) -> tuple[Floats, Ints]:
    """Clip (N, 3, 3) triangles that cross the near plane: the pieces in front of it, and the triangle of each."""
    front = triangles[..., 2] >= NEAR_CLIP
    single = front.sum(axis=1) == 1
    lone = np.argmax(front == single[:, None], axis=1)  # the corner that is alone on its side
    a, b, c = (triangles[np.arange(len(lone)), (lone + i) % 3] for i in range(3))

    def crossing(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        fraction = (NEAR_CLIP - p[:, 2:]) / (q[:, 2:] - p[:, 2:])
        return p + fraction * (q - p)

    ab, ac = crossing(a, b), crossing(a, c)
    tips = np.stack([a, ab, ac], axis=1)[single]
    rests = [np.stack(corners, axis=1)[~single] for corners in ((ab, b, c), (ab, c, ac))]
    ones, twos = np.flatnonzero(single), np.flatnonzero(~single)
    return np.concatenate([tips, *rests]), np.concatenate([ones, twos, twos])


def _scan(points: Floats, faces: Ints, shape: tuple[int, int]) -> Iterator[Fragments]:
    """Scan-convert triangles whose (V, 3) points are (x, y, inverse depth), in batches.

    A sample on an edge that two triangles share belongs to exactly one of them: the intersection of edge and row is
    computed from its ends in the same order for both, and a span includes its left end only.
    """
    size = np.ones(len(faces), dtype=np.int64)
    for axis in (0, 1):  # columns, then rows
        # Of each point, the first sample that is not before it.
        after = np.clip(np.ceil(points[:, axis]), 0, shape[1 - axis]).astype(np.int32)
        a, b, c = (after[faces[:, corner]] for corner in range(3))
        first, end = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)
        size *= end - first
    kept = np.flatnonzero(size)  # small triangles mostly lie between the samples
    batch = np.cumsum(size[kept]) // BATCH
    for chosen in np.split(kept, np.flatnonzero(np.diff(batch)) + 1):
        where, inverse_depth, triangle = _scan_batch(points[faces[chosen]], first[chosen], end[chosen], shape)
        yield Fragments(where, inverse_depth, chosen[triangle])


def _scan_batch(
    triangles: Floats, first_row: Ints, end_row: Ints, shape: tuple[int, int]
) -> tuple[Ints, Floats, Ints]:
    """Fragments of (N, 3, 3) triangles on their rows; the third array is the triangle's number."""
    of_triangle, row = expand(first_row, end_row)
    order = np.argsort(triangles[..., 1], axis=1)
    top, middle, bottom = np.moveaxis(np.take_along_axis(triangles, order[..., None], axis=1)[of_triangle], 1, 0)
    upper = (row < middle[:, 1])[:, None]
    long_side = _cut(top, bottom, row)
    short_side = _cut(np.where(upper, top, middle), np.where(upper, middle, bottom), row)
    swap = long_side[:, :1] > short_side[:, :1]
    left, right = np.where(swap, short_side, long_side), np.where(swap, long_side, short_side)
    columns = np.clip(np.ceil(np.stack([left[:, 0], right[:, 0]])), 0, shape[1]).astype(np.int64)
    of_span, column = expand(*columns)
    left, right = left[of_span], right[of_span]
    fraction = (column - left[:, 0]) / (right[:, 0] - left[:, 0])
    inverse_depth = left[:, 1] + fraction * (right[:, 1] - left[:, 1])
    return row[of_span] * shape[1] + column, inverse_depth, of_triangle[of_span]


def _cut(upper: np.ndarray, lower: np.ndarray, row: np.ndarray) -> np.ndarray:
    """(N, 2) x and inverse depth at which edges cross rows."""
    fraction = ((row - upper[:, 1]) / (lower[:, 1] - upper[:, 1]))[:, None]
    return upper[:, ::2] + fraction * (lower[:, ::2] - upper[:, ::2])


def expand(first: Ints, end: Ints) -> tuple[Ints, Ints]:
    """All integers in the intervals [first, end), preceded by the number of each one's interval."""
    count = np.maximum(end - first, 0)
    source = np.repeat(np.arange(len(count)), count)
    starts = np.cumsum(count) - count
    return source, np.arange(len(source)) - starts[source] + first[source]
