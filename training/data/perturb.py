"""Perturbed masks: holes, spills and shifted borders, to a wanted IoU (RDE, section 3.4; S2M)."""

import cv2
import numpy as np

ROUNDS = 250
RECTANGLES = 4


def perturb(mask: np.ndarray, iou: float, rng: np.random.Generator) -> np.ndarray:
    """A perturbed copy of the mask whose IoU with the mask is just below ``iou``.

    Each round dilates or erodes the mask inside four random rectangles, sometimes after setting their centre pixel at
    random. The rounds end when the IoU is reached, or in rare cases after 250 rounds.

    Args:
        mask: (H, W) bool. An empty mask, or one less than 3 pixels wide or high, is returned unchanged.
    """
    result = mask.copy()
    if min(mask.shape) < 3 or not mask.any():
        return result
    for _ in range(ROUNDS):
        for _ in range(RECTANGLES):
            region = _draw_rectangle(rng, result)
            if rng.random() < 0.1:
                region[region.shape[0] // 2, region.shape[1] // 2] = rng.random() < 0.5
            shape = _draw_footprint(rng, 3)
            region[:] = dilate(region, shape) if rng.random() < 0.5 else erode(region, shape)
        if (result & mask).sum() < iou * (result | mask).sum():
            break
    return result


def erode_in_places(mask: np.ndarray, rng: np.random.Generator, smallest: int) -> np.ndarray:
    """A copy of the mask (H, W) bool, eroded inside four random rectangles by ``smallest`` to 9 pixels."""
    result = mask.copy()
    for _ in range(RECTANGLES):
        region = _draw_rectangle(rng, result)
        region[:] = erode(region, _draw_footprint(rng, smallest))
    return result


def dilate(mask: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Binary dilation of (H, W) bool by a symmetric footprint (bool) with odd sides."""
    return cv2.dilate(mask.astype(np.uint8), footprint.astype(np.uint8)).astype(bool)


def erode(mask: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Binary erosion of (H, W) bool by a symmetric footprint (bool); the border of the image does not erode."""
    return ~dilate(~mask, footprint)


def ellipse(rows: int, columns: int) -> np.ndarray:
    """(rows, columns) bool: the ellipse that fills the rectangle; even sides grow by one."""
    y, x = np.mgrid[-(rows // 2) : rows // 2 + 1, -(columns // 2) : columns // 2 + 1]
    return (y / (rows / 2)) ** 2 + (x / (columns / 2)) ** 2 <= 1


def _draw_rectangle(rng: np.random.Generator, mask: np.ndarray) -> np.ndarray:
    """A random rectangle of the mask, to be changed in place."""
    height, width = mask.shape
    left, top = int(rng.integers(width)), int(rng.integers(height))
    right, bottom = int(rng.integers(left + 1, width + 1)), int(rng.integers(top + 1, height + 1))
    return mask[top:bottom, left:right]


def _draw_footprint(rng: np.random.Generator, smallest: int) -> np.ndarray:
    """A square, a disk, or an ellipse of half the height or width, ``smallest`` to 9 pixels across."""
    size = int(rng.integers(smallest, 10))
    kind = int(rng.integers(4))
    if kind == 0:
        return np.ones((size // 2 * 2 + 1, size // 2 * 2 + 1), bool)
    return ellipse(size if kind != 2 else size // 2, size if kind != 3 else size // 2)
