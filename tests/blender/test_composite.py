"""Composited frames compared with traced ones: the same image, without noise in the backdrop."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from bl30k_gen.blender import backdrop
from bl30k_gen.blender.backdrop import Backdrop
from bl30k_gen.config import load_config
from bl30k_gen.errors import UserError
from bl30k_gen.library.load import load_image

from .conftest import ROOT

SMALL = "video={frames: 1, width: 128, height: 80}"
COMPOSITED, TRACED = "render.backdrop=composited", "render.backdrop=traced"
TWO = "video.frames=2"  # a single frame has no motion
NOISELESS = ("render.samples=128", "render.adaptive_threshold=0", "render.denoiser=none", "image.quality=100", TRACED)
SHAKE = "camera.shake={angle: [0.0075, 0.0075], roll: 0.5, cycles: [3, 30], waves: 6}"  # by nearly two pixels
DEFORM = (
    "objects.deformation={chance: 1.0, kinds: [lattice, wave, bend], cycles: [1, 2], displacement: [0.15, 0.3],"
    " amplitude: [0.04, 0.1], wavelength: [0.4, 0.9], angle: [0.8, 1.8]}"
)
STANDS = "camera.speed=0"
BLUR = "render.motion_blur=1.0"


def error(ours, theirs):
    """Root mean square difference, in steps of 8 bits."""
    return float(np.sqrt(np.mean((ours.astype(float) - theirs) ** 2)))


@pytest.mark.parametrize("extras", [(), (TWO, BLUR, SHAKE, STANDS)], ids=["sharp", "blurred"])
def test_a_composited_backdrop_equals_the_limit_of_tracing(sample, draw, extras):
    many = sample(1, SMALL, *NOISELESS, *extras).model_copy(update={"objects": ()})
    traced, _ = draw(many)
    composited, masks = draw(as_composited(many))
    assert not masks.any()
    noise = error(traced, composited)
    assert noise > 0, "it is not traced"
    assert noise < 2.0
    assert error(blocks(traced), blocks(composited)) < noise / 4, "what is left is noise, which means take away"
    others = [np.roll(composited, 1, axis=axis) for axis in (1, 2)]
    if extras:
        sharp = many.model_copy(update={"render": many.render.model_copy(update={"motion_blur": None})})
        others.append(draw(as_composited(sharp))[0])
    for other in others:
        assert error(traced, other) > 1.5 * noise, "neither a pixel beside it nor without blur"


def blocks(rgb):
    """Mean values of blocks of 8 x 8 pixels."""
    frames, height, width, _ = rgb.shape
    return rgb.reshape(frames, height // 8, 8, width // 8, 8, 3).mean(axis=(2, 4))


def as_composited(spec):
    return spec.model_copy(update={"render": spec.render.model_copy(update={"backdrop": "composited"})})


@pytest.mark.parametrize("extras", [(), (TWO, BLUR, SHAKE, STANDS, DEFORM)], ids=["sharp", "blurred"])
def test_objects_lie_over_the_backdrop_without_seam_or_halo(sample, draw, extras):
    spec = sample(1, SMALL, *NOISELESS, *extras)
    traced, masks = draw(spec)
    composited, same = draw(as_composited(spec))
    assert np.array_equal(masks, same), "masks do not depend on how images are drawn"
    assert (traced != composited).any(axis=(1, 2, 3)).all(), "no frame is traced"
    edges = np.stack([binary_dilation(np.gradient(m.astype(float))[0] != 0, iterations=3) for m in masks])
    for where in (masks > 0, masks == 0, edges):
        assert where.any()
        assert error(traced[where], composited[where]) < 3.0, "noise"
        assert np.abs((traced[where].astype(float) - composited[where]).mean(axis=0)).max() < 0.3, "no other colour"


def test_denoised_frames_have_no_light_around_the_objects(sample, draw):
    spec = sample(1, SMALL, "image.quality=100", COMPOSITED, "render.samples=8")
    denoised, masks = draw(spec)
    bare, _ = draw(spec.model_copy(update={"objects": ()}))
    far = np.stack([~binary_dilation(mask > 0, iterations=4) for mask in masks])
    assert np.abs(denoised[far].astype(int) - bare[far]).max() <= 4, "JPEG"


def test_only_the_rectangle_of_the_objects_is_rendered(sample, child, tmp_path):
    """It is faster; without objects almost nothing is rendered."""
    from bl30k_gen.dataset.layout import Layout
    from bl30k_gen.render.staging import write_scene

    spec = sample(1, TRACED, "render.samples=24", "render.adaptive_threshold=0")

    def seconds(described, name):
        frames = [e for e in child.render(write_scene(Layout(tmp_path / name), described)) if e["event"] == "frame"]
        return min(e["rgb_seconds"] for e in frames)

    bare = spec.model_copy(update={"objects": ()})
    assert seconds(as_composited(bare), "bare") < 0.5 * seconds(spec, "traced")


def test_the_rasteriser_hides_objects_behind_the_backdrop(sample, draw):
    spec = sample(1, SMALL, TRACED, "image.quality=100", "render.samples=8")
    x, _, z = spec.backdrop.centre
    near = min(thing.location[0][1] for thing in spec.objects)
    through = spec.model_copy(update={"backdrop": spec.backdrop.model_copy(update={"centre": (x, near, z)})})
    traced, masks = draw(through)
    composited, same = draw(as_composited(through))
    assert np.array_equal(masks, same) and masks.any()
    assert np.array_equal(traced, composited), "the frame is traced as a whole"


def test_fast_objects_before_a_moving_backdrop_are_traced(sample, draw):
    spec = sample(1, SMALL, TWO, TRACED, BLUR, "image.quality=100", "render.samples=4", "camera.speed=0.5")
    assert np.array_equal(draw(spec)[0], draw(as_composited(spec))[0])


def test_a_backdrop_smaller_than_the_view_ends_at_its_edge(sample, draw):
    spec = sample(1, SMALL, *NOISELESS, "lights.ambient=0.5").model_copy(update={"objects": ()})
    small = spec.model_copy(update={"backdrop": spec.backdrop.model_copy(update={"width": 4.0, "height": 3.0})})
    traced, _ = draw(small)
    composited, _ = draw(as_composited(small))
    assert len(np.unique(composited[0, 0])) == 1, "the world's grey around it"
    assert error(traced, composited) < 3.5 and error(blocks(traced), blocks(composited)) < 0.7


def test_a_backdrop_does_not_depend_on_how_many_rows_are_drawn_at_a_time(sample, monkeypatch):
    spec = as_composited(sample(1, "video={frames: 2, width: 128, height: 200}"))
    pixels = load_image(spec.backdrop.image.path, "background", spec.limits).pixels
    whole = Backdrop(spec, pixels, 1).draw(0)
    assert whole.shape == (200, 128, 3) and whole.dtype == np.float32
    monkeypatch.setattr(backdrop, "ROWS", 16)
    assert np.array_equal(Backdrop(spec, pixels, 1).draw(0), whole)


def test_eevee_does_not_composite(sample):
    with pytest.raises(UserError, match="render.backdrop = 'composited': must be traced with render.engine eevee"):
        sample(1, "render.engine=eevee", COMPOSITED)


def test_the_published_recipe_traces_the_backdrop_and_adds_no_keys():
    config = load_config(ROOT / "render_configs/bl30k.yaml")
    assert config.render.backdrop == "traced" and "render.backdrop" not in config.flat()
    explicit = load_config(ROOT / "render_configs/bl30k.yaml", [TRACED])
    assert explicit.digest() == config.digest()
    assert load_config(ROOT / "render_configs/bl30k.yaml", [COMPOSITED]).flat()["render.backdrop"] == "composited"
