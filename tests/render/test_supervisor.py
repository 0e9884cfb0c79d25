"""A video does not depend on interruptions of its rendering."""

import json
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import encode_mask, read_values
from bl30k_gen.errors import UserError
from bl30k_gen.render.check import check_masks
from bl30k_gen.render.failures import failed_videos
from bl30k_gen.render.output.lease import FREE
from bl30k_gen.render.staging import write_scene
from bl30k_gen.render.supervisor import Execution, Supervisor, _Worker
from bl30k_gen.scene.spec import parse_spec
from tests.support.synthetic import stage, synthetic_config


def at(event, kind, name=None, frame=None):
    return event["event"] == kind and event.get("name") in (name, None) and event.get("frame") in (frame, None)


def test_killing_the_child_in_mid_frame_loses_nothing(rendered, supervise, content, tmp_path):
    killed = []

    def kill(event):
        if at(event, "frame", "a00001", 2) and not killed:
            killed.extend(child.pid for child in supervisor.children)
            os.kill(killed[0], signal.SIGKILL)

    supervisor = supervise(tmp_path, kill)
    summary = supervisor.run(["a00001"])
    assert killed and summary.rendered == ["a00001"] and not summary.failed
    expected = {path: data for path, data in content(rendered).items() if "a00001" in path}
    assert content(tmp_path) == expected
    log = [json.loads(line) for line in (tmp_path / "Logs/a00001.jsonl").read_text().splitlines()]
    assert "SIGKILL" in next(entry["reason"] for entry in log if entry["event"] == "failure")
    frames = [entry["frame"] for entry in log if entry["event"] == "frame"]
    assert sorted(frames) == [0, 1, 2, 3, 4, 5], "a frame that was finished is not rendered again"


def test_a_damaged_staged_frame_is_rendered_again(rendered, supervise, content, tmp_path):
    """Left by a machine that crashed; a former version published such a frame."""
    scene, home = Layout(rendered).metadata("a00000"), Layout(tmp_path, FREE).staging("a00000")
    for folder in ("JPEGImages", "Annotations"):
        shutil.copytree(rendered / folder / "a00000", home / folder)
    (home / "scene.json").write_text(parse_spec(json.loads(scene.read_text())["scene"], "").dumps())
    jpeg, png = home / "JPEGImages/00002.jpg", home / "Annotations/00004.png"
    jpeg.write_bytes(jpeg.read_bytes()[:200])
    png.write_bytes(b"")
    seen = []
    summary = supervise(tmp_path, seen.append).run(["a00000"])
    assert summary.rendered == ["a00000"]
    assert [event["frame"] for event in seen if event["event"] == "frame"] == [2, 4]
    assert content(tmp_path) == {path: data for path, data in content(rendered).items() if "a00000" in path}


def test_order_and_workers_change_nothing(rendered, supervise, content, tmp_path):
    supervisor = supervise(tmp_path, workers=2)
    summary = supervisor.run(["a00002", "a00001", "a00000"])
    assert sorted(summary.rendered) == ["a00000", "a00001", "a00002"]
    assert content(tmp_path) == content(rendered)


def test_a_stopped_run_continues_at_its_first_missing_frame(rendered, supervise, content, tmp_path):
    def stop(event):
        if at(event, "frame", "a00000", 3):
            supervisor.stop()

    supervisor = supervise(tmp_path, stop)
    summary = supervisor.run(["a00000", "a00001"])
    assert summary.stopped and not summary.rendered
    assert not (tmp_path / "JPEGImages").exists(), "an unfinished video is nowhere to be seen"
    kept = sorted(path.name for path in Layout(tmp_path, FREE).staged_mask("a00000", 0).parent.iterdir())
    assert kept[:4] == ["00000.png", "00001.png", "00002.png", "00003.png"]

    seen = []
    supervisor = supervise(tmp_path, seen.append)
    supervisor.run(["a00000"])
    frames = [event["frame"] for event in seen if event["event"] == "frame"]
    assert frames == list(range(len(kept), 6))
    assert content(tmp_path) == {path: data for path, data in content(rendered).items() if "a00000" in path}


def test_an_error_after_publishing_is_raised_at_once(tmp_path, monkeypatch):
    """It counted as the loss of a lease, which publishing ends: Blender was killed after each video."""
    config, layout = synthetic_config(), Layout(tmp_path)

    def render(worker, spec, log, claim):
        worker.store.publish(claim, stage(worker.store.frames, config, spec.index))
        return True

    def fail(event):
        if event["event"] == "published":
            raise UserError("/nope/sheet.jpg", "no such folder")

    def describe(name):
        return SimpleNamespace(spec=SimpleNamespace(index=int(name[1:])), refusals={})

    monkeypatch.setattr(_Worker, "_render", render)
    with pytest.raises(UserError, match="/nope/sheet.jpg"):
        Supervisor(config, layout, describe, Execution("cpu", 1, 1), fail).run(["a00000", "a00001"])
    assert layout.published() == ["a00000"]


def test_a_scene_that_always_crashes_is_recorded_as_failed_and_the_next_is_rendered(supervise, tmp_path):
    def kill(event):
        if at(event, "built", "a00000"):
            for child in supervisor.children:
                os.kill(child.pid, signal.SIGSEGV)

    supervisor = supervise(tmp_path, kill)
    summary = supervisor.run(["a00000", "a00001"])
    assert list(summary.failed) == ["a00000"] and "SIGSEGV" in summary.failed["a00000"]
    assert summary.rendered == ["a00001"]
    assert failed_videos(Layout(tmp_path)) == summary.failed


def test_a_hung_child_is_killed(supervise, tmp_path):
    frozen = []

    def freeze(event):
        if at(event, "frame", "a00000", 1) and not frozen:
            (child,) = supervisor.children
            os.kill(child.pid, signal.SIGSTOP)
            child.timeout = 1.0  # of the first child only: a busy machine may be slow to start the next
            frozen.append(child.pid)

    supervisor = supervise(tmp_path, freeze)
    assert supervisor.run(["a00000"]).rendered == ["a00000"]
    assert "sent no event for 1 s" in (tmp_path / "Logs/a00000.jsonl").read_text()
    assert not Path(f"/proc/{frozen[0]}").exists()


@pytest.fixture
def staged(rendered, config, tmp_path):
    """A rendered video moved back to staging: (spec, layout, path of a frame's mask)."""
    layout = Layout(tmp_path)
    spec = parse_spec(json.loads(Layout(rendered).metadata("a00002").read_text())["scene"], "a00002")
    write_scene(layout, spec)
    for folder in ("JPEGImages", "Annotations"):
        shutil.copytree(rendered / folder / spec.name, layout.staging(spec.name) / folder)
    return spec, layout, lambda frame: layout.staged_mask(spec.name, frame)


def test_a_clean_video_passes_the_check(staged, config):
    spec, layout, mask = staged
    problems, areas = check_masks(spec, config, layout)
    assert problems == []
    assert areas[3].tolist() == [int((read_values(mask(3)) == thing.id).sum()) for thing in spec.objects]


def test_an_object_missing_for_one_frame_is_found(staged, config):
    spec, layout, mask = staged
    ids = read_values(mask(3))
    largest = int(np.bincount(ids.ravel())[1:].argmax()) + 1
    mask(3).write_bytes(encode_mask(np.where(ids == largest, 0, ids).astype(np.uint8)))
    problems, _ = check_masks(spec, config, layout)
    assert problems and all(p.startswith(f"frame 3: object {largest}:") for p in problems)


def test_exchanged_masks_are_found(staged, config):
    spec, layout, mask = staged
    first, last = mask(0).read_bytes(), mask(5).read_bytes()
    mask(0).write_bytes(last)
    mask(5).write_bytes(first)
    frames = {problem.split(":")[0] for problem in check_masks(spec, config, layout)[0]}
    assert frames == {"frame 0", "frame 5"}


def test_an_unknown_id_is_found(staged, config):
    spec, layout, mask = staged
    ids = read_values(mask(1)).copy()
    ids[20:60, 20:60] = 77
    mask(1).write_bytes(encode_mask(ids))
    assert "frame 1: id 77 belongs to no object" in check_masks(spec, config, layout)[0]
