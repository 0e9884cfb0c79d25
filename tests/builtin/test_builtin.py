"""The built-in library: everything loads, is deterministic, varied, within limits, and textured without smears."""

import functools
import random
from functools import partial

import numpy as np
import pytest

from benchmarks.pictures import builtin_library
from bl30k_gen import builtin
from bl30k_gen.library.checking.health import remarks
from bl30k_gen.library.load import Limits, load_image, load_model

SHAPES, TEXTURES, BACKGROUNDS = (sorted(builtin.FAMILIES[kind]) for kind in ("model", "texture", "background"))


@functools.cache
def load(kind, family, variant):
    """Cache generated assets: generating takes most of the time of these tests."""
    if kind == "model":
        return builtin_library.load_shape(family, variant)
    return builtin_library.load_image_of(kind, family, variant)


def variants(kind, family, count):
    return [f"builtin:{kind}/{family}/{variant:02d}" for variant in range(count)]


def stretch(model):
    """For every triangle with UVs: the ratio of the largest to the smallest stretch of its texture, its area."""
    ratios, areas = [], []
    for part in model.parts:
        a, b, c = (model.vertices[part.faces[:, k]].astype(np.float64) for k in range(3))
        one, other = b - a, c - a
        area = np.linalg.norm(np.cross(one, other), axis=1) / 2
        x = one / np.linalg.norm(one, axis=1, keepdims=True)
        y = other - (other * x).sum(axis=1, keepdims=True) * x
        y /= np.linalg.norm(y, axis=1, keepdims=True)
        flat = np.stack([np.stack([(e * x).sum(1), (e * y).sum(1)], 1) for e in (one, other)], axis=1)
        edges = np.stack([part.uv[:, 1] - part.uv[:, 0], part.uv[:, 2] - part.uv[:, 0]], axis=1)
        values = np.linalg.svd(np.linalg.inv(flat) @ edges, compute_uv=False)
        ratios.append(values[:, 0] / np.maximum(values[:, 1], 1e-9))
        areas.append(area)
    return np.concatenate(ratios), np.concatenate(areas)


@pytest.mark.parametrize("family", SHAPES)
def test_shapes(family):
    smeared = total = 0.0
    for model in (load("model", family, variant) for variant in range(2)):
        assert np.linalg.norm(np.ptp(model.vertices, axis=0)) == pytest.approx(1, abs=1e-5)
        assert np.abs(model.vertices.min(axis=0) + model.vertices.max(axis=0)).max() < 1e-5
        assert 100 < sum(len(part.faces) for part in model.parts) < 40_000
        assert remarks(model) == []
        assert all(part.uv is not None for part in model.parts)
        assert all(0 <= channel <= 1 for part in model.parts for channel in part.colour)
        ratio, area = stretch(model)
        smeared += area[ratio > 12].sum()
        total += area.sum()
    assert smeared < 0.06 * total


def test_many_shapes_have_textures():
    textured = [load("model", family, variant).has_texture for family in SHAPES for variant in range(2)]
    assert np.mean(textured) > 0.5


@pytest.mark.parametrize("family", TEXTURES)
def test_textures(family):
    images = [load("texture", family, variant).pixels for variant in range(2)]
    assert all(p.shape == (512, 512, 3) and p.dtype == np.uint8 and p.std() > 6 for p in images)
    assert np.abs(images[0].astype(int) - images[1]).mean() > 4
    for pixels in images:  # tileable: steps across the border are like those inside
        steps = np.abs(np.diff(pixels.astype(int), axis=0)).mean(axis=(1, 2))
        assert np.abs(pixels[0].astype(int) - pixels[-1]).mean() <= max(2 * np.quantile(steps, 0.98), 6)


@pytest.mark.parametrize("family", BACKGROUNDS)
def test_backgrounds(family):
    pixels = load("background", family, BACKGROUNDS.index(family) % builtin.VARIANTS).pixels
    assert pixels.shape == (768, 1024, 3) and pixels.dtype == np.uint8
    assert pixels.std() > 15
    assert 30 < pixels.mean() < 225  # neither black nor white


def test_variants_of_a_background_differ(limits):
    first, second = (load_image(path, "background", limits).pixels for path in variants("background", "sea", 2))
    assert np.abs(first.astype(int) - second).mean() > 8


@pytest.mark.parametrize("kind, family", [("model", "robot"), ("texture", "tiles"), ("background", "sea")])
def test_deterministic_whatever_the_global_state(kind, family, limits):
    path = f"builtin:{kind}/{family}/02"
    load_fresh = partial(load_model, path) if kind == "model" else partial(load_image, path, kind)
    one = load_fresh(limits)
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002 - this is what must not matter
    other = load_fresh(limits)
    assert one.sha256 == other.sha256
    if kind == "model":
        assert (one.vertices == other.vertices).all()
        assert all((a.uv == b.uv).all() and a.colour == b.colour for a, b in zip(one.parts, other.parts, strict=True))
    else:
        assert (one.pixels == other.pixels).all()


def test_digests_differ(limits):
    paths = [*variants("model", "mug", 3), *variants("model", "vase", 2)]
    assert len({load_model(path, limits).sha256 for path in paths}) == 5


def test_the_limits_apply_to_checks_too():
    small = Limits(max_faces=10, max_image_side=256, max_megapixels=1)
    image = load_image("builtin:background/sea/00", "background", small)
    assert image.size == (256, 192)
    assert image.pixels.shape == (192, 256, 3)


def test_a_built_in_image_is_generated_on_first_use(limits, monkeypatch):
    def draw(_):
        raise InterruptedError

    monkeypatch.setitem(builtin.FAMILIES["background"], "sea", draw)
    image = load_image("builtin:background/sea/00", "background", limits)
    assert image.size == (1024, 768)
    assert len(image.sha256) == 64
    with pytest.raises(InterruptedError):
        _ = image.pixels


def test_rendering_again_gives_the_same():
    make, _ = builtin.find("builtin:texture/gravel/01", "texture")
    assert (make() == make()).all()


def test_shapes_of_different_families_look_different():
    """A part of the comparison of ``python -m benchmarks.pictures.builtin_library measure``."""
    chosen = sorted(random.Random(8).sample(SHAPES, 16))
    alike = np.array(list(builtin_library.similarities(chosen, 1).values()))
    assert (alike < builtin_library.MAX_SIMILARITY).mean() >= builtin_library.FRACTION


def drawn():
    """(kind, family, variant) of assets that other tests generate as well."""
    for kind, families in (("model", SHAPES), ("texture", TEXTURES)):
        yield from ((kind, family, variant) for family in families for variant in range(2))
    yield from (("background", family, k % builtin.VARIANTS) for k, family in enumerate(BACKGROUNDS))


def test_changes_of_built_in_images_and_shapes_are_noticed():
    pins = builtin_library.read_pins()
    names = [f"{kind}/{family}/{variant}" for kind in builtin.FAMILIES for family, variant in builtin.names(kind)]
    remedy = "raise VERSION if what exists has changed, then python -m benchmarks.pictures.builtin_library pins"
    assert pins["version"] == builtin.VERSION, remedy
    assert list(pins["assets"]) == names, remedy
    changed = [
        f"{kind}/{family}/{variant:02d}"
        for kind, family, variant in drawn()
        if not builtin_library.matches_pin(
            load(kind, family, variant), pins["assets"][f"{kind}/{family}/{variant:02d}"]
        )
    ]
    assert not changed, remedy


def test_pins_notice_a_change():
    pins = builtin_library.read_pins()["assets"]
    assert not builtin_library.matches_pin(load("texture", "gravel", 1), pins["texture/gravel/00"])
    assert not builtin_library.matches_pin(load("model", "car", 1), pins["model/car/00"])
