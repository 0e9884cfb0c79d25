"""Recipes, and the whole pipeline from a rendered folder to scores."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from tests.support import commands
from training.cli import app
from training.engine import dry_run
from training.engine.distributed import processes
from training.pipeline.plan import plan
from training.pipeline.steps import PlannedEvaluation, PlannedFusionData, PlannedTraining
from training.runs.folder import RunFolder
from training.schema.lookup import RECIPES
from training.schema.recipe import load_recipe
from training.schema.stage import load_stage

ROOT = Path(__file__).parents[3]
WHOLE = ["stm/static", "stm/bl30k", "stm/vos", "fusion/bl30k", "fusion/davis", "s2m/static"]


def planned(name, out, *overrides, data=("/data",), start=None):
    said: list[str] = []
    recipe = load_recipe(name, overrides, "tiny")
    return plan(recipe, out, data, overrides, "tiny", start, said.append), said


@pytest.fixture(scope="module")
def cost():
    """``dry_run.measure``, called once for each kind of network and sample."""
    measure = dry_run.measure
    known = {}

    def once(stage, samples, device, start):
        key = stage.network, str(stage.model), stage.frames, stage.objects
        known[key] = known.get(key) or measure(stage, samples, device, start)
        return known[key]

    return once


# Recipes of fusion alone need a fusion set, see test_fusion.
@pytest.mark.parametrize("name", [name for name in RECIPES.names() if not name.startswith("fusion")])
def test_every_recipe_dry_runs(name, videos, tmp_path, monkeypatch, cost):
    monkeypatch.setattr(dry_run, "measure", cost)
    few = ["--preset", "tiny", "--set", "size=32", "--device", "cpu", "--dry-run"]
    result = CliRunner().invoke(app, ["pipeline", name, "--data", str(videos), "--out", str(tmp_path), *few])
    assert result.exit_code == 0, result.output + repr(result.exception)
    steps = re.findall(r"^# \d-(\S+): ", result.output, re.M)
    stages = [step for step in steps if "fusion" not in step and step != "evaluation"]
    assert len(set(steps)) == len(steps) and len(stages) >= 2 and result.output.count("iB a sample") == len(stages)
    assert ("mivos" in name) == ("evaluation" in steps)
    assert not list(tmp_path.rglob("*.pt"))


def test_recipes_match_their_papers():
    def stages(name):
        steps = planned(name, Path("out"))[0]
        return {step.name: step.stage for step in steps if isinstance(step, PlannedTraining)}

    assert list(stages("mivos")) == WHOLE
    assert list(stages("mivos-without-bl30k")) == ["stm/static", "stm/vos", "fusion/davis", "s2m/static"]
    assert list(stages("mivos-linear")) == ["stm/static", "stm/bl30k", "stm/vos", "s2m/static"]
    assert all(not s.model["difference_aware"] for n, s in stages("mivos-agnostic").items() if "fusion" in n)
    iou = {name: stage.augmentation.first_mask_iou for name, stage in stages("rde-iou-70").items()}
    assert set(iou.values()) == {(0.7, 1.0)} and len(iou) == 3
    assert [s.model.get("update") for s in stages("rde-moving-average").values()] == ["none", "ema", "ema"]
    assert {s.model.get("enhance") for s in stages("rde-no-enhancing").values()} == {"none"}
    guidance = [stage.loss.guidance for stage in stages("rde-guidance-20").values()]
    assert guidance == [20, 20, 20] and stages("rde-weights-5")["rde/vos"].loss.consistency == 5
    full = load_stage("stm/vos", changes=load_recipe("mivos-top-k").steps[1].set)
    assert full.iterations == 300_000


def test_steps_start_from_results_of_other_steps(tmp_path):
    work, said = planned("mivos", tmp_path, start=Path("begin.pt"))
    by_name = {step.name: step for step in work}
    assert by_name["stm/static"].start == Path("begin.pt")
    assert by_name["stm/bl30k"].start == by_name["stm/static"].folder
    assert by_name["fusion/bl30k"].start is None
    assert by_name["fusion/davis"].start == by_name["fusion/bl30k"].folder
    aware = by_name["fusion/davis"].stage
    assert aware.alignment == str(by_name["stm/vos"].folder) and aware.model["difference_aware"]
    made = [step for step in work if isinstance(step, PlannedFusionData)]
    assert aware.sources["davis_fusion"].path == str(made[1].folder)
    assert made[0].network == by_name["stm/vos"].folder and made[0].numbers.separation == 4
    evaluation = work[-1]
    assert isinstance(evaluation, PlannedEvaluation) and evaluation.fusion == by_name["fusion/davis"].folder
    assert evaluation.s2m == by_name["s2m/static"].folder
    assert "no still images are given" in said[0] and "no real video is given" in said[1]
    assert len(said) == 3 and said[2].startswith("s2m/static: no still images are given")


def test_overrides_and_data_paths_reach_the_stage(tmp_path):
    linear = planned("mivos", tmp_path, "fusion.kind=linear")[0]
    assert [step.name for step in linear] == ["stm/static", "stm/bl30k", "stm/vos", "s2m/static", "evaluation"]
    work, said = planned(
        "mivos", tmp_path, "data.youtube.weight=0", "fusion_data.separation=7", data=["/renders", "davis=/davis"]
    )
    by_name = {step.name: step for step in work}
    assert [s.path for s in by_name["stm/vos"].stage.sources.values()] == ["/davis"] and len(said) == 2
    assert [s.path for s in by_name["stm/bl30k"].stage.sources.values()] == ["/renders"]
    assert by_name["fusion data of stm/vos"].source.path == "/davis" == str(work[-1].dataset)
    assert by_name["fusion data of stm/vos"].numbers.separation == 7
    assert work[-1].masks is None
    stated = planned("mivos", tmp_path, "data.davis.masks=soft", data=["/renders", "davis=/davis"])[0]
    assert stated[-1].masks == "soft", "what masks mean is the same in training and in evaluation"


def test_mistakes_are_named(tmp_path, videos):
    own = tmp_path / "own.yaml"
    for text, words in [
        ("about: x\nsteps: [{stage: stm/static, sett: {}}]", r"steps.0.stage.sett"),
        ("about: x\nsteps: [{what: 1}]", "steps.0"),
        ("about: x\nsteps: 3", "steps"),
        ("about: x\nsteps: [3, null]", "steps.0: a step has the key stage, fusion_data or evaluate"),
        ("extends: mivos\nfusion: {kind: none}", "fusion.kind"),
    ]:
        own.write_text(text)
        with pytest.raises(UserError, match=words):
            load_recipe(str(own))
    numbers = "separation: 1, range: null, memory_every: 1"
    for text, words in [
        (f"about: x\nsteps: [{{fusion_data: stm/vos, {numbers}}}]", "before any propagation"),
        (f"about: x\nsteps: [{{stage: stm/bl30k}}, {{fusion_data: stm/vos, {numbers}}}]", "stages before it are"),
        (f"about: x\nsteps: [{{stage: stm/static}}, {{fusion_data: stm/static, {numbers}}}]", "has no videos"),
    ]:
        own.write_text(text)
        with pytest.raises(UserError, match=words):
            planned(str(own), tmp_path)
    for places, words in [([], "source bl30k of stage stm/bl30k has no path"), (["bl31k=/x"], "did you mean bl30k")]:
        with pytest.raises(UserError, match=words):
            planned("mivos", tmp_path, data=places)
    # A missing input of the last step is found before the first one starts.
    (tmp_path / "other").mkdir()
    arguments = ["pipeline", "--preset", "tiny", "--data", str(videos), "--data", f"davis={tmp_path / 'other'}"]
    result = CliRunner().invoke(app, [*arguments, "--set", "data.youtube.weight=0", "--out", str(tmp_path / "run")])
    assert isinstance(result.exception, UserError) and "JPEGImages" in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("protocol: davis18", "evaluate.protocol davis18"),
        ("options: {top_k: 0}", "top_k"),
        ("options: {topk: 5}", "did you mean top_k"),
    ],
)
def test_mistakes_of_the_evaluation_are_found_before_training(tmp_path, videos, change, said):
    values = {"evaluate": "stm/bl30k", "source": "bl30k", "split": "train", "protocol": "davis17"}
    values |= {"interactive": False, "options": {}} | yaml.safe_load(change)
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({"about": "x", "steps": [{"stage": "stm/bl30k"}, values]}))
    work = planned(str(own), tmp_path / "run", data=[str(videos)])[0]
    with processes("cpu") as one, pytest.raises(UserError, match=said):
        work[-1].check(one)


def test_the_interactive_benchmark_wants_a_mask_of_every_frame(tmp_path, make_videos):
    data = make_videos(tmp_path / "data", 1)
    (data / "Annotations/a00000/00003.png").unlink()
    values = {"evaluate": "stm/bl30k", "source": "bl30k", "split": "train", "protocol": "davis17"}
    own = tmp_path / "own.yaml"
    for interactive in (False, True):
        values |= {"interactive": interactive, "options": {}}
        own.write_text(yaml.safe_dump({"about": "x", "steps": [{"stage": "stm/bl30k"}, values]}))
        work = planned(str(own), tmp_path / "run", data=[str(data)])[0]
        with processes("cpu") as one, pytest.raises(UserError, match="every frame") if interactive else nullcontext():
            work[-1].check(one)


def test_a_recipe_takes_a_dataset_by_url(tmp_path, videos):
    work = planned("mivos", tmp_path, data=["memory://demo"])[0]
    assert {step.dataset for step in work if isinstance(step, PlannedEvaluation)} == {"memory://demo"}


def test_the_amount_of_every_step_is_known_before_the_first(videos, tmp_path):
    few = ["iterations=2", "batch=2", "size=32"]
    work = planned("mivos", tmp_path, *few, data=[str(videos)])[0]
    work[0].folder.mkdir()
    RunFolder(work[0].folder).network.write_bytes(b"weights")
    amounts = {step.name: step.amount() for step in work}
    assert amounts["stm/static"] == "finished"
    assert amounts["stm/bl30k"] == "2 iterations of 2 samples of 3 frames at 32"
    assert amounts["s2m/static"] == "2 iterations of 2 samples of 1 frame at 32"
    count = len(open_dataset(videos).videos)
    assert amounts["fusion data of stm/bl30k"] == f"{count} videos to propagate through"
    assert amounts["evaluation"] == f"{count} videos to evaluate, also interactively"


def test_a_recipe_goes_from_a_rendered_folder_to_scores(rendered, tmp_path):
    """Killed in the middle, the same command continues; a third run has nothing to do."""
    out = tmp_path / "run"
    command = [sys.executable, str(ROOT / "train.py"), "pipeline", "--preset", "tiny", "--data", str(rendered)]
    command += ["--out", str(out), "--device", "cpu", "--set", "iterations=2", "--set", "batch=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 240
    while not (out / "3-fusion-data-stm-bl30k").exists() and time.monotonic() < deadline and first.poll() is None:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    network = out / "1-stm-bl30k/network.pt"
    before = network.stat().st_mtime_ns
    assert not (out / "report.md").exists()

    done = commands.run("train.py", *command[2:])
    assert done.returncode == 0, done.stderr
    assert "no real video is given (davis, youtube)" in done.stdout and "is finished" in done.stdout
    assert f"9 steps into {out}:\n" in done.stdout and "\n  1-stm-bl30k: finished\n" in done.stdout
    assert network.stat().st_mtime_ns == before
    rows = list(csv.DictReader((out / "stages.csv").open()))
    assert [row["stage"] for row in rows] == WHOLE
    assert all(float(row["last loss"]) > 0 for row in rows)
    report = (out / "report.md").read_text()
    images = re.findall(r"!\[\]\((.*?)\)", report)
    assert len(images) == 6 + 1 + 1  # samples of each stage, masks of the video, the curve
    for image in images:
        Image.open(out / image).verify()
    assert "first mask copied" in report and "J&F@60s" in report and "100.0" in report

    result = CliRunner().invoke(app, command[2:])
    assert result.exit_code == 0 and result.output.count("is finished") == 6, result.output
    assert "interactions" not in result.output and "a00002: 6 frames" not in result.output
