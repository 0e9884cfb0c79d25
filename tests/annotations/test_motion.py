"""Flow, scene flow and tracks against vertices that are followed by themselves, and every triangle."""

import numpy as np
import pytest

from bl30k_gen.annotations import motion, tracks
from bl30k_gen.annotations.view import Points, project
from bl30k_gen.errors import UserError
from bl30k_gen.scene.deformation import deform, time_of
from bl30k_gen.scene.rays import cast
from bl30k_gen.scene.trajectory import extrinsics, intrinsics, object_poses

from .conftest import DEFORM, SHAKE

STILL = ((0.0, 0.0, 0.0),) * 2
EXTRAS = pytest.mark.parametrize("extras", [(), (DEFORM, SHAKE)], ids=["rigid", "deformed, shaken"])


def followed(video, number, frame):
    """Pixel positions and depths of an object's vertices, from its curves alone."""
    spec = video.spec
    thing, body = spec.objects[number], video.geometry.bodies[number + 1]
    vertices = body.rest
    if thing.deformation is not None:
        vertices = deform(vertices, thing.deformation, time_of(frame, spec.video.frames))
    pose = object_poses(thing, spec.video.frames, spec.static)[frame]
    view = extrinsics(spec.camera, spec.video.frames, spec.static)[frame] @ pose
    points = np.c_[vertices.astype(np.float64), np.ones(len(vertices))] @ view.T
    flat = points[:, :3] @ intrinsics(spec.camera.field_of_view, spec.video.width, spec.video.height).T
    return flat[:, :2] / flat[:, 2:], points[:, 2]


def test_a_cube_that_moves_and_one_that_comes_nearer(cubes):
    aside = motion.flow(cubes(((0.0, 0.0, 0.0), (1.0, 0.0, -0.5))).view(0))  # half of it by the next frame
    np.testing.assert_allclose(aside.flow[32, 48], np.array([0.5, 0.25]) * 48 / 5.5, rtol=1e-5)
    assert abs(aside.flow[0, 0]).max() < 1e-9 and aside.valid.all()
    nearer = motion.flow(cubes(((0.0, 0.0, 0.0), (0.0, -4.0, 0.0))).view(0))
    right_of_the_middle = nearer.flow[32, 50] / [2.5, 0.5]
    np.testing.assert_allclose(right_of_the_middle, 5.5 / 3.5 - 1, rtol=1e-5)


def test_scene_flow_in_both_axes(cubes, sampled):
    view = cubes(((0.0, 0.0, 0.0), (1.0, -2.0, 0.5))).view(0)
    for axes, expected in (("camera", (0.5, -0.25, -1.0)), ("world", (0.5, -1.0, 0.25))):
        found = motion.scene_flow(view, 1, axes).scene_flow
        np.testing.assert_allclose(found[32, 48], expected, atol=1e-6)
        np.testing.assert_allclose(found[0, 0], 0, atol=1e-6)
    view = sampled(1, SHAKE).view(2)
    backdrop = view.surface.ids == 0
    assert abs(motion.scene_flow(view, 1, "world").scene_flow[backdrop]).max() == 0
    assert abs(motion.scene_flow(view).scene_flow[backdrop]).max() > 0, "the camera moves"


@EXTRAS
@pytest.mark.parametrize("index", [1, 4])
def test_vertices_are_where_their_tracks_are(sampled, extras, index):
    video = sampled(index, *extras)
    geometry, frame, checked = video.geometry, 2, 0
    for number, body in enumerate(geometry.bodies[1:]):
        places, depth = followed(video, number, frame)
        within = np.flatnonzero((places > 0).all(axis=1) & (places < [geometry.width, geometry.height]).all(axis=1))
        met = cast(geometry, frame, places[within])
        seen = within[(met.ids == body.id) & (abs(met.depth - depth[within]) < 1e-6)][:60]
        if not len(seen):
            continue
        found = tracks.tracks(video, np.c_[np.full(len(seen), frame), places[seen]])
        assert (found.ids == body.id).all() and found.visible[:, frame].all()
        np.testing.assert_allclose(found.places[:, frame], found.queries[:, 1:], atol=1e-3)
        for other in range(geometry.frames):
            expected, far = followed(video, number, other)
            good = far[seen] > 0.5
            np.testing.assert_allclose(found.places[good, other], expected[seen][good], atol=5e-3)
            np.testing.assert_allclose(found.depth[:, other], far[seen], atol=1e-4)
        checked += len(seen)
    assert checked > 40


@EXTRAS
@pytest.mark.parametrize("offset", [1, -1, 3])
def test_flow_there_and_back_ends_at_the_start(sampled, extras, offset):
    video = sampled(2, *extras)
    geometry, view = video.geometry, video.view(2 if offset > 0 else 4)
    flow, valid, occluded = motion.flow(view, offset)
    start = np.moveaxis(np.indices(view.shape)[::-1], 0, -1) + 0.5
    shown = valid & ~occluded
    arrived = start[shown] + flow[shown]
    met = cast(geometry, view.frame + offset, arrived.astype(np.float64))
    same = met.ids == view.surface.ids[shown]
    assert same.mean() > 0.9995, "what is not occluded is what is met there, but for rounding at an edge"
    back = project(geometry, Points.of(geometry, met).in_camera(view.frame))
    error = np.linalg.norm(back - start[shown][met.seen], axis=1)
    assert np.percentile(error, 99) < 0.01 and np.median(error) < 1e-4


@EXTRAS
def test_occlusion_is_that_of_every_triangle(sampled, first_hit, extras):
    video = sampled(1, *extras)
    geometry, view = video.geometry, video.view(1)
    flow, valid, occluded = motion.flow(view, 4)
    moved = Points.of(geometry, view.surface).in_camera(5)
    places = project(geometry, moved)
    within = (places >= 0).all(axis=1) & (places < [geometry.width, geometry.height]).all(axis=1)
    hidden = occluded[view.surface.seen]
    assert hidden[~within & (moved[:, 2] > 0.1)].all()
    draw = np.random.default_rng(0)
    some = np.concatenate([draw.permutation(np.flatnonzero(within & flag))[:200] for flag in (hidden, ~hidden)])
    expected = first_hit(video, 5, places[some]) < moved[some, 2] * (1 - 1e-6)
    assert expected.any() and not expected.all()
    assert np.array_equal(hidden[some], expected)


def test_passing_objects_hide_tracks_and_static_ones_do_not_flicker(cubes):
    passing = ((-4.0, -3.0, 0.0), (4.0, -3.0, 0.0))
    video = cubes(STILL, passing, frames=41)
    seen = tracks.tracks(video, [[0, 48.2, 32.7], [0, 5.5, 5.5]]).visible
    toggles = np.count_nonzero(np.diff(seen.astype(int), axis=1), axis=1)
    assert seen[0, 0] and seen[0, -1] and not seen[0, 20] and toggles[0] == 2
    assert seen[1].all()
    still = cubes(STILL, ((0.45, -2.0, 0.1),) * 2, frames=9)
    surface = still.view(0).surface
    rows, columns = np.nonzero(surface.seen)
    found = tracks.tracks(still, np.c_[np.zeros(len(rows)), columns + 0.5, rows + 0.5])
    assert found.visible.all(), "nothing moves: what is seen once is seen always"


def test_flow_behind_the_camera_is_invalid(cubes):
    video = cubes(((0.0, -3.0, 0.0), (0.0, -9.0, 0.0)))  # passes through the camera
    flow, valid, occluded = motion.flow(video.view(0), 2)
    cube = video.view(0).surface.ids == 1
    assert not valid[cube].any() and np.isnan(flow[cube]).all() and not occluded[cube].any() and valid[~cube].all()
    found = tracks.tracks(video, [[0, 48.5, 32.5]])
    assert np.isnan(found.places[0, 2]).all() and not found.visible[0, 2] and found.depth[0, 2] < 0


def test_the_points_of_a_video_are_its_own(sampled):
    video = sampled(1)
    one, again = tracks.tracks(video), tracks.tracks(sampled(1))
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, again, strict=True))
    assert len(one.queries) == tracks.QUERIES
    number, frame = np.arange(len(one.queries)), one.queries[:, 0].astype(int)
    assert one.visible[number, frame].all()
    np.testing.assert_allclose(one.places[number, frame], one.queries[:, 1:], atol=1e-3)
    assert 0 < (one.ids == 0).mean() < 0.5 and set(one.ids) > {0}


@pytest.mark.parametrize(
    ("query", "problem"),
    [((0, 96.5, 3), "where no surface is"), ((0, -1, 3), "where no surface is"), ((7, 3, 3), "no frame 7")],
)
def test_a_query_that_hits_nothing_is_an_error(cubes, query, problem):
    with pytest.raises(UserError, match=problem):
        tracks.tracks(cubes(STILL), [query])


def test_flow_beyond_the_video_is_an_error(cubes):
    with pytest.raises(UserError, match=r"frame 2 of \w+ has none \+1"):
        motion.flow(cubes(STILL).view(2))
