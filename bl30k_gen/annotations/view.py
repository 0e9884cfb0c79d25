"""A video's geometry, one frame of it, and points that stay on their surface."""

from collections.abc import Mapping
from dataclasses import dataclass
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

_KEPT = 2  # views; a video is mostly read frame by frame


@dataclass(frozen=True, eq=False)
class View:
    """One frame; what is drawn of it is drawn once."""

    geometry: Geometry
    frame: int

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(raster.layers(self.geometry, self.frame))

    @cached_property
    def surface(self) -> Surface:
        return raster.surface(self.geometry, self.frame, iter(self.layers))

    @property
    def shape(self) -> tuple[int, int]:
        return self.geometry.height, self.geometry.width


class VideoGeometry:
    """All that annotations of a video are made of.

    Args:
        models: every model of ``spec`` by the id of its asset.

    Raises:
        UserError: as ``scene.holes.holes_of``.
    """

    def __init__(self, spec: SceneSpec, models: Mapping[str, Model]):
        self.spec = spec
        self.geometry = Geometry(spec, models)
        for body in self.geometry.bodies:
            _ = body.holes  # which may be unknown: better said now than later
        self._views: Latest[int, View] = Latest(_KEPT)

    def view(self, frame: int) -> View:
        """Raises UserError where the video has no such frame."""
        other_frame(self.spec.name, self.geometry.frames, frame, 0)
        return self._views.get(frame, partial(View, self.geometry, frame))


@dataclass(frozen=True, eq=False)
class Points:
    """N points of surfaces, which move as their surface does."""

    geometry: Geometry
    ids: npt.NDArray[np.uint8]  # (N,)
    faces: npt.NDArray[np.int32]  # (N,)
    barycentrics: Floats  # (N, 3)

    @classmethod
    def of(cls, geometry: Geometry, surface: Surface) -> "Points":
        """Those of a surface that are seen, in the order of ``surface.seen``."""
        seen = surface.seen
        return cls(geometry, surface.ids[seen], surface.faces[seen], surface.barycentrics[seen])

    def own(self, frame: int | None) -> Floats:
        """(N, 3) in the coordinates of each point's body, on a frame or (None) before any deformation."""
        return self._gather(frame, None)

    def in_world(self, frame: int) -> Floats:
        """(N, 3) metres in Blender's axes."""
        return self._gather(frame, np.stack([body.poses[frame] for body in self.geometry.bodies]))

    def in_camera(self, frame: int) -> Floats:
        """(N, 3) metres in the axes of OpenCV's camera: x right, y down, z forward."""
        geometry = self.geometry
        return self._gather(frame, np.stack([geometry.to_camera(body, frame) for body in geometry.bodies]))

    def _gather(self, frame: int | None, poses: Floats | None) -> Floats:
        found = np.empty((len(self.ids), 3))
        for number, body in enumerate(self.geometry.bodies):
            here = np.flatnonzero(self.ids == body.id)
            vertices = body.rest if frame is None else self.geometry.vertices(body, frame)
            vertices = vertices.astype(np.float64)
            if poses is not None:
                vertices = vertices @ poses[number, :3, :3].T + poses[number, :3, 3]
            corners = vertices[body.faces[self.faces[here]]]
            found[here] = np.einsum("ni,nij->nj", self.barycentrics[here], corners)
        return found


def project(geometry: Geometry, points: Floats) -> Floats:
    """(..., 2) places x, y in pixels, centres of pixels at +0.5, of (..., 3) points in the camera."""
    with np.errstate(divide="ignore", invalid="ignore"):
        flat = points[..., :2] / points[..., 2:]
    return flat * np.diag(geometry.intrinsics)[:2] + geometry.intrinsics[:2, 2]


def spread(values: npt.NDArray[Scalar], seen: Bools, otherwise: float | bool) -> npt.NDArray[Scalar]:
    """(*S, ...) of (N, ...) values of the N places of S that are ``seen``, and ``otherwise`` at the others."""
    whole = np.full((*seen.shape, *values.shape[1:]), otherwise, dtype=values.dtype)
    whole[seen] = values
    return whole
