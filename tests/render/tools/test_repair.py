"""`verify --repair`: damaged videos are rendered again with the same bytes; the others are not touched."""

import json
import shutil
from typing import Any

import pytest

from benchmarks.faults.corruption import (
    edited_metadata,
    flip_in_shard,
    lost_video,
    renamed_video,
    stale_list,
    swapped_masks,
)
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.metadata import digest
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.verify import verify
from bl30k_gen.errors import UserError
from bl30k_gen.render.tools.repair import repair
from bl30k_gen.scene.spec import parse_spec


def videos_of(root):
    store = open_dataset(root)
    return {path: store.tree.read(path) for name in store.videos for path in store.members(name)}


@pytest.fixture
def dataset(rendered, tmp_path):
    return Layout(shutil.copytree(rendered, tmp_path / "data"))


def test_only_damaged_videos_are_rendered_again(rendered, dataset, generate):
    swapped_masks(dataset)
    stale_list(dataset)
    dataset.log("a00000").unlink()
    answer = json.loads(generate("verify", dataset.root, "--repair", "--json").stdout)
    assert {problem["kind"] for problem in answer["problems"]} >= {"image set"} and not answer["ok"]
    assert answer["repair"]["rendered"] == ["a00001"] and answer["repair"]["ok"]
    assert not dataset.log("a00000").exists(), "the others were not rendered"
    assert videos_of(dataset.root) == videos_of(rendered)
    for split in ("train", "val"):
        assert dataset.image_set(split).read_text() == Layout(rendered).image_set(split).read_text()
    shown = generate("verify", dataset.root, "--repair").stdout
    assert "all is well" in shown and "rendered again" not in shown


class Asked(list[str]):
    """Names of the requested videos, and the functions that describe their scenes."""

    described: list[Any]


@pytest.fixture
def no_rendering(monkeypatch):
    """Replace the supervisor by one that only records the requested videos, and how their scenes are described."""
    asked = Asked()
    asked.described = []

    class RecordingSupervisor:
        def __init__(self, config, layout, describe, *_):
            asked.described.append(describe)
            self.rendered, self.already, self.failed = [], [], {}

        def run(self, names):
            asked.extend(names)
            return self

    monkeypatch.setattr("bl30k_gen.render.tools.repair.Supervisor", RecordingSupervisor)
    return asked


@pytest.mark.parametrize(("plant", "removed"), [(lost_video, []), (renamed_video, ["a00009"]), (edited_metadata, [])])
def test_lost_and_renamed_videos_are_rendered_under_their_own_name(dataset, no_rendering, plant, removed):
    plant(dataset)
    done = repair(dataset.root, verify(dataset.root))
    assert (no_rendering, done.removed) == (["a00001"], removed)
    assert dataset.published() == ["a00000", "a00002"]
    assert not done.ok, "what is still missing is still said"


def test_a_planned_video_keeps_its_name_and_scene_when_a_repair_is_killed(dataset, no_rendering, monkeypatch):
    """Its name is none of a sampled video, and its scene is nowhere but in its metadata."""
    text = dataset.metadata("a00001").read_text().replace("a00001", "hero-1")
    metadata = json.loads(text)
    metadata["digest"] = digest(metadata)
    for folder in ("JPEGImages", "Annotations"):
        (dataset.root / folder / "a00001").rename(dataset.root / folder / "hero-1")
    dataset.metadata("a00001").unlink()
    dataset.metadata("hero-1").write_text(json.dumps(metadata))
    for split in ("train", "val"):
        dataset.image_set(split).write_text(dataset.image_set(split).read_text().replace("a00001", "hero-1"))
    assert verify(dataset.root).ok
    dataset.rgb("hero-1", 2).write_bytes(b"")
    for _ in range(2):  # the first ends before it has rendered anything
        done = repair(dataset.root, verify(dataset.root))
        assert no_rendering.pop() == "hero-1" and not no_rendering and not done.ok
    assert no_rendering.described[-1]("hero-1").spec == parse_spec(metadata["scene"], "")


def test_a_changed_configuration_does_not_render_videos_again(dataset, no_rendering):
    dataset.config.write_text(dataset.config.read_text().replace("seed: 0", "seed: 1"))
    report = verify(dataset.root)
    with pytest.raises(UserError, match="config.yaml is not the configuration that the videos were made with"):
        repair(dataset.root, report)
    assert dataset.published() == ["a00000", "a00001", "a00002"]


def test_folders_with_other_contents_are_not_changed(dataset, no_rendering):
    (dataset.root / "JPEGImages/mine").mkdir()
    done = repair(dataset.root, verify(dataset.root))
    assert no_rendering == [] and not done.ok
    assert (dataset.root / "JPEGImages/mine").exists()
    assert done.unknown == ["mine"] and "mine  left alone: no metadata" in done.table()


def test_a_damaged_shard_is_repaired(rendered, once, generate, tiny, tmp_path):
    """The dataset is rendered into a shard, read by every command, damaged and repaired."""
    flags = [*tiny, "--count", 3, "--store", "tar"]
    made = once("rendered-tar", lambda folder: generate("render", *flags, "--out", folder))
    root = shutil.copytree(made, tmp_path / "data", symlinks=True)
    expected = videos_of(rendered)
    assert videos_of(root) == expected
    assert "3 of 3 videos done" in generate("status", root, "--count", 3).stdout
    assert json.loads(generate("info", root, "--json").stdout)["splits"] == {"train": 2, "val": 1}
    generate("preview", root, "--out", tmp_path / "preview")
    generate("unpack", root, "--out", tmp_path / "unpacked")
    assert videos_of(tmp_path / "unpacked") == expected
    refused = generate("render", *tiny, "--count", 3, "--out", root, code=2).stderr
    assert "was begun with --store tar, not folder: give --store tar" in refused
    flip_in_shard(Layout(root))
    generate("verify", root, code=1)
    shown = generate("verify", root, "--deep", "--repair").stdout
    assert "a00001  checksum" in shown and "a00001  rendered again" in shown
    assert sorted(path.name for path in (root / "Shards").glob("*.tar")) == ["a00000.tar", "a00001.tar"]
    assert videos_of(root) == expected
    assert verify(root, deep=True).ok
