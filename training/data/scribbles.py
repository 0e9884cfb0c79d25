"""Simulated user scribbles for training S2M: on what a mask misses, and on what it wrongly covers.

Source: MiVOS, section 3.1 and supplement. A region is scribbled on by the robot of the interactive benchmark, or
along its boundary, along its skeleton, or by random curves. Parts of boundaries and skeletons are erased again.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from skimage.morphology import skeletonize

from bl30k_gen.settings import WholeInterval
from training.data.perturb import dilate, ellipse, erode, erode_in_places
from training.evaluation.robot import Robot
from training.evaluation.scribbles import bezier, draw_line
from training.schema.data import Scribbles

REFERENCE_SIZE = 480
"""Side of the crop for which the numbers of ``Scribbles`` are given."""

POINTS, THICKNESS = 1024, 3
"""Points of a curve, and its thickness in pixels."""

MIN_ERASER = 5
"""Smallest diameter in pixels of the erosion of boundaries and skeletons inside random rectangles."""

PEN = np.ones((3, 3), bool)
ROBOT = Robot(min_nodes=1)


@dataclass(frozen=True)
class Scribbler:
    """Draws scribbles on crops of ``size`` pixels; all randomness comes from the generators it is given.

    Regions and scribbles are (S, S) bool.
    """

    numbers: Scribbles
    size: int

    def correct(
        self, before: np.ndarray, truth: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positive scribbles where the mask ``before`` misses the object, negative ones where it exceeds it."""
        errors = truth & ~before, before & ~truth
        if before.any() and rng.random() < self.numbers.robot:
            return self.robot(errors[0], rng), self.robot(errors[1], rng)
        disk = self._disk(self.numbers.opening, rng)
        positive, negative = (self.regions(dilate(erode(error, disk), disk), rng) for error in errors)
        if rng.random() < self.numbers.free or not (positive.any() or negative.any()):
            positive, negative = positive | self.free(truth, rng), negative | self.free(~truth, rng)
        return positive, negative

    def robot(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Scribbles of the benchmark's robot, which gets the region at half its size."""
        half = (region.shape[1] // 2, region.shape[0] // 2)
        small = cv2.resize(region.astype(np.float32), half, interpolation=cv2.INTER_AREA) > 0.5
        canvas = np.zeros_like(region)
        for curve in ROBOT.curves(small, rng):
            draw_line(canvas, curve.astype(int) * 2, True)
        return dilate(canvas, PEN)

    def regions(self, error: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One or two kinds of scribbles on each connected piece that is not too small."""
        drawn = np.zeros_like(error)
        count, pieces = cv2.connectedComponents(error.astype(np.uint8))
        for number in range(1, count):
            region = pieces == number
            if region.sum() < self._area(_draw(self.numbers.smallest, rng)):
                continue
            drawn |= self._kind(rng)(region, rng)
            if rng.random() < self.numbers.second:
                drawn |= self._kind(rng)(region, rng)
        return drawn

    def boundary(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Parts of a line inside the region, parallel to its border; empty if the region is too thin."""
        inner = erode(region, self._disk(self.numbers.depth, rng))
        return erode_in_places(dilate(inner, PEN) & ~erode(inner, PEN), rng, MIN_ERASER)

    def thinned(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Parts of the region's skeleton (Zhang & Suen, 1984)."""
        return erode_in_places(dilate(skeletonize(region), PEN), rng, MIN_ERASER)

    def curves(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The longest of some random curves through the region."""
        tried = [self.curve(region, rng) for _ in range(self.numbers.curves_tried)]
        tried.sort(key=np.count_nonzero, reverse=True)
        return np.logical_or.reduce(tried[: _draw(self.numbers.curves, rng)])

    def free(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Several random curves through the region; none if it is small."""
        if region.sum() < self._area(self.numbers.free_smallest):
            return np.zeros_like(region)
        return np.logical_or.reduce([self.curve(region, rng) for _ in range(_draw(self.numbers.free_curves, rng))])

    def curve(self, region: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A quadratic Bezier curve with three pixels of the region as control points, cut off a little beyond it."""
        pixels = np.flatnonzero(region)
        rows, columns = np.divmod(rng.choice(pixels, 3, replace=len(pixels) < 3), region.shape[1])
        line = bezier(np.stack([columns, rows], 1), POINTS).astype(np.int32)
        canvas = cv2.polylines(np.zeros(region.shape, np.uint8), [line[:, None]], False, 1, THICKNESS).astype(bool)
        return canvas & dilate(region, self._disk(self.numbers.spill, rng))

    def _kind(self, rng: np.random.Generator) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
        kinds = self.numbers.kinds.model_dump()
        names, weights = list(kinds), np.array(list(kinds.values()))
        return getattr(self, names[rng.choice(len(names), p=weights / weights.sum())])

    def _disk(self, diameters: WholeInterval, rng: np.random.Generator) -> np.ndarray:
        diameter = max(1, round(_draw(diameters, rng) * self.size / REFERENCE_SIZE))
        return ellipse(diameter, diameter)

    def _area(self, pixels: float) -> float:
        return pixels * (self.size / REFERENCE_SIZE) ** 2


def _draw(values: WholeInterval, rng: np.random.Generator) -> int:
    return int(rng.integers(values[0], values[1] + 1))
