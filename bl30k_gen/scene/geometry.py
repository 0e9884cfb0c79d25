"""The surfaces of a video and where they are on each frame: pure NumPy, the ground that the rasteriser stands on."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bl30k_gen.library.asset import Model
from bl30k_gen.scene.deformation import deform, refined, time_of
from bl30k_gen.scene.spec import BackdropSpec, Deformation, SceneSpec
from bl30k_gen.scene.trajectory import camera_poses, intrinsics, object_poses, to_opencv

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

BACKDROP = 0  # its id: that of everything that is no object


@dataclass(frozen=True, eq=False)
class Body:
    """One surface of a scene: the backdrop or an object.

    Faces are numbered through all parts of its model, in their order; those of an object that changes its shape are
    the faces of ``deformation.refined(model)``.
    """

    id: int
    rest: npt.NDArray[np.floating]  # (V, 3) vertices in its own coordinates, before any deformation
    faces: Ints  # (F, 3)
    poses: Floats  # (frames, 4, 4) from its coordinates to the world, scale included
    deformation: Deformation | None


class Geometry:
    """All surfaces of a video and its camera.

    Args:
        models: every model of ``spec`` by the id of its asset.
    """

    def __init__(self, spec: SceneSpec, models: Mapping[str, Model]):
        video, camera = spec.video, spec.camera
        self.spec = spec
        self.frames, self.height, self.width = video.frames, video.height, video.width
        self.intrinsics = intrinsics(camera.field_of_view, video.width, video.height)
        self.camera_poses = camera_poses(camera, video.frames, spec.static)  # Blender's camera to the world
        self.extrinsics = to_opencv(self.camera_poses)  # the world to OpenCV's camera
        self.bodies = tuple(_bodies(spec, models))
        self._by_id = {body.id: body for body in self.bodies}
        soft = sum(body.deformation is not None for body in self.bodies)
        self._deformed = lru_cache(maxsize=3 * soft)(self._deform)  # the frame in hand and its two neighbours

    def body(self, id: int) -> Body:
        """Raises KeyError where the scene has no object of that id."""
        return self._by_id[id]

    def vertices(self, body: Body, frame: int) -> npt.NDArray[np.floating]:
        """(V, 3) vertices in the body's own coordinates as they are on a frame."""
        return body.rest if body.deformation is None else self._deformed(body.id, frame)

    def to_camera(self, body: Body, frame: int) -> Floats:
        """(4, 4) from a body's own coordinates to those of OpenCV's camera (x right, y down, z forward), metres."""
        return self.extrinsics[frame] @ body.poses[frame]

    def _deform(self, id: int, frame: int) -> npt.NDArray[np.float32]:
        body = self.body(id)
        assert body.deformation is not None
        return deform(body.rest, body.deformation, time_of(frame, self.frames))


def _bodies(spec: SceneSpec, models: Mapping[str, Model]) -> Iterator[Body]:
    yield _backdrop(spec.backdrop, spec.video.frames)
    for thing in spec.objects:
        model = models[thing.model.id]
        if thing.deformation is not None:
            model = refined(model)
        faces = np.concatenate([part.faces for part in model.parts])
        poses = object_poses(thing, spec.video.frames, spec.static)
        yield Body(thing.id, model.vertices, faces, poses, thing.deformation)


def _backdrop(backdrop: BackdropSpec, frames: int) -> Body:
    """A unit square in the plane y = 0 of its own coordinates."""
    corners = np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]])
    pose = np.diag([backdrop.width, 1.0, backdrop.height, 1.0])
    pose[:3, 3] = backdrop.centre
    return Body(BACKDROP, corners, np.array([[0, 1, 2], [0, 2, 3]]), np.tile(pose, (frames, 1, 1)), None)
