"""`assets add`: checks, refusals, and the added files."""

import contextlib
import json

import numpy as np
import pytest
import trimesh
from PIL import Image

from bl30k_gen.config import load_config
from bl30k_gen.dataset.files import sha256_bytes
from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import AssetRefused
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.library.catalogue.index import Health
from bl30k_gen.library.catalogue.licence import Credit
from bl30k_gen.library.checking.inspector import Bounds, Inspector
from bl30k_gen.library.load import load_model
from bl30k_gen.render.child import BlenderChild, ChildDied
from bl30k_gen.render.dataset import sampler
from bl30k_gen.render.tools import add_asset as adding
from bl30k_gen.render.tools import turntable

RECIPE = "render_configs/demo.yaml"
LIMITS = load_config(RECIPE).assets.limits


def sheet_obj(folder, name="sheet", holes=True):
    texture = np.full((32, 32, 4), 255, np.uint8)
    texture[..., 1:3] = 30
    texture[8:24, 8:24, 3] = 0 if holes else 255
    Image.fromarray(texture).save(folder / f"{name}.png")
    (folder / f"{name}.mtl").write_text(f"newmtl sheet\nKd 1 1 1\nmap_Kd {name}.png\n")
    (folder / f"{name}.obj").write_text(
        f"mtllib {name}.mtl\nusemtl sheet\nv -1 -1 0\nv 1 -1 0\nv 1 1 0\nv -1 1 0\n"
        "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"
    )
    return folder / f"{name}.obj"


@pytest.fixture(scope="module")
def added(generate, tmp_path_factory):
    """One command with a model of three files, an image, and a file that cannot be used."""
    folder = tmp_path_factory.mktemp("add")
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folder / "photo.png")
    (folder / "broken.obj").write_text("v 0 0 0\nv 1 0 0\nf 1 2 9\n")
    files = [sheet_obj(folder), folder / "broken.obj", folder / "photo.png"]
    options = ["--to", folder / "mine", "--out", folder / "strips", "--licence", "cc by 4.0", "--author", "Ada"]
    return folder, generate("assets", "add", *files, *options, "--json", code=2)


def test_unusable_files_are_named_and_the_others_are_added(added):
    folder, done = added
    assert done.stderr.count("error: ") == 1 and "broken.obj: a face names vertex" in done.stderr
    assert [one["file"] for one in json.loads(done.stdout)] == [str(folder / "sheet.obj"), str(folder / "photo.png")]
    assert sorted(path.name for path in (folder / "mine").iterdir()) == ["manifest.jsonl", "photo.png", "sheet.glb"]


def test_an_image_is_kept_byte_for_byte_and_a_model_of_several_files_as_one(added):
    folder, _ = added
    assert (folder / "mine/photo.png").read_bytes() == (folder / "photo.png").read_bytes()
    before, after = (load_model(str(folder / f), LIMITS) for f in ("sheet.obj", "mine/sheet.glb"))
    assert np.allclose(before.vertices, after.vertices)
    assert np.array_equal(before.parts[0].texture, after.parts[0].texture)


def test_the_manifest_names_the_authors(added):
    folder, _ = added
    lines = [json.loads(line) for line in (folder / "mine/manifest.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == ["sheet.glb", "photo.png"]
    for line in lines:
        assert (line["licence"], line["author"]) == ("CC-BY-4.0", "Ada")
        assert line["sha256"] == sha256_bytes((folder / "mine" / line["file"]).read_bytes())


def test_strips_show_the_asset_turning(added):
    folder, _ = added
    strip = np.asarray(Image.open(folder / "strips/sheet.glb.png").convert("RGB")).astype(int)
    step, height = turntable.SIDE + turntable.GAP, turntable.CAPTION + turntable.SIDE + turntable.GAP
    assert strip.shape == (turntable.CAPTION + 3 * height, turntable.VIEWS * step - turntable.GAP, 3)

    def tile(row, column):
        top = 2 * turntable.CAPTION + row * height
        return strip[top : top + turntable.SIDE, column * step : column * step + turntable.SIDE]

    def red(pixels):
        return pixels[..., 0] > pixels[..., 1] + 40

    middle = (slice(90, 110), slice(90, 110))
    wall = strip[2 * turntable.CAPTION + 2, 2]
    assert (np.abs(tile(0, 0)[middle] - wall) > 20).all(), "opaque, as configured"
    assert red(tile(1, 0)).sum() > 1000 and (np.abs(tile(1, 0)[middle] - wall) < 5).all(), "with its holes"
    assert red(tile(0, 1)).sum() < 0.9 * red(tile(0, 0)).sum(), "seen from the side it is narrower"
    shades = tile(2, 0).reshape(-1, 3)
    assert len(np.unique(shades // 32, axis=0)) > 8, "a grid of many colours shows the seams"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.obj"], "none.obj does not exist"),
        (["notes.txt"], "notes.txt is neither a model nor an image"),
        (["notes.txt", "--author", "Ada"], "without --to"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(generate, tmp_path, arguments, said):
    (tmp_path / "notes.txt").write_text("no asset")
    done = generate("assets", "add", tmp_path / arguments[0], *arguments[1:], "--out", tmp_path / "strips", code=2)
    assert said in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "strips").exists()


def test_an_asset_that_crashes_blender_is_refused_and_the_next_gets_a_new_process(tmp_path, monkeypatch):
    class Dying:
        started = 0

        def __init__(self, *_):
            Dying.started += 1

        def render_once(self, _):
            raise ChildDied("Blender was ended by SIGSEGV", [])

        def close(self):
            pass

    class Sound:
        def examine(self, *_):
            return Health("", False, ())

    monkeypatch.setattr(adding, "BlenderChild", Dying)
    options = adding.AddOptions(tmp_path / "strips", tmp_path / "mine", None, Credit())
    with adding.Studio("cpu", 60.0) as studio:
        for n in (1, 2):
            with pytest.raises(AssetRefused, match="sheet.obj: cannot be drawn: Blender was ended by SIGSEGV"):
                adding.add(sheet_obj(tmp_path), load_config(RECIPE), options, Sound(), studio)
            assert Dying.started == n
    assert not (tmp_path / "mine").exists()


@pytest.fixture(scope="module")
def trap(tmp_path_factory):
    """A folder with a module that is none of the children's business, though they start there."""
    folder = tmp_path_factory.mktemp("trap")
    (folder / "numpy.py").write_text("raise SystemExit('not this one')")
    return folder


@pytest.fixture(scope="module")
def child(trap):
    with contextlib.chdir(trap):
        child = BlenderChild("cpu", 1, timeout=120.0)
    yield child
    child.close()


def test_modules_in_the_folder_where_a_command_runs_are_not_loaded(trap):
    with contextlib.chdir(trap), Inspector(Bounds(60.0, 4.0)) as inspector:
        assert inspector.examine(str(sheet_obj(trap)), "model", LIMITS).refused == ""


def test_a_huge_mesh_is_reduced_with_its_materials_and_texture(child, tmp_path):
    ball = trimesh.creation.uv_sphere(count=[48, 48])
    u = np.arctan2(ball.vertices[:, 1], ball.vertices[:, 0]) / (2 * np.pi) + 0.5
    v = ball.vertices[:, 2] / 2 + 0.5
    Image.new("RGB", (8, 8), (200, 30, 30)).save(tmp_path / "red.png")
    (tmp_path / "ball.mtl").write_text("newmtl red\nmap_Kd red.png\nnewmtl blue\nKd 0 0 1\n")
    lines = ["mtllib ball.mtl", *(f"v {a} {b} {c}" for a, b, c in ball.vertices)]
    lines += [f"vt {a} {b}" for a, b in zip(u, v, strict=True)]
    upper = ball.triangles_center[:, 2] > 0
    for name, faces in (("red", ball.faces[upper]), ("blue", ball.faces[~upper])):
        lines += [f"usemtl {name}", *("f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces)]
    (tmp_path / "ball.obj").write_text("\n".join(lines) + "\n")
    data = [turntable.reduce(str(tmp_path / "ball.obj"), 500, LIMITS, child) for _ in range(2)]
    assert data[0] == data[1]
    (tmp_path / "small.glb").write_bytes(data[0])
    small = load_model(str(tmp_path / "small.glb"), LIMITS)
    assert 400 <= sum(len(part.faces) for part in small.parts) <= 500
    assert [part.texture is not None for part in small.parts] == [True, False]
    assert np.allclose(np.linalg.norm(small.vertices, axis=1), 0.5 / np.sqrt(3), rtol=0.08), "still round"
    red = small.parts[0]  # v is the file's z over the sphere, so the model's -y
    height = 0.5 - small.vertices[red.faces][..., 1] * np.sqrt(3)
    assert np.abs(red.uv[..., 1] - height).max() < 0.1, "texture coordinates went along"


def test_names_of_shapenets_models_are_those_of_their_folders(tmp_path):
    assert adding._name(tmp_path / "02958343/abc/models/model_normalized.obj") == "abc"
    assert adding._name(tmp_path / "abc/chair.v2.glb") == "chair.v2"


def test_models_of_one_file_name_get_their_folders_names_and_others_are_numbered(tmp_path):
    files = []
    for folder in ("chair", "table"):
        (tmp_path / folder).mkdir()
        for name in ("model_normalized.obj", "a.obj", "a.png"):
            (tmp_path / folder / name).write_bytes(b"")
            files.append(tmp_path / folder / name)
    assert [adding._name(files[0]), adding._name(files[3])] == ["chair", "table"]
    adding.require_names([files[0], files[3], files[1], files[2]])
    with pytest.raises(UserError, match=r"chair/a.obj and .*table/a.obj would both be called a"):
        adding.require_names([files[1], files[4]])


def test_a_build_uses_added_assets(added):
    folder, _ = added
    mine = [f"assets.{kind}={folder / 'mine'}" for kind in ("models", "textures", "backgrounds")]
    config = load_config(RECIPE, mine)
    scene = sampler(config, open_catalogue(config.assets))("a00000")
    assert scene.refusals == ()
    assert {thing.model.id for thing in scene.spec.objects} == {"mine/sheet.glb"}
    assert scene.spec.backdrop.image.id == "mine/photo.png"
