import pytest
import torch

from models import checkpoint
from models.fusion import Fusion, FusionConfig, align, blend
from models.memory import affinity


@torch.no_grad()
def test_published_alignment_and_logits(golden):
    gold = golden("mivos_fusion")
    # The alignment network is the propagation network without its decoder.
    weights = gold.weights("mivos_attn", gold.meta["attn_gain"])
    decoder = {k: v for k, v in golden("mivos_prop").weights("mivos_prop").items() if k.startswith("decoder.")}
    stm = checkpoint.from_published(weights | decoder).eval()

    def batch(make, second=1):
        """Both samples; the second one has ``second`` objects and zeros for the other."""
        masks = torch.cat([make(0), make(1)])
        masks[1, second:] = 0
        return masks

    older = batch(lambda b: gold.soft(f"s1_{b}", 2))
    newer = batch(lambda b: gold.soft(f"s2_{b}", 2))
    before = batch(lambda b: gold.soft(f"r1_{b}", 2))
    after = batch(lambda b: gold.hard(f"rg_{b}", 2))
    image = torch.cat([gold.image(f"fim{b}") for b in range(2)])
    reference = torch.cat([gold.image(f"fref{b}") for b in range(2)])

    query = stm.encode_query(image)
    memory = stm.encode_memory(reference, None, after)
    difference = align(affinity(memory.key, query.key), before, after)
    for o in range(2):
        gold.check(f"attn{o + 1}", difference[:, o, :, ::2, ::2])
    fusion = gold.network("mivos_fusion", gain={})
    distance = torch.tensor([[0.25, 0.75], [0.6, 0.4]])
    logits = fusion(image, older, newer, distance, difference)
    gold.check("fusion_logit", logits[:, :1, ::2, ::2])


def test_objects_are_fused_one_by_one_and_in_batch_alike():
    torch.manual_seed(0)
    for aware in (True, False):
        fusion = Fusion(FusionConfig(difference_aware=aware)).eval()
        image, older, newer = torch.randn(2, 3, 32, 48), torch.rand(2, 3, 32, 48), torch.rand(2, 3, 32, 48)
        distance = torch.tensor([[0.3, 0.7], [0.5, 0.5]])
        difference = torch.rand(2, 3, 2, 32, 48) if aware else None
        together = fusion(image, older, newer, distance, difference)
        assert together.shape == older.shape
        alone = fusion(image, older[:, 1:2], newer[:, 1:2], distance, difference[:, 1:2] if aware else None)
        torch.testing.assert_close(together[:, 1:2], alone)
        with pytest.raises(ValueError, match="difference"):
            fusion(image, older, newer, distance, None if aware else torch.rand(2, 3, 2, 32, 48))


def test_linear_blending_favours_the_nearer_interaction():
    older, newer = torch.zeros(1, 2, 4, 4), torch.ones(1, 2, 4, 4)
    at_new = blend(older, newer, torch.tensor([[1.0, 0.0]]))
    torch.testing.assert_close(at_new, newer)
    torch.testing.assert_close(blend(older, newer, torch.tensor([[0.25, 0.75]])), torch.full_like(newer, 0.25))


def test_alignment_by_identity_keeps_the_place_of_a_change():
    weights = torch.eye(6).view(1, 1, 6, 6)
    before, after = torch.zeros(1, 1, 32, 48), torch.zeros(1, 1, 32, 48)
    after[..., :16, :16] = 1
    before[..., 16:, 32:] = 1
    positive, negative = align(weights, before, after)[0, 0]
    assert positive.argmax() == 0 and positive[16:, 32:].max() == 0
    assert negative[-1, -1] == 1 and negative[:16, :16].max() == 0
