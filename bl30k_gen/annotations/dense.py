"""Depth, normals and object coordinates of each pixel. Shapes (H, W, ...), NaN where no surface is.

All values are those at the pixel's centre.
"""

import numpy as np

from bl30k_gen.annotations.view import View, spread
from bl30k_gen.dataset.derived import Array, Axes
from bl30k_gen.scene.geometry import Body, Floats
from bl30k_gen.scene.raster import of_bodies, rays


def depth(view: View) -> Array:
    """(H, W) metres along the camera's axis (planar: a wall that faces the camera has one depth)."""
    return view.surface.depth.astype(np.float32)


def distance(view: View) -> Array:
    """(H, W) metres from the camera's centre, along each pixel's ray."""
    return (view.surface.depth * np.linalg.norm(_rays(view), axis=-1)).astype(np.float32)


def normals(view: View, axes: Axes = "camera") -> Array:
    """(H, W, 3) unit normals of the visible triangles, on the side that faces the camera.

    They are geometric normals, consistent with the depth, without smooth shading.
    """
    geometry, surface = view.geometry, view.surface
    found = np.full((*view.shape, 3), np.nan, np.float32)
    for body, here in of_bodies(geometry, surface.ids, surface.faces):
        in_camera = _facing(view, body)
        if axes == "world":
            in_camera = in_camera @ geometry.extrinsics[view.frame, :3, :3]  # the inverse of a rotation
        found[here] = in_camera[surface.faces[here]]
    return found


def object_coordinates(view: View) -> Array:
    """(H, W, 3) positions in the model's own coordinates, before deformation, scale, rotation and translation.

    These are centred on the model's bounding box, whose diagonal is 1; z up, front towards -y. The backdrop is the
    square of side 1 in the plane y = 0.
    """
    points = view.points.own(None)
    return spread(points.astype(np.float32), view.surface.seen, np.nan)


def _rays(view: View) -> Floats:
    rows, columns = np.indices(view.shape)
    return rays(view.geometry, np.stack([columns + 0.5, rows + 0.5], axis=-1))


def _facing(view: View, body: Body) -> Floats:
    """(F, 3) unit normals of a body's faces in the camera's axes, facing the camera; NaN for a face without area."""
    to_camera = view.geometry.to_camera(body, view.frame)
    vertices = view.geometry.vertices(body, view.frame) @ to_camera[:3, :3].T + to_camera[:3, 3]
    a, b, c = np.moveaxis(vertices[body.faces], 1, 0)
    normal = np.cross(b - a, c - a)
    with np.errstate(invalid="ignore", divide="ignore"):
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    normal[np.einsum("ni,ni->n", normal, a) > 0] *= -1
    return normal
