"""Bounds of the objects in a frame: a few rectangles around their projected vertices, without Blender.

A triangle in front of the camera projects into the convex hull of its projected corners. Rectangles around projected
vertices therefore contain all visible pixels of the objects, at the cost of one matrix product.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bl30k_gen.scene.deformation import deform, time_of
from bl30k_gen.scene.spec import ObjectSpec, SceneSpec
from bl30k_gen.scene.trajectory import NEAR_CLIP, between, extrinsics, intrinsics, object_poses

MARGIN = 8  # pixels around the vertices: the pixel filter reaches 1 pixel far, the denoiser smears light further
RENDER_COST = 12_000  # empty pixels whose rendering takes as long as starting one more render
SHUTTER_TIMES = np.linspace(-0.5, 0.5, 5)  # times at which moving vertices are projected, in exposures


class Rectangle(NamedTuple):
    """Pixels of an image, ``right`` and ``bottom`` excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def pixels(self) -> tuple[slice, slice]:
        """Index of the pixels in an array of rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def overlaps(self, other: "Rectangle") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def around(self, other: "Rectangle") -> "Rectangle":
        """The smallest rectangle that contains both."""
        low = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(*low, max(self.right, other.right), max(self.bottom, other.bottom))


def rectangles(spec: SceneSpec, vertices: Mapping[int, np.ndarray], frame: int) -> list[Rectangle] | None:
    """Disjoint rectangles outside of which no object is visible on a frame, at any time of its exposure.

    Args:
        vertices: (V, 3) vertices of each object's model at rest, by the object's id; for a deforming object those of
            the refined model.

    Returns:
        None if an object reaches behind the backdrop, which then hides a part of it.
    """
    bounds: list[Rectangle] = []
    for thing in spec.objects:
        rectangle = _bounds(spec, thing, vertices[thing.id], frame)
        if rectangle is None:
            return None
        if rectangle.area:
            bounds.append(rectangle)
    return merged(bounds)


def merged(separate: list[Rectangle]) -> list[Rectangle]:
    """Unite rectangles that overlap, or that render faster as one, until no such pair is left."""
    for number, one in enumerate(separate):
        for other in separate[number + 1 :]:
            union = one.around(other)
            if one.overlaps(other) or union.area <= one.area + other.area + RENDER_COST:
                rest = [r for r in separate if r is not one and r is not other]
                return merged([*rest, union])
    return separate


def _bounds(spec: SceneSpec, thing: ObjectSpec, vertices: np.ndarray, frame: int) -> Rectangle | None:
    """An object's rectangle, empty if it is outside of the image; None if it reaches behind the backdrop."""
    video, camera = spec.video, spec.camera
    k = intrinsics(camera.field_of_view, video.width, video.height)
    to_camera = extrinsics(camera, video.frames, spec.static)
    poses = object_poses(thing, video.frames, spec.static)
    blur = spec.render.motion_blur
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for time in [float(frame)] if blur is None else frame + blur * SHUTTER_TIMES:
        if thing.deformation is not None:
            shape = deform(vertices, thing.deformation, time_of(time, video.frames))
        else:
            shape = vertices
        world = shape @ between(poses, time)[:3, :3].T + between(poses, time)[:3, 3]
        if world[:, 1].max() >= spec.backdrop.centre[1]:
            return None
        project = k @ between(to_camera, time)[:3]
        points = world @ project[:, :3].T + project[:, 3]
        if points[:, 2].min() < NEAR_CLIP:
            if points[:, 2].max() < NEAR_CLIP:
                continue  # the whole object is behind the camera
            return Rectangle(0, 0, video.width, video.height)
        flat = points[:, :2] / points[:, 2:]
        low, high = np.minimum(low, flat.min(axis=0)), np.maximum(high, flat.max(axis=0))
    size = np.array([video.width, video.height])
    low, high = low - MARGIN, high + MARGIN
    if (high <= 0).any() or (low >= size).any():
        return Rectangle(0, 0, 0, 0)
    # At least as large as its margins, so that the rectangle is not empty for an object just beyond the border.
    left, top = np.clip(np.floor(low), 0, size - 2 * MARGIN).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), 2 * MARGIN, size).astype(int).tolist()
    return Rectangle(left, top, right, bottom)
