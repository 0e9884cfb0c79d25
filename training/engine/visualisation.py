"""Samples and predictions as one image: a row per sample, a column per frame."""

import io
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from bl30k_gen.dataset.files import write_atomically
from models.backbone import MEAN, STD
from training.data.sample import Batch, FusionBatch, S2MBatch
from training.evaluation.captions import EMPTY, captioned

COLOURS = torch.tensor([[255, 50, 40], [50, 220, 255]], dtype=torch.float32) / 255
SCRIBBLES = torch.tensor([[60, 255, 60], [255, 230, 0]], dtype=torch.float32) / 255
ROWS = 4


def show(batch: Batch | FusionBatch | S2MBatch, predicted: Tensor | None = None, rows: int = ROWS) -> np.ndarray:
    """(H, W, 3) uint8: the first samples of a batch with their masks.

    Videos: the first frame has the masks that the network is given; a row of ``predicted`` masks (B, T - 1, O, H, W),
    if given, follows each row of true masks. Void is white.
    Fusion: the reference before and after its correction; the frame with the older and the newer propagation, with
    the truth, and with ``predicted``.
    S2M: the mask so far with scribbles, green on the object and yellow beside it; the truth; ``predicted``.
    """
    lines = [line for b in range(min(rows, len(batch))) for line in _rows(batch, predicted, b)]
    return (torch.cat(lines, 1).clamp(0, 1) * 255).round().to(torch.uint8).movedim(0, -1).numpy()


def save(
    path: Path, batch: Batch | FusionBatch | S2MBatch, predicted: Tensor | None = None, rows: int = ROWS
) -> None:
    """Write the image of ``show`` as a PNG with labels and a legend; empty predictions are marked."""
    names = [batch.names[b] for b in range(min(rows, len(batch)))]
    legend: dict[str, tuple[int, int, int]] = {"object 1": _byte(COLOURS[0])}
    if isinstance(batch, S2MBatch):
        legend |= {"scribble on the object": _byte(SCRIBBLES[0]), "scribble beside it": _byte(SCRIBBLES[1])}
        columns = ["mask so far", "truth"]
    elif isinstance(batch, FusionBatch):
        legend["object 2"] = _byte(COLOURS[1])
        columns = ["reference before", "reference after", "older", "newer", "truth"]
    else:
        legend |= {"object 2": _byte(COLOURS[1]), "void": (255, 255, 255)}
        columns = ["given", *(f"frame {t + 1}" for t in range(1, batch.images.shape[1]))]
    labels, notes = names, {}
    empty = [] if predicted is None else (predicted[: len(names)] <= 0.5).flatten(-3).all(-1).tolist()
    if isinstance(batch, Batch):
        if predicted is not None:
            labels = [label for name in names for label in (f"{name}\ntruth", "prediction")]
        notes = {(2 * b + 1, 1 + t): EMPTY for b, frames in enumerate(empty) for t, none in enumerate(frames) if none}
    elif predicted is not None:
        notes = {(b, len(columns)): EMPTY for b, none in enumerate(empty) if none}
        columns.append("prediction")
    buffer = io.BytesIO()
    image = captioned(show(batch, predicted, rows), labels, columns, legend, notes)
    Image.fromarray(image).save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def _byte(colour: Tensor) -> tuple[int, int, int]:
    red, green, blue = (colour * 255).round().int().tolist()
    return red, green, blue


def _rows(batch: Batch | FusionBatch | S2MBatch, predicted: Tensor | None, b: int) -> list[Tensor]:
    if isinstance(batch, FusionBatch):
        return _fusion_rows(batch, predicted, b)
    if isinstance(batch, S2MBatch):
        return _s2m_rows(batch, predicted, b)
    return _video_rows(batch, predicted, b)


def _video_rows(batch: Batch, predicted: Tensor | None, b: int) -> list[Tensor]:
    images, void = _plain(batch.images[b]), batch.void[b].cpu()
    true = batch.masks[b].cpu().clone()
    true[0] = batch.given[b].cpu()
    lines = [_row(images, true, void)]
    if predicted is not None:
        lines.append(_row(images, torch.cat([true[:1], predicted[b].float().cpu()]), torch.zeros_like(void)))
    return lines


def _fusion_rows(batch: FusionBatch, predicted: Tensor | None, b: int) -> list[Tensor]:
    masks = [batch.before[b], batch.after[b], batch.older[b], batch.newer[b], batch.true[b]]
    masks += [predicted[b].float()] if predicted is not None else []
    images = [batch.reference[b]] * 2 + [batch.image[b]] * (len(masks) - 2)
    shown = torch.stack([mask.cpu() for mask in masks])
    return [_row(_plain(torch.stack(images)), shown, torch.zeros_like(shown[:, 0], dtype=torch.bool))]


def _s2m_rows(batch: S2MBatch, predicted: Tensor | None, b: int) -> list[Tensor]:
    masks = [batch.before[b], batch.true[b], *([predicted[b].float()] if predicted is not None else [])]
    shown = torch.stack([mask.cpu() for mask in masks])
    row = _row(_plain(batch.image[b]).expand(len(shown), -1, -1, -1), shown, torch.zeros_like(shown[:, 0]).bool())
    for colour, scribble in zip(SCRIBBLES, (batch.positive[b], batch.negative[b]), strict=True):
        drawn = F.pad(scribble[0].cpu() > 0.5, (0, row.shape[-1] - scribble.shape[-1]))
        row = torch.where(drawn, colour.view(3, 1, 1), row)
    return [row]


def _plain(images: Tensor) -> Tensor:
    """Undo the normalisation: images in [0, 1], on the CPU."""
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (MEAN, STD))
    return images.cpu() * std + mean


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
