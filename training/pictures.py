"""Samples and predictions as one picture: a row per sample, a column per frame."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbone import MEAN, STD
from training.data.sample import Batch

COLOURS = torch.tensor([[255, 50, 40], [50, 220, 255]], dtype=torch.float32) / 255
ROWS = 4


def show(batch: Batch, predicted: Tensor | None = None, rows: int = ROWS) -> np.ndarray:
    """(H, W, 3) uint8: the first samples of a batch with their masks.

    The first frame shows the masks that the network is given. Below each row of true masks is one of ``predicted``
    (B, T - 1, O, H, W), if there are any. Void is white.
    """
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    lines = []
    for b in range(min(rows, len(batch))):
        images = batch.images[b].cpu() * std + mean
        true = batch.masks[b].cpu().clone()
        true[0] = batch.given[b].cpu()
        lines.append(_row(images, true, batch.void[b].cpu()))
        if predicted is not None:
            shown = torch.cat([true[:1], predicted[b].detach().float().cpu()])
            lines.append(_row(images, shown, torch.zeros_like(batch.void[b].cpu())))
    return (torch.cat(lines, 1).clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).numpy()


def _row(images: Tensor, masks: Tensor, void: Tensor) -> Tensor:
    """images (T, 3, H, W), masks (T, O, H, W), void (T, H, W) -> (3, H, T * W)."""
    images = images.clone()
    for number in range(masks.shape[1]):
        mask = masks[:, number, None]
        images = images + 0.4 * mask * (COLOURS[number].view(1, 3, 1, 1) - images)
        border = (F.max_pool2d(mask, 3, 1, 1) > 0.5) & (mask < 0.5)
        images = torch.where(border, COLOURS[number].view(1, 3, 1, 1), images)
    images = torch.where(void[:, None], torch.ones(()), images)
    return torch.cat(list(images), dim=-1)
