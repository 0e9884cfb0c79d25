"""Where in a frame objects can be seen at all: a few rectangles around their vertices, with no part of Blender.

A triangle lies within the convex hull of its corners, and so does its image as long as it is in front of the
camera. Rectangles around projected vertices are therefore bounds, whatever hides what, at the cost of one matrix
product.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bl30k_gen.scene.deformation import deform, time_of
from bl30k_gen.scene.spec import ObjectSpec, SceneSpec
from bl30k_gen.scene.trajectory import NEAR_CLIP, between, extrinsics, intrinsics, object_poses

MARGIN = 8  # pixels around the vertices: the pixel filter reaches 1 far, the denoiser's light smear some more
RENDER_COST = 12_000  # as many empty pixels take as long as rendering one more rectangle
SHUTTER_TIMES = np.linspace(-0.5, 0.5, 5)  # at which moving vertices are looked at, in exposures


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
        """Index into an array of rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def meets(self, other: "Rectangle") -> bool:
        across = self.left < other.right and other.left < self.right
        return across and self.top < other.bottom and other.top < self.bottom

    def around(self, other: "Rectangle") -> "Rectangle":
        """The smallest rectangle that holds both."""
        low = min(self.left, other.left), min(self.top, other.top)
        return Rectangle(*low, max(self.right, other.right), max(self.bottom, other.bottom))


def rectangles(spec: SceneSpec, vertices: Mapping[int, np.ndarray], frame: int) -> list[Rectangle] | None:
    """Disjoint rectangles outside of which no object is seen on a frame, at any time of its exposure.

    Args:
        vertices: of each object's model at rest by the object's id, (V, 3); of one that deforms, those that are
            deformed.

    Returns:
        None where an object reaches behind the backdrop, which then hides a part of it.
    """
    found: list[Rectangle] = []
    for described in spec.objects:
        bounds = _bounds(spec, described, vertices[described.id], frame)
        if bounds is None:
            return None
        if bounds.area:
            found.append(bounds)
    return merged(found)


def merged(found: list[Rectangle]) -> list[Rectangle]:
    """Unite rectangles that meet, or that take less time as one, until there are none."""
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            union = one.around(other)
            if one.meets(other) or union.area <= one.area + other.area + RENDER_COST:
                rest = [r for r in found if r is not one and r is not other]
                return merged([*rest, union])
    return found


def _bounds(spec: SceneSpec, described: ObjectSpec, vertices: np.ndarray, frame: int) -> Rectangle | None:
    """An object's rectangle, empty where it is outside of the image; None if it reaches behind the backdrop."""
    video, camera = spec.video, spec.camera
    k = intrinsics(camera.field_of_view, video.width, video.height)
    to_camera = extrinsics(camera, video.frames, spec.static)
    poses = object_poses(described, video.frames, spec.static)
    blur = spec.render.motion_blur
    low, high = np.full(2, np.inf), np.full(2, -np.inf)
    for time in [float(frame)] if blur is None else frame + blur * SHUTTER_TIMES:
        if described.deformation is not None:
            shape = deform(vertices, described.deformation, time_of(time, video.frames))
        else:
            shape = vertices
        world = shape @ between(poses, time)[:3, :3].T + between(poses, time)[:3, 3]
        if world[:, 1].max() >= spec.backdrop.centre[1]:
            return None
        project = k @ between(to_camera, time)[:3]
        points = world @ project[:, :3].T + project[:, 3]
        if points[:, 2].min() < NEAR_CLIP:
            if points[:, 2].max() < NEAR_CLIP:
                continue  # all of it is behind the camera
            return Rectangle(0, 0, video.width, video.height)
        flat = points[:, :2] / points[:, 2:]
        low, high = np.minimum(low, flat.min(axis=0)), np.maximum(high, flat.max(axis=0))
    size = np.array([video.width, video.height])
    low, high = low - MARGIN, high + MARGIN
    if (high <= 0).any() or (low >= size).any():
        return Rectangle(0, 0, 0, 0)
    # Never narrower than its margins, so that there is something to render where an object just looks in.
    left, top = np.clip(np.floor(low), 0, size - 2 * MARGIN).astype(int).tolist()
    right, bottom = np.clip(np.ceil(high), 2 * MARGIN, size).astype(int).tolist()
    return Rectangle(left, top, right, bottom)
