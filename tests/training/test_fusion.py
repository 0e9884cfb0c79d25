import numpy as np
import pytest
import torch

from models import checkpoint
from models.fusion import Fusion, FusionConfig
from training.fusion import FusionBatch, FusionStep
from training.losses import kept_share


def test_fusion_is_trained_as_published(shared, recipe, published_weights, check_gradients):
    gold = np.load(shared / "golden/mivos_fusion_train.npz")
    decoder = published_weights("mivos_prop_keys", {})
    encoders = published_weights("mivos_attn_keys", {"key_proj.weight": 4.0})
    alignment = checkpoint.from_published(decoder | encoders, "stm")
    network = checkpoint.from_published(published_weights("mivos_fusion_keys", {}), "fusion")

    def images(name: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([recipe.image(f"{name}{b}", 96, 160) for b in (0, 1)]))

    def masks(name: str, kind) -> torch.Tensor:
        """The second sample has no second object."""
        stacked = [[kind(f"{name}_{b}", 96, 160, o) * (o + b < 2) for o in (0, 1)] for b in (0, 1)]
        return torch.from_numpy(np.array(stacked, np.float32))

    batch = FusionBatch(
        image=images("fim"),
        reference=images("fref"),
        older=masks("s1", recipe.soft_mask),
        newer=masks("s2", recipe.soft_mask),
        before=masks("r1", recipe.soft_mask),
        after=masks("rg", recipe.hard_mask),
        true=masks("g", recipe.hard_mask),
        distance=torch.tensor([[0.25, 0.75], [0.6, 0.4]]),
        present=torch.tensor([[True, True], [True, False]]),
    )
    step = FusionStep(network, alignment)
    for iteration in (0, 350, 900):
        share = kept_share(iteration, (200, 500), 0.15)
        assert share == pytest.approx(float(gold[f"it{iteration}/p"]))
        network.zero_grad()
        loss, _, _ = step(batch, share)
        loss.backward()
        np.testing.assert_allclose(loss.item(), gold[f"it{iteration}/total_loss"], rtol=1e-4)
        check_gradients(network, gold, f"it{iteration}")
    assert not any(parameter.requires_grad for parameter in alignment.parameters())
    assert {id(p) for p in step.parameters()} == {id(p) for p in network.parameters()}


def test_differences_need_an_alignment():
    with pytest.raises(ValueError, match="needs a propagation network"):
        FusionStep(Fusion(), None)
    FusionStep(Fusion(FusionConfig(difference_aware=False)), None)
