"""Masks made worse on purpose: holes, spills and shifted borders until an IoU is reached (RDE, section 3.4)."""

import numpy as np
import torch
import torch.nn.functional as F

ROUNDS = 250
RECTANGLES = 4


def perturb(mask: np.ndarray, iou: float, rng: np.random.Generator) -> np.ndarray:
    """A copy of the mask whose IoU with it lies just under ``iou``.

    Each round dilates or erodes inside four random rectangles, now and then around a pixel that is set at random,
    until the IoU is reached; rarely 250 rounds do not reach it.

    Args:
        mask: (H, W) bool. An empty one, or one less than 3 pixels wide or high, is returned as it is.
    """
    height, width = mask.shape
    result = mask.copy()
    if min(height, width) < 3 or not mask.any():
        return result
    for _ in range(ROUNDS):
        for _ in range(RECTANGLES):
            left, top = int(rng.integers(width)), int(rng.integers(height))
            right, bottom = int(rng.integers(left + 1, width + 1)), int(rng.integers(top + 1, height + 1))
            region = result[top:bottom, left:right]
            if rng.random() < 0.1:
                region[(bottom - top) // 2, (right - left) // 2] = rng.random() < 0.5
            shape = _footprint(rng)
            region[:] = dilate(region, shape) if rng.random() < 0.5 else ~dilate(~region, shape)
        if (result & mask).sum() < iou * (result | mask).sum():
            break
    return result


def dilate(mask: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Binary dilation of (H, W) bool by a symmetric footprint with odd sides."""
    kernel = torch.from_numpy(footprint.astype(np.float32))[None, None]
    padding = (footprint.shape[0] // 2, footprint.shape[1] // 2)
    image = torch.from_numpy(mask.astype(np.float32))[None, None]
    return (F.conv2d(image, kernel, padding=padding)[0, 0] > 0.5).numpy()


def ellipse(rows: int, columns: int) -> np.ndarray:
    """(rows, columns) bool: the ellipse that fills the rectangle; even sides grow by one."""
    y, x = np.mgrid[-(rows // 2) : rows // 2 + 1, -(columns // 2) : columns // 2 + 1]
    return (y / (rows / 2)) ** 2 + (x / (columns / 2)) ** 2 <= 1


def _footprint(rng: np.random.Generator) -> np.ndarray:
    """A rectangle, an ellipse, or an ellipse flattened either way, 3 to 9 pixels across."""
    size = int(rng.integers(3, 10))
    kind = int(rng.integers(4))
    if kind == 0:
        return np.ones((size // 2 * 2 + 1, size // 2 * 2 + 1), bool)
    return ellipse(size if kind != 2 else size // 2, size if kind != 3 else size // 2)
