"""Merges an older result and a new propagation between two frames that the user has corrected."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from models.aggregate import aggregate
from models.fusion import Fusion, align, blend
from models.memory import affinity
from models.propagation import PropagationNetwork
from training.inference.options import Options, autocast
from training.interactive.cache import EncodedFrames
from training.interactive.state import Maps, unpack

Merge = Callable[[int, Tensor, Tensor], Tensor]
"""(frame, older probabilities, newer ones, all (1, O, h, w)) -> merged ones."""


class Merger:
    """Merges by a fusion network, by "linear" blending (by distance), or with "none" takes the new result.

    Args:
        encoded: the video's frames, encoded by ``network``.
    """

    def __init__(
        self,
        fusion: Fusion | Literal["linear", "none"],
        network: PropagationNetwork,
        encoded: EncodedFrames,
        options: Options,
        device: torch.device,
    ):
        self.fusion, self.network, self.encoded = fusion, network, encoded
        self.options, self.device = options, device

    def between(
        self, bound: int, frame: int, before: Maps, after: Maps, key: Tensor, objects: Sequence[int]
    ) -> Merge | None:
        """The function that merges frames between the corrected ``frame`` and an earlier corrected one, ``bound``.

        Args:
            before, after: masks of ``frame`` before and after its correction.
            key: the memory key of ``frame``, of ``objects`` or shared.
            objects: the objects to merge.
        """
        fusion = self.fusion
        if fusion == "none":
            return None
        old, new = (unpack(x, objects, self.device).unsqueeze(0) for x in (before, after))

        def merge(t: int, older: Tensor, newer: Tensor) -> Tensor:
            span = abs(bound - frame)
            distance = torch.tensor([[abs(bound - t) / span, abs(frame - t) / span]], device=self.device)
            if fusion == "linear":
                return blend(older, newer, distance)
            image, query = self.encoded[t]
            difference = None
            if fusion.config.difference_aware:
                weights = affinity(key, query.key, self.network.similarity)
                difference = align(weights, old, new)
            with autocast(self.options, self.device):
                logits = fusion(image, older, newer, distance, difference)
            return aggregate(logits.float().sigmoid(), keep_background=False)

        return merge


def give_way(prob: Tensor, firm: Tensor) -> Tensor:
    """Limit probabilities (..., O, h, w) to what other objects, ``firm`` (..., P, h, w), leave at each pixel."""
    return prob * (1 - firm.sum(-3, keepdim=True)).clamp(min=0)
