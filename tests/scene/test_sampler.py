from collections import Counter

import numpy as np
import pytest
from scipy import stats

from bl30k_gen.config import load_config
from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import AssetRefused
from bl30k_gen.scene.sampler import (
    object_path,
    rank_in_split,
    sample_scene,
    split_assets,
    split_of,
    video_index,
    video_name,
)
from bl30k_gen.scene.spec import parse_spec
from bl30k_gen.scene.trajectory import camera_poses, clearance, curve
from bl30k_gen.seeding import rng

from .conftest import ROOT, configuration, fake_catalogue, fake_load

CONFIG = configuration()


def sample(index, *overrides, load=fake_load, catalogue=None, seed=None):
    return sample_scene(configuration(*overrides), catalogue or fake_catalogue(), load, load, index, seed)


@pytest.fixture(scope="module")
def paths():
    """Control points of 2,000 objects: {name: (2000, 5, 3)}."""
    drawn = [object_path(rng(0, "test", i), CONFIG) for i in range(2000)]
    return {name: np.stack([path[name] for path in drawn]) for name in drawn[0]}


@pytest.fixture(scope="module")
def scenes():
    return [sample(i).spec for i in range(150)]


# --- The recipe -------------------------------------------------------------------------------------------------


def margins(points):
    """Distances from the walls of the published frustum, positive inside, as fractions of its size there."""
    half_width = 1.05 * (points[..., 1] + 6) / 4
    sides = [1 - np.abs(points[..., axis]) / half_width for axis in (0, 2)]
    return np.stack([*sides, (points[..., 1] + 2) / 7, (5 - points[..., 1]) / 7], axis=-1).min(axis=-1)


def test_objects_stay_in_the_frustum(paths):
    frames = np.concatenate([curve(points, 160, "drift") for points in paths["location"]])
    assert np.mean(margins(frames) >= 0) >= 0.9
    assert np.mean(np.abs(margins(paths["location"])) < 1e-4) < 0.01


def test_objects_start_uniformly_in_depth_and_across(paths):
    x, y, z = paths["location"][:, 0].T
    assert stats.kstest(y, stats.uniform(-2, 7).cdf).pvalue > 0.01
    for across in (x, z):
        assert stats.kstest(across / (1.05 * (y + 6) / 4), stats.uniform(-1, 2).cdf).pvalue > 0.01


def test_moves_are_limited_in_both_directions(paths):
    steps = np.diff(paths["location"], axis=1)
    moved = steps[(steps != 0).any(axis=2)]
    limit = stats.halfnorm(scale=0.03 * 160 / 4)
    for axis in (0, 2):
        forward, backward = moved[moved[:, axis] > 0, axis], -moved[moved[:, axis] < 0, axis]
        assert stats.ks_2samp(forward, backward).pvalue > 0.01
        for size in (forward, backward):  # a step is no longer than its limit: smaller in distribution
            assert np.all(np.quantile(size, [0.5, 0.9, 0.99]) <= 1.05 * limit.ppf([0.5, 0.9, 0.99]))
            assert size.mean() > 0.5


def test_rotations_start_anywhere_and_turn_normally(paths):
    assert stats.kstest(paths["rotation"][:, 0].ravel(), stats.uniform(0, 2 * np.pi).cdf).pvalue > 0.01
    steps = np.diff(paths["rotation"], axis=1)
    turns = steps[(steps != 0).any(axis=2)].ravel()
    assert stats.kstest(turns, stats.norm(scale=0.02 * 160 / 4).cdf).pvalue > 0.01


def test_scales_start_uniformly_and_change_by_uniform_factors(paths):
    assert stats.kstest(paths["scale"][:, 0].ravel(), stats.uniform(1.25, 1.75).cdf).pvalue > 0.01
    factors = paths["scale"][:, 1:] / paths["scale"][:, :-1]
    changed = factors[(factors != 1).any(axis=2)].ravel()
    low, high = 0.8**0.25, 1.25**0.25
    assert stats.kstest(changed, stats.uniform(low, high - low).cdf).pvalue > 0.01


def test_paths_turn_static_as_a_markov_chain_shared_by_all_three_curves(paths):
    still = {name: (np.diff(points, axis=1) == 0).all(axis=2) for name, points in paths.items()}
    assert np.array_equal(still["location"], still["rotation"])
    assert np.array_equal(still["location"], still["scale"])
    before, after = still["location"][:, :-1], still["location"][:, 1:]
    for share, expected, count in (
        (still["location"][:, 0].mean(), 0.10, 2000),
        (after[~before].mean(), 0.10, (~before).sum()),
        (after[before].mean(), 0.35, before.sum()),
    ):
        assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_objects_keep_their_distance_and_never_vanish(scenes):
    for spec in scenes:
        places = [curve(thing.location, 160, spec.static) for thing in spec.objects]
        for k, thing in enumerate(spec.objects):
            clear = all(clearance(places[k], other) >= 0.75 for other in places[:k])
            assert clear != thing.clearance_failed
            assert curve(thing.scale, 160, spec.static).min() > 0.5
    assert np.mean([thing.clearance_failed for spec in scenes for thing in spec.objects]) < 0.01


def test_counts_and_lights(scenes):
    assert set(Counter(len(spec.objects) for spec in scenes)) == {3, 4, 5}
    assert set(Counter(len(spec.lights) for spec in scenes)) == {1, 2, 3}
    lights = [light for spec in scenes for light in spec.lights]
    locations, colours = np.array([s.location for s in lights]), np.array([s.colour for s in lights])
    assert np.allclose(np.linalg.norm(locations, axis=1), 11, atol=1e-5)
    for axis in range(3):  # a sphere's area is uniform along each axis
        assert stats.kstest(locations[:, axis], stats.uniform(-11, 22).cdf).pvalue > 0.01
    assert stats.kstest([s.power for s in lights], stats.uniform(1000, 14000).cdf).pvalue > 0.01
    assert np.all(colours.max(axis=1) == 1) and colours.min() >= 0.5


def test_the_camera_stays_in_its_blocks(scenes):
    blocks = {"location": [(-0.3, -6, -0.3), (0.3, -5, 0.3)], "target": [(-0.5, 3, -0.5), (0.5, 4, 0.5)]}
    for name, (low, high) in blocks.items():
        points = np.array([getattr(spec.camera, name) for spec in scenes])
        assert np.all(points >= low) and np.all(points <= high)
        assert np.ptp(points, axis=(0, 1)).min() > 0.55
    still = [np.all(np.diff(getattr(spec.camera, name), axis=0) == 0, axis=1) for spec in scenes for name in blocks]
    assert np.array_equal(still[::2], still[1::2]) and 0.05 < np.mean(still) < 0.2
    views = [spec.camera.field_of_view for spec in scenes]
    assert 0.7 <= min(views) < 0.71 and 0.79 < max(views) <= 0.8


def test_textures_replace_some_mapped_and_all_unmapped_materials(scenes):
    mapped = [o.texture is not None for s in scenes for o in s.objects if int(o.model.id[-3:]) % 2]
    unmapped = [o.texture is not None for s in scenes for o in s.objects if not int(o.model.id[-3:]) % 2]
    assert all(unmapped) and 0.4 < np.mean(mapped) < 0.6


def test_the_backdrop_plane_is_the_published_one(scenes):
    assert {(s.backdrop.centre, s.backdrop.width, s.backdrop.height) for s in scenes} == {((0, 12, 0), 40, 40)}
    strengths = [s.backdrop.strength for s in scenes]
    assert stats.kstest(strengths, stats.uniform(0.1, 0.9).cdf).pvalue > 0.01


@pytest.mark.parametrize("size", ["video.width=768", "video.width=320"])
def test_a_covering_backdrop_fills_every_view_and_no_more(size):
    for index in range(10):
        spec = sample(index, "backdrop.fit=cover", size).spec
        backdrop, video = spec.backdrop, spec.video
        assert backdrop.width / backdrop.height == pytest.approx(1.5)
        poses = camera_poses(spec.camera, video.frames, spec.static)
        half = np.tan(spec.camera.field_of_view / 2) * np.array([1, video.height / video.width])
        reach = []
        for pose in poses:
            for u, v in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                ray = pose[:3, :3] @ [u * half[0], v * half[1], -1]
                hit = pose[:3, 3] + ray * (12 - pose[1, 3]) / ray[1]
                reach.append(np.abs(hit - backdrop.centre)[[0, 2]] / [backdrop.width / 2, backdrop.height / 2])
        assert 0.98 < np.max(reach) < 1


def test_no_backdrop_covers_a_camera_that_looks_past_it():
    with pytest.raises(UserError, match="backdrop.fit"):
        sample(0, "backdrop.fit=cover", "camera.target.y=[-9, -8]")


# --- Names and splits -------------------------------------------------------------------------------------------


def test_names_are_a_segment_and_a_number():
    assert [video_name(i, 5000) for i in (0, 4999, 5000, 29_999)] == ["a00000", "a04999", "b00000", "f04999"]
    assert all(video_index(video_name(i, 300), 300) == i for i in range(0, 7800, 77))
    with pytest.raises(UserError, match="videos_per_segment"):
        video_name(26 * 5000, 5000)


@pytest.mark.parametrize("name", ["", "a0000", "A00000", "a05000", "a0000x", "a000001", "a-0001", "ä00000"])
def test_other_names_are_refused(name):
    with pytest.raises(UserError):
        video_index(name, 5000)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1, 0.3, 1 / 3, 0.7, 1.0])
def test_the_fraction_is_exact_and_ranks_are_consecutive(share):
    ranks = {"train": [], "val": []}
    for i in range(1000):
        ranks[split_of(i, share)].append(rank_in_split(i, share))
    assert all(found == list(range(len(found))) for found in ranks.values())
    assert len(ranks["val"]) == int(1000 * share + 1e-9)


def test_splits_share_neither_models_nor_backgrounds():
    seen = {"train": set(), "val": set()}
    for i in range(60):
        spec = sample(i, "dataset.val_share=0.3").spec
        assert spec.split == split_of(i, 0.3)
        seen[spec.split] |= {thing.model.id for thing in spec.objects} | {spec.backdrop.image.id}
    assert seen["train"] and seen["val"] and not seen["train"] & seen["val"]


def test_each_split_has_an_asset_and_both_use_the_only_one():
    pair, single = tuple(fake_catalogue(2).models), tuple(fake_catalogue(1).models)
    for share in (0.01, 0.99):
        parts = [split_assets(pair, "models", share, 0, split) for split in ("train", "val")]
        assert [len(part) for part in parts] == [1, 1] and set(parts[0] + parts[1]) == set(pair)
        assert all(split_assets(single, "models", share, 0, split) == single for split in ("train", "val"))


# --- A video is a function of (config, catalogue, seed, index) ----------------------------------------------------


def test_a_scene_does_not_depend_on_what_was_sampled_before():
    alone = sample(17).spec.dumps()
    for i in (40, 3, 17, 16):
        again = sample(i).spec.dumps()
        assert (again == alone) == (i == 17)


def test_seed_zero_is_a_seed_and_none_means_the_configured_one():
    assert sample(0, seed=0).spec.dumps() == sample(0).spec.dumps() == sample(0, "seed=5", seed=0).spec.dumps()
    assert sample(0, "seed=5").spec.dumps() == sample(0, seed=5).spec.dumps() != sample(0).spec.dumps()


def test_a_scene_round_trips_through_json():
    spec = sample(2).spec
    assert parse_spec(spec.to_json(), "test") == spec


def test_all_models_are_used_equally_often():
    fixed = "objects.count=[4, 4]"
    used = Counter(o.model.id for i in range(30) for o in sample(i, fixed).spec.objects)
    assert set(used.values()) == {10} and len(used) == 12
    images = Counter(sample(i, fixed).spec.backdrop.image.id for i in range(10))
    assert set(images.values()) == {2} and len(images) == 5


def test_a_refused_asset_changes_only_the_slots_that_drew_it():
    def load(asset):
        if asset.id == "model-003":
            raise AssetRefused("model-003.obj: has no faces")
        return fake_load(asset)

    replaced = 0
    for i in range(20):
        clean, other = sample(i), sample(i, load=load)
        assert clean.refusals == ()
        for one, two in zip(clean.spec.objects, other.spec.objects, strict=True):
            assert (one.model == two.model) == (one.model.id != "model-003")
            assert (one.location, one.rotation, one.scale) == (two.location, two.rotation, two.scale)
            replaced += one.model != two.model
        drew_it = sum(one.model.id == "model-003" for one in clean.spec.objects)
        assert other.refusals == (("model-003", "model-003.obj: has no faces"),) * drew_it
    assert replaced > 2


def test_a_redraw_for_clearance_keeps_the_assets():
    for i in range(10):
        loose, tight = sample(i, "objects.clearance=0").spec, sample(i, "objects.clearance=2.5").spec
        assert [(o.model, o.texture) for o in loose.objects] == [(o.model, o.texture) for o in tight.objects]
        assert loose.objects[0] == tight.objects[0]


def test_an_unreachable_clearance_is_recorded():
    failed = [o.clearance_failed for o in sample(0, "objects.clearance=50", "objects.clearance_tries=3").spec.objects]
    assert failed == [False] + [True] * (len(failed) - 1)


def test_a_scale_that_overshoots_is_redrawn_or_reported():
    wild = "motion.scale_change=[0.01, 100.0]"
    for i in range(10):
        for thing in sample(i, wild).spec.objects:
            assert curve(thing.scale, 160, "drift").min() > 0
    with pytest.raises(UserError, match="motion.scale_change"):
        for i in range(50):
            sample(i, "motion.scale_change=[0.0001, 10000.0]", "objects.clearance_tries=0")


def test_when_all_are_refused_the_key_and_reasons_are_named():
    def load(asset):
        if asset.id.startswith("background"):
            raise AssetRefused(f"{asset.id}.jpg: is no image")
        return fake_load(asset)

    with pytest.raises(UserError, match=r"assets\.backgrounds: all 5 .*\.jpg: is no image"):
        sample(0, load=load)
    with pytest.raises(UserError, match=r"assets\.textures holds nothing"):
        sample(0, catalogue=fake_catalogue(textures=0))


@pytest.mark.parametrize("recipe", sorted((ROOT / "render_configs").rglob("*.yaml")), ids=lambda path: str(path.name))
def test_every_shipped_recipe_samples(recipe):
    config = load_config(recipe)
    spec = sample_scene(config, fake_catalogue(), fake_load, fake_load, 0).spec
    assert spec.video == config.video and len(spec.objects) >= config.objects.count[0]


def test_dark_scenes_are_rendered_to_less_noise():
    bright = ["render.adaptive_threshold=0.03", "render.adaptive_bright={lamps: 10000, backdrop: 0.5}"]

    def threshold(lamps, strength):
        spec = sample(0, *bright).spec
        lights = tuple(spec.lights[0].model_copy(update={"power": power}) for power in lamps)
        backdrop = spec.backdrop.model_copy(update={"strength": strength})
        return spec.model_copy(update={"lights": lights, "backdrop": backdrop}).noise_threshold

    assert threshold([4000.0, 6000.0], 0.5) == threshold([50000.0], 1.0) == 0.03
    assert threshold([1000.0], 0.5) == pytest.approx(0.003) and threshold([5000.0], 0.1) == pytest.approx(0.006)
    lamps_alone = sample(0, bright[0], "render.adaptive_bright={lamps: 1000000}").spec
    power = sum(light.power for light in lamps_alone.lights)
    assert lamps_alone.noise_threshold == pytest.approx(0.03 * power / 1_000_000)
    assert sample(0, bright[0]).spec.noise_threshold == 0.03, "the published recipe does not look at the light"
