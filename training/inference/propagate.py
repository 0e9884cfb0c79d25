"""Propagation of masks through a video: the one engine of all networks and memory policies.

    for result in propagate(network, enumerate(frames), {0: first_mask}):
        result.labels()  # (H, W) uint8 object ids

Frames are processed as a stream: of a video of any length, only the memory is kept, within a budget.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
import torch
from torch import Tensor

from bl30k_gen.errors import UserError
from models.aggregate import aggregate
from models.propagation import PropagationNetwork, Query
from training.evaluation.folders import object_ids
from training.inference.options import Options, published_options
from training.inference.tensors import PaddedView, label_map, normalise, one_hot, working_size
from training.inference.tracker import Tracker


@dataclass(frozen=True)
class Segmented:
    """A frame's result.

    prob: (1 + O, H, W) at the size of the frame, background first; ``objects`` are the O ids. seconds: computing
    time.
    """

    number: int
    prob: Tensor
    objects: tuple[int, ...]
    seconds: float

    def labels(self) -> np.ndarray:
        """(H, W) uint8 object ids."""
        return label_map(self.prob, self.objects)


def propagate(
    network: PropagationNetwork,
    frames: Iterable[tuple[int, np.ndarray]],
    given: Mapping[int, np.ndarray],
    options: Options | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[Segmented]:
    """Segment frames one after the other.

    Args:
        network: in evaluation mode; its device is used.
        frames: (number, (H, W, 3) uint8) in the order of propagation; decreasing numbers go backward.
        given: {number: (H, W) object ids}, 0 where nothing is given. An object is followed from the first frame with
            its mask. A given mask replaces the segmented one, also if the object has been given before.
        options: None: those of the network's paper.

    Raises:
        UserError: frames or masks differ in size, or ids do not fit into a palette mask.
    """
    propagator = Propagator(network, options, say)
    device = next(network.parameters()).device
    for number, frame in frames:
        start = perf_counter()
        try:
            prob = propagator.step(normalise(frame, device), _masks(given.get(number), device))
        except ValueError as error:
            raise UserError(f"frame {number}: {error}", "frames and masks of a video have one size") from None
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        yield Segmented(number, prob, propagator.objects, perf_counter() - start)


class Propagator:
    """``propagate`` step by step, for callers with their own loop over normalised tensors."""

    def __init__(
        self, network: PropagationNetwork, options: Options | None = None, say: Callable[[str], None] = print
    ):
        self.network = network
        self.options = options or published_options(network)
        self._say = say
        self._views: list[PaddedView] = []
        self._trackers: list[Tracker] = []

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects in the order of their rows, which is that of their first masks."""
        return self._trackers[0].objects if self._trackers else ()

    @torch.inference_mode()
    def step(self, image: Tensor, given: Mapping[int, Tensor] | None = None) -> Tensor:
        """Segment the next frame.

        Args:
            image: (3, H, W), normalised.
            given: {id: (H, W) float mask} of objects with known masks in this frame. Objects share the pixels where
                their masks overlap.

        Returns: (1 + O, H, W), background first, for ``objects``. Raises ValueError when sizes differ.
        """
        given = given or {}
        self._open(image, given)
        if not given and not self.objects:
            return torch.ones(1, *image.shape[-2:], device=image.device)
        images = [self._mirror(view.image(image)) for view in self._views]
        queries = [tracker.encode(x) for tracker, x in zip(self._trackers, images, strict=True)]
        if self.objects:
            probs = self._agree([self._segment(*pair) for pair in zip(self._trackers, queries, strict=True)])
        else:
            probs = [torch.ones(1, 1, *view.padded, device=image.device) for view in self._views]
        if given:
            objects = (*self.objects, *(label for label in given if label not in self.objects))
            absent = torch.zeros_like(image[0])
            masks = torch.stack([given.get(label, absent) for label in objects])
            probs = [_impose(p, view.masks(masks)) for view, p in zip(self._views, probs, strict=True)]
        for tracker, x, query, prob in zip(self._trackers, images, queries, probs, strict=True):
            prob = self._mirror(prob)
            if given:
                tracker.label(x, query, prob[:, 1:], list(given))
            else:
                tracker.remember(x, query, prob)
        return self._merge(probs)

    def _open(self, image: Tensor, given: Mapping[int, Tensor]) -> None:
        """Set up the views at the first frame. Raises ValueError if a later frame or a mask has another size."""
        height, width = image.shape[-2:]
        size = height, width
        if not self._views:
            options = self.options
            share = replace(options, memory_budget=options.memory_budget // len(options.scales))
            for scale in options.scales:
                self._views.append(PaddedView(size, working_size(size, options.short_side, scale)))
                self._trackers.append(Tracker(self.network, share, self._say))
        first = self._views[0].size
        if size != first:
            raise ValueError(f"the frame is {size[1]}x{size[0]}, but the first one {first[1]}x{first[0]}")
        for label, mask in given.items():
            if tuple(mask.shape) != size:
                shape = "x".join(map(str, reversed(mask.shape)))
                raise ValueError(f"the mask of object {label} is {shape}, but the frame {size[1]}x{size[0]}")

    def _mirror(self, x: Tensor) -> Tensor:
        """With the option ``flip``, a batch of the frame and its mirror image; else the frame."""
        return torch.cat([x, x.flip(-1)]) if self.options.flip else x

    def _segment(self, tracker: Tracker, query: Query) -> Tensor:
        """(1, 1 + O, h, w)"""
        prob = tracker.segment(query)
        return (prob[:1] + prob[1:].flip(-1)) / 2 if self.options.flip else prob

    def _merge(self, probs: list[Tensor]) -> Tensor:
        """The mean over the views, at the original size."""
        restored = [view.restore(prob) for view, prob in zip(self._views, probs, strict=True)]
        return torch.stack(restored).mean(0) if len(restored) > 1 else restored[0]

    def _agree(self, probs: list[Tensor]) -> list[Tensor]:
        """The mean over the views, for each view at its size: all continue with it."""
        if len(probs) == 1:
            return probs
        merged = self._merge(probs)
        return [view.fit(merged) for view in self._views]


def _masks(ids: np.ndarray | None, device: torch.device) -> dict[int, Tensor]:
    """The masks of the objects in a label map."""
    if ids is None:
        return {}
    objects = sorted(object_ids(ids))
    if objects and objects[-1] > 254:
        raise UserError(f"a mask has the id {objects[-1]}", "ids of objects go from 1 to 254")
    return dict(zip(objects, one_hot(ids, objects, device), strict=True)) if objects else {}


def _impose(prob: Tensor, masks: Tensor) -> Tensor:
    """Replace segmented probabilities (1, 1 + N, h, w) by the masks (1, O, h, w) of the user, O >= N.

    Inside a mask every other object is absent; outside of it the object of the mask is absent.
    """
    known = prob.shape[1] - 1
    fresh = masks.new_zeros(1, masks.shape[1] - known, *masks.shape[-2:])
    objects = torch.cat([prob[:, 1:], fresh], dim=1)
    objects = torch.where(masks.sum(1, keepdim=True) > 0.5, masks, objects)
    given = (masks.amax((-2, -1), keepdim=True) > 0).to(objects.dtype)
    return aggregate(objects * (1 - given) + masks * given)
