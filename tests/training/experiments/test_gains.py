"""The experiment at the published schedule: its steps, their cost, and the gains to reach."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from training.cli import app
from training.experiments import gains
from training.schema.stage import load_stage

ROOT = Path(__file__).parents[3]


def fill(out: Path, scores: dict[str, float], seconds: float = 0.5) -> None:
    """Folders as training and judging leave them."""
    for name, score in scores.items():
        (out / f"{name}-davis17").mkdir(parents=True)
        (out / f"{name}-davis17/scores.csv").write_text(f",J&F,J mean\n{name},{score},1\nfirst mask copied,20,1\n")
        (out / name).mkdir()
        (out / name / "config.yaml").write_text(load_stage("stcn/static").to_yaml())
        lines = [{"iteration": i, "seconds": s} for i, s in ((50, 9.0), (100, seconds), (150, seconds))]
        (out / name / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def run_gains(*arguments, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["gains", *map(str, arguments)])
    assert result.exit_code == code, result.output
    return result


GOOD = {"static": 50.0, "static-bl30k": 70.4, "static-bl30k-vos": 84.0, "static-vos": 82.5}


def test_published_scores_pass_and_costs_are_the_logs_seconds(tmp_path):
    fill(tmp_path, GOOD)
    told = json.loads(run_gains(tmp_path, "--gpus", 4, "--json").stdout)
    assert [anchor["reached"] for anchor in told["anchors"]] == [True, True, True]
    total = told["costs"][-1]
    assert total["iterations"] == 1_900_000
    assert total["hours"] == pytest.approx(1_900_000 * 0.5 / 3600)
    assert total["GPU hours"] == pytest.approx(4 * total["hours"])


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"static-bl30k": 66.0}, "static-bl30k "),
        ({"static": 71.0}, "static-bl30k less static"),
        ({"static-bl30k-vos": 82.6}, "static-bl30k-vos less static-vos"),
    ],
)
def test_a_missed_anchor_is_named_and_fails(tmp_path, changed, missed):
    fill(tmp_path, GOOD | changed)
    result = run_gains(tmp_path, code=1)
    (line,) = [line for line in result.stdout.splitlines() if "MISSED" in line]
    assert line.startswith(missed)


def test_missing_scores_neither_pass_nor_fail(tmp_path):
    fill(tmp_path, {"static": 50.0})
    told = run_gains(tmp_path).stdout
    assert told.count("not evaluated yet") == 3
    assert "GPU hours" in told and "all " not in told


def test_the_script_runs_the_steps_that_gains_evaluates(tmp_path):
    stub = tmp_path / "python"
    stub.write_text('#!/bin/sh\necho "$@" >> "$CALLS"\n')
    stub.chmod(0o755)
    calls = tmp_path / "calls"
    environment = os.environ | {"PYTHON": str(stub), "CALLS": str(calls)}
    subprocess.run(["bash", "slurm/experiment.sh", "data", "out"], cwd=ROOT, env=environment, check=True)
    lines = calls.read_text().splitlines()
    looks, trained = lines[: len(gains.STEPS)], [line for line in lines if " run stcn/" in line][len(gains.STEPS) :]
    assert all("--dry-run" in line and "--from" not in line for line in looks), "no start exists yet"
    assert all(f"run {step.stage} --data data" in line for step, line in zip(gains.STEPS, looks, strict=True))
    assert [step.start is not None for step in gains.STEPS] == ["--set imagenet=none" in line for line in looks]
    assert len(trained) == len(gains.STEPS)
    for step, line in zip(gains.STEPS, trained, strict=True):
        assert f"train.py run {step.stage} --data data" in line
        assert f"--out out/{step.folder}" in line
        assert (f"--from out/{step.start} " in line) == (step.start is not None)
        assert all(f"--set {change}" in line for change in step.changes)
        assert f"train.py evaluate out/{step.folder} data/davis" in lines[lines.index(line) + 1]
        assert f"--out out/{step.folder}-davis17" in lines[lines.index(line) + 1]
    assert lines[-1] == "train.py gains out --gpus 1"


def test_the_experiment_trains_nothing_if_a_later_stage_lacks_data(tmp_path):
    stub, calls = tmp_path / "python", tmp_path / "calls"
    stub.write_text('#!/bin/sh\necho "$@" >> "$CALLS"\ncase "$*" in *stcn/vos*) exit 2; esac\n')
    stub.chmod(0o755)
    environment = os.environ | {"PYTHON": str(stub), "CALLS": str(calls), "TMPDIR": str(tmp_path)}
    done = subprocess.run(["bash", "slurm/experiment.sh", "data", "out"], cwd=ROOT, env=environment)
    assert done.returncode == 2
    assert all("--dry-run" in line for line in calls.read_text().splitlines())
    assert {path.name for path in tmp_path.iterdir()} == {"python", "calls"}, "nothing is left"
