"""The index of a folder: its measurements; it does not change which assets are found."""

import json
import os
import shutil
import struct

import numpy as np
import pytest
import trimesh
from PIL import Image

from bl30k_gen.config import Assets, Config, Limits, load_config
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue import index
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.library.catalogue.measure import ImageSize, Measured, ModelSize, measure
from bl30k_gen.library.load import load_model

LIMITS = Limits(max_faces=200_000, max_image_side=2048, max_megapixels=50)
CUBE = trimesh.creation.box((1, 2, 4))


def catalogue(models="builtin", textures="builtin", **filters):
    sources = {"models": str(models), "textures": str(textures), "backgrounds": "builtin"}
    return open_catalogue(Assets(**sources, limits=LIMITS, **filters))


@pytest.fixture
def chairs(tmp_path):
    """Two categories of three models each, and an image."""
    root = tmp_path / "mine"
    for category in ("chairs", "cars"):
        for number in range(3):
            (root / category).mkdir(parents=True, exist_ok=True)
            mesh = trimesh.creation.icosphere(subdivisions=number)
            (root / category / f"{number}.stl").write_bytes(mesh.export(file_type="stl"))
    Image.new("RGB", (30, 20)).save(root / "chairs/photo.png")
    return root


# --- measuring ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["obj", "ply", "ply-ascii", "stl", "stl_ascii", "glb", "gltf"])
def test_counts_and_bounds_are_those_of_the_file(tmp_path, kind):
    file = tmp_path / f"cube.{kind.partition('-')[0].partition('_')[0]}"
    if kind == "gltf":
        for name, data in trimesh.Scene(CUBE).export(file_type="gltf").items():
            (tmp_path / name).write_bytes(data)
        file = tmp_path / "model.gltf"
    elif kind == "ply-ascii":
        file.write_bytes(trimesh.exchange.ply.export_ply(CUBE, encoding="ascii"))
    else:
        data = CUBE.export(file_type=kind)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
    shape = measure(str(file)).size
    assert shape.faces == 12 and shape.vertices in (8, 36)
    np.testing.assert_allclose((shape.low, shape.high), CUBE.bounds)
    assert not shape.textured


def test_the_index_counts_real_models_as_the_loader_does(shared):
    """Their files have almost no degenerate faces, so that the quick count and the full parse must agree."""
    for path in sorted((shared / "data/shapenet_layout").glob("*/*/models/model_normalized.obj")):
        if path.stat().st_size > 500_000:
            continue
        shape = measure(str(path)).size
        model = load_model(str(path), LIMITS)
        assert sum(len(part.faces) for part in model.parts) == pytest.approx(shape.faces, rel=0.05)
        extent = np.subtract(shape.high, shape.low)
        loaded = np.ptp(model.vertices, axis=0)[[0, 2, 1]]
        np.testing.assert_allclose(loaded, extent / np.linalg.norm(extent), atol=2e-3)
        assert shape.textured == model.has_texture


def test_the_size_of_read_blocks_does_not_change_counts(tmp_path, monkeypatch):
    sphere = trimesh.creation.icosphere(subdivisions=3)
    (tmp_path / "a.obj").write_text("  " + sphere.export(file_type="obj").replace("\n", "\r\n\t"))
    whole = measure(str(tmp_path / "a.obj"))
    assert (whole.size.vertices, whole.size.faces) == (len(sphere.vertices), len(sphere.faces))
    monkeypatch.setattr("bl30k_gen.library.catalogue.measure.BLOCK", 1000)
    assert measure(str(tmp_path / "a.obj")) == whole


def test_a_glb_names_its_author_and_licence(tmp_path):
    """Like the files of Objaverse, which Sketchfab exported."""
    scene = trimesh.Scene(CUBE)
    data = scene.export(file_type="glb")
    length = struct.unpack_from("<I", data, 12)[0]
    tree = json.loads(data[20 : 20 + length])
    tree["asset"]["extras"] = {
        "author": "Some\nOne (https://example.org/some.one)",
        "license": "CC-BY-4.0 (http://creativecommons.org/licenses/by/4.0/)",
        "source": "https://example.org/3d-models/cube",
        "title": "Cube",
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    head = b"glTF" + struct.pack("<III4s", 2, 20 + len(text) + len(data) - 20 - length, len(text), b"JSON")
    (tmp_path / "objaverse").mkdir()
    (tmp_path / "objaverse/cube.glb").write_bytes(head + text + data[20 + length :])
    index.update(str(tmp_path / "objaverse"), 1)
    cube = catalogue(tmp_path.as_posix() + "/objaverse").models[0]
    assert (cube.licence, cube.title, cube.author) == ("CC-BY-4.0", "Cube", "Some One (https://example.org/some.one)")


def test_invalid_assets_are_listed_without_a_size(tmp_path, shared):
    root = shutil.copytree(shared / "data/hostile_assets", tmp_path / "hostile")
    os.chmod(root, 0o755)
    os.mkfifo(root / "pipe.obj")
    (root / "nonsense.glb").write_bytes(b"glTF" + bytes(100))
    found, _ = index.update(str(root), 1)
    assert found.rows["pipe.obj"].size is None and found.rows["pipe.obj"].sha256 == ""
    assert found.rows["nonsense.glb"].size is None and found.rows["nan_vertex.obj"].size.low is None
    assert not found.rows["mtl_escape.obj"].size.textured, "the material file outside was read"


# --- the index ------------------------------------------------------------------------------------------------------


def test_a_catalogue_is_the_same_with_an_index(chairs, shared, tmp_path):
    real = shutil.copytree(shared / "data/shapenet_layout", tmp_path / "ShapeNetCore.v2")
    os.chmod(real, 0o755)
    for root in (chairs, real, real / "03797390"):
        os.chmod(root, 0o755)
        textures = chairs if root == chairs else "builtin"
        before = catalogue(root, textures)
        index.update(str(root), 1)
        after = catalogue(root, textures)
        for kind in ("model", "texture"):
            old, new = ([(a.id, a.path, a.category) for a in c.of(kind)] for c in (before, after))
            assert old == new
        assert after.digest() == before.digest() and all(a.faces for a in after.models)


def test_an_unchanged_tree_is_not_read_again(chairs, monkeypatch):
    first, changes = index.update(str(chairs), 1)
    assert len(changes.added) == 7 and first.rows["chairs/photo.png"].size == ImageSize(30, 20)
    assert isinstance(first.rows["cars/1.stl"].size, ModelSize)
    monkeypatch.setattr(index, "measure", lambda path: pytest.fail(f"read {path}"))
    again, changes = index.update(str(chairs), 1)
    assert again == first == index.read(chairs) and changes.unchanged == 7 and not changes.added


def test_only_what_changed_is_read_again(chairs, monkeypatch):
    index.update(str(chairs), 1)
    (chairs / "cars/3.stl").write_bytes((chairs / "cars/2.stl").read_bytes())
    (chairs / "chairs/0.stl").write_bytes((chairs / "chairs/1.stl").read_bytes())
    (chairs / "chairs/photo.png").unlink()
    read = []
    monkeypatch.setattr(index, "measure", lambda path: read.append(path) or measure(path))
    found, changes = index.update(str(chairs), 1)
    assert (changes.added, changes.changed) == (["cars/3.stl"], ["chairs/0.stl"])
    assert changes.removed == ["chairs/photo.png"]
    assert len(read) == 2
    assert found.rows["chairs/0.stl"].sha256 == found.rows["chairs/1.stl"].sha256
    assert list(found.rows) == sorted(found.rows, key=lambda file: (os.path.dirname(file), file))


def test_an_outdated_index_hides_no_asset(chairs, caplog):
    index.update(str(chairs), 1)
    (chairs / "cars/new.stl").write_bytes((chairs / "cars/0.stl").read_bytes())
    assert "mine/cars/new.stl" in [a.id for a in catalogue(chairs).models]
    assert "out of date" in caplog.text and "assets index" in caplog.text


def test_a_damaged_index_is_rebuilt(chairs, caplog):
    whole, _ = index.update(str(chairs), 1)
    path = chairs / index.PLACE
    for content in ("", "{", "[1]", '{"schema": 1}', path.read_text()[:-40], "[" * 100_000):
        path.write_text(content)
        assert index.read(chairs) is None
        assert len(catalogue(chairs).models) == 6
    assert "damaged" in caplog.text
    assert index.update(str(chairs), 1)[0] == whole == index.read(chairs)


def test_measurements_before_an_interruption_are_kept(chairs, monkeypatch):
    def interrupted(path):
        if path.endswith("2.stl"):
            raise KeyboardInterrupt
        return measure(path)

    monkeypatch.setattr(index, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        index.update(str(chairs), 1)
    assert len(catalogue(chairs).models) == 6, "a part of an index is not taken for the whole"
    monkeypatch.setattr(index, "measure", measure)
    found, changes = index.update(str(chairs), 1)
    assert changes.unchanged == 2 and len(found.rows) == 7 and found.complete


def test_several_processes_measure_the_same(chairs, monkeypatch):
    alone, _ = index.update(str(chairs), 1)
    (chairs / index.PLACE).unlink()
    monkeypatch.setattr(index, "MIN_BYTES_PER_WORKER", 1)
    together, _ = index.update(str(chairs), 2)
    assert together == alone


def test_mistakes_name_the_folder(tmp_path):
    with pytest.raises(UserError, match="nowhere is no folder"):
        index.update(str(tmp_path / "nowhere"), 1)
    with pytest.raises(UserError, match="holds no assets"):
        index.update(str(tmp_path), 1)


# --- filters --------------------------------------------------------------------------------------------------------


def ids(root, **select):
    return [a.id.removeprefix("mine/") for a in catalogue(root, select=select).models]


def test_models_are_selected(chairs):
    index.update(str(chairs), 1)
    assert ids(chairs, categories="Cars") == ["cars/0.stl", "cars/1.stl", "cars/2.stl"]
    assert ids(chairs, hold_out=["cars"]) == ["chairs/0.stl", "chairs/1.stl", "chairs/2.stl"]
    assert ids(chairs, include=["mine/*/1.stl"], exclude="mine/cars/1.stl") == ["chairs/1.stl"]
    assert ids(chairs, max_faces=80) == ["cars/0.stl", "cars/1.stl", "chairs/0.stl", "chairs/1.stl"]


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ({"categories": ["chars"]}, "did you mean chairs"),
        ({"include": ["mine/cars/7.stl"]}, "did you mean mine/cars/"),
        ({"max_faces": 1}, "leaves none of 6"),
        ({"hold_out": ["cars", "chairs"]}, "leaves none of 6"),
        ({"category_share": [0.98, 0.99]}, "holds no category: cars at 0"),
    ],
)
def test_an_impossible_selection_is_an_error(chairs, select, said):
    index.update(str(chairs), 1)
    with pytest.raises(UserError, match=said):
        catalogue(chairs, select=select)


def test_uncounted_faces_are_an_error(chairs):
    with pytest.raises(UserError, match="assets index"):
        catalogue(chairs, select={"max_faces": 100})


def test_a_model_that_cannot_be_counted_does_not_block_the_others(chairs, caplog):
    """The remedy was to index its folder, which was done."""
    (chairs / "cars/broken.glb").write_bytes(b"glTF")
    index.update(str(chairs), 1)
    assert "cars/broken.glb" not in ids(chairs, max_faces=80)
    assert "leaves out 1 models without a count of faces, such as mine/cars/broken.glb" in caplog.text


def test_linked_folders_are_said_to_be_left_out(chairs, caplog):
    (chairs / "linked").symlink_to(chairs / "cars")
    assert len(ids(chairs)) == 6
    assert "1 linked folders are left out, such as linked" in caplog.text


def test_synsets_can_be_selected_by_name(shared):
    root = shared / "data/shapenet_layout"
    chosen = catalogue(root, select={"categories": ["car", "04530566"]})
    assert {a.category for a in chosen.models} == {"02958343", "04530566"}
    with pytest.raises(UserError, match="did you mean watercraft"):
        catalogue(root, select={"categories": ["watercrafts"]})


def test_a_taxonomy_adds_names(tmp_path):
    mesh = tmp_path / "net/02958343/a/models/model_normalized.obj"
    mesh.parent.mkdir(parents=True)
    mesh.write_text("")
    (tmp_path / "net/taxonomy.json").write_text(json.dumps([{"synsetId": "02958343", "name": "car,auto,motorcar"}]))
    assert len(catalogue(tmp_path / "net", select={"categories": ["motorcar"]}).models) == 1


def test_fractions_of_categories_divide_the_models():
    all_of_them = {a.id for a in catalogue().models}
    parts = [{a.id for a in catalogue(select={"category_share": share}).models} for share in ([0, 0.6], [0.6, 1])]
    assert parts[0] | parts[1] == all_of_them and not parts[0] & parts[1]
    assert not {i.split("/")[1] for i in parts[0]} & {i.split("/")[1] for i in parts[1]}, "a category was cut"


def test_filters_that_are_absent_leave_no_trace(tmp_path):
    """So that a dataset that was begun without them is continued unchanged."""
    config = load_config("render_configs/bl30k.yaml")
    assert "select" not in config.to_yaml() and not any("licences" in key for key in config.flat())
    changed = load_config("render_configs/bl30k.yaml", ["assets.select.hold_out=car", "assets.licences=cc0"])
    assert changed.digest() != config.digest()
    (tmp_path / "again.yaml").write_text(changed.to_yaml())
    again = load_config(tmp_path / "again.yaml")
    assert isinstance(again, Config) and again == changed and again.digest() == changed.digest()
    with pytest.raises(UserError, match="did you mean assets.select.hold_out"):
        load_config("render_configs/bl30k.yaml", ["assets.select.holdout=car"])
    with pytest.raises(UserError, match="in quotes"):
        load_config("render_configs/bl30k.yaml", ["assets.select.categories=[02747177]"])


def test_the_index_of_a_read_only_folder_is_in_the_cache(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "photos/a.png")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "_may_be_written", lambda folder: False)
    found, changes = index.update(str(tmp_path / "photos"), 1)
    assert changes.added == ["a.png"] and index.read(tmp_path / "photos") == found
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.png"]
    assert index.place(tmp_path / "photos").is_relative_to(tmp_path / "cache")
    assert index.is_current(tmp_path / "photos", found)


def test_a_file_of_terabytes_is_not_read(tmp_path):
    (tmp_path / "a.stl").write_bytes(b"solid a\n")
    os.truncate(tmp_path / "a.stl", 1 << 40)
    assert measure(str(tmp_path / "a.stl")) == Measured("", None, None)
