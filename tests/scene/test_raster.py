"""The rasteriser compared with an independent ray caster, and its results on wrong masks."""

import numpy as np
import pytest
import trimesh

from bl30k_gen.scene.raster import compare, predict, subsample, visibility
from bl30k_gen.scene.trajectory import NEAR_CLIP, camera_poses, object_poses

from .conftest import a_scene, as_model, configuration

CHECK = configuration().check
SMALL = ("video.width=192", "video.height=128")
CUBE = trimesh.creation.box()


def cast(spec, models, frame):
    """Ids by intersecting a ray through each pixel's centre with every triangle (Moeller and Trumbore)."""
    video = spec.video
    camera = camera_poses(spec.camera, video.frames, spec.static)[frame]
    half = np.tan(spec.camera.field_of_view / 2)
    u = ((np.arange(video.width) + 0.5) / video.width * 2 - 1) * half
    v = (1 - (np.arange(video.height) + 0.5) / video.height * 2) * half * video.height / video.width
    rays = np.stack([*np.meshgrid(u, v), -np.ones((video.height, video.width))], axis=-1).reshape(-1, 3)
    rays, eye = rays @ camera[:3, :3].T, camera[:3, 3]  # of depth 1, so that a hit's parameter is its depth
    nearest, ids = np.full(len(rays), np.inf), np.zeros(len(rays), np.uint8)
    for thing in spec.objects:
        model, pose = models[thing.model.id], object_poses(thing, video.frames, spec.static)[frame]
        world = model.vertices.astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]
        centre = world.mean(axis=0) - eye
        radius = np.linalg.norm(world - eye - centre, axis=1).max()
        along = rays @ centre / np.linalg.norm(rays, axis=1)
        inside = np.linalg.norm(centre) < radius
        close = np.flatnonzero(inside | (centre @ centre - along**2 <= radius**2))
        corners = world[np.concatenate([part.faces for part in model.parts])]
        a, ab, ac = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
        s = eye - a
        q = np.cross(s, ab)
        # det = ab . (ray x ac) = ray . (ac x ab), and so on: one product of matrices a term
        for rows in np.array_split(close, 1 + len(close) * len(corners) // 2_000_000):
            with np.errstate(divide="ignore", invalid="ignore"):
                inverse = 1 / (rays[rows] @ np.cross(ac, ab).T)
                first = rays[rows] @ np.cross(ac, s).T * inverse
                second = rays[rows] @ q.T * inverse
                depth = (ac * q).sum(axis=1) * inverse
                hit = (first >= 0) & (second >= 0) & (first + second <= 1) & (depth >= NEAR_CLIP)
            best = np.where(hit, depth, np.inf).min(axis=1)
            closer = best < nearest[rows]
            nearest[rows[closer]], ids[rows[closer]] = best[closer], thing.id
    return ids.reshape(video.height, video.width)


def one_cube(scale, location, *overrides):
    """A video of one static cube with unit sides, and its models."""
    spec = a_scene(0, *overrides)
    thing = spec.objects[0].model_copy(
        update={"location": (location,) * 2, "rotation": ((0, 0, 0),) * 2, "scale": ((scale * np.sqrt(3),) * 3,) * 2}
    )
    camera = spec.camera.model_copy(
        update={"location": ((0, -6, 0),) * 2, "target": ((0, 0, 0),) * 2, "field_of_view": 2 * np.arctan(0.5)}
    )
    return spec.model_copy(update={"objects": (thing,), "camera": camera}), {
        thing.model.id: as_model(CUBE.vertices, [CUBE.faces], "cube")
    }


def test_a_cube_covers_what_geometry_says():
    spec, models = one_cube(1.0, (0.0, 0.0, 0.0))
    ids = predict(spec, models, 80)
    side = 1.0 / 5.5 * 768  # front face at a depth of 5.5, focal length 768 pixels
    rows, columns = np.nonzero(ids == 1)
    assert abs(np.ptp(rows) + 1 - side) <= 1 and abs(np.ptp(columns) + 1 - side) <= 1
    assert abs(rows.mean() - 255.5) <= 0.5 and abs(columns.mean() - 383.5) <= 0.5
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)


def test_right_is_right_and_up_is_up():
    spec, models = one_cube(0.5, (1.0, 0.0, 0.5))
    rows, columns = np.nonzero(predict(spec, models, 0))
    assert columns.mean() > 384 and rows.mean() < 256


def test_the_nearer_object_wins_whatever_the_order():
    spec, models = one_cube(1.0, (0.0, 0.0, 0.0))
    near = spec.objects[0].model_copy(update={"id": 2, "location": ((0.0, -2.0, 0.0),) * 2})
    for order in ((*spec.objects, near), (near, *spec.objects)):
        ids = predict(spec.model_copy(update={"objects": order}), models, 0)
        assert set(np.unique(ids)) == {0, 2}


def test_the_backdrop_hides_objects_behind_it():
    for depth, seen in ((11.0, True), (13.0, False)):
        spec, models = one_cube(1.0, (0.0, depth, 0.0))
        assert predict(spec, models, 0).any() == seen


@pytest.mark.parametrize("location", [(0.0, -6.0, -0.52), (0.3, -5.6, 0.5), (0.0, -6.2, 0.0), (0.0, -7.0, 0.0)])
def test_faces_are_clipped_at_the_near_plane(location):
    spec, models = one_cube(1.0, location, *SMALL)
    assert np.array_equal(predict(spec, models, 0), cast(spec, models, 0))


def test_a_finely_divided_sheet_has_no_holes():
    steps = np.linspace(-0.5, 0.5, 200)
    x, z = np.meshgrid(steps, steps)
    vertices = np.stack([x, 0 * x, z], axis=-1).reshape(-1, 3)
    corner = (np.arange(199)[:, None] * 200 + np.arange(199)).ravel()
    faces = np.concatenate(
        [np.stack([corner, corner + 1, corner + 201], 1), np.stack([corner, corner + 201, corner + 200], 1)]
    )
    spec, models = one_cube(9.0, (0.1234, 0.0, 0.0))
    turned = spec.objects[0].model_copy(update={"rotation": ((0.1, 0.4, 0.2),) * 2})
    sheet = {turned.model.id: as_model(vertices, [faces], "sheet")}
    assert predict(spec.model_copy(update={"objects": (turned,)}), sheet, 0).all()


def test_a_step_picks_pixels_of_the_full_size():
    spec, models = one_cube(1.0, (0.3, -1.0, 0.2), "video.width=321", "video.height=201")
    full = predict(spec, models, 0)
    for step in (2, 3, 4, 7, 8):
        assert np.array_equal(predict(spec, models, 0, step=step), subsample(full, step))


@pytest.mark.parametrize("index", range(4))
def test_real_meshes_agree_with_a_ray_caster(real_models, index):
    light = {name: m for name, m in real_models.items() if sum(len(p.faces) for p in m.parts) < 5000}
    spec = a_scene(index, *SMALL)
    names = sorted(light)
    objects = tuple(
        thing.model_copy(update={"model": thing.model.model_copy(update={"id": names[(2 * index + k) % len(names)]})})
        for k, thing in enumerate(spec.objects)
    )
    spec = spec.model_copy(update={"objects": objects})
    for frame in (0, 130):
        ids, expected = predict(spec, light, frame), cast(spec, light, frame)
        assert np.mean(ids == expected) > 0.9999  # at the edges, too
        assert np.count_nonzero(expected) > 100


# --- Verdicts ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def videos(real_models):
    """Scenes of real meshes, and a correctly rendered frame of each."""
    specs = [a_scene(i, models=len(real_models)) for i in range(10)]
    return [(spec, 13 * i, predict(spec, real_models, 13 * i)) for i, spec in enumerate(specs)]


def test_clean_masks_raise_no_alarm_even_with_rounding_at_the_edges(videos, real_models):
    for spec, frame, mask in videos:
        noisy = mask.copy()
        edge = np.argwhere(mask[:, 1:] != mask[:, :-1])
        for row, column in edge[:: max(1, len(edge) // 10)]:  # beyond the renderers' largest difference
            noisy[row, column] = mask[row, column + 1]
        assert compare(mask, spec, real_models, frame, CHECK) == []
        assert compare(noisy, spec, real_models, frame, CHECK) == []


def test_an_object_that_is_missing_is_found(videos, real_models):
    for spec, frame, mask in videos:
        for number in np.unique(mask[mask > 0]):
            others = spec.model_copy(update={"objects": tuple(o for o in spec.objects if o.id != number)})
            found = compare(predict(others, real_models, frame), spec, real_models, frame, CHECK)
            if np.count_nonzero(mask == number) > 200:
                assert any(problem.startswith(f"object {number}:") for problem in found)


def test_exchanged_frames_are_found(videos, real_models):
    for spec, frame, mask in videos:
        later = predict(spec, real_models, frame + 10)
        assert compare(later, spec, real_models, frame, CHECK) or compare(mask, spec, real_models, frame + 10, CHECK)


def test_exchanged_and_unknown_ids_are_found(videos, real_models):
    for spec, frame, mask in videos:
        first, second = np.argsort(-np.bincount(mask.ravel(), minlength=6)[1:])[:2] + 1
        swap = np.arange(256, dtype=np.uint8)
        swap[[first, second]] = second, first
        assert len(compare(swap[mask], spec, real_models, frame, CHECK)) == 2
        swap[first] = 77
        assert "id 77 belongs to no object" in compare(swap[mask], spec, real_models, frame, CHECK)


def test_a_skipped_material_is_found(videos, real_models):
    """The renderer skips a material with a fifth of the largest object's faces."""
    for spec, frame, mask in videos:
        number = int(np.bincount(mask.ravel())[1:].argmax()) + 1
        name = spec.objects[number - 1].model.id
        whole = real_models[name]
        faces = np.concatenate([part.faces for part in whole.parts])
        order = np.argsort(whole.vertices[faces[:, 0], 2])  # its top
        kept, left_out = np.sort(order[: len(order) * 4 // 5]), np.sort(order[len(order) * 4 // 5 :])
        complete = as_model(whole.vertices, [faces[kept], faces[left_out]], name)
        lacking = as_model(whole.vertices, [faces[kept]], name)
        rendered = predict(spec, {**real_models, name: lacking}, frame)
        hidden = np.count_nonzero(rendered != predict(spec, {**real_models, name: complete}, frame))
        if hidden > 0.02 * np.count_nonzero(mask == number):  # pixels behind it do not count as missing
            assert compare(rendered, spec, {**real_models, name: complete}, frame, CHECK)


def test_a_mask_that_is_one_pixel_off_is_found(videos, real_models):
    for spec, frame, mask in videos:
        assert compare(np.roll(mask, 1, axis=1), spec, real_models, frame, CHECK)


def test_a_mask_of_another_size_is_named():
    spec, models = one_cube(1.0, (0.0, 0.0, 0.0))
    problems = compare(np.zeros((480, 854), np.uint8), spec, models, 0, CHECK)
    assert problems == ["the mask is 854 x 480 pixels, not 768 x 512"]


def test_clipped_transparency_may_only_take_away():
    spec, models = one_cube(1.0, (0.0, 0.0, 0.0), "render.alpha=clip")
    mask = predict(spec, models, 0)
    holes = mask.copy()
    holes[::2] = 0
    assert compare(holes, spec, models, 0, CHECK) == []
    assert compare(np.roll(mask, 40, axis=0), spec, models, 0, CHECK)


def test_hidden_pixels_are_those_that_are_visible_without_the_others():
    """A cube covers the left half of a larger one behind it."""
    spec, models = one_cube(1.0, (0.0, 0.0, 0.0), *SMALL)
    behind = spec.objects[0].model_copy(update={"id": 2, "location": ((0.5, 3.0, 0.0),) * 2})
    one, two = visibility(spec.model_copy(update={"objects": (spec.objects[0], behind)}), models, 0)
    assert one[0] == two[0] == np.count_nonzero(predict(spec, models, 0))
    assert two[1] == np.count_nonzero(predict(spec.model_copy(update={"objects": (behind,)}), models, 0))
    assert 0 < one[1] < 0.8 * two[1]
