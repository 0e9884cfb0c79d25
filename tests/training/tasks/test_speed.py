"""Options that save time or memory change results by no more than rounding."""

import pytest
import torch
from torch import nn

from bl30k_gen.errors import UserError
from models import checkpoint
from tests.support.stages import network_of
from training.data.mixture import Draw, open_mixture
from training.data.sample import FusionBatch
from training.engine import dry_run
from training.engine.distributed import Processes
from training.engine.trainer import Trainer
from training.runs.folder import RunFolder
from training.schema.stage import load_stage
from training.tasks import speed
from training.tasks.fusion import FusionStep
from training.tasks.network import freeze_batchnorm
from training.tasks.propagation import TrainingStep

CPU = torch.device("cpu")
OPTIONS = ["channels_last", "checkpointing", "compile"]


def outcome(step, network, batch, stage, option):
    """Loss and gradients, with or without an option. Compiled code is traced, but not made by a C compiler."""
    network.zero_grad()
    runtime = stage.runtime.model_copy(update={option: True} if option else {})
    speed.prepare(network, runtime, backend="aot_eager")
    loss, _, _ = step(batch, 1.0)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}
    for name in speed.PARTS + ("forward",):
        network.__dict__.pop(name, None)
    for parameter in network.parameters():  # another layout rounds differently
        parameter.data = parameter.data.contiguous()
    return loss.item(), gradients


def assert_same(ours, theirs):
    """Losses within 1e-5, gradients within 1e-4 of a tensor's largest."""
    assert ours[0] == pytest.approx(theirs[0], rel=1e-5)
    assert ours[1].keys() == theirs[1].keys()
    for name, gradient in theirs[1].items():
        assert (ours[1][name] - gradient).abs().max() <= 1e-4 * gradient.abs().max() + 1e-7, name


@pytest.fixture(scope="module", params=["stm", "stcn", "rde"])
def prepared(request, tiny):
    stage = tiny(f"{request.param}/bl30k", "size=32")
    mixture = open_mixture(stage)
    batch = mixture.collate([mixture[Draw(0, n, 0, n, 2)] for n in range(2)]).to(CPU)
    network = freeze_batchnorm(network_of(stage))
    step = TrainingStep(network, stage.loss)
    return step, network, batch, stage, outcome(step, network, batch, stage, None)


@pytest.mark.parametrize("option", OPTIONS)
def test_training_of_propagation_does_not_depend_on_speed_options(prepared, option):
    step, network, batch, stage, plain = prepared
    if option == "compile" and stage.network != "stcn":
        return  # tracing is slow, and the same parts of every network are traced
    assert_same(outcome(step, network, batch, stage, option), plain)


@pytest.mark.parametrize("option", OPTIONS)
def test_fusion_training_does_not_depend_on_speed_options(option):
    torch.manual_seed(0)
    stage = load_stage("fusion/bl30k", ["model.difference_aware=false"], preset="tiny")
    network = checkpoint.build("fusion", {"difference_aware": False, "dim": 8})
    masks = {name: torch.rand(2, 2, 32, 32) for name in FusionBatch.MASKS}
    images = {name: torch.randn(2, 3, 32, 32) for name in FusionBatch.IMAGES}
    batch = FusionBatch(**images, **masks, distance=torch.rand(2, 2), present=torch.ones(2, 2, dtype=torch.bool))
    step = FusionStep(network, None)
    plain = outcome(step, network, batch, stage, None)
    assert_same(outcome(step, network, batch, stage, option), plain)


def test_activations_are_not_kept(tiny):
    stage = tiny("stm/bl30k", "size=64")
    mixture = open_mixture(stage)
    batch = mixture.collate([mixture[Draw(0, 0, 0, 0, 2)]])
    plain = dry_run.measure(stage, batch, CPU, None)
    less = stage.model_copy(update={"runtime": stage.runtime.model_copy(update={"checkpointing": True})})
    assert dry_run.measure(less, batch, CPU, None).sample < plain.sample / 2
    weights = sum(p.numel() for p in network_of(stage).parameters())
    assert plain.fixed == 16 * weights  # weights, gradients and Adam's two moments, four bytes each
    samples = stage.iterations * stage.batch
    lines = dry_run.describe(samples, 1, dry_run.Cost(0.5, 2**30, 2**31), 0.1, 4, CPU)
    assert "6 GiB for 4 at once" in lines[0] and "loading keeps up" in lines[1]
    assert f"about {0.5 * 4 * 60 / 3600:.1f} hours" in lines[2]
    assert "more runtime.workers help" in dry_run.describe(samples, 1, dry_run.Cost(0.1, 0, 0), 0.9, 4, CPU)[1]


def test_validation_and_saving_use_the_network_as_built(tiny, videos, tmp_path):
    """All options together, except compilation, which needs a C compiler."""
    overrides = ["iterations=2", "batch=1", "runtime.log_every=1", "runtime.channels_last=true"]
    overrides += ["runtime.checkpointing=true", f"validation_videos.path={videos}", "validation_videos.split=train"]
    overrides += ["validation_videos.videos=1"]
    with_all = tiny("stcn/bl30k", *overrides)
    run = Trainer(with_all, tmp_path / "a", Processes(0, 1, CPU))
    assert "encode_query" in vars(run.network)
    with speed.as_built(run.network):
        assert "encode_query" not in vars(run.network)
    run.run()
    assert "encode_query" in vars(run.network)
    Trainer(tiny("stcn/bl30k", *overrides[:3]), tmp_path / "b", Processes(0, 1, CPU)).run()
    ours, theirs = (RunFolder(tmp_path / name) for name in "ab")
    losses = [[r["loss"] for r in folder.records() if "loss" in r] for folder in (ours, theirs)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and "J&F" in ours.records()[-1]
    assert checkpoint.load(ours.network).state_dict().keys() == checkpoint.load(theirs.network).state_dict().keys()


def test_trained_batch_norms_are_not_computed_twice(tiny):
    runtime = tiny("stcn/bl30k", "runtime.checkpointing=true").runtime
    with pytest.raises(UserError, match="counts a batch twice"):
        speed.prepare(nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), runtime)
