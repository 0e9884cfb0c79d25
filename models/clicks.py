"""Clicks to a mask, with feature refinement (f-BRS-B: Sofiiuk et al., CVPR 2020).

A DeepLabV3+ sees the image and two maps of the distance to the nearest positive and negative click. When a click is
contradicted by the answer, a scale and a bias of each feature channel before the head are optimised until the clicks
are honoured; the encoder is not run again. From the second click on, the work happens in a box around the object.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone import STRIDE
from models.deeplab import DeepLabV3Plus

RADIUS = 260
"""Distances are divided by this many pixels."""
NETWORK_CLICKS = 8
"""Only the first clicks enter the distance maps; the refinement honours all of them."""
LONG_SIDE = 800
"""Larger images are shrunk to this."""
ZOOM, ZOOM_SIDE, MIN_BOX = 1.4, 480, 200
"""The box around the object is ZOOM times as large, at least MIN_BOX; its long side is resized to ZOOM_SIDE."""
EVALUATIONS = 20
"""Evaluations of the loss in a refinement, at most; also the history size of L-BFGS."""
SETTLED = 1e-3
"""The refinement stops when two masks in a row differ by less than this in IoU."""


class Click(NamedTuple):
    """A pixel of the image, on the object (positive) or beside it."""

    y: int
    x: int
    positive: bool


@dataclass(frozen=True)
class ClickConfig:
    """Widths of the ASPP with the head, and of the projected layer1 features. The defaults are f-BRS's "dh128"."""

    dim: int = 128
    low_dim: int = 32


class ClickNetwork(nn.Module):
    """RGB and two distance maps, mixed down to three channels, through DeepLabV3+ with aligned corners."""

    def __init__(self, config: ClickConfig | None = None):
        super().__init__()
        self.config = config = config or ClickConfig()
        self.mix = nn.Sequential(nn.Conv2d(5, 8, 1), nn.LeakyReLU(0.2), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1))
        self.deeplab = DeepLabV3Plus(3, config.dim, config.low_dim, align_corners=True)

    def features(self, image: Tensor, maps: Tensor) -> Tensor:
        """The features that the refinement changes: (B, low_dim + dim, H/4, W/4)."""
        return self.deeplab.features(self.mix(torch.cat([image, maps], dim=1)))

    def forward(self, image: Tensor, maps: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of a normalised image (B, 3, H, W) and ``distance_maps`` (B, 2, H, W)."""
        return self.deeplab.classify(self.features(image, maps), image.shape[-2:])


def distance_maps(clicks: list[Click], size: tuple[int, int]) -> Tensor:
    """tanh(2 d / 260) of the distance d to the nearest positive and negative click: (2, H, W), 1 without a click."""
    y = torch.arange(size[0]).view(-1, 1)
    x = torch.arange(size[1]).view(1, -1)
    maps = torch.ones(2, *size)
    for click in clicks:
        squares = (y - click.y).square() + (x - click.x).square()
        channel = maps[0 if click.positive else 1]
        torch.minimum(channel, torch.tanh(2 * squares.sqrt() / RADIUS), out=channel)
    return maps


class ClickSession:
    """The clicks on one object of one image, and the mask that follows from them.

    Args:
        network: in evaluation mode.
        image: (1, 3, H, W), normalised, any size.
        refine: False leaves out the feature refinement.
    """

    def __init__(self, network: ClickNetwork, image: Tensor, refine: bool = True):
        if image.ndim != 4 or image.shape[:2] != (1, 3):
            raise ValueError(f"image of shape {tuple(image.shape)}: expected (1, 3, H, W)")
        self.network, self.image, self.refine = network, image, refine
        self._states: list[_State] = []

    @property
    def clicks(self) -> list[Click]:
        return [state.click for state in self._states]

    def undo(self) -> None:
        """Forget the last click."""
        if not self._states:
            raise ValueError("there is no click to undo")
        self._states.pop()

    def add(self, y: int, x: int, positive: bool) -> Tensor:
        """Probability (H, W) of the object after one more click."""
        height, width = self.image.shape[-2:]
        if not (0 <= y < height and 0 <= x < width):
            raise ValueError(f"click at row {y}, column {x} lies outside of the image of {height}x{width} pixels")
        clicks = [*self.clicks, Click(int(y), int(x), bool(positive))]
        last = self._states[-1] if self._states else None
        box = (0, 0, height, width) if last is None else object_box(last.prob > 0.5, clicks)
        limit = LONG_SIDE if box == (0, 0, height, width) else ZOOM_SIDE
        # The variables of an earlier refinement fit the features of the same box only.
        start = last.variables if last is not None and last.box == box else None
        inside, variables = self._segment(clicks, box, _fit(box, limit), start)
        prob = torch.zeros(height, width, device=inside.device)
        prob[box[0] : box[2], box[1] : box[3]] = inside
        self._states.append(_State(clicks[-1], prob, box, variables))
        return prob

    def _segment(self, clicks: list[Click], box: "Box", size: tuple[int, int], start: Tensor | None):
        """Probability inside the box, (h, w), and the variables of the refinement."""
        top, left, bottom, right = box
        scale = ((size[0] - 1) / max(1, bottom - top - 1), (size[1] - 1) / max(1, right - left - 1))
        near = [
            Click(round((c.y - top) * scale[0]), round((c.x - left) * scale[1]), c.positive)
            for c in clicks
            if top <= c.y < bottom and left <= c.x < right
        ]
        mirrored = [Click(c.y, size[1] - 1 - c.x, c.positive) for c in near]
        with torch.no_grad():
            image = _resize(self.image[:, :, top:bottom, left:right], size)
            known = near[:NETWORK_CLICKS], mirrored[:NETWORK_CLICKS]
            maps = torch.stack([distance_maps(some, size) for some in known]).to(image)
            features = self.network.features(torch.cat([image, image.flip(-1)]), maps)
        variables = features.new_zeros(2, 2, features.shape[1], 1, 1) if start is None else start
        if self.refine and len(clicks) > 1:
            squares = torch.stack([click_squares(some, size) for some in (near, mirrored)]).to(image)
            variables = refine(self.network.deeplab, features, squares, variables)
        with torch.no_grad():
            prob = _predict(self.network.deeplab, features, variables, size)
            prob = (prob[:1] + prob[1:].flip(-1)) / 2
            return _resize(prob, (bottom - top, right - left))[0, 0], variables


Box = tuple[int, int, int, int]
"""Top, left, bottom, right; the latter two outside of the box."""


class _State(NamedTuple):
    click: Click
    prob: Tensor
    box: Box
    variables: Tensor


def click_squares(clicks: list[Click], size: tuple[int, int]) -> Tensor:
    """(2, H, W): 1 in the 3x3 squares around the positive and around the negative clicks."""
    squares = torch.zeros(2, *size)
    for click in clicks:
        rows = slice(max(0, click.y - 1), click.y + 2)
        squares[0 if click.positive else 1, rows, max(0, click.x - 1) : click.x + 2] = 1
    return squares


def object_box(mask: Tensor, clicks: list[Click]) -> Box:
    """The box to work in: around the mask (H, W) and the positive clicks, ``ZOOM`` times as large, inside the image.

    The whole image if there is neither a mask nor a positive click.
    """
    height, width = mask.shape
    ys, xs = (index.tolist() for index in mask.nonzero(as_tuple=True))
    ys, xs = ys + [c.y for c in clicks if c.positive], xs + [c.x for c in clicks if c.positive]
    if not ys:
        return 0, 0, height, width

    def widen(first: int, last: int, limit: int) -> tuple[int, int]:
        length = max(ZOOM * (last - first + 1), MIN_BOX)
        centre = (first + last + 1) / 2
        return max(0, round(centre - length / 2)), min(limit, round(centre + length / 2))

    top, bottom = widen(min(ys), max(ys), height)
    left, right = widen(min(xs), max(xs), width)
    return top, left, bottom, right


class _Settled(Exception):
    """All clicks are honoured, or the mask has stopped changing."""


def refine(deeplab: DeepLabV3Plus, features: Tensor, squares: Tensor, start: Tensor) -> Tensor:
    """Optimise scale and bias of the features until the clicks are right.

    The loss is the mean squared error in the squares of positive and of negative clicks plus
    1e-3 (|scale|^2 + 10 |bias|^2), minimised by L-BFGS with at most ``EVALUATIONS`` evaluations.

    Args:
        features: (B, C, h, w) before the head.
        squares: (B, 2, H, W) from ``click_squares``.
        start: (2, B, C, 1, 1) scale (added to one) and bias to begin with.

    Returns: the variables that honour all clicks, else those of the lowest loss.
    """
    variables = start.clone().requires_grad_()
    wanted, unwanted = squares.split(1, dim=1)
    best: tuple[float, Tensor] = float("inf"), start
    last_mask: Tensor | None = None
    optimiser = torch.optim.LBFGS(
        [variables],
        max_iter=EVALUATIONS,
        max_eval=EVALUATIONS,
        history_size=EVALUATIONS,
        tolerance_grad=1e-8,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def evaluate() -> Tensor:
        nonlocal best, last_mask
        prob = _predict(deeplab, features, variables, squares.shape[-2:])
        misses, intrusions = (1 - prob) * wanted, prob * unwanted
        loss = 1e-3 * (variables[0].square().sum() + 10 * variables[1].square().sum())
        loss = loss + misses.square().sum() / wanted.sum().clamp(min=1)
        loss = loss + intrusions.square().sum() / unwanted.sum().clamp(min=1)
        mask = prob.detach() > 0.5
        honoured = max(misses.max().item(), intrusions.max().item()) < 0.5
        unchanged = last_mask is not None and (mask ^ last_mask).sum() < SETTLED * (mask | last_mask).sum()
        if honoured or loss.item() < best[0]:
            best = loss.item(), variables.detach().clone()
        if honoured or unchanged:
            raise _Settled
        last_mask = mask
        (variables.grad,) = torch.autograd.grad(loss, variables)
        return loss

    try:
        optimiser.step(evaluate)
    except _Settled:
        pass
    return best[1]


def _predict(deeplab: DeepLabV3Plus, features: Tensor, variables: Tensor, size: tuple[int, ...]) -> Tensor:
    scale, bias = variables
    return deeplab.classify(features * (1 + scale) + bias, size).sigmoid()


def _fit(box: Box, limit: int) -> tuple[int, int]:
    """Size to work at: the long side becomes 480 in a zoomed box, at most 800 in a whole image; multiples of 16."""
    height, width = box[2] - box[0], box[3] - box[1]
    factor = limit / max(height, width)
    if limit == LONG_SIDE:
        factor = min(1.0, factor)
    height, width = (max(2, round(side * factor / STRIDE)) * STRIDE for side in (height, width))
    return height, width


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)
