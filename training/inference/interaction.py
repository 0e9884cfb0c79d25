"""Interactions on one frame: scribbles, clicks and the brush turn a mask into a better one (MiVOS, section 3.1).

All take and return probabilities (O, H, W) of the objects, on the CPU or a GPU, at any size.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from models.aggregate import aggregate
from models.clicks import ClickSession
from models.s2m import S2M
from training.evaluation.scribbles import NO_STROKE
from training.inference.view import View


def with_background(prob: Tensor) -> Tensor:
    """(O, H, W) -> (1 + O, H, W): what the objects leave is background."""
    return torch.cat([(1 - prob.sum(0, keepdim=True)).clamp(min=0), prob])


def hard(prob: Tensor) -> Tensor:
    """The likeliest object's map is 1, all others 0; where the background is likeliest, all are 0."""
    best = with_background(prob).argmax(0)
    return torch.stack([best == row + 1 for row in range(len(prob))]).float()


def scribble(network: S2M, image: Tensor, prob: Tensor, strokes: np.ndarray) -> Tensor:
    """Masks that honour scribbles.

    Args:
        image: (3, H, W), normalised.
        prob: (O, H, W) before; the network sees them hard.
        strokes: (H, W) integers: r on strokes of row r - 1 of ``prob``, 0 on the background's, ``NO_STROKE``
            elsewhere. They are widened to three pixels, as the network was trained with.

    Returns: (O, H, W), nearly hard.
    """
    canvas = torch.from_numpy(strokes).to(image.device)
    rows = torch.arange(1, len(prob) + 1, device=image.device).view(-1, 1, 1)
    positive = (canvas == rows).float()
    negative = ((canvas != rows) & (canvas != NO_STROKE)).float()
    view = View(image.shape[-2:])
    wide = [F.max_pool2d(view.masks(x), 3, stride=1, padding=1) for x in (positive, negative)]
    logits = network.segment(view.image(image), view.masks(hard(prob)), *wide)
    return aggregate(view.cut(logits).float().sigmoid(), hard=True, keep_background=False)[0]


def click(session: ClickSession, prob: Tensor, row: int, clicks: Sequence[tuple[int, int, bool]]) -> Tensor:
    """Masks whose row ``row`` is what all the clicks (y, x, positive) on that object make of it.

    ``session`` is the object's on this image; only clicks that it has not seen yet are computed.
    """
    while session.clicks != [tuple(c) for c in clicks[: len(session.clicks)]]:
        session.undo()
    if len(session.clicks) == len(clicks):
        session.undo()  # the last one's answer is wanted again
    for y, x, positive in clicks[len(session.clicks) :]:
        answer = session.add(y, x, positive)
    objects = hard(prob)
    objects[row] = answer
    return aggregate(objects, dim=0, background="half", hard=True, keep_background=False)


def brush(prob: Tensor, line: np.ndarray, row: int | None, radius: float) -> Tensor:
    """Masks with a stroke painted on: there the object ``row`` is and no other, or none if it is None.

    line: (H, W) bool, the stroke's pixels, widened to ``radius`` pixels.
    """
    near = distance_transform_edt(~line) <= radius if line.any() else line
    objects = hard(prob)
    objects[:, torch.from_numpy(near).to(prob.device)] = 0
    if row is not None:
        objects[row, torch.from_numpy(near).to(prob.device)] = 1
    return aggregate(objects, dim=0, background="half", keep_background=False)
