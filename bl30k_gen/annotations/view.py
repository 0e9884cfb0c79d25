"""A video's geometry, one frame of it, and points that stay on their surface."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bl30k_gen.dataset.derived import other_frame
from bl30k_gen.library.asset import Model
from bl30k_gen.scene import raster
from bl30k_gen.scene.geometry import Bools, Floats, Geometry, Latest
from bl30k_gen.scene.raster import Layer, Surface
from bl30k_gen.scene.spec import SceneSpec

Scalar = TypeVar("Scalar", bound=np.generic)

_CACHED_VIEWS = 2  # a video is mostly read frame by frame
_CACHED_FRAMES = 3  # of the positions of points: this frame, and those that flow leads to


@dataclass(frozen=True, eq=False)
class View:
    """One frame, rasterised when first needed and then kept."""

    geometry: Geometry
    frame: int

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(raster.layers(self.geometry, self.frame))

    @cached_property
    def surface(self) -> Surface:
        return raster.surface(self.geometry, self.frame, iter(self.layers))

    @cached_property
    def points(self) -> "Points":
        """The visible surface points, shared by all kinds that follow them to other frames."""
        return Points.of(self.geometry, self.surface)

    @property
    def shape(self) -> tuple[int, int]:
        return self.geometry.height, self.geometry.width


class VideoGeometry:
    """A video's geometry, and views of its frames.

    Args:
        models: every model of ``spec`` by the id of its asset.

    Raises:
        UserError: as ``scene.holes.holes_of``.
    """

    def __init__(self, spec: SceneSpec, models: Mapping[str, Model]):
        self.spec = spec
        self.geometry = Geometry(spec, models)
        for body in self.geometry.bodies:
            _ = body.holes  # raises now, not at the first frame, where they are unknown
        self._views: Latest[int, View] = Latest(_CACHED_VIEWS)

    def view(self, frame: int) -> View:
        """Raises UserError where the video has no such frame."""
        other_frame(self.spec.name, self.geometry.frames, frame, 0)
        return self._views.get(frame, partial(View, self.geometry, frame))


@dataclass(frozen=True, eq=False)
class Points:
    """N surface points, which move with their surface."""

    geometry: Geometry
    ids: npt.NDArray[np.uint8]  # (N,)
    faces: npt.NDArray[np.int32]  # (N,)
    barycentrics: Floats  # (N, 3)
    _in_world: Latest[int, Floats] = field(default_factory=partial(Latest, _CACHED_FRAMES), repr=False)
    _in_camera: Latest[int, Floats] = field(default_factory=partial(Latest, _CACHED_FRAMES), repr=False)

    @classmethod
    def of(cls, geometry: Geometry, surface: Surface) -> "Points":
        """The visible points of a surface, in the order of ``surface.seen``."""
        seen = surface.seen
        return cls(geometry, surface.ids[seen], surface.faces[seen], surface.barycentrics[seen])

    def own(self, frame: int | None) -> Floats:
        """(N, 3) positions in the coordinates of each point's body, on a frame or (None) before any deformation."""
        return self._gather(frame, placed=False)

    def in_world(self, frame: int) -> Floats:
        """(N, 3) metres in Blender's axes."""
        return self._in_world.get(frame, partial(self._gather, frame, placed=True))

    def in_camera(self, frame: int) -> Floats:
        """(N, 3) metres in the axes of OpenCV's camera: x right, y down, z forward."""
        return self._in_camera.get(frame, partial(self._to_camera, frame))

    def _to_camera(self, frame: int) -> Floats:
        view = self.geometry.extrinsics[frame]
        # Not a matrix product, because NumPy's waits for threads of its own, which other work on the machine delays.
        positions = np.einsum("ij,nj->ni", view[:3, :3], self.in_world(frame)) + view[:3, 3]
        positions.flags.writeable = False  # the result is cached
        return positions

    def _gather(self, frame: int | None, placed: bool) -> Floats:
        """(N, 3) read-only positions in the world (``placed``) or the body's coordinates; see ``own``."""
        positions = np.empty((len(self.ids), 3))
        for body in self.geometry.bodies:
            here = np.flatnonzero(self.ids == body.id)
            vertices = body.rest if frame is None else self.geometry.vertices(body, frame)
            vertices = vertices.astype(np.float64)
            if placed:
                pose = body.poses[frame]
                vertices = vertices @ pose[:3, :3].T + pose[:3, 3]
            corners = vertices[body.faces[self.faces[here]]]
            positions[here] = np.einsum("ni,nij->nj", self.barycentrics[here], corners)
        positions.flags.writeable = False  # the result may be cached
        return positions


def project(geometry: Geometry, points: Floats) -> Floats:
    """Project (..., 3) points in the camera's axes to (..., 2) x, y in pixels, centres of pixels at +0.5."""
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = points[..., :2] / points[..., 2:]
    return flat * np.diag(geometry.intrinsics)[:2] + geometry.intrinsics[:2, 2]


def spread(values: npt.NDArray[Scalar], seen: Bools, otherwise: float | bool) -> npt.NDArray[Scalar]:
    """(*S, ...) array of (N, ...) values at the N elements of shape S that are ``seen``, else ``otherwise``."""
    whole = np.full((*seen.shape, *values.shape[1:]), otherwise, dtype=values.dtype)
    whole[seen] = values
    return whole
