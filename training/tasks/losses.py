"""Losses: bootstrapped cross-entropy and RDE's Kullback-Leibler terms; and the IoU that is logged with them."""

import torch
import torch.nn.functional as F
from torch import Tensor


def hard_pixel_ratio(iteration: int, warm_up: tuple[int, int], kept: float) -> float:
    """Share of the hardest pixels that count: 1 before the warm-up, falling linearly to ``kept`` at its end."""
    start, end = warm_up
    if iteration < start:
        return 1.0
    if iteration > end or start == end:
        return kept
    return kept + (1 - kept) * (end - iteration) / (end - start)


def bootstrapped_cross_entropy(logits: Tensor, labels: Tensor, present: Tensor, share: float) -> Tensor:
    """Mean cross-entropy of the hardest pixels of each sample (Wu et al., 2016).

    Args:
        logits: (B, 1 + O, H, W), aggregated, background first.
        labels: (B, H, W), 0 for background, o for object o, -1 for pixels that do not count.
        present: (B, O) bool; an absent object takes no part in the softmax.
        share: of the pixels that count, see ``hard_pixel_ratio``.

    Returns: (B,); 0 for a sample without any pixel that counts.
    """
    background = torch.ones_like(present[:, :1])
    absent = ~torch.cat([background, present], dim=1)
    logits = logits.float().masked_fill(absent[:, :, None, None], -torch.inf)
    pixels = F.cross_entropy(logits, labels, ignore_index=-1, reduction="none").flatten(1)
    losses = []
    for loss, count in zip(pixels, (labels >= 0).flatten(1).sum(1).tolist(), strict=True):
        if share < 1:
            losses.append(loss.topk(max(1, int(count * share)), sorted=False).values.mean())
        else:
            losses.append(loss.sum() / max(1, count))
    return torch.stack(losses)


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(teacher || student) of the distributions over the channels, as RDE's code takes it.

    Both are (B, O, C, ...). It is the mean over all elements of an object, channels included, summed over the
    objects. The teacher is not detached, so it gets a gradient, too. Its logarithm is used, because the gradient of
    the plain form is NaN where a probability rounds to zero.
    """
    student, teacher = student.float().log_softmax(2), teacher.float().log_softmax(2)
    return F.kl_div(student, teacher, reduction="none", log_target=True).mean() * student.shape[1]


def overlap(masks: Tensor, labels: Tensor, present: Tensor) -> Tensor:
    """Mean IoU over the objects that exist.

    Args:
        masks: (B, T, O, H, W), aggregated; the background has the remaining probability.
        labels: (B, T, H, W) as for the loss; void pixels are ignored.
        present: (B, O) bool.
    """
    likeliest, number = masks.max(2)  # max, because argmax is slow on CPUs
    winner = torch.where(likeliest > 1 - masks.sum(2), number + 1, 0)
    values = []
    for number in range(1, masks.shape[2] + 1):
        predicted, true = (winner == number) & (labels >= 0), labels == number
        union = (predicted | true).sum((-2, -1))
        values.append(torch.where(union > 0, (predicted & true).sum((-2, -1)) / union.clamp(min=1), 1.0).mean(1))
    return (torch.stack(values, 1) * present).sum() / present.sum()
