"""Where each object must be seen: a small z-buffer over a SceneSpec, with no part of Blender.

It samples as a ray tracer with one ray a pixel does: a pixel belongs to the nearest triangle that covers its
centre, seen from either side. At every pixel it is an independent check of the segmentation pass; at one in a few
it is cheap enough to check each frame of a dataset before it is published (``compare``).
"""

from collections.abc import Iterator, Mapping

import numpy as np

from bl30k_gen.config import Check
from bl30k_gen.library.asset import Model
from bl30k_gen.scene.deformation import deform, refined, time_of
from bl30k_gen.scene.spec import BackdropSpec, SceneSpec
from bl30k_gen.scene.trajectory import NEAR_CLIP, extrinsics, intrinsics, object_poses

BATCH = 1 << 22  # samples worked on at a time; bounds the memory


def predict(spec: SceneSpec, models: Mapping[str, Model], frame: int, *, step: int = 1) -> np.ndarray:
    """Object ids of one frame, at every ``step``-th pixel of every ``step``-th row.

    Transparency is not looked at: with ``render.alpha: clip`` the silhouettes are upper bounds.

    Args:
        models: every model of ``spec`` by the id of its asset.

    Returns:
        uint8 ids, 0 for the backdrop and for nothing at all; the ids of the pixels ``every(mask, step)`` of a
        full-size mask.
    """
    shape = _grid(spec, step)
    nearest = np.zeros(shape[0] * shape[1])  # inverse depths
    ids = np.zeros(shape[0] * shape[1], dtype=np.uint8)
    for number, where, inverse_depth in _drawn(spec, models, frame, step):
        np.maximum.at(nearest, where, inverse_depth)
        ids[where[inverse_depth == nearest[where]]] = number
    return ids.reshape(shape)


def visibility(
    spec: SceneSpec, models: Mapping[str, Model], frame: int, *, step: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """How much of each object is seen, and how much would be if it were there alone; samples in the picture, (O,).

    Arguments as for ``predict``.
    """
    seen = np.bincount(predict(spec, models, frame, step=step).ravel(), minlength=256)
    rows, columns = _grid(spec, step)
    backdrop = np.zeros(rows * columns)  # inverse depths
    covered = np.zeros((256, rows * columns), dtype=bool)
    for number, where, inverse_depth in _drawn(spec, models, frame, step):
        if number == 0:
            np.maximum.at(backdrop, where, inverse_depth)
        covered[number, where[inverse_depth > backdrop[where]]] = True
    ids = [thing.id for thing in spec.objects]
    return seen[ids], covered[ids].sum(axis=1)


def _grid(spec: SceneSpec, step: int) -> tuple[int, int]:
    """How many rows and columns are looked at."""
    return len(range(step // 2, spec.video.height, step)), len(range(step // 2, spec.video.width, step))


def _drawn(
    spec: SceneSpec, models: Mapping[str, Model], frame: int, step: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """The backdrop (0) and then each object by its id, as ``_fragments``."""
    video, shape = spec.video, _grid(spec, step)
    k = intrinsics(spec.camera.field_of_view, video.width, video.height)
    k[:2, 2] -= step // 2 + 0.5  # pixel centres become whole numbers
    k[:2] /= step
    to_camera = extrinsics(spec.camera, video.frames, spec.static)[frame]

    def draw(vertices: np.ndarray, faces: np.ndarray, pose: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        project = k @ (to_camera @ pose)[:3]
        yield from _fragments(vertices @ project[:, :3].T + project[:, 3], faces, shape)

    for batch in draw(*_rectangle(spec.backdrop), np.eye(4)):
        yield 0, *batch
    for thing in spec.objects:
        model = models[thing.model.id]
        vertices = model.vertices
        if thing.deformation is not None:
            model = refined(model)
            vertices = deform(model.vertices, thing.deformation, time_of(frame, video.frames))
        faces = np.concatenate([part.faces for part in model.parts])
        for batch in draw(vertices, faces, object_poses(thing, video.frames, spec.static)[frame]):
            yield thing.id, *batch


def every(mask: np.ndarray, step: int) -> np.ndarray:
    """The pixels of a full-size (H, W) mask for which ``predict`` answers."""
    return mask[step // 2 :: step, step // 2 :: step]


def silhouette(points: np.ndarray, faces: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The samples, a bool for each cell of a grid, that (F, 3) faces of flat (V, 2) points x, y cover."""
    seen = np.zeros(shape[0] * shape[1], dtype=bool)
    for where, _ in _scan(np.concatenate([points, np.ones((len(points), 1))], axis=1), faces, shape):
        seen[where] = True
    return seen.reshape(shape)


def compare(
    rendered: np.ndarray, spec: SceneSpec, models: Mapping[str, Model], frame: int, check: Check
) -> list[str]:
    """What is wrong with a rendered mask, one line an object; an empty list if nothing is.

    The picture is divided into cells, ``check.grid`` along the width, and one pixel of each is looked at. The
    prediction is made at that pixel's centre, so both masks are samples of one function at the same points: they
    can differ by rounding only, where an edge passes through a pixel's very centre. An object may be wrong in a
    share ``check.slack`` of its boundary cells (those with a neighbour on the other side of its predicted outline)
    plus ``check.floor`` cells; any more means that something else was drawn. With ``render.alpha: clip`` a surface
    may have holes, so only cells where no surface is predicted count: no object must be seen there.

    Args:
        rendered: (H, W) ids of the frame.
        models: every model of ``spec`` by the id of its asset.
    """
    video = spec.video
    if rendered.shape != (video.height, video.width):
        size = " x ".join(str(n) for n in rendered.shape[::-1])
        return [f"the mask is {size} pixels, not {video.width} x {video.height}"]
    step = max(1, video.width // check.grid)
    seen, expected = every(rendered, step), predict(spec, models, frame, step=step)
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


def _rectangle(backdrop: BackdropSpec) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and faces of the backdrop, in the world."""
    corners = np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]])
    return corners * [backdrop.width, 0, backdrop.height] + backdrop.centre, np.array([[0, 1, 2], [0, 2, 3]])


def _fragments(
    points: np.ndarray, faces: np.ndarray, shape: tuple[int, int]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Samples of a grid that lie in projected triangles, with the inverse depth of the triangle there.

    Args:
        points: (V, 3), for each vertex (x * z, y * z, z) where (x, y) is its place in the grid and z its depth.
        faces: (F, 3).
        shape: rows and columns of the grid, whose samples are at whole numbers.

    Yields:
        In batches, flat indices into the grid and inverse depths, both (N,). Indices repeat where triangles overlap.
    """
    in_front = points[:, 2] >= NEAR_CLIP
    if in_front.all():
        yield from _scan(_projected(points), faces, shape)
        return
    count = in_front[faces].sum(axis=1)
    cut = _clipped(points[faces[(count == 1) | (count == 2)]]).reshape(-1, 3)
    yield from _scan(_projected(cut), np.arange(len(cut)).reshape(-1, 3), shape)
    yield from _scan(_projected(np.where(in_front[:, None], points, 1.0)), faces[count == 3], shape)


def _projected(points: np.ndarray) -> np.ndarray:
    """(N, 3) points (x z, y z, z) to (x, y, 1/z), in which planes stay planes."""
    inverse = 1 / points[:, 2:]
    return np.concatenate([points[:, :2] * inverse, inverse], axis=1)


def _clipped(triangles: np.ndarray) -> np.ndarray:
    """The parts in front of the near plane of (N, 3, 3) triangles that cross it."""
    front = triangles[..., 2] >= NEAR_CLIP
    single = front.sum(axis=1) == 1
    lone = np.argmax(front == single[:, None], axis=1)  # the corner that is alone on its side
    a, b, c = (triangles[np.arange(len(lone)), (lone + i) % 3] for i in range(3))

    def crossing(p: np.ndarray, q: np.ndarray) -> np.ndarray:
        share = (NEAR_CLIP - p[:, 2:]) / (q[:, 2:] - p[:, 2:])
        return p + share * (q - p)

    ab, ac = crossing(a, b), crossing(a, c)
    tips = np.stack([a, ab, ac], axis=1)[single]
    rests = [np.stack(corners, axis=1)[~single] for corners in ((ab, b, c), (ab, c, ac))]
    return np.concatenate([tips, *rests])


def _scan(points: np.ndarray, faces: np.ndarray, shape: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Scan lines of triangles whose (V, 3) points are (x, y, inverse depth); yields as ``_fragments``.

    A sample on an edge that two triangles share belongs to exactly one of them: the edge is cut with the row in
    the same order of its ends for both, and a span includes its left end only.
    """
    size = np.ones(len(faces), dtype=np.int64)
    for axis in (0, 1):
        after = np.clip(np.ceil(points[:, axis]), 0, shape[1 - axis]).astype(np.int32)  # first sample not before it
        a, b, c = (after[faces[:, corner]] for corner in range(3))
        first, end = np.minimum(np.minimum(a, b), c), np.maximum(np.maximum(a, b), c)  # of the rows, in the end
        size *= end - first
    kept = np.flatnonzero(size)  # small triangles mostly lie between the samples
    batch = np.cumsum(size[kept]) // BATCH
    for chosen in np.split(kept, np.flatnonzero(np.diff(batch)) + 1):
        yield _scan_batch(points[faces[chosen]], first[chosen], end[chosen], shape)


def _scan_batch(
    triangles: np.ndarray, first_row: np.ndarray, end_row: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    of_triangle, row = _expand(first_row, end_row)
    order = np.argsort(triangles[..., 1], axis=1)
    top, middle, bottom = np.moveaxis(np.take_along_axis(triangles, order[..., None], axis=1)[of_triangle], 1, 0)
    upper = (row < middle[:, 1])[:, None]
    long_side = _cut(top, bottom, row)
    short_side = _cut(np.where(upper, top, middle), np.where(upper, middle, bottom), row)
    swap = long_side[:, :1] > short_side[:, :1]
    left, right = np.where(swap, short_side, long_side), np.where(swap, long_side, short_side)
    columns = np.clip(np.ceil(np.stack([left[:, 0], right[:, 0]])), 0, shape[1]).astype(np.int64)
    of_span, column = _expand(*columns)
    left, right = left[of_span], right[of_span]
    share = (column - left[:, 0]) / (right[:, 0] - left[:, 0])
    return row[of_span] * shape[1] + column, left[:, 1] + share * (right[:, 1] - left[:, 1])


def _cut(upper: np.ndarray, lower: np.ndarray, row: np.ndarray) -> np.ndarray:
    """x and inverse depth, (N, 2), where edges cross rows."""
    share = ((row - upper[:, 1]) / (lower[:, 1] - upper[:, 1]))[:, None]
    return upper[:, ::2] + share * (lower[:, ::2] - upper[:, ::2])


def _expand(first: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All whole numbers of the intervals [first, end), and the interval that each comes from."""
    count = np.maximum(end - first, 0)
    source = np.repeat(np.arange(len(count)), count)
    starts = np.cumsum(count) - count
    return source, np.arange(len(source)) - starts[source] + first[source]
