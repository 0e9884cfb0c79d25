"""Scenes that were planned and edited by hand."""

import json

import pytest
from PIL import Image

from bl30k_gen.config import load_config
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render import dataset
from bl30k_gen.scene.sampler import video_name
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def builtin():
    config = load_config(ROOT / "render_configs/demo.yaml")
    return config, open_catalogue(config.assets)


@pytest.fixture
def edited(builtin, tmp_path):
    """edited(change) -> the scene of a00000, read after ``change(JSON)``."""
    config, catalogue = builtin
    spec = dataset.sampler(config, catalogue)(video_name(0, 100)).spec
    dataset.write_plan(tmp_path, config, [spec])
    path = tmp_path / "scenes/a00000.json"

    def read(change):
        scene = json.loads(path.read_text())
        change(scene)
        path.write_text(json.dumps(scene))
        _, describe = dataset.planned(tmp_path, config, catalogue)
        return spec, describe("a00000").spec

    return read


def test_planned_scenes_are_read(edited):
    planned, read = edited(lambda scene: None)
    assert read == planned


def test_a_model_must_match_its_id(edited):
    """A former version rendered the old model and credited the new one."""

    def rename(scene):
        scene["objects"][0]["model"]["id"] = scene["objects"][1]["model"]["id"]

    with pytest.raises(UserError, match=r"a00000\.json: model \S+ lies in builtin:model/\S+, not in builtin:model/"):
        edited(rename)


def test_an_unknown_model_is_named_with_the_nearest(edited):
    def rename(scene):
        scene["objects"][0]["model"]["id"] += "x"

    with pytest.raises(UserError, match="is unknown: did you mean builtin/"):
        edited(rename)


def test_a_digest_may_be_left_out_and_is_computed(edited, caplog):
    def forget(scene):
        del scene["objects"][0]["model"]["sha256"]

    planned, read = edited(forget)
    assert read == planned and "has no sha256: the file's is taken" in caplog.text


def test_an_edited_scene_is_not_overwritten(builtin, tmp_path):
    config, catalogue = builtin
    spec = dataset.sampler(config, catalogue)(video_name(0, 100)).spec
    dataset.write_plan(tmp_path, config, [spec])
    dataset.write_plan(tmp_path, config, [spec])
    path = tmp_path / "scenes/a00000.json"
    path.write_text(path.read_text().replace('"seed"', '"seed" '))
    with pytest.raises(UserError, match=r"a00000\.json was changed since it was written"):
        dataset.write_plan(tmp_path, config, [spec])


def test_planned_scenes_are_not_rendered_with_another_configuration(builtin, tmp_path):
    """The values were recorded as the dataset's, and the scenes held the others."""
    config, catalogue = builtin
    dataset.write_plan(tmp_path, config, [dataset.sampler(config, catalogue)("a00000").spec])
    other = load_config(ROOT / "render_configs/demo.yaml", ["render.samples=512", "runtime.device=cpu"])
    with pytest.raises(UserError, match=r"was planned with render\.samples = \d+, not 512: plan again"):
        dataset.planned(tmp_path, other, catalogue)
    same = load_config(ROOT / "render_configs/demo.yaml", ["runtime.device=cpu"])
    assert dataset.planned(tmp_path, same, catalogue)[0] == ["a00000"]


def test_a_dataset_in_the_folder_of_its_plan_is_complete(builtin, tmp_path):
    config, catalogue = builtin
    dataset.write_plan(tmp_path, config, [dataset.sampler(config, catalogue)("a00000").spec])
    dataset.open_for_writing(dataset.Layout(tmp_path), config, catalogue)
    assert {"catalogue.json", "DATASET.md", "CITATION.cff"} <= {path.name for path in tmp_path.iterdir()}


def test_the_card_gives_each_source_its_own_licences(tmp_path, monkeypatch):
    for folder, licence in (("photos", "CC0-1.0"), ("photos2", "CC-BY-NC-4.0")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (64, 48)).save(tmp_path / folder / "one.jpg")
        row = {"file": "one.jpg", "licence": licence}
        (tmp_path / folder / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    monkeypatch.chdir(tmp_path)
    config = load_config(ROOT / "render_configs/demo.yaml", ["assets.backgrounds=[./photos, photos2]"])
    dataset.open_for_writing(dataset.Layout(tmp_path / "out"), config, open_catalogue(config.assets))
    card = (tmp_path / "out/DATASET.md").read_text()
    assert "| ./photos | CC0-1.0 |" in card and "| photos2 | CC-BY-NC-4.0 |" in card


def test_a_failed_start_creates_no_dataset(builtin, tmp_path):
    config, catalogue = builtin

    def no_device():
        raise UserError("no cuda here", "give --device cpu")

    with pytest.raises(UserError, match="no cuda here"):
        dataset.open_for_writing(dataset.Layout(tmp_path / "out"), config, catalogue, no_device)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_contents_is_no_dataset(builtin, tmp_path):
    config, catalogue = builtin
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(UserError, match=r"holds holiday\.jpg"):
        dataset.open_for_writing(dataset.Layout(tmp_path), config, catalogue)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]
