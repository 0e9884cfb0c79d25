"""Runs: validation, comparison, export, and differences since their start."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bl30k_gen.dataset import files
from bl30k_gen.errors import UserError
from bl30k_gen.version import project_version
from models import checkpoint
from training.cli import app
from training.engine import trainer as trainer_module
from training.engine.distributed import Processes
from training.engine.export import export
from training.engine.trainer import Trainer
from training.engine.validation import Validation
from training.evaluation.semi_supervised import score_folders
from training.experiments.evaluate import evaluate_semi_supervised
from training.runs import folder as run_folder
from training.runs.compare import compare, read_runs, smooth
from training.runs.folder import RunFolder
from training.runs.state import read_state
from training.schema.stage import load_stage

CPU = torch.device("cpu")
SHORT = ["iterations=4", "batch=1", "runtime.save_every=2", "runtime.log_every=1"]
JUDGED = ["validation_videos.split=train", "validation_videos.videos=1", "validation_videos.every=2"]


def train(stage, out) -> RunFolder:
    Trainer(stage, out, Processes(0, 1, CPU)).run()
    return RunFolder(out)


def losses(folder: RunFolder) -> list[float]:
    return [record["loss"] for record in folder.records() if "loss" in record]


def scores(folder: RunFolder) -> list[float]:
    return [record["J&F"] for record in folder.records() if "J&F" in record]


@pytest.fixture(scope="module")
def judged(tiny, videos, tmp_path_factory):
    """A run that was validated after each iteration, and one that was not."""
    root = tmp_path_factory.mktemp("judged")
    overrides = [*SHORT, *JUDGED, f"validation_videos.path={videos}", "optimiser.learning_rate=1e-3"]
    return train(tiny("stcn/bl30k", *overrides), root / "judged"), train(
        tiny("stcn/bl30k", *SHORT, "optimiser.learning_rate=1e-3"), root / "plain"
    )


def test_validation_does_not_change_training(judged):
    folder, plain = judged
    assert losses(folder) == losses(plain)
    ours, theirs = (torch.load(f.network, weights_only=True)["weights"] for f in judged)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert len(scores(folder)) == 2 and not scores(plain) and not plain.best.exists()


def test_the_best_network_is_kept(judged, videos, tmp_path):
    """Its J&F is that of `evaluate` on the same videos."""
    folder, _ = judged
    best = read_state(folder.states()[-1])["best"]
    assert best["J&F"] == max(scores(folder)) and best["iteration"] == 2 + 2 * int(np.argmax(scores(folder)))
    validation = Validation(folder.stage().validation_videos)
    assert validation.names == ["a00000"]
    results = evaluate_semi_supervised(folder.best, videos, tmp_path, split="train", device="cpu", say=lambda t: None)
    assert results["best"].summary()["J&F"] >= 0
    names = validation.names
    again = score_folders(videos / "Annotations", tmp_path / "masks", "davis17", names, say=lambda text: None)
    assert again.summary()["J&F"] == pytest.approx(best["J&F"], abs=0.01)  # evaluation folds batch norms


def test_the_best_survives_an_interruption(judged, tiny, videos, tmp_path, monkeypatch):
    iterate = Trainer._iterate

    def killed(self, *args):
        if self.iteration == 3:
            raise KeyboardInterrupt
        return iterate(self, *args)

    stage = judged[0].stage()
    monkeypatch.setattr(Trainer, "_iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(stage, tmp_path)
    monkeypatch.undo()
    folder = train(stage, tmp_path)
    assert scores(folder) == scores(judged[0])
    assert files.sha256(folder.best) == files.sha256(judged[0].best)


def test_validation_needs_annotated_videos(tiny, videos, make_videos, tmp_path):
    path = f"validation_videos.path={videos}"
    with pytest.raises(UserError, match="no list 2017/val"):
        Trainer(tiny("stcn/bl30k", path), tmp_path, Processes(0, 1, CPU))
    with pytest.raises(UserError, match="for propagation networks"):
        load_stage("fusion/bl30k", [path])
    root = make_videos(tmp_path / "empty", 1)
    for mask in (root / "Annotations").rglob("00000.png"):
        Image.fromarray(np.zeros_like(np.asarray(Image.open(mask)))).save(mask)
    empty = f"validation_videos={{path: {root}, split: null, videos: 1, every: 1, short_side: null}}"
    with pytest.raises(UserError, match="show no object at their start"):
        Trainer(tiny("stcn/bl30k", empty), tmp_path / "run", Processes(0, 1, CPU))


def test_runs_are_compared(judged, tiny, tmp_path):
    other = train(tiny("stcn/bl30k", *SHORT, "iterations=2", "loss.kept=0.5"), tmp_path / "runs/other")
    out = tmp_path / "compared"
    text = compare([judged[0].root, judged[1].root, other.root], out)
    rows = list(csv.DictReader((out / "compare.csv").open()))
    assert [row["run"] for row in rows] == ["judged", "plain", "other"]
    assert [row["iterations"] for row in rows] == ["4/4", "4/4", "2/2"]
    assert float(rows[0]["loss"]) == pytest.approx(losses(judged[0])[-1])
    assert float(rows[0]["best J&F"]) == pytest.approx(max(scores(judged[0]))) and rows[1]["best J&F"] == ""
    different = text.split("\n\n")[1]
    assert [line.split()[0] for line in different.splitlines()[2:]] == [
        "iterations",
        "loss.kept",
        "optimiser.learning_rate",
    ]
    assert Image.open(out / "compare.png").width > 1000
    assert "configurations are the same" in compare([f.root for f in judged], out)
    assert smooth([(i, float(i)) for i in range(1, 501)])[1][0] == 5.5
    result = CliRunner().invoke(app, ["compare", str(judged[0].root), "--out", str(out), "--json"])
    assert json.loads(result.output)["judged"]["iterations"] == "4/4"
    for place, words in ((judged[0].root, "which is read"), (tmp_path, "which this command did not make")):
        with pytest.raises(UserError, match=words):
            compare([f.root for f in judged], place)


def test_compare_shows_differences_of_runs_and_names_folders_that_are_no_run(judged, tmp_path):
    for name in ("a/run", "b/run"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.yaml").write_bytes(judged[0].config.read_bytes())
    runs = read_runs([tmp_path / "a/run", tmp_path / "b/run"])
    assert [run.label for run in runs] == ["a/run", "b/run"] and runs[0].summary()["iterations"] == "0/4"
    with pytest.raises(UserError, match="config.yaml does not exist"):
        read_runs([tmp_path])
    with pytest.raises(UserError, match="given twice"):
        read_runs([tmp_path / "a/run", tmp_path / "a/run"])
    (tmp_path / "a/run/config.yaml").write_text("network: stm\n")
    with pytest.raises(UserError, match="of another version"):
        read_runs([tmp_path / "a/run"])


def test_networks_are_exported(judged, tmp_path):
    folder, plain = judged
    for name in ("network.pt", "best.pt", "card.md"):
        before = (folder.root / name).read_bytes() if (folder.root / name).exists() else None
        with pytest.raises(UserError, match="is the place of"):
            export(folder.root, folder.root / name)
        assert before is None or (folder.root / name).read_bytes() == before
    said = export(folder.root, tmp_path / "a/best.pt")
    assert f"validation J&F {max(scores(folder)):.1f}" in said
    card = (tmp_path / "a/best.md").read_text()
    assert files.sha256(tmp_path / "a/best.pt") in card and "python train.py segment best.pt " in card
    assert f"validation J&F {max(scores(folder)):.1f} at iteration" in card and "its folder states no licence" in card
    assert "not validated" in plain.card.read_text()
    export(folder.root, tmp_path / "last.pt", "last", half=True)
    small, last = checkpoint.load(tmp_path / "last.pt"), checkpoint.load(folder.network)
    assert (tmp_path / "last.pt").stat().st_size < 0.55 * folder.network.stat().st_size
    for key, value in last.state_dict().items():
        torch.testing.assert_close(small.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    export(plain.root, tmp_path / "published.pt", form="published")
    assert "key_comp.weight" in torch.load(tmp_path / "published.pt", weights_only=True)
    with pytest.raises(UserError, match="was not validated"):
        export(plain.root, tmp_path / "none.pt", "best")
    # An unfinished run: its newest state.
    plain_copy = tmp_path / "unfinished"
    (plain_copy / "checkpoints").mkdir(parents=True)
    for name in ("config.yaml", "environment.json", "log.jsonl", "checkpoints/000000002.pt"):
        (plain_copy / name).write_bytes((plain.root / name).read_bytes())
    result = CliRunner().invoke(app, ["export", str(plain_copy)])
    assert "iteration 2 of 4" in result.output and checkpoint.load(plain_copy / "export.pt")
    (plain_copy / "checkpoints/000000002.pt").unlink()
    with pytest.raises(UserError, match="no network yet"):
        export(plain_copy, tmp_path / "none.pt")


def test_a_run_says_what_changed_and_refuses_other_data(make_videos, tmp_path, monkeypatch, capsys):
    data = make_videos(tmp_path / "data", 3)
    stage = load_stage("stcn/bl30k", SHORT, [str(data)], "tiny")
    iterate = Trainer._iterate

    def killed(self, *args):
        if self.iteration == 2:
            raise KeyboardInterrupt
        return iterate(self, *args)

    monkeypatch.setattr(Trainer, "_iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(stage, tmp_path / "run")
    monkeypatch.undo()
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["code"]["commit"] and environment["packages"]["numpy"] == np.__version__
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "_ROOT", Path(__file__).parent)  # installed in another program's repository
        assert run_folder.code_state() == {"version": project_version()}
    (data / "ImageSets/train.txt").write_text("a00000\na00001\n")
    with pytest.raises(UserError, match="began with other items in data"):
        train(stage, tmp_path / "run")
    (data / "ImageSets/train.txt").write_text("a00000\na00001\na00002\n")
    environment["packages"]["numpy"] = "1.0"
    (tmp_path / "run/environment.json").write_text(json.dumps(environment))
    folder = train(stage, tmp_path / "run")
    assert f"packages.numpy was 1.0 when the run was last started, and is {np.__version__}" in capsys.readouterr().out
    events = [record for record in folder.records() if record.get("event") == "other environment"]
    assert [event["changes"] for event in events] == [{"packages.numpy": ["1.0", np.__version__]}]
    assert json.loads(folder.environment.read_text())["packages"]["numpy"] == np.__version__


def test_scaled_gradients_do_not_change_training(tiny, tmp_path, monkeypatch):
    """The gradient scaling of fp16 on a GPU, here in float32: steps with infinite gradients are skipped."""
    stage = tiny("stcn/bl30k", *SHORT, "iterations=2")
    plain = train(stage, tmp_path / "plain")
    monkeypatch.setattr(trainer_module, "choose_precision", lambda name, device: (None, True))
    scaled = Trainer(stage, tmp_path / "scaled", Processes(0, 1, CPU))
    scaled.run()
    np.testing.assert_allclose(losses(RunFolder(tmp_path / "scaled")), losses(plain), rtol=1e-4)
    assert read_state(RunFolder(tmp_path / "scaled").states()[-1])["scaler"]["scale"] == 65536.0
    overflowing = Trainer(stage, tmp_path / "overflow", Processes(0, 1, CPU))
    overflowing.scaler = torch.amp.GradScaler("cpu", init_scale=1e38)
    overflowing.run()
    events = [r for r in RunFolder(tmp_path / "overflow").records() if r.get("event") == "bad step"]
    assert events and overflowing.scaler.get_scale() == pytest.approx(1e38 / 2 ** len(events))
