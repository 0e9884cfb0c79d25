"""Scenes that were planned and edited by hand."""

import json

import pytest

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
        _, describe = dataset.planned(tmp_path, catalogue)
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
