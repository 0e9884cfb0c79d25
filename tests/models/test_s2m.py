import pytest
import torch

from models.aggregate import aggregate
from models.s2m import S2M


@torch.no_grad()
def test_published_layers_and_logits(golden):
    gold = golden("s2m")
    s2m = gold.network("s2m")
    image, mask = gold.image("s2m"), gold.hard("s2m_prev", 1)
    positive, negative = torch.zeros_like(mask), torch.zeros_like(mask)
    positive[..., 30:33, 40:80] = 1
    negative[..., 60:90, 120:123] = 1
    low, high = s2m.backbone(torch.cat([image, mask, positive, negative], dim=1))
    gold.check("layer1", low)
    gold.check("layer4", high)
    gold.check("aspp", s2m.aspp(high))
    logits = s2m.segment(image, mask, positive, negative)
    gold.check("logit", logits[..., ::2, ::2], atol=1e-5, rtol=0)
    # Hard aggregation multiplies rounding by 1000, so it is checked on the published logits.
    hard = aggregate(torch.from_numpy(gold["logit"]).sigmoid(), hard=True)
    gold.check("agg_hard", hard[0, :, None, ::2, ::2])
    labels = aggregate(logits.sigmoid(), hard=True)[0, :, None, ::4, ::4].argmax(0)
    assert (labels.numpy() == gold["agg_hard"].argmax(0)).mean() >= 0.999


def test_bad_sizes_are_refused():
    s2m = S2M().eval()
    maps = [torch.zeros(1, 1, 40, 48)] * 3
    with pytest.raises(ValueError, match="multiples of 16"):
        s2m.segment(torch.zeros(1, 3, 40, 48), *maps)
    with pytest.raises(ValueError, match="do not fit"):
        s2m.segment(torch.zeros(1, 3, 32, 48), *maps)
