"""Options beyond the published recipe: off by default, and as strong as configured."""

import hashlib

import numpy as np
import pytest
import trimesh
from pydantic import TypeAdapter
from scipy import stats

from bl30k_gen.config import draft_of, load_config
from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import AssetRefused
from bl30k_gen.scene.extras import sample_deformation, sample_shake
from bl30k_gen.scene.sampler import sample_scene
from bl30k_gen.scene.spec import Deformation, ShakeWave, parse_spec
from bl30k_gen.scene.thickness import thickness
from bl30k_gen.scene.trajectory import camera_poses, shake_angles
from bl30k_gen.seeding import rng

from .conftest import ROOT, as_model, configuration, fake_catalogue, fake_load

DEFORM = (
    "objects.deformation={chance: 0.7, kinds: [lattice, wave, bend], cycles: [1, 3], displacement: [0.1, 0.2],"
    " amplitude: [0.02, 0.05], wavelength: [0.5, 1.0], angle: [0.5, 1.5]}"
)
SHAKE = "camera.shake={angle: [0.005, 0.015], roll: 0.4, cycles: [3, 40], waves: 6}"

# (configuration, scenes of its first three videos): without extras they must not change, since builds are continued.
# Recipes that were changed since have the settings that they had.
AS_THEY_WERE = {
    "bl30k": ("9a59d142460a9c0a", "67bbd54fbc2184bf"),
    "bl30k_fast": ("952f2ea072f88dd9", "7a580d3eca6acafd"),
    "bl30k_turbo": ("8cac4ab70b708516", "8595a4a4dc71a2aa"),
    "demo": ("b4933e379a96b1a7", "4948e557c2e2a49d"),
}
TURBO_HAD = ["render.backdrop=traced", "render.adaptive_bright={lamps: 3000, backdrop: 0.3}"]
HAD = {
    "bl30k": [],
    "bl30k_fast": [
        *("render.backdrop=traced", "render.adaptive_threshold=0.025"),
        "render.adaptive_bright={lamps: 15000, backdrop: 0.5}",
    ],
    "bl30k_turbo": TURBO_HAD,
    "demo": TURBO_HAD,
}


def sample(index, *overrides, load=fake_load):
    return sample_scene(configuration(*overrides), fake_catalogue(), load, load, index).spec


@pytest.mark.parametrize("recipe", AS_THEY_WERE)
def test_recipes_without_extras_do_not_change(recipe):
    config = load_config(ROOT / f"render_configs/{recipe}.yaml", HAD[recipe])
    scenes = "".join(sample_scene(config, fake_catalogue(), fake_load, fake_load, i).spec.dumps() for i in range(3))
    digests = config.digest()[:16], hashlib.sha256(scenes.encode()).hexdigest()[:16]
    assert digests == AS_THEY_WERE[recipe]
    for key in ("deformation", "shake", "motion_blur", "max_thickness"):
        assert key not in scenes and key not in config.to_yaml()


def test_an_extra_changes_nothing_else():
    plain, extra = sample(4), sample(4, DEFORM, SHAKE, "render.motion_blur=0.5")
    without = [thing.model_copy(update={"deformation": None}) for thing in extra.objects]
    assert tuple(without) == plain.objects
    assert extra.camera.model_copy(update={"shake": None}) == plain.camera
    assert extra.render.model_copy(update={"motion_blur": None}) == plain.render
    assert (extra.lights, extra.backdrop) == (plain.lights, plain.backdrop)


def test_extras_round_trip_through_json_and_null_disables_them():
    extra = sample(1, DEFORM, SHAKE, "render.motion_blur=0.5")
    assert parse_spec(extra.to_json(), "test") == extra
    off = ("objects.deformation=null", "camera.shake=null", "render.motion_blur=null")
    assert sample(1, DEFORM, SHAKE, *off).dumps() == sample(1).dumps()


def test_a_draft_has_the_same_exposure():
    config = configuration("render.motion_blur=0.8")
    assert draft_of(config).render.motion_blur == pytest.approx(0.8 * 8 / 160)


# --- Deformations -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def deformations():
    recipe = configuration(DEFORM).objects.deformation
    drawn = [sample_deformation(rng(0, "test", i), recipe) for i in range(600)]
    return [d if d is None else TypeAdapter(Deformation).validate_python(d) for d in drawn]


def test_a_fraction_of_the_objects_deforms_and_kinds_are_equally_likely(deformations):
    soft = [d for d in deformations if d is not None]
    assert abs(len(soft) / len(deformations) - 0.7) < 0.06
    kinds = [sum(d.kind == kind for d in soft) for kind in ("lattice", "wave", "bend")]
    assert stats.chisquare(kinds).pvalue > 0.01


def test_deformations_are_as_large_as_the_configuration_says(deformations):
    def of(kind):
        return [d for d in deformations if d is not None and d.kind == kind]

    def is_uniform(values, low, high):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 0.01

    is_uniform([d.cycles for kind in ("lattice", "wave", "bend") for d in of(kind)], 1, 3)
    is_uniform([d.phase for kind in ("wave", "bend") for d in of(kind)], 0, 1)
    is_uniform([d.angle for d in of("bend")], 0.5, 1.5)
    is_uniform([d.amplitude for d in of("wave")], 0.02, 0.05)
    is_uniform([d.wavelength for d in of("wave")], 0.5, 1.0)
    lengths = np.array([np.linalg.norm(d.displacements, axis=1) for d in of("lattice")])
    assert np.allclose(lengths, lengths[:, :1], atol=1e-5)
    is_uniform(lengths[:, 0], 0.1, 0.2)
    assert {(d.along, d.toward) for d in of("bend")} == {(a, b) for a in "xyz" for b in "xyz" if a != b}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("objects.deformation={chance: 1}", "key objects.deformation.kinds is missing"),
        ("objects.deformation.chance=2", "objects.deformation"),
        (DEFORM.replace("wave,", "waves,"), "objects.deformation.kinds.1 = 'waves'"),
        (DEFORM.replace("[0.5, 1.0]", "[0.0, 1.0]"), "wavelength: must be above 0"),
        (SHAKE.replace("[3, 40]", "[0, 40]"), "cycles: must be above 0"),
        (SHAKE.replace("}", ", wave: 6}"), "did you mean camera.shake.waves?"),
        ("render.motion_blur=0", "render.motion_blur = 0"),
        ("objects.max_thickness=0", "objects.max_thickness = 0"),
    ],
)
def test_mistakes_are_named(override, said):
    with pytest.raises(UserError) as error:
        configuration(override)
    assert said in str(error.value)


# --- Shake ------------------------------------------------------------------------------------------------------


def test_a_shake_has_the_configured_strength_and_is_smooth():
    strengths, over_time, recipe = [], [], configuration(SHAKE).camera.shake
    for i in range(60):
        waves = [ShakeWave.model_validate(wave) for wave in sample_shake(rng(0, "test", i), recipe)]
        assert len(waves) == 6 and all(3 <= wave.cycles <= 40 for wave in waves)
        angles = shake_angles(waves, 160)
        amplitudes = np.array([wave.angles for wave in waves])
        strength = np.sqrt((amplitudes**2).sum(axis=0) / 2)
        assert strength[0] == pytest.approx(strength[1], abs=1e-5)
        assert strength[2] == pytest.approx(0.4 * strength[0], abs=1e-5)
        over_time.append((angles**2).mean(axis=0) / strength**2)
        speeds = amplitudes[:, 0] * [wave.cycles for wave in waves]
        assert np.allclose(speeds, speeds[0], rtol=0.01), "slow swings are wide, fast ones small"
        strengths.append(strength[0])
    assert stats.kstest(strengths, stats.uniform(0.005, 0.01).cdf).pvalue > 0.01
    assert np.mean(over_time, axis=0) == pytest.approx(1, abs=0.15)


def test_a_shaken_camera_rotates_and_does_not_move():
    plain, shaken = sample(3), sample(3, SHAKE)
    still, moved = (camera_poses(spec.camera, 160, spec.static) for spec in (plain, shaken))
    assert np.array_equal(still[:, :3, 3], moved[:, :3, 3])
    turned = np.einsum("fji,fjk->fik", still[:, :3, :3], moved[:, :3, :3])
    x, y, z = shake_angles(shaken.camera.shake, 160).T
    small = np.stack([turned[:, 2, 1], turned[:, 0, 2], turned[:, 1, 0]])  # sines of small angles
    assert np.allclose(small, [x, y, z], atol=2e-3) and np.abs(small).max() > 0.005
    assert np.allclose(np.linalg.det(moved[:, :3, :3]), 1)


def test_a_covering_backdrop_covers_a_shaken_view():
    for index in range(4):
        spec = sample(index, "backdrop.fit=cover", SHAKE.replace("0.015", "0.05"))
        backdrop, video = spec.backdrop, spec.video
        half = np.tan(spec.camera.field_of_view / 2) * np.array([1, video.height / video.width])
        reach = []
        for pose in camera_poses(spec.camera, video.frames, spec.static):
            for u, v in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
                ray = pose[:3, :3] @ [u * half[0], v * half[1], -1]
                hit = pose[:3, 3] + ray * (12 - pose[1, 3]) / ray[1]
                reach.append(np.abs(hit - backdrop.centre)[[0, 2]] / [backdrop.width / 2, backdrop.height / 2])
        assert 0.98 < np.max(reach) < 1
        assert backdrop.width > sample(index, "backdrop.fit=cover").backdrop.width


# --- Thickness --------------------------------------------------------------------------------------------------


def whole(mesh):
    return as_model(mesh.vertices, [mesh.faces], "mesh")


def test_thickness_is_a_width():
    assert thickness(whole(trimesh.creation.icosphere(4))) == pytest.approx(0.289, rel=0.05)  # the radius
    bar = thickness(whole(trimesh.creation.box((1.0, 0.05, 0.05))))
    assert 0.03 < bar < 0.06
    frame = trimesh.creation.torus(0.45, 0.02)
    assert thickness(whole(frame)) < 0.06 < thickness(whole(trimesh.creation.torus(0.35, 0.15)))


def test_thickness_does_not_depend_on_size_or_place():
    seat, leg = trimesh.creation.box((0.5, 0.5, 0.05)), trimesh.creation.box((0.05, 0.05, 1))
    corners = [(x, y, -0.5) for x in (-0.2, 0.2) for y in (-0.2, 0.2)]
    chair = trimesh.util.concatenate([seat, *(leg.copy().apply_translation(corner) for corner in corners)])
    value = thickness(whole(chair))
    moved = chair.copy().apply_scale(7).apply_translation((3, 1, 4))
    assert thickness(whole(moved)) == pytest.approx(value, rel=0.02)


def test_only_thin_models_are_drawn_and_nothing_else_changes():
    seen = set()
    for i in range(10):
        plain, thin = (sample(i, *extra) for extra in ((), ("objects.max_thickness=0.1",)))
        for one, two in zip(plain.objects, thin.objects, strict=True):
            assert int(two.model.id[-3:]) % 3 == 0
            assert int(one.model.id[-3:]) % 3 or one.model == two.model
            assert (one.location, one.rotation, one.scale) == (two.location, two.rotation, two.scale)
            seen.add(two.model.id)
        assert (plain.camera, plain.backdrop) == (thin.camera, thin.backdrop)
    assert len(seen) == 4


def test_skipped_models_are_not_reported_as_refused():
    scene = sample_scene(configuration("objects.max_thickness=0.1"), fake_catalogue(), fake_load, fake_load, 0)
    assert scene.refusals == ()


def test_without_thin_models_the_key_is_named():
    def load(asset):
        if asset.id == "model-003":
            raise AssetRefused("model-003.obj: has no faces")
        return fake_load(asset)

    with pytest.raises(UserError, match=r"objects\.max_thickness = 0\.01: every model"):
        sample(0, "objects.max_thickness=0.01", load=load)
