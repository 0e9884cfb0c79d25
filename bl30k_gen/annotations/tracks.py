"""Points of surfaces followed through a video."""

import numpy as np
import numpy.typing as npt

from bl30k_gen.annotations.motion import visible
from bl30k_gen.annotations.view import Points, VideoGeometry, project
from bl30k_gen.dataset.derived import Tracks, other_frame
from bl30k_gen.errors import UserError
from bl30k_gen.scene.geometry import BACKDROP
from bl30k_gen.scene.raster import Surface
from bl30k_gen.scene.rays import cast
from bl30k_gen.scene.trajectory import NEAR_CLIP
from bl30k_gen.seeding import rng

QUERIES = 256  # points of a video, as in TAP-Vid
QUERY_FRAMES = 16  # frames on which points are chosen
MAX_ON_BACKDROP = 0.25  # ratio of the points: the backdrop moves with the camera alone


def tracks(video: VideoGeometry, queries: npt.ArrayLike | None = None) -> Tracks:
    """Follow the surface points that are visible at the queries.

    Args:
        queries: (N, 3) frame, x, y; x and y in pixels, centres of pixels at +0.5, anywhere in the image. None:
            those of ``choose``.

    Raises:
        UserError: a query is on no frame of the video, beyond the image, or where no surface is.
    """
    geometry = video.geometry
    chosen = choose(video) if queries is None else np.asarray(queries, np.float64).reshape(-1, 3)
    points = _surface_points(video, chosen)
    count, frames = len(chosen), geometry.frames
    places, shown = np.empty((count, frames, 2), np.float32), np.empty((count, frames), bool)
    depth, world = np.empty((count, frames), np.float32), np.empty((count, frames, 3), np.float32)
    for frame in range(frames):
        in_camera = points.in_camera(frame)
        projected = project(geometry, in_camera)
        shown[:, frame] = visible(geometry, frame, points.ids, in_camera, projected)
        projected[in_camera[:, 2] < NEAR_CLIP] = np.nan
        places[:, frame], depth[:, frame], world[:, frame] = projected, in_camera[:, 2], points.in_world(frame)
    return Tracks(chosen.astype(np.float32), points.ids, places, shown, depth, world)


def choose(video: VideoGeometry, count: int = QUERIES) -> npt.NDArray[np.float64]:
    """(count, 3) queries on surfaces of a few random frames, evenly divided between the objects visible there.

    Depends on the video alone. Frames without any surface give no queries, so there may be fewer than ``count``.
    """
    spec, geometry = video.spec, video.geometry
    draw = rng(spec.seed, "tracks", spec.index)
    queries = []
    frames = draw.permutation(geometry.frames)[:QUERY_FRAMES]
    for frame, wanted in zip(*np.unique(draw.choice(frames, size=count), return_counts=True), strict=True):
        surface = video.view(int(frame)).surface
        ids = np.unique(surface.ids[surface.seen])
        if not len(ids):
            continue
        weights = np.where(ids == BACKDROP, MAX_ON_BACKDROP if len(ids) > 1 else 1.0, 0.0)
        objects = ids != BACKDROP
        weights[objects] = (1 - weights.sum()) / max(objects.sum(), 1)
        for id in draw.choice(ids, size=wanted, p=weights / weights.sum()):
            rows, columns = np.nonzero(surface.seen & (surface.ids == id))
            pixel = draw.integers(len(rows))
            queries.append((float(frame), columns[pixel] + 0.5, rows[pixel] + 0.5))
    return np.array(queries, np.float64).reshape(-1, 3)


def _surface_points(video: VideoGeometry, queries: npt.NDArray[np.float64]) -> Points:
    """The surface points at the queries. Raises UserError where no surface is."""
    geometry = video.geometry
    size = len(queries)
    surface = Surface(np.zeros(size, np.uint8), np.zeros(size, np.int32), np.zeros((size, 3)), np.zeros(size))
    for frame in np.unique(queries[:, 0]):
        here = queries[:, 0] == frame
        met = cast(geometry, other_frame(video.spec.name, geometry.frames, int(frame), 0), queries[here, 1:])
        surface.ids[here], surface.faces[here], surface.barycentrics[here] = met.ids, met.faces, met.barycentrics
    if not surface.seen.all():
        frame, x, y = queries[np.argmin(surface.seen)]
        problem = f"a query is at ({x:g}, {y:g}) of frame {frame:g} of {video.spec.name}, where no surface is"
        raise UserError(problem, f"give places in the image of {geometry.width} x {geometry.height} pixels")
    return Points.of(geometry, surface)
