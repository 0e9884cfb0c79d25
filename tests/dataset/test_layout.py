import json
import os
import shutil

import numpy as np
import pytest

from bl30k_gen.dataset import layout, metadata
from bl30k_gen.errors import UserError


class Killed(BaseException):
    """Stands for the end of the process."""


def tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_names_are_those_of_bl30k(tmp_path):
    places = layout.Layout(tmp_path)
    shown = [
        places.rgb("a00007", 12),
        places.mask("a00007", 12),
        places.metadata("a00007"),
        places.image_set("val"),
        places.log("a00007"),
        places.config,
        places.card,
        places.staged_rgb("a00007", 3),
        places.staged_mask("a00007", 3),
        places.staged_scene("a00007"),
    ]
    assert [str(p.relative_to(tmp_path)) for p in shown] == [
        "JPEGImages/a00007/00012.jpg",
        "Annotations/a00007/00012.png",
        "Metadata/a00007.json",
        "ImageSets/val.txt",
        "Logs/a00007.jsonl",
        "config.yaml",
        "DATASET.md",
        ".staging/a00007/JPEGImages/00003.jpg",
        ".staging/a00007/Annotations/00003.png",
        ".staging/a00007/scene.json",
    ]


def test_a_published_video_is_complete_and_staging_is_removed(tmp_path, staged):
    places = layout.Layout(tmp_path)
    described = staged(places, 0)
    (places.staging("a00000") / "JPEGImages/.00003.jpg.12ab.part").write_bytes(b"left by a killed writer")
    assert places.published() == []
    layout.publish(places, "a00000", described)
    assert places.published() == ["a00000"]
    assert set(tree(tmp_path)) == set(described["files"]) | {"Metadata/a00000.json"}
    assert not places.staging("a00000").exists()
    assert json.loads(places.metadata("a00000").read_text()) == described


def kill_at(monkeypatch, step):
    """Raise at the given filesystem change; return the count of changes seen so far."""
    seen = [0]
    for name in ("replace", "unlink", "rmdir"):
        original = getattr(os, name)

        def counted(*args, original=original, **kwargs):
            seen[0] += 1
            if seen[0] == step:
                raise Killed
            return original(*args, **kwargs)

        monkeypatch.setattr(os, name, counted)
    return seen


@pytest.mark.parametrize("again", ["publish", "finish"])
@pytest.mark.parametrize("replacing", [False, True])
def test_after_a_kill_at_any_step_the_next_run_finishes_publishing(tmp_path, staged, monkeypatch, again, replacing):
    template, reference = layout.Layout(tmp_path / "template"), layout.Layout(tmp_path / "reference")
    described = staged(template, 0)
    shutil.copytree(template.root, reference.root)
    layout.publish(reference, "a00000", described)
    if replacing:
        layout.publish(template, "a00000", described | {"versions": {"bpy": "4.1.0"}})
        template.rgb("a00000", 0).write_bytes(b"old")
        staged(template, 0)
    killed = 0
    for step in range(1, 50):
        places = layout.Layout(shutil.copytree(template.root, tmp_path / str(step)))
        with monkeypatch.context() as patch:
            kill_at(patch, step)
            try:
                layout.publish(places, "a00000", described)
                break
            except Killed:
                killed += 1
        if places.is_published("a00000"):
            text = places.metadata("a00000").read_text()
            if text == metadata.dumps(described):  # the frames are complete by then
                assert set(described["files"]) <= set(tree(places.root))
        if again == "finish" and step > 1:  # before its first step nothing exists
            assert layout.finish_publishing(places, "a00000")
        else:
            layout.publish(places, "a00000", described)
        assert tree(places.root) == tree(reference.root), step
        assert not places.staging("a00000").exists()
    assert killed >= 4


def test_a_staged_video_that_lacks_a_frame_is_not_published(tmp_path, staged):
    places = layout.Layout(tmp_path)
    described = staged(places, 0)
    places.staged_mask("a00000", 5).unlink()
    with pytest.raises(UserError, match="00005.png is missing"):
        layout.publish(places, "a00000", described)
    with pytest.raises(UserError, match="00005.png is missing"):
        layout.describe_staged(places, "a00000", 8)
    assert places.published() == []
    assert layout.finish_publishing(places, "a00000") is False


def test_unpublished_video_can_be_rendered_again(dataset, staged):
    before = tree(dataset.root)
    layout.unpublish(dataset, "a00001")
    assert dataset.published() == ["a00000", "a00002"]
    layout.publish(dataset, "a00001", staged(dataset, 1))
    assert tree(dataset.root) == before


def test_image_sets_follow_what_is_published(dataset, staged, monkeypatch):
    assert dataset.image_set("train").read_text() == "a00000\na00001\n"
    assert dataset.image_set("val").read_text() == "a00002\n"
    layout.unpublish(dataset, "a00000")
    layout.publish(dataset, "a00003", staged(dataset, 3))
    parsed = []
    monkeypatch.setattr(json, "loads", lambda text, **_: parsed.append(1) or json.JSONDecoder().decode(text))
    assert layout.write_image_sets(dataset) == {"train": ["a00001", "a00003"], "val": ["a00002"]}
    assert len(parsed) == 1  # only the new video was looked up
    assert dataset.image_set("train").read_text() == "a00001\na00003\n"


def test_damaged_metadata_is_named_when_lists_are_written(dataset):
    dataset.image_set("train").unlink()
    dataset.metadata("a00001").write_text("{")
    with pytest.raises(UserError, match="a00001.json is not valid JSON"):
        layout.write_image_sets(dataset)


def test_metadata_is_deterministic_and_has_a_digest(tmp_path, staged):
    places = layout.Layout(tmp_path)
    described = staged(places, 0)
    text = metadata.dumps(described)
    assert text == metadata.dumps(json.loads(text)) == metadata.dumps(staged(places, 0))
    assert metadata.digest(described) == described["digest"]
    assert metadata.digest(described | {"split": "val"}) != described["digest"]
    assert described["objects"][0]["poses"][0][0][0] == 0.3333333
    assert described["objects"][1]["visible_area"][0] > 100


def test_metadata_refuses_arrays_that_do_not_fit(config, tmp_path, staged):
    spec = staged(layout.Layout(tmp_path), 0)["scene"]
    arrays = {
        "visible_area": np.zeros((8, 3)),
        "intrinsics": np.eye(3),
        "extrinsics": np.zeros((8, 4, 4)),
        "poses": np.zeros((3, 8, 4, 4)),
    }
    for name in arrays:
        wrong = arrays | {name: np.zeros((2, 2))}
        with pytest.raises(ValueError, match=name):
            metadata.build_metadata(spec, config_digest="", versions={}, files={}, **wrong)
