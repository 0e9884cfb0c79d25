"""Masks are exact, and match the images."""

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from bl30k_gen.annotations.motion import flow
from bl30k_gen.annotations.view import VideoGeometry
from bl30k_gen.library.cache import cached_model
from bl30k_gen.library.load import load_model
from bl30k_gen.scene import raster
from bl30k_gen.scene.assets import load_models
from bl30k_gen.scene.rays import cast
from tests.support.gltf import Glb


def predicted(spec, frame):
    models = {thing.model.id: cached_model(thing.model.path, spec.limits) for thing in spec.objects}
    return raster.predict(spec, models, frame)


def near_edges(ids):
    """Pixels with another id among their eight neighbours."""
    square = np.ones((3, 3), bool)
    inside = [binary_erosion(ids == number, square, border_value=True) for number in np.unique(ids)]
    return ~np.any(inside, axis=0)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_masks_of_real_meshes_agree_with_the_rasteriser(shared, sample, draw, index):
    folders = [f"assets.models={shared / 'data/shapenet_layout'}", f"assets.backgrounds={shared / 'data/photos'}"]
    spec = sample(index, *folders)
    _, masks = draw(spec)
    for frame, mask in enumerate(masks):
        expected = predicted(spec, frame)
        certain = ~near_edges(expected)
        assert certain.mean() > 0.8
        assert (mask == expected)[certain].mean() >= 0.999
        assert (mask == expected).mean() >= 0.999


def test_masks_hold_exactly_the_ids_of_the_scene(sample, draw):
    spec = sample(3)
    _, masks = draw(spec)
    assert set(np.unique(masks)) == {0, *(thing.id for thing in spec.objects)}


def test_an_object_of_many_parts_has_one_id_and_moves_as_one(sample, draw):
    spec = sample(4, "objects.count=[3, 3]")
    many = max(spec.objects, key=lambda thing: len(cached_model(thing.model.path, spec.limits).parts))
    assert len(cached_model(many.model.path, spec.limits).parts) > 1
    alone = spec.model_copy(update={"objects": (many.model_copy(update={"id": 9}),)})
    _, masks = draw(alone)
    for frame, mask in enumerate(masks):
        assert set(np.unique(mask)) <= {0, 9}
        assert (mask == predicted(alone, frame)).mean() >= 0.999


def test_the_silhouette_in_the_image_is_the_mask(sample, draw):
    """Measured by rendering the scene with and without an object."""
    dark = "backdrop.strength=[0.02, 0.02]"
    spec = sample(5, "render.samples=16", "render.denoiser=none", "lights.ambient=1.0", "image.quality=100", dark)
    largest = max(spec.objects, key=lambda thing: (predicted(spec, 0) == thing.id).sum())
    alone = spec.model_copy(update={"objects": (largest,)})
    with_it, masks = draw(alone)
    without, _ = draw(spec.model_copy(update={"objects": ()}))
    for frame, mask in enumerate(masks):
        changed = np.abs(with_it[frame].astype(int) - without[frame]).max(axis=2) > 12
        inside = mask > 0
        assert inside.sum() > 500
        assert not (changed & ~binary_dilation(inside, iterations=2)).any(), "nothing changes outside of the object"
        assert changed[binary_erosion(inside, iterations=2)].mean() > 0.95, "nearly everything changes inside of it"


@pytest.fixture
def facing(sample):
    """facing(path, *overrides): a scene with only that model, static before the camera."""

    def make(path, *overrides):
        spec = sample(6, "objects.count=[1, 1]", *overrides)
        digest = load_model(str(path), spec.limits).sha256
        still = {"location": [(0.0, 0.0, 0.0)] * 5, "rotation": [(0.0, 0.0, 0.0)] * 5, "scale": [(3.0, 3.0, 3.0)] * 5}
        sheet = {"model": {"id": "sheet", "path": str(path), "sha256": digest}, "texture": None, "id": 1, **still}
        camera = {"field_of_view": 0.8, "location": [(0.0, -6.0, 0.0)] * 5, "target": [(0.0, 3.0, 0.0)] * 5}
        changed = spec.to_json() | {"camera": camera}
        changed["objects"] = [{**changed["objects"][0], **sheet}]
        return type(spec).model_validate(changed)

    return make


@pytest.fixture
def window(tmp_path, facing):
    """A scene with a square white sheet before the camera, whose texture is a transparent red in its middle half."""
    texture = np.full((64, 64, 4), 255, np.uint8)
    texture[16:48, 16:48] = (255, 0, 0, 0)
    Image.fromarray(texture).save(tmp_path / "sheet.png")
    (tmp_path / "sheet.mtl").write_text("newmtl sheet\nKd 1 1 1\nmap_Kd sheet.png\n")
    (tmp_path / "sheet.obj").write_text(
        "mtllib sheet.mtl\nusemtl sheet\nv -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\n"
        "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"
    )
    return lambda alpha: facing(tmp_path / "sheet.obj", f"render.alpha={alpha}")


def test_transparency_cuts_holes_only_when_asked_to(window, draw):
    _, (opaque, _) = draw(window("opaque"))
    rgb, (clipped, _) = draw(window("clip"))
    height, width = opaque.shape
    assert opaque[height // 2, width // 2] == 1 and clipped[height // 2, width // 2] == 0
    assert (clipped > 0).sum() / (opaque > 0).sum() == pytest.approx(0.75, abs=0.02)
    backdrop, _ = draw(window("clip").model_copy(update={"objects": ()}))
    hole = binary_erosion((opaque > 0) & (clipped == 0), iterations=3)
    assert np.abs(rgb[0].astype(int) - backdrop[0])[hole].mean() < 6, "the backdrop is seen through the hole"


def test_annotations_have_the_same_holes(window, draw):
    for alpha in ("clip", "opaque"):
        spec = window(alpha)
        turned = spec.objects[0].model_copy(update={"rotation": ((0.2, 0.4, 0.3),) * 5})
        behind = turned.model_copy(update={"id": 2, "location": ((0.4, 2.0, 0.1),) * 5})
        spec = spec.model_copy(update={"objects": (turned, behind)})
        _, masks = draw(spec)
        video = VideoGeometry(spec, load_models(spec))
        surface = video.view(0).surface
        assert (surface.ids == masks[0]).mean() >= 0.9995
        middle = surface.ids[masks.shape[1] // 2, masks.shape[2] // 2]
        assert (middle == 1) == (alpha == "opaque")
        rows, columns = np.indices(masks.shape[1:]) + 0.5
        met = cast(video.geometry, 0, np.stack([columns, rows], axis=-1).reshape(-1, 2))
        assert (met.ids == surface.ids.ravel()).mean() > 0.9999
        still = flow(video.view(0), 1)
        assert not still.occluded.any() and np.nanmax(abs(still.flow)) < 1e-6, "seen through a hole is not hidden"


def test_where_transparency_is_ignored_texels_have_their_own_colour(window, draw):
    rgb, masks = draw(window("opaque"))
    height, width = masks.shape[1:]
    red, green, blue = rgb[0, height // 2 - 5 : height // 2 + 5, width // 2 - 5 : width // 2 + 5].mean(axis=(0, 1))
    assert red > 200 and red > 2 * max(green, blue), "neither black nor what is behind it"


@pytest.mark.parametrize(
    ("wrap", "expected"),
    [(None, "rg rg rg"), (33071, "rr rg gg"), (33648, "gr rg gr")],
    ids=["repeat", "clamp", "mirror"],
)
def test_a_texture_repeats_as_its_sampler_says(facing, draw, tmp_path, wrap, expected):
    """A sheet that shows its texture, red on the left and green on the right, from -1 to 2 along u."""
    glb, pixels = Glb(), np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0] = pixels[:, 4:, 1] = 255
    texture = glb.image(Image.fromarray(pixels))
    points = glb.numbers([(-1.5, -0.5, 0), (1.5, -0.5, 0), (1.5, 0.5, 0), (-1.5, 0.5, 0)])
    uv = glb.numbers([(-1, 1), (2, 1), (2, 0), (-1, 0)])
    sheet = {"attributes": {"POSITION": points, "TEXCOORD_0": uv}, "indices": glb.numbers([0, 1, 2, 0, 2, 3], "u2")}
    glb.tree |= {"meshes": [{"primitives": [sheet | {"material": 0}]}], "nodes": [{"mesh": 0}]}
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}, "metallicFactor": 0}}]
    if wrap is not None:
        glb.tree["samplers"], glb.tree["textures"][0]["sampler"] = [{"wrapS": wrap}], 0
    rgb, masks = draw(facing(glb.write(tmp_path / "sheet.glb"), "lights.ambient=1.0"))
    rows, columns = np.nonzero(masks[0])
    row, left, right = round(rows.mean()), columns.min(), columns.max()
    places = [round(left + (right - left) * (n + 0.5) / 6) for n in range(6)]
    seen = "".join("rg"[int(rgb[0][row, x, 1] > rgb[0][row, x, 0])] for x in places)
    assert seen == expected.replace(" ", "")


@pytest.mark.parametrize("winding", ["1 2 3 4", "4 3 2 1"], ids=["same", "reversed"])
def test_faces_that_coincide_are_drawn_as_the_first_alone(facing, draw, tmp_path, winding):
    """A red sheet, and the same sheet with a black one in the same place that comes later in the file."""
    sheet = "mtllib s.mtl\nv -1 -0.6 0\nv 1 -0.6 0\nv 1 0.6 0\nv -1 0.6 0\nusemtl red\nf 1 2 3 4\n"
    drawn = []
    for name, lines in (("single", sheet), ("double", f"{sheet}usemtl black\nf {winding}\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "s.mtl").write_text("newmtl red\nKd 0.9 0.1 0.1\nnewmtl black\nKd 0 0 0\n")
        (tmp_path / name / "s.obj").write_text(lines)
        drawn.append(draw(facing(str(tmp_path / name / "s.obj"), "lights.ambient=1.0")))
    (rgb, masks), (double_rgb, double_masks) = drawn
    assert masks.any() and rgb[0][masks[0] > 0].mean(0)[0] > 80, "a red sheet is seen"
    assert np.array_equal(rgb, double_rgb) and np.array_equal(masks, double_masks)


def test_a_changed_asset_is_not_rendered(sample, child, tmp_path):
    spec = sample(7).to_json()
    spec["objects"][0]["model"]["sha256"] = "0" * 64
    (tmp_path / "scene.json").write_text(type(sample(7)).model_validate(spec).dumps())
    (event,) = child.render(tmp_path / "scene.json")
    assert event["event"] == "failed" and "has changed since" in event["what"]
    assert not list(tmp_path.glob("*/*.jpg")) and not list(tmp_path.glob("*/*.png"))


def test_images_are_denoised_by_default(sample, draw):
    """Two samples with denoising are closer to 64 samples than two without."""
    truth, masks = draw(sample(8, "render.denoiser=none", "render.samples=64", "render.adaptive_threshold=0"))
    rough, _ = draw(sample(8, "render.denoiser=none"))
    smooth, _ = draw(sample(8))

    def error(rgb):
        return ((rgb.astype(float) - truth) ** 2)[masks > 0].mean()

    assert error(smooth) < 0.9 * error(rough)
