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

_KEPT = 2  # views; a video is mostly read frame by frame
_FRAMES = 3  # on which the places of points are kept: this one, and those that flow leads to


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

    @cached_property
    def points(self) -> "Points":
        """Those of the surfaces that are seen, which all kinds that move them share."""
        return Points.of(self.geometry, self.surface)

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
    _placed: Latest[int, Floats] = field(default_factory=partial(Latest, _FRAMES), repr=False)
    _seen: Latest[int, Floats] = field(default_factory=partial(Latest, _FRAMES), repr=False)

    @classmethod
    def of(cls, geometry: Geometry, surface: Surface) -> "Points":
        """Those of a surface that are seen, in the order of ``surface.seen``."""
        seen = surface.seen
        return cls(geometry, surface.ids[seen], surface.faces[seen], surface.barycentrics[seen])

    def own(self, frame: int | None) -> Floats:
        """(N, 3) in the coordinates of each point's body, on a frame or (None) before any deformation."""
        return self._gather(frame, placed=False)

    def in_world(self, frame: int) -> Floats:
        """(N, 3) metres in Blender's axes."""
        return self._placed.get(frame, partial(self._gather, frame, placed=True))

    def in_camera(self, frame: int) -> Floats:
        """(N, 3) metres in the axes of OpenCV's camera: x right, y down, z forward."""
        return self._seen.get(frame, partial(self._in_camera, frame))

    def _in_camera(self, frame: int) -> Floats:
        view = self.geometry.extrinsics[frame]
        # Not by a matrix product: that of NumPy waits for threads of its own, which other work on the machine delays.
        found = np.einsum("ij,nj->ni", view[:3, :3], self.in_world(frame)) + view[:3, 3]
        found.flags.writeable = False
        return found

    def _gather(self, frame: int | None, placed: bool) -> Floats:
        """What is returned may be kept and is not to be changed."""
        found = np.empty((len(self.ids), 3))
        for body in self.geometry.bodies:
            here = np.flatnonzero(self.ids == body.id)
            vertices = body.rest if frame is None else self.geometry.vertices(body, frame)
            vertices = vertices.astype(np.float64)
            if placed:
                pose = body.poses[frame]
                vertices = vertices @ pose[:3, :3].T + pose[:3, 3]
            corners = vertices[body.faces[self.faces[here]]]
            found[here] = np.einsum("ni,nij->nj", self.barycentrics[here], corners)
        found.flags.writeable = False
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
