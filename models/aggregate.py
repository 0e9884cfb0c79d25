"""Soft aggregation: from one probability per object to one distribution over background and objects.

STM's supplement, equation 1: softmax over the logits of each probability, where the background's is the product of
all complements. Probabilities are clamped to [1e-7, 1 - 1e-7] in float32, where the upper bound rounds to 0.99999988,
so logits lie between -16.118 and 15.942, as the published networks were trained.
"""

import torch
from torch import Tensor

EPSILON = 1e-7
HARD = 1000.0
"""Factor of the logits in hard aggregation: nearly an argmax."""


def object_logits(prob: Tensor, dim: int = 1, background: str = "product") -> Tensor:
    """Logits of background and objects, with gradients.

    Args:
        prob: probabilities of O objects along ``dim``, e.g. (B, O, H, W). An absent object has 0.
        background: "product" of the objects' complements, or "half" for a fixed 0.5 (clicks, brushes, local crops).

    Returns: the shape of ``prob`` with O + 1 along ``dim``, background first.
    """
    if background == "product":
        first = torch.prod(1 - prob, dim=dim, keepdim=True)
    elif background == "half":
        first = torch.full_like(prob.narrow(dim, 0, 1), 0.5)
    else:
        raise ValueError(f"background {background!r} is unknown: choose product or half")
    prob = torch.cat([first, prob], dim=dim)
    prob = prob.to(torch.promote_types(prob.dtype, torch.float32)).clamp(EPSILON, 1 - EPSILON)
    return torch.log(prob / (1 - prob))


def aggregate(
    prob: Tensor, dim: int = 1, background: str = "product", hard: bool = False, keep_background: bool = True
) -> Tensor:
    """The softmax of ``object_logits``: sums to one along ``dim`` with the background, which may be dropped.

    hard: multiply the logits by 1000 first (scribble-to-mask outputs).
    """
    logits = object_logits(prob, dim, background)
    weights = (logits * HARD if hard else logits).softmax(dim)
    return weights if keep_background else weights.narrow(dim, 1, prob.shape[dim])
