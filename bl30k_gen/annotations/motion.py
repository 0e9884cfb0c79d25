"""Optical flow and scene flow from one frame to any other."""

import numpy as np
import numpy.typing as npt

from bl30k_gen.annotations.view import View, project, spread
from bl30k_gen.dataset.derived import Axes, Flow, SceneFlow, other_frame
from bl30k_gen.scene.geometry import Bools, Floats, Geometry
from bl30k_gen.scene.rays import hidden, inside
from bl30k_gen.scene.trajectory import NEAR_CLIP


def flow(view: View, offset: int = 1) -> Flow:
    """The optical flow of each pixel's surface point to the frame ``offset`` frames later.

    Raises:
        UserError: the video has no such frame.
    """
    other = other_frame(view.geometry.spec.name, view.geometry.frames, view.frame, offset)
    seen = view.surface.seen
    points = view.points
    moved = points.in_camera(other)
    places = project(view.geometry, moved)
    valid = moved[:, 2] >= NEAR_CLIP
    rows, columns = np.nonzero(seen)
    motion = places - np.stack([columns + 0.5, rows + 0.5], axis=1)
    motion[~valid] = np.nan
    occluded = valid & ~visible(view.geometry, other, points.ids, moved, places)
    return Flow(
        spread(motion.astype(np.float32), seen, np.nan), spread(valid, seen, False), spread(occluded, seen, False)
    )


def scene_flow(view: View, offset: int = 1, axes: Axes = "camera") -> SceneFlow:
    """The motion in space of each pixel's surface point over ``offset`` frames, in metres.

    ``camera``: its position in the other frame's camera minus that in this frame's camera, so a static point moves
    when the camera does. ``world``: the motion of the point alone.

    Raises:
        UserError: the video has no such frame.
    """
    other = other_frame(view.geometry.spec.name, view.geometry.frames, view.frame, offset)
    points = view.points
    position = points.in_world if axes == "world" else points.in_camera
    motion = position(other) - position(view.frame)
    seen = view.surface.seen
    return SceneFlow(spread(motion.astype(np.float32), seen, np.nan), seen)


def visible(geometry: Geometry, frame: int, ids: npt.NDArray[np.uint8], points: Floats, places: Floats) -> Bools:
    """(N,) whether surface points are in the image and not occluded.

    Args:
        ids: (N,) ids of their bodies.
        points: (N, 3) positions in the camera's axes.
        places: (N, 2) their projections.
    """
    in_view = (points[:, 2] >= NEAR_CLIP) & inside(geometry, places)
    in_view[in_view] = ~hidden(geometry, frame, ids[in_view], places[in_view], points[in_view, 2])
    return in_view
