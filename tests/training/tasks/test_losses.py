"""Losses, and the training forward of each network against the published networks' golden numbers."""

import numpy as np
import pytest
import torch

from models import checkpoint
from training.data.sample import Batch
from training.schema.stage import load_stage
from training.tasks.losses import bootstrapped_cross_entropy, divergence, hard_pixel_ratio, overlap
from training.tasks.propagation import TrainingStep, masks_of, run


def test_the_kept_fraction_and_the_loss_are_the_published_ones(shared):
    gold = np.load(shared / "golden/bootstrapped_ce.npz")
    logits, labels = torch.from_numpy(gold["logits"]), torch.from_numpy(gold["target"])
    present = torch.ones(1, 2, dtype=torch.bool)
    for warm_up in [(20000, 70000), (200, 500)]:
        prefix = f"w{warm_up[0]}_{warm_up[1]}/it"
        for key in (key for key in gold if key.startswith(prefix)):
            share = hard_pixel_ratio(int(key.removeprefix(prefix)), warm_up, 0.15)
            loss = bootstrapped_cross_entropy(logits, labels, present, share)
            np.testing.assert_allclose([loss.item(), share], gold[key], rtol=1e-5)


def test_void_pixels_do_not_count():
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 3, 8, 8), torch.randint(0, 3, (2, 8, 8))
    present = torch.ones(2, 2, dtype=torch.bool)
    cut = bootstrapped_cross_entropy(logits[:, :, :, :6], labels[:, :, :6], present, 0.5)
    labels[:, :, 6:] = -1
    torch.testing.assert_close(bootstrapped_cross_entropy(logits, labels, present, 0.5), cut)
    assert bootstrapped_cross_entropy(logits, 0 * labels - 1, present, 1.0).tolist() == [0, 0]


def test_an_absent_object_takes_no_part():
    torch.manual_seed(0)
    logits, labels = torch.randn(1, 3, 8, 8, requires_grad=True), torch.randint(0, 2, (1, 8, 8))
    loss = bootstrapped_cross_entropy(logits, labels, torch.tensor([[True, False]]), 0.5)
    torch.testing.assert_close(loss, bootstrapped_cross_entropy(logits[:, :2], labels, torch.tensor([[True]]), 0.5))
    loss.sum().backward()
    assert logits.grad[:, 2].abs().max() == 0 and torch.isfinite(logits.grad).all()


def test_divergence_is_zero_for_equal_and_pulls_both_ways():
    torch.manual_seed(0)
    a, b = (torch.randn(2, 2, 5, 3, 3, requires_grad=True) for _ in range(2))
    assert divergence(a, a).abs() < 1e-7 and divergence(a, b) > 0
    divergence(a, b).backward()
    assert a.grad.abs().sum() > 0 and b.grad.abs().sum() > 0
    sharp = torch.tensor([200.0, 0, -200]).view(1, 1, 3, 1, 1).requires_grad_()
    divergence(sharp, sharp.flip(2)).backward()
    assert torch.isfinite(sharp.grad).all()


def test_overlap_counts_existing_objects_outside_void():
    masks = torch.zeros(2, 2, 2, 4, 4)
    masks[:, 1, 0, :2], masks[0, 1, 1, 2:] = 1, 1
    void = torch.zeros(2, 2, 4, 4, dtype=torch.bool)
    present = torch.tensor([[True, True], [True, False]])
    batch = Batch(torch.zeros(2, 2, 3, 4, 4), masks, void, present, masks[:, 0])
    assert overlap(masks, batch.labels, present) == 1
    half = masks.clone()
    half[0, 1, 0, 1] = 0
    assert overlap(half[:, 1:], batch.labels[:, 1:], present) == pytest.approx((0.5 + 1 + 1) / 3)
    void[0, 1, 1] = True
    assert overlap(half, batch.labels, present) == 1


CASES = {
    "maskprop_so": ("stm", 1, 3, "stm/static"),
    "maskprop_mo": ("stm", 2, 3, "stm/vos"),
    "stcn_so": ("stcn", 1, 3, "stcn/static"),
    "stcn_mo": ("stcn", 2, 3, "stcn/bl30k"),
    "rde_so": ("rde", 1, 3, "rde/static"),
    "rde_mo": ("rde", 2, 5, "rde/bl30k"),
}


@pytest.mark.parametrize("name", CASES)
def test_losses_and_gradients_are_the_published_ones(shared, recipe, published_weights, check_gradients, name):
    """Losses within 1e-4, norms of gradients 1e-3, single gradients 3e-3 of the largest."""
    kind, objects, frames, stage = CASES[name]
    gold = np.load(shared / f"golden/{name}.npz")
    published = published_weights(f"{name}_keys", gold["gain"])
    network = checkpoint.from_published(published, kind).eval()
    batch = golden_batch(recipe, frames, objects, "rde" in name)
    step = TrainingStep(network, load_stage(stage).loss)
    outcome = run(network, batch)
    for t, logits in enumerate(outcome.logits, 1):
        masks = masks_of(logits.detach())[:, :, ::2, ::2]
        np.testing.assert_allclose(masks[:, :1], gold[f"mask_{t}"], atol=1e-4)
        if objects == 2:
            np.testing.assert_allclose(masks[:, 1:], gold[f"sec_mask_{t}"], atol=1e-4)
    for iteration in (0, 45_000):
        prefix = f"it{iteration}"
        total, parts = step.losses(outcome, batch, hard_pixel_ratio(iteration, (20_000, 70_000), 0.15))
        network.zero_grad()
        total.backward(retain_graph=True)
        expected = {f"frame_{t}": gold[f"{prefix}/loss_{t}"] for t in range(1, frames)}
        if kind == "rde":
            expected["consistency"] = gold[f"{prefix}/klloss_loss"]
        if name == "rde_mo":
            expected["guidance"] = gold[f"{prefix}/df2_distillation"] + gold[f"{prefix}/df4_distillation"]
        assert parts.keys() == expected.keys()
        for part, value in expected.items():
            rtol = 1e-4 if part.startswith("frame") else 1e-3
            np.testing.assert_allclose(parts[part].item(), value, rtol=rtol, err_msg=part)
        np.testing.assert_allclose(total.item(), gold[f"{prefix}/total_loss"], rtol=1e-4)
        check_gradients(network, gold, prefix)


def golden_batch(recipe, frames: int, objects: int, perturbed: bool) -> Batch:
    """Two samples, of which the second has no second object."""
    images = np.stack([np.concatenate([recipe.image(f"mp{b}_{t}", 96, 160) for t in range(frames)]) for b in (0, 1)])

    def hard(name: str, sample: int) -> np.ndarray:
        masks = [recipe.hard_mask(name, 96, 160, o) for o in range(objects)]
        return np.stack([mask * (o == 0 or sample == 0) for o, mask in enumerate(masks)])

    masks = np.stack([np.stack([hard(f"mp{b}_{t}", b) for t in range(frames)]) for b in (0, 1)])
    given = np.stack([hard(f"pert{b}" if perturbed else f"mp{b}_0", b) for b in (0, 1)])
    return Batch(
        images=torch.from_numpy(images),
        masks=torch.from_numpy(masks),
        void=torch.zeros(2, frames, 96, 160, dtype=torch.bool),
        present=torch.tensor([[True, True], [True, False]])[:, :objects],
        given=torch.from_numpy(given),
    )
