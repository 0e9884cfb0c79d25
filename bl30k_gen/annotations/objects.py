"""Annotations of whole objects: amodal masks, occlusion order, boxes, poses; and of the camera. O objects."""

import itertools

import numpy as np

from bl30k_gen.annotations.view import View
from bl30k_gen.dataset.derived import Boxes, Cameras, OcclusionOrder, Poses
from bl30k_gen.scene.geometry import BACKDROP, Bools, Floats, Geometry
from bl30k_gen.scene.raster import Layer, in_front


def amodal(view: View) -> Bools:
    """(O, H, W) the mask that each object would have if it were alone in the scene."""
    return np.array([np.isfinite(layer.depth) for layer in _objects(view)], bool).reshape(-1, *view.shape)


def order(view: View) -> OcclusionOrder:
    """Which object occludes which, and the visible fraction of each."""
    objects, masks = _objects(view), amodal(view)
    overlap = masks.sum(axis=0) > 1
    depth = [layer.depth[overlap] for layer in objects]
    in_front = np.zeros((len(objects),) * 2, np.int32)
    for one, other in itertools.permutations(range(len(objects)), 2):
        in_front[one, other] = np.count_nonzero((depth[one] < depth[other]) & np.isfinite(depth[other]))
    counts = np.bincount(view.surface.ids.ravel(), minlength=256)
    visible = counts[[layer.body.id for layer in objects]].astype(np.int32)
    area = masks.sum(axis=(1, 2)).astype(np.int32)
    with np.errstate(invalid="ignore"):
        fraction = (visible / np.where(area, area, np.nan)).astype(np.float32)
    return OcclusionOrder(in_front, visible, area, fraction)


def boxes(view: View) -> Boxes:
    """Boxes around objects, in the image and in the world."""
    geometry, frame = view.geometry, view.frame
    objects = _objects(view)
    visible = np.full((len(objects), 4), np.nan, np.float32)
    whole, corners = visible.copy(), np.empty((len(objects), 8, 3), np.float32)
    for number, layer in enumerate(objects):
        body = layer.body
        rows, columns = (np.flatnonzero((view.surface.ids == body.id).any(axis=axis)) for axis in (1, 0))
        if len(rows):
            visible[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        vertices = geometry.vertices(body, frame)
        whole[number] = _projected_box(view, layer)
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        own = np.array(list(itertools.product(*zip(low, high, strict=True))), np.float64)
        pose = body.poses[frame]
        corners[number] = own @ pose[:3, :3].T + pose[:3, 3]
    return Boxes(visible, whole, corners)


def cameras(geometry: Geometry) -> Cameras:
    """The camera's matrices on every frame."""
    return Cameras(geometry.intrinsics, geometry.extrinsics, geometry.camera_poses)


def poses(geometry: Geometry) -> Poses:
    """The objects' matrices on every frame."""
    bodies = [body for body in geometry.bodies if body.id != BACKDROP]
    to_world = np.moveaxis(np.array([body.poses for body in bodies]).reshape(-1, geometry.frames, 4, 4), 0, 1)
    to_camera = geometry.extrinsics[:, None] @ to_world
    scale = np.linalg.norm(to_world[..., :3, :3], axis=-2)
    rotation = to_camera[..., :3, :3] / scale[..., None, :]
    ids = np.array([body.id for body in bodies], np.uint8)
    return Poses(ids, to_world, to_camera, rotation, to_camera[..., :3, 3], scale)


def _objects(view: View) -> list[Layer]:
    return [layer for layer in view.layers if layer.body.id != BACKDROP]


def _projected_box(view: View, layer: Layer) -> Floats:
    """(4,) left, top, right, bottom of a body's projection; NaN if the whole body is behind the camera."""
    geometry, body = view.geometry, layer.body
    projection = geometry.intrinsics @ geometry.to_camera(body, view.frame)[:3]
    points = geometry.vertices(body, view.frame) @ projection[:, :3].T + projection[:, 3]
    flat = np.concatenate([places[faces.ravel(), :2] for places, faces, _ in in_front(points, body.faces)])
    return np.concatenate([flat.min(axis=0), flat.max(axis=0)]) if len(flat) else np.full(4, np.nan)
