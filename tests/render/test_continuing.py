"""A dataset is not continued with another loader than it was begun with, and a video without any object is none."""

import json
from pathlib import Path

import numpy as np
import pytest

from bl30k_gen.config import load_config
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.library.load import LOADER_VERSION
from bl30k_gen.render import blender_version, dataset
from bl30k_gen.render.check import check_masks
from bl30k_gen.render.dataset import open_for_writing, sampler
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def config():
    small = ["video={frames: 2, width: 64, height: 48}", "objects.count=[1, 1]"]
    return load_config(ROOT / "render_configs/demo.yaml", small)


def test_another_configuration_is_refused_and_the_own_one_named(tmp_path, config):
    layout, catalogue = Layout(tmp_path), open_catalogue(config.assets)
    open_for_writing(layout, config, catalogue)
    other = config.model_copy(update={"seed": 7, "video": config.video.model_copy(update={"frames": 3})})
    with pytest.raises(UserError) as refused:
        open_for_writing(layout, other, catalogue)
    said = str(refused.value)
    assert "was begun with seed = 0, not 7; video.frames = 2, not 3: continue it" in said
    own = said.split("--config ")[1].split(",")[0]
    open_for_writing(layout, load_config(Path(own)), catalogue)


def test_another_version_of_the_loader_is_refused(tmp_path, config, monkeypatch):
    layout, catalogue = Layout(tmp_path), open_catalogue(config.assets)
    open_for_writing(layout, config, catalogue)
    record = json.loads((tmp_path / "catalogue.json").read_text())
    assert record["loader"] == LOADER_VERSION
    open_for_writing(layout, config, catalogue)
    del record["loader"]  # like the first version, which did not record it
    (tmp_path / "catalogue.json").write_text(json.dumps(record))
    open_for_writing(layout, config, catalogue)  # only built-in assets, which do not depend on the loader
    files = config.model_copy(
        update={"assets": config.assets.model_copy(update={"textures": [str(tmp_path.with_name("textures"))]})}
    )
    monkeypatch.setattr(dataset, "require_same", lambda *_: config)
    with pytest.raises(UserError, match=f"version 1 of the asset loader, and this is {LOADER_VERSION}"):
        open_for_writing(layout, files, catalogue)


def test_another_blender_is_refused(tmp_path, config, monkeypatch):
    layout, catalogue = Layout(tmp_path), open_catalogue(config.assets)
    monkeypatch.setattr(blender_version, "version", lambda name: "4.5.15")
    open_for_writing(layout, config, catalogue)
    assert json.loads((tmp_path / "catalogue.json").read_text())["blender"] == "4.5"
    monkeypatch.setattr(blender_version, "version", lambda name: "4.5.16")
    open_for_writing(layout, config, catalogue)
    monkeypatch.setattr(blender_version, "version", lambda name: "4.2.23")
    with pytest.raises(UserError, match="begun with Blender 4.5, and this is 4.2"):
        open_for_writing(layout, config, catalogue)


def test_a_video_without_any_visible_object_fails(tmp_path, config):
    spec = sampler(config, open_catalogue(config.assets))("a00000").spec
    layout = Layout(tmp_path)
    for frame in range(2):
        write_atomically(layout.staged_mask(spec.name, frame), encode_mask(np.zeros((48, 64), np.uint8)))
    problems, areas = check_masks(spec, config, layout)
    assert "no object is seen in any frame" in problems and not areas.any()
