"""Validation on the images that a stage holds out; for videos see ``training.engine.validation``."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from training.data.mixture import Draw, Mixture
from training.engine import visualisation


@dataclass(frozen=True)
class Result:
    """means: of the parts of the loss, such as the IoU. image: (H, W, 3) uint8 of the first samples, if any."""

    samples: int
    means: dict[str, float]
    image: np.ndarray | None
    skipped: list[str]


@torch.no_grad()
def validate(step: nn.Module, mixture: Mixture, max_samples: int, batch_size: int, device: torch.device) -> Result:
    """Run a network with its loss (see ``tasks.network.build_step``) in evaluation mode, always on the same samples.

    Args:
        max_samples: the number of samples, unless fewer are held out.
    """
    held_out = mixture.held_out()
    rows = held_out.order(0)[:max_samples].tolist()
    draws = [Draw(0, number, source, item, 1) for number, (source, item) in enumerate(rows)]
    modes = {module: module.training for module in step.modules()}
    step.eval()
    sums: dict[str, float] = {}
    skipped: list[str] = []
    image: np.ndarray | None = None
    for first in range(0, len(draws), batch_size):
        samples = [held_out[draw] for draw in draws[first : first + batch_size]]
        batch = held_out.collate(samples).to(device)
        _, parts, masks = step(batch, 1.0)
        for key, value in parts.items():
            sums[key] = sums.get(key, 0.0) + float(value) * len(batch)
        skipped += batch.skipped
        image = visualisation.show(batch, masks) if image is None else image
    for module, training in modes.items():
        module.training = training
    return Result(len(draws), {key: total / len(draws) for key, total in sums.items()}, image, skipped)
