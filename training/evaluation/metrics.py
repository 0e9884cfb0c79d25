"""Region similarity J and boundary accuracy F, as the DAVIS benchmark defines them.

Source: F. Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation", CVPR 2016,
section 4, with the conventions of the official toolkit for empty masks, image borders and void pixels.

All scores here are fractions in [0, 1].
"""

from collections.abc import Sequence
from math import ceil, hypot, isqrt
from typing import NamedTuple

import numpy as np

#: Tolerance of F as a ratio of the image diagonal.
BOUNDARY_TOLERANCE = 0.008


class Measures(NamedTuple):
    """Mean, recall (ratio of values above one half) and decay (first minus last quarter) of a series."""

    mean: float
    recall: float
    decay: float


def boundary_radius(height: int, width: int) -> int:
    """Distance in pixels at which two boundary pixels still match: 0.8 % of the diagonal, rounded up."""
    return ceil(BOUNDARY_TOLERANCE * hypot(height, width))


def boundary(mask: np.ndarray) -> np.ndarray:
    """Boundary map (H, W) bool of a binary mask: pixels unlike their right, lower or lower-right neighbour.

    Neighbours outside of the image equal the pixel itself: in the last row only the right neighbour is compared, in
    the last column only the lower one, and the last pixel is never on the boundary.
    """
    edge = np.zeros(mask.shape, bool)
    np.not_equal(mask[:, :-1], mask[:, 1:], out=edge[:, :-1])
    edge[:-1] |= mask[:-1] != mask[1:]
    edge[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return edge


def jaccard(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> float:
    """J of two binary masks (H, W): intersection over union outside ``void``; two empty masks score 1."""
    truth, prediction = truth.astype(bool, copy=False), prediction.astype(bool, copy=False)
    if void is not None:
        truth, prediction = truth & ~void, prediction & ~void
    shared = np.count_nonzero(truth & prediction)
    union = np.count_nonzero(truth) + np.count_nonzero(prediction) - shared
    return shared / union if union else 1.0


def score_frame(
    truth: np.ndarray, prediction: np.ndarray, objects: Sequence[int], void: np.ndarray | None = None
) -> np.ndarray:
    """J and F of every object in one frame.

    F is the harmonic mean of precision and recall of the boundaries: a boundary pixel is right if the other boundary
    has a pixel within ``boundary_radius``. F is 0 if only one mask has a boundary, and 1 if none has. Void pixels
    belong to neither mask.

    ``truth`` and ``prediction`` are label maps (H, W) of one size, ``void`` a bool map of the pixels to leave out.
    Returns (len(objects), 2) float64. Each object is compared inside the box around its two masks, which contains
    both boundaries, so the result is the same. Raises ValueError if the sizes differ.
    """
    if truth.shape != prediction.shape:
        raise ValueError(f"truth is {truth.shape} but the prediction is {prediction.shape} (height, width)")
    radius = boundary_radius(*truth.shape)
    scores = np.ones((len(objects), 2))
    for row, label in enumerate(objects):
        is_true, is_predicted = truth == label, prediction == label
        box = _box(is_true | is_predicted)
        if box is None:
            continue
        is_true, is_predicted = is_true[box].copy(), is_predicted[box].copy()  # whole rows are faster than slices
        if void is not None:
            is_true, is_predicted = is_true & ~void[box], is_predicted & ~void[box]
        scores[row] = jaccard(is_true, is_predicted), _match(boundary(is_true), boundary(is_predicted), radius)
    return scores


def statistics(values: np.ndarray) -> Measures:
    """Mean, recall and decay of one object's scores over time (N,).

    The decay is the mean of the first of four temporal bins minus that of the last. Neighbouring bins share the
    frame between them, as in the toolkit.
    """
    values = np.asarray(values, float)
    if not len(values):
        raise ValueError("there is no frame to take statistics of")
    # The small offset makes halves round up on every platform.
    edges = np.round(np.linspace(1, len(values), 5) + 1e-10).astype(int) - 1
    first, last = values[edges[0] : edges[1] + 1], values[edges[3] : edges[4] + 1]
    return Measures(float(values.mean()), float((values > 0.5).mean()), float(first.mean() - last.mean()))


def _box(mask: np.ndarray) -> tuple[slice, slice] | None:
    """The box of a mask's pixels with one pixel of margin inside the image, or None if it has none."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return None
    rows = slice(max(rows[0] - 1, 0), rows[-1] + 2)
    columns = np.flatnonzero(mask[rows].any(axis=0))
    return rows, slice(max(columns[0] - 1, 0), columns[-1] + 2)


def _match(truth: np.ndarray, prediction: np.ndarray, radius: int) -> float:
    """F from two boundary maps."""
    in_truth, in_prediction = np.count_nonzero(truth), np.count_nonzero(prediction)
    if not in_truth or not in_prediction:
        return float(in_truth == in_prediction)
    precision = np.count_nonzero(prediction & _within(truth, radius)) / in_prediction
    recall = np.count_nonzero(truth & _within(prediction, radius)) / in_truth
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _within(points: np.ndarray, radius: int) -> np.ndarray:
    """Pixels at most ``radius`` from a point of the map: a dilation by a disk.

    Each row of a disk is a centred run of pixels. The map is widened along its rows one pixel at a time, and for each
    width it is copied to the offsets above and below whose run in the disk has this width. Rows are stored end to end
    with a gap that no shift crosses, so that every shift is one contiguous operation.
    """
    height, width = points.shape
    stride = width + radius
    size = height * stride
    flat = np.zeros(size + 2 * radius, bool)
    flat[radius : radius + size].reshape(height, stride)[:, :width] = points
    run = flat[radius : radius + size].copy()
    out = np.zeros(size + 2 * radius * stride, bool)
    reach = [isqrt(radius * radius - dy * dy) for dy in range(radius + 1)]
    for half in range(radius + 1):
        if half:
            run |= flat[radius - half : radius - half + size]
            run |= flat[radius + half : radius + half + size]
        for dy in range(-radius, radius + 1):
            if reach[abs(dy)] == half:
                start = (radius + dy) * stride
                out[start : start + size] |= run
    return out[radius * stride : radius * stride + size].reshape(height, stride)[:, :width]
