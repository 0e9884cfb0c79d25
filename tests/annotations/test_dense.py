"""Depth, normals and coordinates against geometry that is known, and against every triangle."""

import numpy as np
import pytest

from bl30k_gen.annotations import dense
from bl30k_gen.annotations.view import Points, project
from bl30k_gen.errors import UserError
from bl30k_gen.scene.assets import load_models
from bl30k_gen.scene.raster import predict
from bl30k_gen.scene.rays import cast

from .conftest import DEFORM, SHAKE

STILL = ((0.0, 0.0, 0.0),) * 2


def centres(video):
    geometry = video.geometry
    rows, columns = np.indices((geometry.height, geometry.width))
    return np.stack([columns + 0.5, rows + 0.5], axis=-1)


def test_depth_is_planar_and_distance_is_along_the_ray(cubes):
    video = cubes(STILL)
    view, rays = video.view(0), (centres(video) - [48, 32]) / 48  # a focal length of 48 pixels
    depth = dense.depth(view)
    assert depth[32, 48] == np.float32(5.5) and depth[0, 0] == np.float32(18.0)
    assert set(np.unique(depth)) == {np.float32(5.5), np.float32(18.0)}, "no side face of a cube in front is seen"
    expected = depth * np.sqrt((rays**2).sum(axis=-1) + 1)
    np.testing.assert_allclose(dense.distance(view), expected, rtol=1e-6)
    assert dense.distance(view)[0, 0] > 18.5


def test_normals_face_the_camera(cubes):
    view = cubes(((2.0, 0.0, 0.0),) * 2).view(0)  # to the right: its left side is seen, too
    cube, backdrop = view.surface.ids == 1, view.surface.ids == 0
    of_camera, of_world = dense.normals(view), dense.normals(view, "world")
    assert np.allclose(of_camera[backdrop], [0, 0, -1]) and np.allclose(of_world[backdrop], [0, -1, 0])
    assert {tuple(n) for n in of_camera[cube].round(6) + 0.0} == {(0, 0, -1), (-1, 0, 0)}
    assert {tuple(n) for n in of_world[cube].round(6) + 0.0} == {(0, -1, 0), (-1, 0, 0)}


def test_up_is_up(cubes):
    view = cubes(((0.0, 0.0, 2.0),) * 2).view(0)  # above the camera: its bottom is seen
    cube = view.surface.ids == 1
    rows, _ = np.nonzero(cube)
    assert rows.max() < 32
    assert (0, 1, 0) in {tuple(n) for n in dense.normals(view)[cube].round(6) + 0.0}, "y points down in the camera"
    assert (0, 0, -1) in {tuple(n) for n in dense.normals(view, "world")[cube].round(6) + 0.0}


@pytest.mark.parametrize("extras", [(), (DEFORM, SHAKE)], ids=["rigid", "deformed, shaken"])
def test_maps_agree_with_every_triangle(sampled, first_hit, extras):
    video = sampled(1, *extras)
    surface = video.view(3).surface
    draw = np.random.default_rng(0)
    pixels = draw.permutation(surface.ids.size)[:600]
    depth = first_hit(video, 3, centres(video).reshape(-1, 2)[pixels])
    assert np.isclose(surface.depth.ravel()[pixels], depth, rtol=1e-9).mean() > 0.998
    assert len(np.unique(surface.ids.ravel()[pixels])) > 2


@pytest.mark.parametrize("extras", [(), (DEFORM, SHAKE)], ids=["rigid", "deformed, shaken"])
def test_the_surface_is_that_of_the_masks_and_of_rays(sampled, extras):
    video = sampled(2, *extras)
    for frame in (0, 5):
        surface = video.view(frame).surface
        assert np.array_equal(surface.ids, predict(video.spec, load_models(video.spec), frame))
        met = cast(video.geometry, frame, centres(video).reshape(-1, 2))
        same = met.ids == surface.ids.ravel()
        assert same.mean() > 0.9999
        np.testing.assert_allclose(met.depth[same], surface.depth.ravel()[same], rtol=1e-9)
        weights = surface.barycentrics
        assert (weights >= 0).all() and np.allclose(weights.sum(axis=-1), 1)


@pytest.mark.parametrize("deform", [(), (DEFORM,)], ids=["rigid", "deformed"])
def test_coordinates_lead_back_to_the_depth(sampled, deform):
    """The point on the rest model, deformed and posed, is seen at the pixel's centre at its depth."""
    video = sampled(3, *deform)
    geometry, view = video.geometry, video.view(4)
    points = Points.of(geometry, view.surface)
    in_camera = points.in_camera(4)
    np.testing.assert_allclose(project(geometry, in_camera), centres(video)[view.surface.seen], atol=1e-6)
    np.testing.assert_allclose(in_camera[:, 2], view.surface.depth[view.surface.seen], rtol=1e-9)
    coordinates = dense.object_coordinates(view)[view.surface.seen]
    for body in geometry.bodies:
        here = points.ids == body.id
        span = np.ptp(body.rest, axis=0) / 2 + 1e-6
        assert (abs(coordinates[here]) <= span).all(), "on the rest model, whatever its shape is now"
        if body.deformation is None:
            pose = geometry.extrinsics[4] @ body.poses[4]
            np.testing.assert_allclose(coordinates[here] @ pose[:3, :3].T + pose[:3, 3], in_camera[here], atol=2e-5)


def test_pixels_without_a_surface_are_nan(cubes):
    view = cubes(STILL, width=1.0, height=1.0).view(0)
    nothing = ~view.surface.seen
    assert nothing.mean() > 0.5 and (view.surface.ids[nothing] == 0).all()
    for array in (dense.depth(view), dense.distance(view), dense.normals(view), dense.object_coordinates(view)):
        assert np.array_equal(np.isnan(array.reshape(*nothing.shape, -1)).all(axis=-1), nothing)


def test_clipped_faces_have_the_right_depth(cubes):
    view = cubes(((0.0, -6.0, -0.52),) * 2).view(0)  # the camera is just above its upper face
    depth = dense.depth(view)[view.surface.ids == 1]
    assert len(depth) and depth.min() >= 0.1 and depth.max() < 0.5 + 1e-6


def test_a_frame_that_does_not_exist_is_an_error(cubes):
    with pytest.raises(UserError, match="no frame 3"):
        cubes(STILL).view(3)
