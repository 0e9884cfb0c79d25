"""Amodal masks, order, boxes, poses and cameras of scenes of which they are known."""

import numpy as np

from bl30k_gen.annotations import dense, objects
from bl30k_gen.annotations.view import project
from bl30k_gen.scene.trajectory import camera_poses

from .conftest import DEFORM, SHAKE

STILL = ((0.0, 0.0, 0.0),) * 2


def test_the_nearer_cube_hides_a_part_of_the_other(cubes):
    view = cubes(STILL, ((0.5, -3.0, 0.0),) * 2).view(0)  # ids 1 and 3; the second is nearer, to the right
    masks, order = objects.amodal(view), objects.order(view)
    ids = view.surface.ids
    assert np.array_equal(masks[1], ids == 3) and (masks[0] & ~(ids == 1) & ~(ids == 3)).sum() == 0
    hidden = np.count_nonzero(masks[0] & (ids == 3))
    assert order.in_front.tolist() == [[0, 0], [hidden, 0]] and hidden > 0
    assert order.visible.tolist() == [np.count_nonzero(ids == 1), np.count_nonzero(ids == 3)]
    assert order.amodal.tolist() == masks.sum(axis=(1, 2)).tolist()
    np.testing.assert_allclose(order.visible_fraction, order.visible / order.amodal)


def test_amodal_masks_are_those_of_objects_alone(sampled):
    view = sampled(1, DEFORM, SHAKE).view(3)
    masks = objects.amodal(view)
    for mask, thing in zip(masks, view.geometry.spec.objects, strict=True):
        assert mask[view.surface.ids == thing.id].all()
        alone = [layer for layer in view.layers if layer.body.id == thing.id]
        assert np.array_equal(mask, np.isfinite(alone[0].depth))


def test_an_object_outside_the_image(cubes):
    view = cubes(STILL, ((30.0, 0.0, 0.0),) * 2, ((0.0, -9.0, 0.0),) * 2).view(0)  # far to the right; behind
    order, boxes = objects.order(view), objects.boxes(view)
    assert order.amodal.tolist()[1:] == [0, 0] and np.isnan(order.visible_fraction).tolist() == [False, True, True]
    assert np.isnan(boxes.visible).all(axis=1).tolist() == [False, True, True]
    assert boxes.amodal[1, 0] > view.geometry.width and np.isnan(boxes.amodal[2]).all()


def test_boxes_of_a_cube(cubes):
    boxes = objects.boxes(cubes(STILL).view(0))
    side = 48 / 5.5
    np.testing.assert_allclose(
        boxes.amodal[0], [48 - side / 2, 32 - side / 2, 48 + side / 2, 32 + side / 2], rtol=1e-6
    )
    assert abs(boxes.visible[0] - boxes.amodal[0]).max() <= 0.5 + 1e-6
    assert {tuple(corner) for corner in boxes.corners[0].round(5)} == {
        (x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)
    }
    np.testing.assert_allclose(
        boxes.corners[0, [0, 1, 4]], [[-0.5] * 3, [-0.5, -0.5, 0.5], [0.5, -0.5, -0.5]], atol=1e-6
    )


def test_boxes_contain_all_visible_pixels(sampled):
    view = sampled(2, DEFORM).view(1)
    geometry, boxes = view.geometry, objects.boxes(view)
    for number, body in enumerate(geometry.bodies[1:]):
        rows, columns = np.nonzero(view.surface.ids == body.id)
        if len(rows):
            assert boxes.visible[number].tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert (columns + 0.5 >= boxes.amodal[number, 0]).all() and (rows + 0.5 <= boxes.amodal[number, 3]).all()
        corners = np.c_[boxes.corners[number], np.ones(8)] @ geometry.extrinsics[1].T
        places = project(geometry, corners[:, :3])
        assert (places.min(axis=0) <= boxes.amodal[number, :2] + 1e-3).all()
        assert (places.max(axis=0) >= boxes.amodal[number, 2:] - 1e-3).all()


def test_poses_and_cameras_lead_from_coordinates_to_pixels(sampled):
    video = sampled(1, SHAKE)
    poses, cameras, view = objects.poses(video.geometry), objects.cameras(video.geometry), video.view(4)
    coordinates, depth = dense.object_coordinates(view), dense.depth(view)
    for number, id in enumerate(poses.ids):
        here = view.surface.ids == id
        own = coordinates[here] * poses.scale[4, number]
        in_camera = own @ poses.rotation[4, number].T + poses.translation[4, number]
        np.testing.assert_allclose(in_camera[:, 2], depth[here], atol=1e-5)
        flat = in_camera @ cameras.intrinsics.T
        rows, columns = np.nonzero(here)
        np.testing.assert_allclose(flat[:, :2] / flat[:, 2:], np.c_[columns + 0.5, rows + 0.5], atol=2e-3)
        world = np.c_[coordinates[here], np.ones(here.sum())] @ poses.to_world[4, number].T
        np.testing.assert_allclose((world @ cameras.extrinsics[4].T)[:, :3], in_camera, atol=1e-5)
    np.testing.assert_allclose(
        poses.rotation @ np.swapaxes(poses.rotation, -1, -2), np.eye(3) + 0 * poses.rotation, atol=1e-9
    )
    assert np.linalg.det(poses.rotation).min() > 0.999
    assert np.array_equal(cameras.blender, camera_poses(video.spec.camera, 6, video.spec.static))
