"""S2M's stage: data, loss, batch norms, validation, resuming, and the exported network."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from bl30k_gen.errors import UserError
from models import checkpoint
from models.s2m import S2M, S2MConfig
from tests.support.stages import network_of, order_of
from training.data.mixture import Draw, open_mixture
from training.data.sample import S2MBatch
from training.engine import visualisation
from training.engine.distributed import Processes
from training.engine.trainer import Trainer
from training.inference.load import load_network
from training.interactive.interaction import scribble
from training.runs.folder import RunFolder
from training.schema.stage import load_stage
from training.tasks.losses import bootstrapped_cross_entropy
from training.tasks.network import build_step, learn_batchnorm
from training.tasks.s2m import S2MStep

CPU = torch.device("cpu")
SHORT = ["iterations=3", "batch=2", "runtime.save_every=2", "runtime.log_every=1", "runtime.picture_every=2"]
SHORT += ["validation={share: 0.1, samples: 3, every: 2}"]


def train(stage, out, start=None) -> RunFolder:
    Trainer(stage, out, Processes(0, 1, CPU), start).run()
    return RunFolder(out)


def state(folder: RunFolder) -> dict[str, torch.Tensor]:
    return torch.load(folder.network, weights_only=True)["weights"]


@pytest.fixture(scope="module")
def short(tiny):
    return tiny("s2m/static", *SHORT)


@pytest.fixture(scope="module")
def whole(short, tmp_path_factory):
    return train(short, tmp_path_factory.mktemp("s2m"))


def test_a_sample_is_a_current_mask_and_the_users_scribbles(tiny):
    stage = tiny("s2m/static", "size=96", "scribbles.from_zero=0.5")
    mixture = open_mixture(stage)
    samples = [mixture[Draw(0, n, 0, n, 1)] for n in range(24)]
    batch = mixture.collate(samples)
    assert batch.image.shape == (24, 3, 96, 96) and batch.true.shape == batch.before.shape == (24, 1, 96, 96)
    for name in S2MBatch.MASKS:
        assert set(getattr(batch, name).unique().tolist()) == {0, 255}
    empty = batch.before.flatten(1).amax(1) == 0
    assert 6 <= empty.sum() <= 18
    overlap = ((batch.before & batch.true) > 0).sum((1, 2, 3)) / ((batch.before | batch.true) > 0).sum((1, 2, 3))
    assert 0.3 < overlap[~empty].min() and overlap[~empty].max() < 0.96
    again = mixture[Draw(0, 5, 0, 5, 1)]
    assert all(torch.equal(getattr(again, name), getattr(samples[5], name)) for name in ("image", *S2MBatch.MASKS))


def test_whole_videos_are_held_out(short):
    mixture = open_mixture(short)
    ours, theirs = ({name.split("/")[1] for name in part.sources[0].names} for part in (mixture, mixture.held_out()))
    assert len(ours) == 5 and len(theirs) == 1 and not ours & theirs
    few = open_mixture(load_stage("s2m/static", ["validation=null"], [short.data["videos0"].path]))
    assert len(few.sources[0]) == 72


def test_the_loss_is_that_of_the_two_aggregated_logits():
    """By hand: one object's aggregated logits are those of its probability and of the rest."""
    torch.manual_seed(0)
    maps = [torch.rand(2, 1, 32, 32).round() for _ in range(4)]
    batch = S2MBatch(torch.randn(2, 3, 32, 32), *maps)
    network = S2M(S2MConfig("resnet18", 8, 8)).eval()
    loss, parts, masks = S2MStep(network)(batch, 0.5)
    prob = network(torch.cat([batch.image, *maps[:3]], 1)).sigmoid()
    pair = torch.cat([1 - prob, prob], 1)
    expected = bootstrapped_cross_entropy(
        pair.logit(), maps[3][:, 0].long(), torch.ones(2, 1, dtype=torch.bool), 0.5
    ).mean()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(masks, pair.logit().softmax(1)[:, 1:])
    assert parts["iou_before"] == pytest.approx(1 / 3, abs=0.05) and 0 <= parts["iou"] <= 1


def test_one_batch_is_overfitted(tiny):
    """The loss falls below 0.02 with the batch's statistics; masks are right with the stored ones as well."""
    stage = tiny("s2m/static", "batch=2")
    mixture = open_mixture(stage)
    batch = mixture.collate([mixture[draw] for draw in next(iter(order_of(stage, mixture)))]).to(CPU)
    step = build_step(network_of(stage), stage.loss, stage.runtime, CPU)
    optimiser = torch.optim.Adam(step.parameters(), 5e-3)
    losses = []
    while not losses or (losses[-1] > 0.015 and len(losses) < 80):
        optimiser.zero_grad()
        total, _, _ = step(batch, 1.0)
        total.backward()
        optimiser.step()
        losses.append(total.item())
    assert losses[-1] < 0.02, losses[-5:]
    step.eval()
    with torch.no_grad():
        assert step(batch, 1.0)[1]["iou"] > 0.8


def test_batch_statistics_are_updated_in_s2m(short, whole):
    begin, end = network_of(short).state_dict(), state(whole)
    moved = [key for key in begin if "running" in key and not torch.equal(begin[key], end[key])]
    assert len(moved) == sum("running" in key for key in begin) > 20
    assert {int(end[key]) for key in end if "num_batches" in key} == {3}


def test_several_processes_share_statistics():
    network = S2M(S2MConfig("resnet18", 8, 8))
    keys = list(network.state_dict())
    with pytest.raises(UserError, match="on GPUs only"):
        learn_batchnorm(network, CPU, 2)
    shared = learn_batchnorm(network, torch.device("cuda"), 2)
    kinds = {type(module) for module in shared.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)}
    assert kinds == {nn.SyncBatchNorm} and list(shared.state_dict()) == keys and shared is network
    assert type(learn_batchnorm(S2M(S2MConfig("resnet18", 8, 8)), CPU, 1).low[1]) is nn.BatchNorm2d


def test_one_sample_has_no_statistics(tiny, tmp_path):
    for changes, remedy in (
        (["batch=3", "runtime.batch_per_step=2"], "choose a batch that runtime.batch_per_step divides"),
        (["batch=1"], "set batch to 2 or more"),
        (["batch=4", "runtime.batch_per_step=1"], "set runtime.batch_per_step to 2 or more"),
    ):
        with pytest.raises(UserError, match=f"two samples at once.*{remedy}"):
            train(tiny("s2m/static", *changes), tmp_path / "run")
    assert not (tmp_path / "run").exists(), "a mistake claims no folder"


def test_a_killed_run_continues_with_the_same_losses(whole, short, tmp_path, monkeypatch):
    """This includes dropout's random numbers and the stored statistics."""
    iterate = Trainer._iterate

    def killed(self, *args):
        if self.iteration == 2:
            raise KeyboardInterrupt
        return iterate(self, *args)

    monkeypatch.setattr(Trainer, "_iterate", killed)
    with pytest.raises(KeyboardInterrupt):
        train(short, tmp_path)
    monkeypatch.undo()
    again = train(short, tmp_path)
    ours, theirs = (
        [{k: v for k, v in r.items() if k not in ("seconds", "waiting")} for r in f.records()] for f in (again, whole)
    )
    assert ours == theirs
    assert all(torch.equal(value, state(whole)[key]) for key, value in state(again).items())


def test_held_out_samples_are_evaluated(whole):
    records = [record for record in whole.records() if "validated" in record]
    assert [record["iteration"] for record in records] == [2, 3] and records[0]["validated"] == 3
    assert records[0]["validation_iou_before"] == records[1]["validation_iou_before"]
    assert all(0 <= record["validation_iou"] <= 1 for record in records)
    assert "3 samples held out: validation_" in whole.card.read_text()
    assert {path.name[:6] for path in whole.tensorboard.iterdir()} == {"events"}


def test_the_network_works_in_a_session(whole):
    network = load_network(whole.root, S2M, device="cpu")
    assert network.config.backbone == "resnet18" and not network.training
    strokes = np.full((50, 70), -1)
    strokes[20, 10:40] = 1
    prob = scribble(network, torch.randn(3, 50, 70), torch.zeros(1, 50, 70), strokes)
    assert prob.shape == (1, 50, 70) and torch.isfinite(prob).all()


def test_training_starts_from_other_networks(short, whole, tmp_path):
    started = network_of(short, whole.root).state_dict()
    assert all(torch.equal(value, started[key]) for key, value in state(whole).items())
    images = checkpoint.to_published(checkpoint.load(whole.network))
    images["backbone.conv1.weight"] = images["backbone.conv1.weight"][:, :3]
    torch.save({"model_state": images, "epoch": 3}, tmp_path / "voc.pth")
    started = network_of(short, tmp_path / "voc.pth").state_dict()
    assert torch.equal(started["backbone.conv1.weight"][:, :3], images["backbone.conv1.weight"])
    assert torch.equal(started["aspp.convs.1.0.weight"], state(whole)["aspp.convs.1.0.weight"])
    assert started["head.3.bias"].item() == 0


def test_samples_are_shown(short):
    mixture = open_mixture(short)
    batch = mixture.collate([mixture[Draw(0, n, 0, n, 1)] for n in range(2)]).to(CPU)
    batch.positive[0, 0, 5], batch.negative[0] = 1, 0
    plain, told = visualisation.show(batch), visualisation.show(batch, batch.true)
    assert plain.shape == (2 * 64, 2 * 64, 3) and told.shape == (2 * 64, 3 * 64, 3)
    assert (plain[5, :64] == (60, 255, 60)).all() and not (plain[5, 64:] == (60, 255, 60)).all()


def test_saved_samples_have_labels_and_say_where_nothing_is_predicted(short, tmp_path):
    mixture = open_mixture(short)
    batch = mixture.collate([mixture[Draw(0, n, 0, n, 1)] for n in range(2)]).to(CPU)
    masks = batch.true.clone()
    masks[1] = 0
    visualisation.save(tmp_path / "full.png", batch, batch.true)
    visualisation.save(tmp_path / "some.png", batch, masks)
    full, some = (np.asarray(Image.open(tmp_path / name)).astype(int) for name in ("full.png", "some.png"))
    assert full.shape == some.shape and full.shape[0] == 2 * 128 + 40 and full.shape[1] > 3 * 128
    assert (full[:20] < 100).any() and (full[20:276, :20] < 100).any() and (full[-20:] < 100).any()
    differs = np.abs(full - some).max(-1) > 0
    assert not differs[: 20 + 128].any() and differs[20 + 128 : 276].any()
    assert (some[148:168][differs[148:168]] == 255).all(-1).sum() > 20, "white letters"


def test_s2m_needs_its_own_data(videos):
    with pytest.raises(UserError, match="needs still images, scribbles, and frames 1"):
        load_stage("s2m/static", ["scribbles=null"], [str(videos)])
    with pytest.raises(UserError, match="did you mean scribbles.from_zero"):
        load_stage("s2m/static", ["scribbles.from_zro=1"], [str(videos)])
    with pytest.raises(UserError, match="smallest, largest"):
        load_stage("s2m/static", ["scribbles.opening=[5, 2]"], [str(videos)])
    with pytest.raises(UserError, match="one of them needs a weight"):
        load_stage("s2m/static", ["scribbles.kinds={boundary: 0, thinned: 0, curves: 0}"], [str(videos)])


def test_dry_run(videos, tmp_path):
    from typer.testing import CliRunner

    from training.cli import app

    words = ["run", "s2m/static", "--data", str(videos), "--out", str(tmp_path), "--preset", "tiny", "--dry-run"]
    result = CliRunner().invoke(app, [*words, "--device", "cpu"])
    assert result.exit_code == 0, result.output + repr(result.exception)
    assert "held out for validation: 12 items" in result.output and (tmp_path / "samples.png").is_file()
    assert json.dumps("s2m") in CliRunner().invoke(app, ["list", "--json"]).output
