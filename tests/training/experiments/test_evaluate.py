"""Evaluation of a checkpoint on a dataset: masks and scores."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bl30k_gen.dataset.masks import encode_mask, read_mask
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from models import checkpoint
from models.s2m import S2M, S2MConfig
from training.cli import app
from training.evaluation.session_log import read_session
from training.evaluation.study import progress
from training.experiments import evaluate
from training.experiments.evaluate import evaluate_interactive, evaluate_semi_supervised
from training.inference import segment
from training.inference.film import write_film
from training.inference.segment import segment_frames
from training.inference.video import FrameFolder, VideoFile
from training.interactive import script
from training.interactive.script import interact, read_script, run_script
from training.interactive.session import InteractiveSession
from training.runs.folder import RunFolder
from training.schema.stage import load_stage


@pytest.fixture
def dataset(tmp_path, cells):
    """Two videos of cells, the second with an object that appears in frame 2."""
    root = tmp_path / "data"
    for name, late in [("calm", 0), ("late", 2)]:
        video = cells.video(6)
        for kind in ("JPEGImages", "Annotations"):
            (root / kind / name).mkdir(parents=True)
        for t, frame in enumerate(video):
            Image.fromarray(frame).save(root / "JPEGImages" / name / f"{t:05d}.png")
            ids = cells.mask(video, t, {1: (0, 1), 2: (6,)} if t >= late else {1: (0, 1)})
            (root / "Annotations" / name / f"{t:05d}.png").write_bytes(encode_mask(ids))
    (root / "ImageSets").mkdir()
    (root / "ImageSets" / "val.txt").write_text("calm\n")
    return root


@pytest.fixture
def oracle(monkeypatch, cells, tmp_path):
    """A checkpoint that loads as a network with perfect results."""
    network = cells.network()
    for module in (evaluate, segment, script):
        monkeypatch.setattr(module, "load_network", lambda path, *kinds, device: network)
    path = tmp_path / "perfect.pth"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def weights(small, tmp_path):
    path = tmp_path / "small.pth"
    checkpoint.save(small("stcn"), path)
    return path


@pytest.mark.parametrize("protocol", ["davis16", "davis17", "youtube", "all"])
def test_the_oracle_scores_100(dataset, oracle, tmp_path, protocol):
    out = tmp_path / "out"
    split = "val" if protocol == "davis16" else None
    results = evaluate_semi_supervised(oracle, dataset, out, protocol, split, say=lambda text: None)
    assert list(results) == ["perfect", "first mask copied", "oracle"]
    assert results["perfect"].summary()["J&F"] == 100.0 == results["oracle"].summary()["J&F"]
    assert results["first mask copied"].summary()["J&F"] < 60
    assert "perfect" in (out / "scores.txt").read_text()
    mask = read_mask(out / "masks" / "calm" / "00003.png")
    assert Image.open(out / "masks" / "calm" / "00003.png").mode == "P"
    width, height = Image.open(out / "strips" / "calm.png").size
    assert width > 5 * 320 and height == 3 * 160 + 40, "labels of rows at the left, frames above, the legend below"
    assert set(np.unique(mask.ids)) == ({0, 1} if protocol == "davis16" else {0, 1, 2})


def test_rerunning_continues_and_never_mixes_runs(dataset, oracle, tmp_path, cells):
    out, said = tmp_path / "out", []
    evaluate_semi_supervised(oracle, dataset, out, say=said.append)
    kept = out / "masks" / "late" / "00000.png"
    stamp = kept.stat().st_mtime_ns
    (out / "masks" / "calm" / "00004.png").unlink()
    said.clear()
    evaluate_semi_supervised(oracle, dataset, out, say=said.append)
    assert "calm: 6 frames" in said and "late: 6 frames" not in said and kept.stat().st_mtime_ns == stamp
    with pytest.raises(UserError, match="was made with options"):
        evaluate_semi_supervised(oracle, dataset, out, memory_every=2)
    with pytest.raises(UserError, match="was made with masks = None, not binary"):
        evaluate_semi_supervised(oracle, dataset, out, masks="binary")
    oracle.write_bytes(b"others")
    with pytest.raises(UserError, match="was made with checkpoint"):
        evaluate_semi_supervised(oracle, dataset, out)


def test_bad_datasets_and_options_are_one_clear_line(dataset, weights, tmp_path):
    run = lambda **more: evaluate_semi_supervised(weights, dataset, tmp_path / "out", **more)  # noqa: E731
    with pytest.raises(UserError, match="unknown protocol davis18"):
        run(protocol="davis18")
    with pytest.raises(UserError, match="option topk is unknown"):
        run(topk=3)
    with pytest.raises(UserError, match="only RDE can"):
        run(memory="compress")
    with pytest.raises(UserError, match="no list train"):
        run(split="train")
    with pytest.raises(UserError, match="holds the network stcn"):
        evaluate_interactive(weights, weights, dataset, tmp_path / "out")
    with pytest.raises(UserError, match="no such file"):
        evaluate_semi_supervised(tmp_path / "absent.pth", dataset, tmp_path / "out")
    with pytest.raises(UserError, match="no device cuda:99"):
        run(device="cuda:99")
    with pytest.raises(UserError, match="sessions see frames as they are: leave out --flip"):
        evaluate_interactive(weights, None, dataset, tmp_path / "out", flip=True)
    (dataset / "Annotations" / "calm" / "00000.png").unlink()
    with pytest.raises(UserError, match="calm has no mask for its first frame"):
        run()
    ids = np.zeros((32, 60), np.uint8)
    ids[0] = 1
    (dataset / "Annotations" / "calm" / "00000.png").write_bytes(encode_mask(ids))
    with pytest.raises(UserError, match="video calm, frame 0: the mask of object 1 is 60x32, but the frame 64x32"):
        run()
    assert not (tmp_path / "out" / "masks").exists()


def test_interactive_benchmark_with_perfect_interaction(dataset, oracle, tmp_path):
    """The network is perfect, so the first round already gives the truth."""
    reports = evaluate_interactive(oracle, None, dataset, tmp_path / "out", split="val", say=lambda text: None)
    assert list(reports) == ["perfect", "scribbled frame copied", "oracle"]
    done = reports["perfect"].interactions
    assert len(done) == 8 and done[-1].scores.mean() == 1.0
    assert done[0].scores.mean() < 1.0, "only the third round propagates"
    table = (tmp_path / "out" / "interactive.txt").read_text()
    assert "AUC J&F" in table and "perfect" in table
    assert (tmp_path / "out" / "perfect.csv").exists() and (tmp_path / "out" / "interactive.png").exists()
    assert json.loads((tmp_path / "out" / "interactive.json").read_text())["oracle"]["J&F@60s"] > 99


def test_the_interactive_benchmark_continues(dataset, oracle, tmp_path):
    """Killed in its second video, it runs only that one again; results of another checkpoint are not used."""

    def kill(text):
        if text.startswith("late"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate_interactive(oracle, None, dataset, tmp_path / "out", say=kill)
    said: list[str] = []
    whole = evaluate_interactive(oracle, None, dataset, tmp_path / "whole", say=lambda text: None)
    again = evaluate_interactive(oracle, None, dataset, tmp_path / "out", say=said.append)
    assert [line.split(":")[0] for line in said if "interactions" in line] == ["late 1"]
    for row in whole:
        scores = [[(i.sequence, i.number, i.scores.tolist()) for i in r[row].interactions] for r in (whole, again)]
        assert scores[0] == scores[1]
    said.clear()
    evaluate_interactive(oracle, None, dataset, tmp_path / "out", say=said.append)
    assert not any("interactions" in line for line in said)
    (dataset / "ImageSets/one.txt").write_text("calm\n")
    one = evaluate_interactive(oracle, None, dataset, tmp_path / "out", split="one", say=lambda text: None)
    assert {sequence for report in one.values() for sequence, *_ in report.samples} == {"calm"}
    with pytest.raises(UserError, match="was made with masks = None, not binary"):
        evaluate_interactive(oracle, None, dataset, tmp_path / "out", masks="binary")
    oracle.write_bytes(b"others")
    with pytest.raises(UserError, match="was made with checkpoint"):
        evaluate_interactive(oracle, None, dataset, tmp_path / "out")


def test_interactive_benchmark_with_scribbles(dataset, weights, tmp_path):
    torch.manual_seed(0)
    checkpoint.save(S2M(S2MConfig("resnet18", 8, 8)), tmp_path / "s2m.pth")
    reports = evaluate_interactive(
        weights, tmp_path / "s2m.pth", dataset, tmp_path / "out", split="val", say=lambda text: None
    )
    frames = {i.number: i.scores for i in reports["small"].interactions}
    assert len(frames) == 8
    changed = [(frames[n] != frames[n + 1]).any(axis=(1, 2)).sum() for n in range(1, 8)]
    assert changed[0] <= 1 and changed[3] <= 1, "one frame alone, unless the round propagates"


def test_an_unannotated_frame_is_refused_by_the_benchmark(dataset, weights, tmp_path):
    (dataset / "Annotations" / "calm" / "00003.png").unlink()
    with pytest.raises(UserError, match="calm is not annotated in every frame"):
        evaluate_interactive(weights, None, dataset, tmp_path / "out", split="val")


@pytest.mark.parametrize(
    "direction, expected", [("forward", range(2, 6)), ("backward", range(3)), ("both", range(6))]
)
def test_directions(cells, direction, expected):
    video = cells.video(6)
    results = list(segment_frames(cells.network(), video, {2: cells.mask(video, 2, {1: (3,)})}, None, direction))
    assert len({r.number for r in results}) == len(results) == 6
    shown = {r.number for r in results if r.labels().any()}
    assert shown == set(expected)
    assert all((r.labels() == cells.mask(video, r.number, {1: (3,)})).all() for r in results if r.number in shown)


def test_segment_writes_a_mask_for_every_frame(dataset, oracle, tmp_path, cells):
    images, out, said = dataset / "JPEGImages" / "late", tmp_path / "masks", []
    speed = segment.segment(oracle, images, dataset / "Annotations" / "late", out, say=said.append)
    assert speed.frames == 6 and any("6 frames" in line for line in said)
    for path in sorted((dataset / "Annotations" / "late").glob("*.png")):
        assert (read_mask(out / path.name).ids == read_mask(path).ids).all()
    with pytest.raises(UserError, match="cannot be followed backward"):
        list(segment_frames(cells.network(), iter(cells.video(3)), {0: np.ones((32, 64))}, None, "both"))
    with pytest.raises(UserError, match="mask is for frame 7, but the video has 3"):
        list(segment_frames(cells.network(), iter(cells.video(3)), {7: np.ones((32, 64))}))


def test_segment_draws_a_film_and_a_sheet_that_show_empty_masks(dataset, oracle, tmp_path):
    images, out, said = dataset / "JPEGImages/late", tmp_path / "masks", []
    segment.segment(oracle, images, dataset / "Annotations/late/00002.png", out, say=said.append)
    assert said[-2:] == [str(out / "overlay.mp4"), str(out / "contact_sheet.jpg")]
    assert "2 of 6 masks are empty" in said[-3] and "the first is 00000.png" in said[-3]
    film = list(VideoFile(out / "overlay.mp4"))
    plain = list(FrameFolder(images))
    assert [frame.shape for frame in film] == [frame.shape for frame in plain]
    changed = [np.abs(a.astype(int) - b).max(-1) > 60 for a, b in zip(film, plain, strict=True)]
    assert all(pixels.any() for pixels in changed), "an object, or words that there is none"
    with Image.open(out / "contact_sheet.jpg") as sheet:
        assert sheet.format == "JPEG" and sheet.width == 6 * 244 - 4


def test_a_film_that_cannot_be_encoded_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match="needs the package av"):
        write_film(tmp_path / "a.mp4", [np.zeros((32, 48, 3), np.uint8)])
    assert not list(tmp_path.iterdir())


def test_a_scripted_session(dataset, oracle, tmp_path):
    images, truth = dataset / "JPEGImages" / "calm", dataset / "Annotations" / "calm"
    actions = [
        {"do": "mask", "frame": 2, "file": str(truth / "00002.png")},
        {"do": "propagate"},
        {"do": "save", "file": "session.npz"},
        {"do": "brush", "frame": 4, "object": 0, "path": [[0, 0], [1, 1]], "radius": 9, "box": [0, 0, 20, 30]},
        {"do": "keep"},
        {"do": "propagate", "frame": 4},
        {"do": "load", "file": "session.npz"},
    ]
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"objects": [1, 2], "actions": actions}))
    more = {"truth": truth, "log": tmp_path / "log.jsonl", "say": lambda text: None}
    interact(oracle, images, plan, tmp_path / "out", **more)
    for path in sorted(truth.glob("*.png")):
        assert (read_mask(tmp_path / "out" / path.name).ids == read_mask(path).ids).all()
    rounds = progress(read_session(tmp_path / "log.jsonl")).iou
    assert rounds[1] == 100 > rounds[2]


def test_interact_takes_masks_for_what_the_user_says(dataset, oracle, tmp_path):
    images, truth = dataset / "JPEGImages" / "calm", dataset / "Annotations" / "calm"
    actions = [{"do": "mask", "frame": 2, "file": str(truth / "00002.png")}, {"do": "propagate"}]
    (tmp_path / "plan.json").write_text(json.dumps({"objects": [1], "actions": actions}))
    command = ["interact", str(oracle), "--video", str(images), "--script", str(tmp_path / "plan.json")]
    command += ["--out", str(tmp_path / "out"), "--truth", str(truth), "--log", str(tmp_path / "log.jsonl")]
    told = CliRunner().invoke(app, [*command, "--masks", "binary"])
    assert told.exit_code == 0, told.output
    for path in sorted(truth.glob("*.png")):
        assert (read_mask(tmp_path / "out" / path.name).ids == (read_mask(path).ids > 0)).all()
    rounds = progress(read_session(tmp_path / "log.jsonl")).iou
    assert rounds.tolist() == [0, 100], "the true masks are taken for one object, too"


def test_a_scripted_mask_of_other_objects_is_refused(dataset, oracle, tmp_path):
    """Objects that the script does not list were lost without a word."""
    images, truth = dataset / "JPEGImages" / "calm", dataset / "Annotations" / "calm"
    actions = [{"do": "mask", "frame": 2, "file": str(truth / "00002.png")}]
    (tmp_path / "plan.json").write_text(json.dumps({"objects": [1], "actions": actions}))
    with pytest.raises(UserError, match=r"\(mask\): the mask shows \[2\], and the session.s objects are \[1\]"):
        interact(oracle, images, tmp_path / "plan.json", tmp_path / "out")


def test_a_log_that_exists_is_not_overwritten(dataset, oracle, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"objects": [1, 2], "actions": []}))
    plan = (tmp_path / "plan.json").read_text()
    with pytest.raises(UserError, match="log .*plan.json exists"):
        interact(
            oracle,
            dataset / "JPEGImages" / "calm",
            tmp_path / "plan.json",
            tmp_path / "out",
            log=tmp_path / "plan.json",
        )
    assert (tmp_path / "plan.json").read_text() == plan


def test_a_script_of_strokes(cells, tmp_path):
    session = InteractiveSession(cells.network(), cells.video(3), [1, 2], s2m=cells.strokes())
    stroke = {"path": [[0.1, 0.5], [0.4, 0.5]], "object_id": 2, "start_time": 0, "end_time": 1}
    scribbles = {"scribbles": [[], [stroke], []], "sequence": "cells", "annotated_frame": 1}
    (tmp_path / "first.json").write_text(json.dumps(scribbles))
    actions = [
        {"do": "scribbles", "file": "first.json"},
        {"do": "scribble", "frame": 1, "object": 1, "path": [[0.6, 0.5], [0.9, 0.5]]},
        {"do": "undo"},
    ]
    (tmp_path / "plan.json").write_text(json.dumps({"objects": [1, 2], "actions": actions}))
    run_script(session, read_script(tmp_path / "plan.json"), tmp_path)
    assert set(np.unique(session.labels(1))) == {0, 2} and not session.labels(0).any()


def test_scripts_with_mistakes_name_them(dataset, oracle, tmp_path):
    plan = tmp_path / "plan.json"

    def run(text):
        plan.write_text(text if isinstance(text, str) else json.dumps(text))
        interact(oracle, dataset / "JPEGImages" / "calm", plan, tmp_path / "out")

    for message, text in [
        ("plan.json, its text", "{"),
        ("actions.0.click.object", {"actions": [{"do": "click", "frame": 0, "x": 1, "y": 1}]}),
        ("actions.0", {"actions": [{"do": "jump"}]}),
        ("colour", {"actions": [{"do": "undo", "colour": 1}]}),
        (
            "path.0.1: Input should be a finite",
            '{"actions": [{"do": "brush", "frame": 0, "object": 1, "path": [[0, NaN]]}]}',
        ),
        (r"action 1 \(undo\): there is nothing", {"actions": [{"do": "undo"}]}),
        (r"action 1 \(propagate\): no frame was", {"actions": [{"do": "propagate"}]}),
        ("objects are", {"objects": [0], "actions": []}),
    ]:
        with pytest.raises(UserError, match=message):
            run(text)
    assert not (tmp_path / "out").exists()


def test_reports_name_the_evaluated_frames_and_the_networks_training_data(make_videos, tmp_path):
    data = make_videos(tmp_path / "data", 3)
    (data / "ImageSets/train.txt").write_text("a00000\na00001\n")
    (data / "ImageSets/val.txt").write_text("a00002\n")
    run, store, said = RunFolder(tmp_path / "run"), open_dataset(data), []
    run.root.mkdir()
    run.claim(load_stage("stcn/bl30k", [], [str(data)], "tiny").to_yaml())
    run.environment.write_text("{}")
    other = RunFolder(tmp_path / "other")
    other.root.mkdir()
    other.config.write_text("network: of another program\n")
    evaluate._say_what_is_evaluated(other.network, store, store.videos, None, lambda text: None)
    for split in (None, "val"):
        names = store.image_set(split) if split else store.videos
        evaluate._say_what_is_evaluated(run.network, store, names, split, said.append)
    assert said == [
        f"evaluating 3 videos of {data}: all of them (--split takes train, val)",
        "warning: the network was trained on 2 of these videos (a00000 the first)",
        f"evaluating 1 video of {data}: list val",
    ]
