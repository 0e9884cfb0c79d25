import os

import pytest

from bl30k_gen.config import Assets
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.catalogue import Catalogue, folder_assets, open_catalogue
from bl30k_gen.library.catalogue.listed import Asset

LIMITS = {"max_faces": 200_000, "max_image_side": 2048, "max_megapixels": 50}


def config(models="builtin", textures="builtin", backgrounds="builtin", **filters):
    def as_list(value):
        return [str(value)] if not isinstance(value, list) else [str(item) for item in value]

    sources = {"models": as_list(models), "textures": as_list(textures), "backgrounds": as_list(backgrounds)}
    return Assets(**sources, limits=LIMITS, **filters)


def touch(folder, *names):
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"")


def test_builtin_library_has_the_promised_families():
    catalogue = open_catalogue(config())
    assert len({a.category for a in catalogue.models}) >= 60
    assert len({a.category for a in catalogue.textures}) >= 30
    assert len({a.category for a in catalogue.backgrounds}) >= 20
    vase = catalogue.find("model", "builtin/vase/03")
    assert (vase.path, vase.category, vase.licence) == ("builtin:model/vase/03", "vase", "CC0-1.0")


def test_shapenet_layout(tmp_path):
    root = tmp_path / "ShapeNetCore.v2"
    touch(root, "02958343/b/models/model_normalized.obj", "02958343/a/models/model_normalized.obj")
    touch(root, "03001627/c/models/model_normalized.obj", "03001627/c/images/texture0.jpg", "taxonomy.json")
    touch(root, "03001627/empty/models/model_normalized.json")
    models = open_catalogue(config(models=root)).models
    assert [m.id for m in models] == ["02958343/a", "02958343/b", "03001627/c"]
    assert models[2].path == f"{root}/03001627/c/models/model_normalized.obj"
    assert [m.category for m in models] == ["02958343", "02958343", "03001627"]
    assert {m.licence for m in models} == {"unknown"}
    of_one_synset = open_catalogue(config(models=root / "02958343")).models
    assert [m.id for m in of_one_synset] == ["02958343/a", "02958343/b"]


def test_plain_folder(tmp_path):
    root = tmp_path / "mine"
    touch(root, "chairs/b.GLB", "chairs/a.obj", "chairs/a.mtl", "chairs/wood.png", "c.ply", "d.stl", ".hidden.obj")
    assert [m.id for m in open_catalogue(config(models=root)).models] == [
        "mine/c.ply",
        "mine/chairs/a.obj",
        "mine/chairs/b.GLB",
        "mine/d.stl",
    ]
    chair = open_catalogue(config(models=root)).find("model", "mine/chairs/a.obj")
    assert chair.category == "chairs"
    assert [t.id for t in open_catalogue(config(textures=root)).textures] == ["mine/chairs/wood.png"]


def test_ids_do_not_depend_on_the_place_of_the_folder(tmp_path, monkeypatch):
    for place in ("here", "there/deeper"):
        touch(tmp_path / place / "mine", "a.obj", "b/c.obj")
    here, there = (open_catalogue(config(models=tmp_path / p / "mine")) for p in ("here", "there/deeper"))
    assert [m.id for m in here.models] == [m.id for m in there.models]
    assert here.digest() == there.digest()
    monkeypatch.chdir(tmp_path / "here")
    relative = open_catalogue(config(models="mine"))
    assert relative.digest() == here.digest()
    assert relative.models[0].path == "mine/a.obj"


def test_the_digest_depends_on_the_selection(tmp_path):
    touch(tmp_path / "mine", "a.obj")
    before = open_catalogue(config(models=tmp_path / "mine")).digest()
    touch(tmp_path / "mine", "b.obj")
    assert open_catalogue(config(models=tmp_path / "mine")).digest() != before


def test_several_sources_are_sorted_together(tmp_path):
    touch(tmp_path / "zoo", "a.obj")
    touch(tmp_path / "ark", "a.obj")
    models = open_catalogue(config(models=[tmp_path / "zoo", "builtin", tmp_path / "ark"])).models
    assert [m.id for m in models] == sorted(m.id for m in models)
    assert {"zoo/a.obj", "ark/a.obj", "builtin/vase/00"} <= {m.id for m in models}


@pytest.mark.parametrize("mesh", ["a.obj", "car/m1/models/model_normalized.obj"])
def test_an_unreadable_folder_is_skipped_and_named(tmp_path, monkeypatch, caplog, mesh):
    touch(tmp_path / "mine", mesh, "locked/b.obj")
    scandir = os.scandir

    def locked(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    assert [asset.path for asset in folder_assets("model", str(tmp_path / "mine"))] == [f"{tmp_path}/mine/{mesh}"]
    assert "locked is left out: Permission denied" in caplog.text


def test_links_out_of_the_folder_are_skipped(tmp_path):
    touch(tmp_path / "outside", "x.obj", "folder/y.obj")
    root = tmp_path / "mine"
    touch(root, "a.obj")
    os.symlink(tmp_path / "outside" / "x.obj", root / "link.obj")
    os.symlink(tmp_path / "outside" / "folder", root / "linked")
    os.symlink(root / "a.obj", root / "inside.obj")
    os.symlink(root, root / "loop")
    os.symlink("itself.obj", root / "itself.obj")
    assert [m.id for m in open_catalogue(config(models=root)).models] == ["mine/a.obj", "mine/inside.obj"]


@pytest.mark.parametrize("key", ["models", "textures", "backgrounds"])
def test_missing_and_empty_folders_name_the_key(tmp_path, key):
    with pytest.raises(UserError, match=f"assets.{key}.*nowhere.*does not exist"):
        open_catalogue(config(**{key: tmp_path / "nowhere"}))
    touch(tmp_path / "empty", "readme.txt")
    with pytest.raises(UserError, match=f"assets.{key}.*empty.*holds no"):
        open_catalogue(config(**{key: tmp_path / "empty"}))
    with pytest.raises(UserError, match="is not a folder"):
        open_catalogue(config(**{key: tmp_path / "empty" / "readme.txt"}))


def test_equal_ids_are_refused(tmp_path):
    for place in ("one", "two"):
        touch(tmp_path / place / "mine", "a.obj")
    with pytest.raises(UserError, match="same id mine/a.obj"):
        open_catalogue(config(models=[tmp_path / "one" / "mine", tmp_path / "two" / "mine"]))


def test_find_suggests_the_nearest():
    asset = Asset("chairs/armchair", "model", "chairs/armchair.obj", "chairs", "unknown")
    catalogue = Catalogue(models=(asset,), textures=(), backgrounds=())
    assert catalogue.find("model", "chairs/armchair") is asset
    with pytest.raises(UserError, match="did you mean chairs/armchair"):
        catalogue.find("model", "chairs/armchiar")


def test_shared_shapenet(shared):
    models = open_catalogue(config(models=shared / "data" / "shapenet_layout")).models
    assert len(models) == 15
    assert "02958343/cesiummilktruck" in [m.id for m in models]
