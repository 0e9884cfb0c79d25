import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bl30k_gen.errors import UserError
from models import checkpoint
from models.propagation import PropagationNetwork
from tests.support.stages import network_of, order_of
from training.data.mixture import open_mixture
from training.data.sample import Batch
from training.engine import trainer as trainer_module
from training.engine.distributed import Processes, processes
from training.engine.trainer import Stopped, Trainer, learning_rate
from training.runs.folder import RunFolder
from training.runs.state import read_state
from training.schema.stage import load_stage
from training.tasks.network import freeze_batchnorm
from training.tasks.propagation import TrainingStep
from training.tasks.speed import choose_precision

ROOT = Path(__file__).parents[3]
CPU = torch.device("cpu")
SHORT = ["iterations=5", "batch=1", "runtime.save_every=2", "runtime.log_every=1", "runtime.picture_every=3"]


def train(stage, out, start=None) -> RunFolder:
    Trainer(stage, out, Processes(0, 1, CPU), start).run()
    return RunFolder(out)


def curve(folder: RunFolder) -> list[tuple]:
    return [(r["iteration"], r["loss"], r["gradient"]) for r in folder.records() if "loss" in r]


def weights(path: Path) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)["weights"]


@pytest.fixture(scope="module")
def short(tiny):
    return tiny("stcn/bl30k", *SHORT)


@pytest.fixture(scope="module")
def whole(short, tmp_path_factory):
    """An uninterrupted run."""
    return train(short, tmp_path_factory.mktemp("whole"))


def test_a_run_folder_holds_what_it_says(whole, short):
    assert [path.name for path in whole.states()] == ["000000004.pt", "000000005.pt"]
    assert [iteration for iteration, _, _ in curve(whole)] == list(range(1, 6))
    environment = json.loads(whole.environment.read_text())
    assert environment["packages"]["torch"] and environment["data"]["videos0"]["items"] == 6
    assert "iterations: 5" in whole.card.read_text() and whole.tensorboard.is_dir()
    network = checkpoint.load(whole.network)
    state = read_state(whole.states()[-1])
    assert all(torch.equal(value, state["network"][key]) for key, value in network.state_dict().items())
    assert {"optimiser", "scaler", "random", "position"} <= state.keys() and state["position"] == 5
    assert not list(whole.root.rglob("*.part"))


@pytest.mark.parametrize("last", [3, 4])
def test_a_killed_run_continues_with_the_same_losses(whole, short, tmp_path, monkeypatch, last):
    """Killed in iteration ``last`` + 1, the run continues from the state before it."""
    iterate = Trainer._iterate

    def killed(self, *args):
        if self.iteration == last:
            raise KeyboardInterrupt
        return iterate(self, *args)

    monkeypatch.setattr(Trainer, "_iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(short, tmp_path)
    monkeypatch.undo()
    assert read_state(RunFolder(tmp_path).states()[-1])["iteration"] == last // 2 * 2
    again = train(short, tmp_path)
    assert curve(again) == curve(whole)
    ours, theirs = weights(again.network), weights(whole.network)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_sigterm_saves_and_the_run_continues(whole, short, tmp_path, monkeypatch):
    iterate = Trainer._iterate

    def signalled(self, *args):
        if self.iteration == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        return iterate(self, *args)

    monkeypatch.setattr(Trainer, "_iterate", signalled)
    with pytest.raises(Stopped, match="after iteration 3"):
        train(short, tmp_path)
    monkeypatch.undo()
    assert read_state(RunFolder(tmp_path).states()[-1])["iteration"] == 3
    assert curve(train(short, tmp_path)) == curve(whole)


def test_a_run_that_continues_needs_no_imagenet_weights(tiny, tmp_path, monkeypatch):
    loaded = []
    monkeypatch.setattr(PropagationNetwork, "load_imagenet", lambda network, source: loaded.append(source))
    stage = tiny("stcn/bl30k", "iterations=1", "batch=1", "imagenet=weights.pth")
    train(stage, tmp_path)
    Trainer(stage, tmp_path, Processes(0, 1, CPU))
    assert loaded == ["weights.pth"]


def test_a_finished_run_is_not_changed(whole, short, capsys):
    before = {path: path.stat().st_mtime_ns for path in whole.root.rglob("*.pt")}
    train(short, whole.root)
    assert "is finished" in capsys.readouterr().out
    assert before == {path: path.stat().st_mtime_ns for path in whole.root.rglob("*.pt")}


def test_one_process_at_a_time(whole, short):
    hold = "import fcntl, sys; file = open(sys.argv[1], 'wb'); fcntl.lockf(file, fcntl.LOCK_EX); print(); input()"
    command = [sys.executable, "-c", hold, str(whole.root / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(UserError, match="another process trains in"):
            train(short, whole.root)
        other.communicate(b"\n")
    train(short, whole.root)


def test_other_numbers_need_another_folder(whole, tiny, videos, tmp_path):
    with pytest.raises(UserError, match="optimiser.learning_rate = 0.0005, not 0.1"):
        train(tiny("stcn/bl30k", *SHORT, "optimiser.learning_rate=0.1"), whole.root)
    moved = tmp_path / "moved"
    moved.symlink_to(videos)
    with pytest.raises(UserError, match="holds a run on videos0, not on moved: .*by a link"):
        train(load_stage("stcn/bl30k", SHORT, [str(moved)], "tiny"), whole.root)
    train(tiny("stcn/bl30k", *SHORT, "runtime.keep=5"), whole.root)


def test_a_damaged_state_is_named(short, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints/000000003.pt").write_bytes(b"cut off")
    with pytest.raises(UserError, match="000000003.pt is no readable training state"):
        train(short, tmp_path)


def test_accumulated_steps_are_one_batch(tiny, tmp_path):
    """Equal up to the rounding of sums: 1e-4 of a tensor's largest value after two iterations."""
    common = ["iterations=2", "batch=4", "optimiser.learning_rate=1e-5"]
    runs = [train(tiny("stcn/bl30k", *common, f"runtime.batch_per_step={n}"), tmp_path / str(n)) for n in (4, 1)]
    assert_close(*(weights(run.network) for run in runs), 1e-4)


def assert_close(ours, theirs, tolerance):
    for key, value in theirs.items():
        largest = (ours[key] - value).abs().max()
        assert largest <= tolerance * value.abs().max().clamp(min=1e-2), (key, largest)


def test_batch_statistics_are_frozen_and_other_weights_trained(short, whole):
    begin, end = network_of(short).state_dict(), weights(whole.network)
    for key in begin:
        fixed = "running" in key or "num_batches" in key
        assert torch.equal(begin[key], end[key]) == fixed, key
    network = freeze_batchnorm(nn.Sequential(nn.BatchNorm2d(2), nn.Dropout()))
    assert not network[0].training and network[1].training


def test_a_gradient_that_is_not_finite_skips_the_step(tiny, tmp_path):
    def spoilt(run: Trainer, bad: set[int]) -> Trainer:
        forward = run.step.forward

        def sometimes(batch, share):
            total, parts, masks = forward(batch, share)
            return total * (float("nan") if run.iteration in bad else 1), parts, masks

        run.step.forward = sometimes
        return run

    stage = tiny("stcn/bl30k", *SHORT, "runtime.bad_steps=2")
    run = spoilt(Trainer(stage, tmp_path / "a", Processes(0, 1, CPU)), {1, 2})
    run.run()
    events = [r for r in run.folder.records() if r.get("event") == "bad step"]
    assert [e["iteration"] for e in events] == [2, 3] and [i for i, _, _ in curve(run.folder)] == [1, 4, 5]
    assert all(torch.isfinite(value).all() for value in weights(run.folder.network).values())
    run = spoilt(Trainer(stage, tmp_path / "b", Processes(0, 1, CPU)), set(range(9)))
    with pytest.raises(UserError, match="3 steps in a row up to iteration 3"):
        run.run()


def test_too_many_damaged_files_stop_the_run(make_videos, tmp_path, caplog):
    root = make_videos(tmp_path / "data", 4)
    for name in ("a00001", "a00002"):
        for path in (root / "JPEGImages" / name).iterdir():
            path.write_bytes(b"no image")
    overrides = [*SHORT, "iterations=8", "runtime.corrupt_files=1", "runtime.save_every=8"]
    with pytest.raises(UserError, match="2 files are damaged"):
        train(load_stage("stcn/bl30k", overrides, [str(root)], "tiny"), tmp_path / "run")
    assert caplog.text.count("skipped: ") == 2
    events = [r for r in RunFolder(tmp_path / "run").records() if r.get("event") == "damaged file"]
    assert len(events) == 2 and all("JPEGImages" in e["text"] for e in events)


def test_the_rate_grows_and_decays(tiny):
    optimiser = tiny("stcn/bl30k").optimiser.model_copy(
        update={"learning_rate": 1.0, "warm_up": 4, "decay_at": [6, 8], "decay": 0.1}
    )
    rates = [learning_rate(optimiser, iteration) for iteration in range(10)]
    np.testing.assert_allclose(rates, [0.25, 0.5, 0.75, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize(("capability", "chosen"), [((7, 5), None), ((8, 0), torch.bfloat16)])
def test_bf16_is_for_gpus_that_have_it(monkeypatch, capability, chosen):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda")) == (chosen, False)


def test_precision_and_device_are_checked():
    assert choose_precision("auto", CPU) == (None, False)
    assert choose_precision("bf16", CPU) == (torch.bfloat16, False)
    with pytest.raises(UserError, match="fp16 needs a GPU"):
        choose_precision("fp16", CPU)
    with pytest.raises(UserError, match="tpu is unknown"), processes("tpu"):
        pass


def test_half_precision_trains(tiny, tmp_path, whole):
    half = train(tiny("stcn/bl30k", *SHORT, "iterations=2", "runtime.precision=bf16"), tmp_path)
    np.testing.assert_allclose(curve(half)[0][1], curve(whole)[0][1], rtol=0.05)


def test_a_run_continues_in_half_precision_that_began_without(tiny, tmp_path):
    stage = tiny("stcn/bl30k", "iterations=1", "batch=1", "size=32")
    folder = train(stage, tmp_path)
    trainer = Trainer(stage, tmp_path, Processes(0, 1, torch.device("cpu")))
    trainer.scaler = torch.amp.GradScaler("cpu", enabled=True)
    trainer._restore(folder.latest(1))
    assert trainer.iteration == 1 and trainer.scaler.get_scale() == 65536


@pytest.mark.parametrize("network", ["stm", "stcn", "rde"])
def test_each_stage_starts_from_the_previous_network(tiny, tmp_path, network):
    """Single objects to several, RDE without recurrence to RDE with it; by folder, network file and state."""
    few = ["iterations=1", "batch=1"]
    first = train(tiny(f"{network}/static", *few), tmp_path / "static")
    before = weights(first.network)
    for number, start in enumerate([first.root, first.network, first.states()[-1]]):
        stage = tiny(f"{network}/bl30k", *few)
        built = network_of(stage, start).state_dict()
        new = {k for k in built if k not in before or not torch.equal(built[k], before[k])}
        assert len([k for k in new if not k.startswith("sam_")]) == 1  # the widened stem
        if number == 0:
            second = train(stage, tmp_path / "bl30k", start)
    assert np.isfinite(curve(second)[0][1]) and f"began with {first.network}" in second.card.read_text()
    with pytest.raises(UserError, match="do not fit|holds the network"):
        network_of(load_stage(f"{network}/bl30k"), first.network)


def test_missing_imagenet_weights_are_explained(tiny, tmp_path):
    with pytest.raises(UserError, match="no-pretrained"):
        network_of(tiny("stcn/bl30k", f"imagenet={tmp_path / 'none.pth'}"))


@pytest.mark.parametrize("name", ["stcn/bl30k"])
def test_one_batch_is_overfitted(tiny, name):
    """The total loss of a batch falls under 0.02."""
    stage = tiny(name, "batch=1")
    mixture = open_mixture(stage)
    batch = Batch.collate([mixture[draw] for draw in next(iter(order_of(stage, mixture)))]).to(CPU)
    step = TrainingStep(freeze_batchnorm(network_of(stage)), stage.loss)
    optimiser = torch.optim.Adam(step.parameters())
    for iteration in range(200):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - iteration / 200)
        optimiser.zero_grad()
        total, _, _ = step(batch, 1.0)
        if total.item() < 0.02:
            return
        total.backward()
        nn.utils.clip_grad_norm_(step.parameters(), 1.0)
        optimiser.step()
    pytest.fail(f"the loss is still {total.item():.3f}")


DISTRIBUTED = """
import sys
from pathlib import Path
import torch
from training.schema.stage import load_stage
from training.data import mixture
from training.engine.distributed import processes
from training.data.mixture import SampleOrder
from training.engine.trainer import Stopped, Trainer

torch.set_num_threads(1)
data, out, overrides = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
begin = SampleOrder.__init__
with processes("cpu") as group:
    for kind in ("right", "wrong"):
        Trainer(load_stage("stcn/bl30k", overrides, [data], "tiny"), out / kind, group).run()
        def without_rank(self, *settings, first, rank, world):
            begin(self, *settings, first=first, rank=0, world=world)
        SampleOrder.__init__ = without_rank
    SampleOrder.__init__ = begin
    stage = load_stage("stcn/bl30k", [*overrides, "runtime.log_every=3"], [data], "tiny")
    stopped = Trainer(stage, out / "stopped", group)
    stopped.stopping = True
    stopped.corrupt = [f"file of {group.rank}"]
    try:
        stopped.run()
    except Stopped:
        again = Trainer(stage, out / "stopped", group)
        again.corrupt = [f"file of {group.rank}"]
        again.run()
"""


def test_two_processes_are_one(videos, tmp_path):
    """After three iterations at the same batch, weights agree within 1e-4 of their largest value; those of two
    processes with equal samples do not. Stopped between two records, they log the same values as without the stop,
    and the damaged files of both."""
    overrides = [
        "iterations=3",
        "batch=4",
        "optimiser.learning_rate=1e-5",
        "runtime.save_every=3",
        "runtime.log_every=1",
    ]
    alone = train(load_stage("stcn/bl30k", overrides, [str(videos)], "tiny"), tmp_path / "alone")
    (tmp_path / "two.py").write_text(DISTRIBUTED)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)}
    command += [str(tmp_path / "two.py"), str(videos), str(tmp_path), *overrides]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    right, wrong = (RunFolder(tmp_path / kind) for kind in ("right", "wrong"))
    np.testing.assert_allclose(curve(right), curve(alone), rtol=1e-4)
    assert_close(weights(right.network), weights(alone.network), 1e-4)
    with pytest.raises(AssertionError):
        assert_close(weights(wrong.network), weights(alone.network), 1e-4)
    stopped = RunFolder(tmp_path / "stopped")
    ((iteration, loss, _),) = curve(stopped)
    assert iteration == 3 and loss == pytest.approx(np.mean([loss for _, loss, _ in curve(right)]), rel=1e-6)
    assert "file of 1" in [record.get("text") for record in stopped.records()]


def test_trainer_module_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UserError, match="tensorboard"):
        trainer_module.open_writer(Path("x"), 0)
