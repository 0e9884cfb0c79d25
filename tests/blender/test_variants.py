"""Masks are exact with deforming shapes, motion blur and camera shake."""

import numpy as np
import pytest
from scipy.ndimage import binary_dilation

from bl30k_gen.dataset.layout import Layout, frame_name
from bl30k_gen.dataset.modalities import MASK, RGB
from bl30k_gen.library.cache import cached_model
from bl30k_gen.render.staging import write_scene
from bl30k_gen.scene import raster
from bl30k_gen.scene.spec import Bend

DEFORM = (
    "objects.deformation={chance: 1.0, kinds: [lattice, wave, bend], cycles: [1, 2], displacement: [0.15, 0.3],"
    " amplitude: [0.04, 0.1], wavelength: [0.4, 0.9], angle: [0.8, 1.8]}"
)
SHAKE = "camera.shake={angle: [0.01, 0.02], roll: 0.5, cycles: [3, 30], waves: 6}"
BLUR = "render.motion_blur=0.8"


def predicted(spec, frame):
    models = {thing.model.id: cached_model(thing.model.path, spec.limits) for thing in spec.objects}
    return raster.predict(spec, models, frame)


@pytest.mark.parametrize("extras", [(DEFORM,), (DEFORM, BLUR, SHAKE)], ids=["deformed", "deformed, blurred, shaken"])
def test_masks_agree_with_the_rasteriser(sample, draw, extras):
    spec = sample(1, "video.frames=3", *extras)
    assert len({thing.deformation.kind for thing in spec.objects}) > 1
    _, masks = draw(spec)
    rigid = spec.model_copy(
        update={"objects": tuple(thing.model_copy(update={"deformation": None}) for thing in spec.objects)}
    )
    for frame, mask in enumerate(masks):
        assert (mask == predicted(spec, frame)).mean() >= 0.9995
        assert (mask != predicted(rigid, frame)).mean() > 0.005, "it is the deformed shape that is seen"


def test_a_frame_rendered_alone_is_the_same(sample, child, tmp_path):
    """Continues as after a kill in the middle of a video."""
    spec = sample(1, "video.frames=3", DEFORM, BLUR, SHAKE)
    layout = Layout(tmp_path)
    files = [layout.staging(spec.name) / kind / frame_name(kind, 1) for kind in (RGB, MASK)]
    list(child.render(write_scene(layout, spec)))
    before = [path.read_bytes() for path in files]
    for path in files:
        path.unlink()
    list(child.render(write_scene(layout, spec)))
    assert [path.read_bytes() for path in files] == before


@pytest.fixture
def passing(sample):
    """A bright object that moves to the right, or bends, before a black backdrop."""

    def make(moves, *overrides):
        spec = sample(
            5,
            "video={frames: 3, width: 128, height: 80}",
            "render.samples=32",
            "render.denoiser=none",
            "lights.ambient=1.0",
            "image.quality=100",
            "render.sampling_pattern=sobol",
            "camera.speed=0",
            *overrides,
        )
        ends = ((-1.0, 0.0, 0.0), (1.0, 0.0, 0.0)) if moves else ((0.0, 0.0, 0.0),) * 2
        camera = {"location": ((0.0, -6.0, 0.0),) * 2, "target": ((0.0, 3.0, 0.0),) * 2}
        thing = spec.objects[0].model_copy(
            update={"location": ends, "rotation": ((0.0, 0.0, 0.0),) * 2, "scale": ((1.5, 1.5, 1.5),) * 2}
        )
        return spec.model_copy(
            update={
                "objects": (thing,),
                "camera": spec.camera.model_copy(update=camera),
                "backdrop": spec.backdrop.model_copy(update={"strength": 1e-6, "width": 99.0, "height": 99.0}),
            }
        )

    return make


def coverage(rgb):
    return np.minimum(rgb.max(axis=3).astype(float), 60.0) / 60.0


def test_a_mask_shows_the_middle_of_the_exposure(passing, draw):
    sharp, masks = draw(passing(True))
    blurred, same = draw(passing(True, "render.motion_blur=0.4"))
    assert np.array_equal(masks, same)
    columns = np.arange(masks.shape[2])
    for frame in range(3):  # including the first and the last, which have one neighbour only
        still, seen = (coverage(rgb)[frame].sum(axis=0) for rgb in (sharp, blurred))
        middle, blurred_middle = ((line * columns).sum() / line.sum() for line in (still, seen))
        assert blurred_middle == pytest.approx(middle, abs=0.7)
        assert still[masks[frame].any(axis=0)].sum() > 0.9 * still.sum(), "the mask is where the still image is"
        width = [np.ptp(np.flatnonzero(line > 0.3)) for line in (still, seen)]
        way = 0.4 * 1.0 / 6.0 / (2 * np.tan(passing(True).camera.field_of_view / 2)) * masks.shape[2]
        assert width[1] - width[0] == pytest.approx(way, rel=0.35)


def test_a_deforming_shape_is_blurred_around_its_mask(passing, draw):
    swing = Bend(kind="bend", cycles=0.5, phase=0.0, along="z", toward="x", angle=2.0)  # slow in the middle frame

    def swinging(*overrides):
        spec = passing(False, *overrides)
        soft = spec.objects[0].model_copy(update={"deformation": swing})
        return spec.model_copy(update={"objects": (soft,)})

    sharp, masks = draw(swinging())
    blurred, same = draw(swinging("render.motion_blur=0.6"))
    assert np.array_equal(masks, same)
    for frame, moves in enumerate((True, False, True)):
        outside = ~binary_dilation(masks[frame] > 0, iterations=2)
        assert coverage(sharp)[frame][outside].sum() < 8
        assert (coverage(blurred)[frame][outside].sum() > 12) == moves
