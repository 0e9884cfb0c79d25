"""How an older result and a new propagation become one, between two frames that the user has interacted with."""

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from models.aggregate import aggregate
from models.fusion import Fusion, align, blend
from models.memory import affinity
from models.propagation import PropagationNetwork
from training.inference.options import Options, autocast
from training.interactive.cache import EncodedFrames
from training.interactive.state import unpack

Merge = Callable[[int, Tensor, Tensor], Tensor]
"""(frame, older probabilities, newer ones, all (1, O, h, w)) -> merged ones."""


class Merger:
    """Merges by a fusion network, by "linear" blending (by distance), or not at all, if "none": the new one counts.

    Args:
        encoded: the video's frames, as ``network`` sees them.
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

    def between(self, bound: int, frame: int, before: np.ndarray, after: np.ndarray, key: Tensor) -> Merge | None:
        """How to merge frames between the interacted ``frame``, whose key this is, and an earlier one, ``bound``.

        Args:
            before, after: packed masks of ``frame``, as the interaction met and left them.
        """
        fusion = self.fusion
        if fusion == "none":
            return None
        before, after = (unpack(x, self.device).unsqueeze(0) for x in (before, after))

        def merge(t: int, older: Tensor, newer: Tensor) -> Tensor:
            span = abs(bound - frame)
            distance = torch.tensor([[abs(bound - t) / span, abs(frame - t) / span]], device=self.device)
            if fusion == "linear":
                return blend(older, newer, distance)
            image, query = self.encoded[t]
            difference = None
            if fusion.config.difference_aware:
                weights = affinity(key, query.key, self.network.similarity)
                difference = align(weights, before, after)
            with autocast(self.options, self.device):
                logits = fusion(image, older, newer, distance, difference)
            return aggregate(logits.float().sigmoid(), keep_background=False)

        return merge
