"""Rectangles that contain all visible pixels of objects."""

from itertools import combinations

import numpy as np
import pytest

from bl30k_gen.scene.deformation import refined
from bl30k_gen.scene.extent import MARGIN, RENDER_COST, Rectangle, merged, rectangles
from bl30k_gen.scene.raster import predict
from bl30k_gen.scene.sampler import sample_scene

from .conftest import FakeAsset, configuration, fake_catalogue, fake_load

DEFORM = (
    "objects.deformation={chance: 1.0, kinds: [lattice, wave, bend], cycles: [1, 2], displacement: [0.15, 0.3],"
    " amplitude: [0.04, 0.1], wavelength: [0.4, 0.9], angle: [0.8, 1.8]}"
)


def scene_and_models(index, *overrides):
    spec = sample_scene(configuration(*overrides), fake_catalogue(), fake_load, fake_load, index).spec
    models = {thing.model.id: fake_load(FakeAsset(thing.model.id, thing.model.path)) for thing in spec.objects}
    return spec, models


def at_rest(spec, models):
    deforms = {thing.id: thing.deformation is not None for thing in spec.objects}
    return {
        thing.id: (refined(models[thing.model.id]) if deforms[thing.id] else models[thing.model.id]).vertices
        for thing in spec.objects
    }


@pytest.mark.parametrize(
    "extras", [(), (DEFORM,), ("objects.frustum.near=-4.5",)], ids=["rigid", "deforming", "near"]
)
def test_the_extent_contains_all_visible_pixels_with_a_margin(extras):
    looked_at, seen, areas = 0, 0, 0
    for index in range(5):
        spec, models = scene_and_models(index, *extras)
        for frame in (0, 80, 159):
            found = rectangles(spec, at_rest(spec, models), frame)
            inside = np.zeros((spec.video.height, spec.video.width), bool)
            for rectangle in found:
                assert not inside[rectangle.pixels].any(), "rectangles are disjoint"
                inside[rectangle.pixels] = True
                areas += rectangle.area
            mask = predict(spec, models, frame) > 0
            assert not (mask & ~inside).any()
            spare = inside.copy()  # pixels that are not MARGIN - 1 away from one outside
            for axis in (0, 1):
                for shift in range(1, MARGIN):
                    for step in (shift, -shift):
                        moved = np.roll(inside, step, axis)
                        edge = [slice(None)] * 2
                        edge[axis] = slice(0, step) if step > 0 else slice(step, None)
                        moved[tuple(edge)] = True  # beyond the image
                        spare &= moved
            assert not (mask & ~spare).any()
            looked_at, seen = looked_at + inside.size, seen + mask.sum()
    assert seen > 0 and areas < 0.9 * looked_at, "not simply all of the image"


def test_the_extent_of_a_long_exposure_contains_its_ends():
    spec, models = scene_and_models(1, "motion.location_speed=0.3", "video.frames=40")
    blurred = spec.model_copy(update={"render": spec.render.model_copy(update={"motion_blur": 1.0})})
    half = {"video": spec.video.model_copy(update={"frames": 2 * spec.video.frames - 1})}
    finer = spec.model_copy(update=half)  # its frame 2n is frame n of the other
    grown = 0
    for frame in range(1, 39, 4):
        found = rectangles(blurred, at_rest(spec, models), frame)
        inside = np.zeros((spec.video.height, spec.video.width), bool)
        for rectangle in found:
            inside[rectangle.pixels] = True
        for time in (2 * frame - 1, 2 * frame, 2 * frame + 1):
            assert not ((predict(finer, models, time) > 0) & ~inside).any()
        grown += sum(r.area for r in found) - sum(r.area for r in rectangles(spec, at_rest(spec, models), frame))
    assert grown > 0


def test_objects_that_reach_behind_the_backdrop_have_no_rectangles():
    spec, models = scene_and_models(0)
    assert rectangles(spec, at_rest(spec, models), 0)
    x, _, z = spec.backdrop.centre
    near = max(thing.location[0][1] for thing in spec.objects)
    through = spec.model_copy(update={"backdrop": spec.backdrop.model_copy(update={"centre": (x, near, z)})})
    assert rectangles(through, at_rest(spec, models), 0) is None


def test_without_visible_objects_nothing_is_rendered():
    spec, models = scene_and_models(0)
    aside = tuple(
        thing.model_copy(update={"location": tuple((x + 12, y, z) for x, y, z in thing.location)})
        for thing in spec.objects
    )
    behind = tuple(
        thing.model_copy(update={"location": tuple((x, y - 100, z) for x, y, z in thing.location)})
        for thing in spec.objects
    )
    for objects in (aside, behind, ()):
        away = spec.model_copy(update={"objects": objects})
        assert rectangles(away, at_rest(spec, models), 0) == []


def test_an_object_at_the_edge_of_the_image_has_enough_pixels_to_render():
    found = []
    for shift in np.linspace(0, 6, 60):
        spec, models = scene_and_models(0)
        aside = spec.objects[0].model_copy(
            update={"location": tuple((x + shift, y, z) for x, y, z in spec.objects[0].location)}
        )
        found += rectangles(spec.model_copy(update={"objects": (aside,)}), at_rest(spec, models), 0)
    widths = [r.right - r.left for r in found]
    assert min(widths) == 2 * MARGIN and len(found) < 60


def test_rectangles_unite_where_that_is_cheaper():
    one = Rectangle(0, 0, 100, 100)
    touching, near, far = Rectangle(90, 90, 150, 150), Rectangle(110, 0, 200, 100), Rectangle(500, 300, 600, 400)
    assert merged([one, far]) == [one, far]
    assert merged([one, touching, far]) == [far, Rectangle(0, 0, 150, 150)]
    assert merged([one, near]) == [Rectangle(0, 0, 200, 100)], f"less than {RENDER_COST} pixels more"
    chain = [Rectangle(i, i, i + 60, i + 60) for i in range(0, 500, 50)]
    assert merged(chain) == [Rectangle(0, 0, 510, 510)]
    for a, b in combinations(merged([one, touching, near, far]), 2):
        assert not a.overlaps(b)
