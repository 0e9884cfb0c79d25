"""Where each pixel's point of a surface goes: optical flow and scene flow, from one frame to any other."""

import numpy as np
import numpy.typing as npt

from bl30k_gen.annotations.view import View, project, spread
from bl30k_gen.dataset.derived import Axes, Flow, SceneFlow, other_frame
from bl30k_gen.scene.geometry import Bools, Floats, Geometry
from bl30k_gen.scene.rays import hidden, inside
from bl30k_gen.scene.trajectory import NEAR_CLIP


def flow(view: View, offset: int = 1) -> Flow:
    """Where the point of a surface that is at a pixel's centre is seen ``offset`` frames later.

    Raises:
        UserError: the video has no such frame.
    """
    other = other_frame(view.geometry.spec.name, view.geometry.frames, view.frame, offset)
    seen = view.surface.seen
    points = view.points
    moved = points.in_camera(other)
    places = project(view.geometry, moved)
    before = moved[:, 2] >= NEAR_CLIP
    rows, columns = np.nonzero(seen)
    motion = places - np.stack([columns + 0.5, rows + 0.5], axis=1)
    motion[~before] = np.nan
    occluded = before & ~visible(view.geometry, other, points.ids, moved, places)
    return Flow(
        spread(motion.astype(np.float32), seen, np.nan), spread(before, seen, False), spread(occluded, seen, False)
    )


def scene_flow(view: View, offset: int = 1, axes: Axes = "camera") -> SceneFlow:
    """By how much the point of a surface that is at a pixel's centre moves in ``offset`` frames.

    In the axes of the camera: where it is in the other frame's camera, less where it is in this one's; what stands
    still before a moving camera moves. In the axes of the world: its own motion alone.

    Raises:
        UserError: the video has no such frame.
    """
    other = other_frame(view.geometry.spec.name, view.geometry.frames, view.frame, offset)
    points = view.points
    place = points.in_world if axes == "world" else points.in_camera
    motion = place(other) - place(view.frame)
    seen = view.surface.seen
    return SceneFlow(spread(motion.astype(np.float32), seen, np.nan), seen)


def visible(geometry: Geometry, frame: int, ids: npt.NDArray[np.uint8], points: Floats, places: Floats) -> Bools:
    """Whether points of surfaces are in the image and behind no surface.

    Args:
        ids: (N,) of their bodies.
        points: (N, 3) in the camera.
        places: (N, 2) where these are seen.
    """
    shown = (points[:, 2] >= NEAR_CLIP) & inside(geometry, places)
    shown[shown] = ~hidden(geometry, frame, ids[shown], places[shown], points[shown, 2])
    return shown
