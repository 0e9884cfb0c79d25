import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from bl30k_gen.errors import DiskFull, UserError
from models import checkpoint
from training.cli import app, main
from training.runs.folder import RunFolder
from training.schema.lookup import STAGES

ROOT = Path(__file__).parents[3]
FEW = ["--preset", "tiny", "--device", "cpu", "--set", "iterations=2", "--set", "batch=1"]


def call(*arguments) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def train_py(*arguments, **options) -> subprocess.Popen:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / "train.py"), *(str(a) for a in arguments)]
    return subprocess.Popen(
        command, text=True, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, **options
    )


def test_list_names_every_stage_and_recipe():
    text = call("list")
    assert "stcn/static" in text and "stcn-static-bl30k-vos" in text and "youtube" in text
    answer = json.loads(call("list", "--json"))
    assert sorted(answer["stages"]) == STAGES.names() and answer["stages"]["stm/vos"]["iterations"] == 150_000


def test_dry_run_shows_numbers_data_and_an_image(videos, tmp_path):
    text = call("run", "rde/bl30k", "--data", videos, "--out", tmp_path, "--dry-run", *FEW)
    assert "rde: 2 iterations of 1 sample of 5 frames at 64\n" in text and "6 items" in text and "hours" in text
    assert "first_mask_iou: [0.85, 1.0]" in (tmp_path / "settings.yaml").read_text()
    width, height = Image.open(tmp_path / "samples.png").size
    assert width > 5 * 128 and height == 4 * 128 + 40, (
        "enlarged; labels of rows, numbers of frames, and the legend below"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["samples.png", "settings.yaml"]
    RunFolder(tmp_path).require_same([], {})  # the run itself may follow


def test_a_pipeline_goes_from_stage_to_stage(videos, tmp_path):
    arguments = ["pipeline", "stcn-static-bl30k-vos", "--data", videos, "--out", tmp_path, *FEW]
    said = call(*arguments)
    assert len(re.findall(r"^  \d-stcn-.*: 2 iterations .*, about \d+ h \d+ min$", said, re.M)) == 3
    assert re.search(r"^about \d+ h \d+ min in all on 1 x cpu", said, re.M)
    folders = sorted(path for path in tmp_path.iterdir() if path.is_dir())
    assert [path.name for path in folders] == ["0-stcn-static", "1-stcn-bl30k", "2-stcn-vos"]
    assert all(RunFolder(path).network.exists() for path in folders)
    assert call(*arguments).count("is finished") == 3
    with pytest.raises(UserError, match="no stage has this source"):
        call("pipeline", "stcn-static-vos", "--data", "nothing=/x", "--out", tmp_path, *FEW)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "stcn/bl30k"], "give --data bl30k=PATH"),
        (["run", "stcn/bl30k", "--data", "/no/such/place"], "/no/such/place does not exist"),
        (["run", "stcn/static", "--data", "/no/such/place"], "/no/such/place does not exist"),
        (["run", "stcn/bl30k", "--from", "/no/file.pt"], "/no/file.pt: no such file"),
        (["run", "stcn/bl3k"], "did you mean stcn/bl30k"),
        (["pipeline", "stcn-static-voss"], "did you mean stcn-static-vos"),
        (["run", "stcn/bl30k", "--device", "tpu"], "tpu is unknown"),
    ],
)
def test_mistakes_are_named(arguments, words, videos, tmp_path):
    data = ["--data", str(videos)] if {"--from", "--device"} & set(arguments) else []
    few = [a for a in FEW if a not in ("--device", "cpu")] if "--device" in arguments else FEW
    with pytest.raises(UserError, match=words):
        call(*arguments, *data, "--out", tmp_path, *few)
    assert not list(tmp_path.rglob("*.pt"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--from", "text.pt"], r"text.pt.*give --from weights of stcn"),
        (["--from", "stm.pt"], r"stm.pt: holds the network stm, not stcn: give --from weights of stcn"),
        (["--set", "iterations=-3"], r"iterations = -3: input should be greater than or equal to 1"),
        (["--set", "iteratons=3"], r"unknown key iteratons: did you mean iterations"),
        (["--set", "data.bl30k.split=test"], r"ImageSets has no list test: there are: train"),
        (["--set", "data.bl30k.names=latin.txt"], r"latin.txt is no UTF-8 text"),
        (["--set", "data.bl3k.split=test"], r"there is no source bl3k: sources are bl30k"),
        (["--data", "bl30k=elsewhere"], r"is the only source, and others are given.*NAME=PATH"),
        (["--set", "model.key_dim=-4"], r"network stcn cannot be built with .*-4"),
        (["--set", "model.nix=3"], r"network stcn has no configuration key nix"),
    ],
)
def test_a_mistake_claims_no_folder(arguments, words, videos, tmp_path, monkeypatch):
    """The corrected command can use the folder."""
    monkeypatch.chdir(tmp_path)
    Path("text.pt").write_text("no weights")
    Path("latin.txt").write_bytes(b"caf\xe9\n")
    checkpoint.save(checkpoint.build("stm", {"backbone": "resnet18", "memory_backbone": "resnet18"}), "stm.pt")
    with pytest.raises(UserError, match=words):
        call("run", "stcn/bl30k", "--data", videos, "--out", "run", *FEW, *arguments)
    assert not Path("run").exists()


@pytest.mark.parametrize("workers", [0, 1])
def test_loader_processes_name_damaged_data(workers, make_videos, tmp_path):
    data = make_videos(tmp_path / "data", 1)
    for frame in data.rglob("*.jpg"):
        frame.write_bytes(b"no image")
    with pytest.raises(UserError, match=r"\d+.jpg is damaged .*restore it"):
        given = "--data", data, "--out", tmp_path / "run"
        call("run", "stcn/bl30k", *given, *FEW, "--set", f"runtime.workers={workers}")


def test_a_full_disk_leaves_no_incomplete_state(videos, tmp_path):
    state = tmp_path / f"checkpoints/.000000002.pt.{os.getpid()}.part"
    state.parent.mkdir()
    state.symlink_to("/dev/full")
    with pytest.raises(DiskFull, match=r"no space left in .*checkpoints for 000000002.pt"):
        call("run", "stcn/bl30k", "--data", videos, "--out", tmp_path, *FEW)
    assert not list(state.parent.iterdir())
    call("run", "stcn/bl30k", "--data", videos, "--out", tmp_path, *FEW)


def test_the_entry_point_reports_a_mistake_in_one_line():
    process = train_py("run", "stcn/nothing")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2 and errors.startswith("error: stage stcn/nothing") and errors.count("\n") == 1


def test_a_package_that_is_missing_is_named(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # importing it fails
    monkeypatch.setattr(sys, "argv", ["train.py", "compare", str(tmp_path), "--out", str(tmp_path)])
    monkeypatch.setattr("training.runs.compare.compare", lambda runs, out: __import__("matplotlib"))
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and "matplotlib is not installed: pip install" in said


def test_the_entry_point_stops_at_sigterm_and_continues(videos, tmp_path):
    """With loader processes, which get the signal too, as Slurm sends it."""
    arguments = ["run", "stcn/bl30k", "--data", videos, "--out", tmp_path, "--preset", "tiny", "--device", "cpu"]
    arguments += ["--set", "runtime.workers=1", "--set", "iterations=12", "--set", "runtime.log_every=1"]
    process = train_py(*arguments, start_new_session=True)
    log = tmp_path / "log.jsonl"
    deadline = time.monotonic() + 120
    while not (log.exists() and log.stat().st_size) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and "the same command continues" in errors, errors
    states = RunFolder(tmp_path).states()
    assert len(states) == 1 and 1 <= int(states[0].stem) < 12
    process = train_py(*arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert [r["iteration"] for r in RunFolder(tmp_path).records()] == list(range(1, 13))


def test_a_full_gpu_is_one_line_with_its_remedy(monkeypatch, capsys, tmp_path):
    def full(runs, out):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")

    monkeypatch.setattr(sys, "argv", ["train.py", "compare", str(tmp_path), "--out", str(tmp_path)])
    monkeypatch.setattr("training.runs.compare.compare", full)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.startswith("error: the GPU's memory is full: in training, set runtime.")
