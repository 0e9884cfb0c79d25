"""Interactions on one frame: scribbles, clicks and the brush correct a mask (MiVOS, section 3.1).

All functions take and return probabilities (O, H, W) of the objects, on the CPU or a GPU, at any size.
"""

from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt
from skimage.draw import polygon2mask
from torch import Tensor

from models.aggregate import aggregate
from models.clicks import Click, ClickNetwork, ClickSession
from models.s2m import S2M
from training.evaluation.scribbles import NO_STROKE, draw_line
from training.inference.tensors import PaddedView
from training.interactive.state import likeliest


def hard(prob: Tensor) -> Tensor:
    """Hard masks: 1 for the likeliest object, 0 for all others, and 0 for all where the background is likeliest."""
    best = likeliest(prob)
    return torch.stack([best == row + 1 for row in range(len(prob))]).float() if len(prob) else prob.clone()


def scribble(network: S2M, image: Tensor, prob: Tensor, strokes: np.ndarray) -> Tensor:
    """Correct masks by scribbles.

    Args:
        image: (3, H, W), normalised.
        prob: (O, H, W) before; the network gets hard masks.
        strokes: (H, W) integers: r on strokes of row r - 1 of ``prob``, 0 on strokes of the background, ``NO_STROKE``
            elsewhere. They are widened to three pixels, as in the training of the network.

    Returns: (O, H, W), nearly hard. An object with neither a mask nor a stroke stays absent.
    """
    canvas = torch.from_numpy(strokes).to(image.device)
    rows = torch.arange(1, len(prob) + 1, device=image.device).view(-1, 1, 1)
    positive = (canvas == rows).float()
    negative = ((canvas != rows) & (canvas != NO_STROKE)).float()
    before = hard(prob)
    present = (positive + before).flatten(1).any(1)
    height, width = image.shape[-2:]
    view = PaddedView((height, width))
    wide = [F.max_pool2d(view.masks(x[present]), 3, stride=1, padding=1) for x in (positive, negative)]
    answer = torch.zeros_like(prob)
    if present.any():
        logits = network.segment(view.image(image), view.masks(before[present]), *wide)
        answer[present] = view.cut(logits)[0].float().sigmoid()
    return aggregate(answer.unsqueeze(0), hard=True, keep_background=False)[0]


class ObjectClicks:
    """The clicks on one object of one image; results for the first clicks are reused for more."""

    def __init__(self, network: ClickNetwork, image: Tensor):
        """image: (3, H, W), normalised."""
        self._session = ClickSession(network, image.unsqueeze(0))
        self._answer: Tensor | None = None

    def answer(self, clicks: Sequence[Click]) -> Tensor:
        """Probability (H, W) of the object after all the clicks; there must be at least one."""
        session, clicks = self._session, list(clicks)
        if self._answer is not None and session.clicks == clicks:
            return self._answer
        while session.clicks and session.clicks != clicks[: len(session.clicks)]:
            session.undo()
        if session.clicks == clicks:
            session.undo()  # an earlier answer is computed again
        for y, x, positive in clicks[len(session.clicks) :]:
            self._answer = session.add(y, x, positive)
        assert self._answer is not None  # there is a click
        return self._answer


def click(prob: Tensor, answers: Mapping[int, Tensor]) -> Tensor:
    """Replace the masks of clicked objects: {row: (H, W) probability}."""
    objects = hard(prob)
    for row, answer in answers.items():
        objects[row] = answer
    return aggregate(objects, dim=0, background="half", hard=True, keep_background=False)


def widen(line: np.ndarray, radius: float) -> np.ndarray:
    """The pixels (H, W) bool within ``radius`` of those of a line."""
    wide = np.zeros_like(line)
    if line.any():
        rows, columns = (np.flatnonzero(line.any(axis)) for axis in (1, 0))
        reach = ceil(radius)  # pixels beyond are not computed
        near = tuple(slice(max(0, at[0] - reach), at[-1] + reach + 1) for at in (rows, columns))
        wide[near] = distance_transform_edt(~line[near]) <= radius
    return wide


def polygon(path: np.ndarray, height: int, width: int) -> np.ndarray:
    """The pixels (H, W) bool inside a closed outline (N, 2) of normalised (x, y), including its edge."""
    corners = path * (width - 1, height - 1)
    return polygon2mask((height, width), corners[:, ::-1]) | _outline(corners, height, width)


def _outline(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    canvas = np.zeros((height, width), bool)
    draw_line(canvas, np.concatenate([corners, corners[:1]]) + 1e-6, True)
    return canvas


def paint(prob: Tensor, area: np.ndarray, row: int | None) -> Tensor:
    """Hard masks with only the object ``row`` in an area (H, W) bool; None: no object."""
    objects = hard(prob)
    inside = torch.from_numpy(area).to(prob.device)
    objects[:, inside] = 0
    if row is not None:
        objects[row, inside] = 1
    return objects
