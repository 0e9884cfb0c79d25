"""The benchmarks for one GPU in their dry run on the processor, in a Python without most packages."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.gpu import experiment, half_weights
from benchmarks.gpu.drawn import draw_dataset
from benchmarks.gpu.experiment_scores import gain
from benchmarks.gpu.experiment_training import DRY_EXPERIMENT, ExperimentSizes, new_network, stages
from benchmarks.gpu.pack import build
from benchmarks.gpu.resident import Clips, Plan, Sampler
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.seeding import rng
from models.backbone import MEAN, STD
from training.data import sampling, transforms
from training.data.videos import FrameTransform

ROOT = Path(__file__).resolve().parents[2]
ABSENT = [
    "cv2",
    "scipy",
    "h5py",
    "requests",
    "typer",
    "trimesh",
    "matplotlib",
    "skimage",
    "tqdm",
    "tensorboard",
]

BLOCK = "import sys\nsys.modules.update(dict.fromkeys({names}))\n"  # a module that is None cannot be imported


@pytest.fixture
def bare(tmp_path):
    """Run a module of the benchmarks in a Python without some packages."""

    def run(module: str, *arguments: object, absent: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        site = tmp_path / "site"
        site.mkdir(exist_ok=True)
        (site / "sitecustomize.py").write_text(BLOCK.format(names=set(ABSENT) | set(absent)))
        command = [sys.executable, "-m", f"benchmarks.gpu.{module}", *map(str, arguments)]
        environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)

    return run


def test_networks_run_every_step_without_most_packages(bare, tmp_path):
    page = tmp_path / "networks.md"
    done = bare("networks", "--dry-run", "--minutes", 30, "--results", page)  # long: the machine may be busy
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(page.with_suffix(".json").read_text())["rows"]
    assert {row["kind"] for row in rows} == {"frames", "training", "equality", "loader"}
    assert not [row for row in rows if "error" in row]
    assert {(r["way"], r["dtype"]) for r in rows if r["kind"] == "frames"} == {
        ("plain", "float32"),
        ("eager", "float32"),
        ("eager", "bfloat16"),
        ("compiled", "bfloat16"),
    }
    assert all(row["float32_met"] for row in rows if row["kind"] == "equality")
    assert [row["note"] for row in rows if row["kind"] == "loader"] == [
        "not measured: OpenCV (cv2) is not installed here"
    ]
    assert "dry run" in page.read_text() and "## Propagation" in page.read_text()


def test_a_second_run_of_the_experiment_holds_out_other_videos(bare, tmp_path):
    out = tmp_path / "out"
    states = []
    for _ in range(2):
        done = bare("experiment", "--dry-run", "--minutes", 30, "--out", out)
        assert done.returncode == 0, done.stdout + done.stderr
        states.append(json.loads((out / "state.json").read_text()))
    first, second = (state["rows"] for state in states)
    assert second[: len(first)] == first  # earlier rows stay
    held_out = [
        next(set(r["videos"]) for r in second if r["kind"] == "score" and r["repetition"] == number)
        for number in (0, 1)
    ]
    assert held_out == [{"drawn0"}, {"drawn1"}]
    arms = {row["arm"] for row in first if row["kind"] == "training"}
    assert arms == {experiment.BASE, experiment.RENDERS, experiment.REAL, experiment.BOTH}
    totals = {r["arm"]: r["iterations"] for r in first if r["kind"] == "training" and r["turn"] == 2}
    assert len(set(totals.values())) == 1  # equal totals
    assert [r["went_on"] for r in second if r["kind"] == "training" and r["turn"] == 0] == [False, True]
    assert "## Repetition 2" in (out / "gpu_experiment.md").read_text()


def test_missing_packages_are_named_in_one_line(bare):
    done = bare("networks", "--dry-run", absent=("pydantic", "yaml"))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        "error: this Python lacks pydantic, yaml: install them, or unpack their wheels on PYTHONPATH"
    ]


def test_a_missing_data_folder_is_named(capsys):
    with pytest.raises(SystemExit, match="2"):
        experiment.main(["nowhere", "--dry-run"])
    assert capsys.readouterr().err.startswith("error: nowhere has no folders renders and real: make it")


def test_a_run_is_ended_at_its_deadline(tmp_path):
    code = (
        "import time\nfrom pathlib import Path\nfrom benchmarks.gpu import run\nrun.GRACE = 0\n"
        f"page = Path({str(tmp_path / 'page.md')!r})\n"
        "work = run.Run(page, page.with_suffix('.json'), 0.0, {}, lambda rows, head: f'{len(rows)} rows')\n"
        "work.record('frames', rate=1.0)\ntime.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert done.returncode == 1 and "time is up" in done.stdout
    assert (tmp_path / "page.md").read_text() == "1 rows\n"


def test_a_failed_step_is_recorded_and_the_run_continues(tmp_path):
    from benchmarks.gpu.run import Run

    run = Run(tmp_path / "page.md", tmp_path / "rows.json", 1.0, {}, lambda rows, head: "")
    with run.attempt("frames", network="stm"):
        raise RuntimeError("out of memory")
    assert run.rows == [{"kind": "frames", "network": "stm", "error": "RuntimeError: out of memory"}]
    assert run.close() == 1


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    draw_dataset(folder, (80, 112), 2)
    store = open_dataset(folder)
    return Clips.load(store, store.videos, "cpu")


def test_crops_on_the_device_are_those_of_the_loader(clips):
    """The matrices equal those of ``training.data.videos``; only the interpolation differs."""
    stage = stages(DRY_EXPERIMENT, 0)["renders"]
    for seed in range(4):
        sampler = Sampler(clips, stage, rng(seed, "test"))
        plan = Plan.empty(1, 3)
        sampler._plan_video(plan, 0, clips.clips[0], sampler.source, 0.5)
        plan.colours[:] = np.eye(3, 4)
        again = rng(seed, "test")
        again.integers(2**62)  # seeds the sampler's generator on the device
        change, size = stage.augmentation, stage.size
        distance = sampling.largest_distance(stage.curriculum, 500, 1000)
        numbers = sampling.draw_frames(again, clips.clips[0].count, 3, distance)
        box = transforms.draw_crop(again, 112, 80, sampler.source.crop_scale, change.sequence.crop_ratio)
        flip = again.random() < change.sequence.flip
        transforms.draw_jitter(again, change.sequence.jitter)
        matrices = []
        for _ in numbers:
            matrices.append(transforms.draw_affine(again, change.frame))
            transforms.draw_jitter(again, change.frame.jitter)
        geometry = FrameTransform((112, 80), box, flip, matrices, size)
        batch = sampler._cut(plan)
        std, mean = (torch.tensor(values).view(3, 1, 1) for values in (STD, MEAN))
        pixels = batch.images * std + mean
        for t, number in enumerate(numbers):
            rgb = clips.frames[clips.clips[0].start + number].movedim(0, -1).numpy()
            ids = clips.ids[clips.clips[0].start + number].numpy()
            theirs = geometry._apply(rgb, t, Image.Resampling.BICUBIC).astype(float)
            ours = 255 * pixels[0, t].movedim(0, -1).numpy()
            shown = geometry.apply_to_mask(np.ones_like(ids), t) > 0  # the loader shows nothing outside the crop
            assert np.median(np.abs(ours - theirs)[shown]) < 3
            label = geometry.apply_to_mask(ids, t) > 0
            seen = batch.masks[0, t].sum(0).numpy() > 0
            if label.any() and batch.present[0].all():
                assert (seen == label)[shown].mean() > 0.99


def test_a_network_in_half_precision_fits_the_limits_and_loads(tmp_path):
    network = new_network(ExperimentSizes(), 0, "cpu")
    half_weights.save_half(network, tmp_path, "base")
    files = [path.stat().st_size for path in tmp_path.iterdir()]
    assert max(files) <= half_weights.FILE_BYTES and sum(files) <= half_weights.ALL_BYTES
    other = new_network(ExperimentSizes(), 1, "cpu")
    assert half_weights.load_half(other, tmp_path, "base")
    for mine, theirs in zip(other.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs.half().to(mine.dtype))
    (tmp_path / "base-1.pt").unlink()
    assert not half_weights.load_half(other, tmp_path, "base")


def test_gains_are_of_the_videos_that_both_have_scores_of():
    mean, low, high = gain({"a": 50.0, "b": 60.0, "c": 0.0}, {"a": 40.0, "b": 54.0})
    assert mean == pytest.approx(8) and 6 <= low <= mean <= high <= 10


def test_packed_data_are_readable_and_limited_in_size(tmp_path):
    draw_dataset(tmp_path / "renders", (208, 320), 2)
    draw_dataset(tmp_path / "real", (264, 300), 3)
    sources = {kind: tmp_path / kind for kind in ("renders", "real")}
    with pytest.raises(UserError, match="larger than 0.01 MB: renders .* real"):
        build(sources, {"renders": None, "real": None}, tmp_path / "data", 0.01)
    assert not (tmp_path / "data").exists()
    sizes = build(sources, {"renders": 1, "real": None}, tmp_path / "data", 55)
    assert sum(sizes.values()) < 5
    assert open_dataset(tmp_path / "data/renders").videos == ["drawn0"]
    real = open_dataset(tmp_path / "data/real")
    assert real.read_rgb(real.videos[2], 0).shape == (240, 273, 3)
    with pytest.raises(UserError, match="is there already"):
        build(sources, {"renders": 1, "real": None}, tmp_path / "data", 55)
