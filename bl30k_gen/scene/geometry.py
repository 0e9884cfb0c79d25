"""The surfaces of a video and their positions on each frame, in NumPy; used by the rasteriser."""

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from bl30k_gen.library.asset import Model
from bl30k_gen.scene.deformation import deform, refined, time_of
from bl30k_gen.scene.holes import Holes, holes_of
from bl30k_gen.scene.spec import BackdropSpec, Deformation, SceneSpec
from bl30k_gen.scene.trajectory import camera_poses, intrinsics, object_poses, to_opencv

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]
Bools = npt.NDArray[np.bool_]

BACKDROP = 0  # id of the backdrop, and of pixels that show no object


@dataclass(frozen=True, eq=False)
class Body:
    """One surface of a scene: the backdrop or an object.

    Faces are numbered through all parts of its model, in their order; a deforming object has the faces of
    ``deformation.refined(model)``.
    """

    id: int
    rest: npt.NDArray[np.floating]  # (V, 3) vertices in its own coordinates, before any deformation
    faces: Ints  # (F, 3)
    poses: Floats  # (frames, 4, 4) from its coordinates to the world, scale included
    deformation: Deformation | None
    clipped: Model | None = None  # the model, if its transparent texels are holes

    @cached_property
    def holes(self) -> Holes | None:
        """Raises UserError as ``holes_of``."""
        return None if self.clipped is None else holes_of(self.clipped)


Key = TypeVar("Key")
Value = TypeVar("Value")


class Latest(Generic[Key, Value]):
    """A small LRU cache. Unlike ``lru_cache`` on a method it does not keep its owner alive.

    Args:
        limit: the largest number of results.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._results: dict[Key, Value] = {}

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The cached result for a key; it is made if missing."""
        value = self._results.pop(key) if key in self._results else make()
        self._results[key] = value  # becomes the most recent one
        while len(self._results) > self._limit:
            del self._results[next(iter(self._results))]
        return value


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
        deforming = sum(body.deformation is not None for body in self.bodies)
        cached = 3 * deforming  # on a frame and its two neighbours
        self._deformed: Latest[tuple[int, int], npt.NDArray[np.float32]] = Latest(cached)

    def without(self, id: int) -> "Geometry":
        """A copy without the body ``id``."""
        other = copy(self)
        other.bodies = tuple(body for body in self.bodies if body.id != id)
        return other

    def vertices(self, body: Body, frame: int) -> npt.NDArray[np.floating]:
        """(V, 3) vertices on a frame, in the body's own coordinates."""
        if body.deformation is None:
            return body.rest
        time = time_of(frame, self.frames)
        return self._deformed.get((body.id, frame), partial(deform, body.rest, body.deformation, time))

    def to_camera(self, body: Body, frame: int) -> Floats:
        """(4, 4) matrix from a body's coordinates to OpenCV's camera axes (x right, y down, z forward), metres."""
        return self.extrinsics[frame] @ body.poses[frame]


def _bodies(spec: SceneSpec, models: Mapping[str, Model]) -> Iterator[Body]:
    yield _backdrop(spec.backdrop, spec.video.frames)
    for thing in spec.objects:
        model = models[thing.model.id]
        if thing.deformation is not None:
            model = refined(model)
        faces = np.concatenate([part.faces for part in model.parts])
        poses = object_poses(thing, spec.video.frames, spec.static)
        own_texture = thing.texture is None  # a replaced texture has no holes
        clipped = model if spec.render.alpha == "clip" and own_texture else None
        yield Body(thing.id, model.vertices, faces, poses, thing.deformation, clipped)


def _backdrop(backdrop: BackdropSpec, frames: int) -> Body:
    """A unit square in the plane y = 0 of its own coordinates."""
    corners = np.array([[-0.5, 0, -0.5], [0.5, 0, -0.5], [0.5, 0, 0.5], [-0.5, 0, 0.5]])
    pose = np.diag([backdrop.width, 1.0, backdrop.height, 1.0])
    pose[:3, 3] = backdrop.centre
    return Body(BACKDROP, corners, np.array([[0, 1, 2], [0, 2, 3]]), np.tile(pose, (frames, 1, 1)), None)
