"""Which frames of a video make a sample, and which of its objects."""

import hashlib

import numpy as np

from training.schema.data import Curriculum

TRIES = 5
"""Draws of frames before a sample without an object is accepted."""

SMALL, TINY, GROWN = 30 * 30, 10 * 10, 20 * 20
"""Areas of BL30K's label filter, in pixels of a crop of 384 x 384."""


def draw_frames(rng: np.random.Generator, length: int, count: int, distance: int) -> list[int]:
    """Positions of ``count`` frames (3, or 5 for RDE) of a video, forwards or backwards.

    Each frame is 1 to ``distance`` + 1 frames after the previous one. Positions are clipped as in the published code,
    so that near the end of a short video a frame may be drawn twice.
    """
    jump = min(length, distance)
    starts = length - jump + 1 if count == 3 else max(jump // 2 + 1, length - count * jump + 1)
    frames = [min(int(rng.integers(starts)), length - 1)]
    for number in range(1, count):
        following = frames[-1] + 1 + int(rng.integers(jump + 1))
        frames.append(min(following, length - jump // number, length - 1))
    return frames[::-1] if rng.random() < 0.5 else frames


def largest_distance(curriculum: Curriculum | None, epoch: int, epochs: int) -> int:
    """The curriculum's distance in an epoch; 1 without a curriculum."""
    if curriculum is None:
        return 1
    return curriculum.distances[sum(epoch >= share * epochs for share in curriculum.at)]


def candidates(ids: np.ndarray, void: np.ndarray, label_filter: str, size: int = 384) -> list[int]:
    """Objects of the first frame that may be a target.

    "small" is BL30K's filter, because only a few pixels of a rendered object may be visible. It keeps objects of more
    than 30 x 30 pixels in the first frame, and smaller ones (above 10 x 10) that stay below 20 x 20 later.

    Args:
        ids: (T, H, W), 0 is background.
        void: (T, H, W) bool; no object.
        size: side of the crop; the filter's areas scale with it.
    """
    unit = (size / 384) ** 2
    areas = np.bincount(np.where(void[0], 0, ids[0]).ravel())
    targets = []
    for label in np.flatnonzero(areas).tolist():
        if label == 0:
            continue
        area = areas[label]
        if label_filter == "small" and area <= SMALL * unit:
            later = (ids[1:] == label).sum((1, 2)).max()
            if area <= TINY * unit or later >= GROWN * unit:
                continue
        targets.append(label)
    return targets


def draw_objects(rng: np.random.Generator, labels: list[int], count: int) -> list[int]:
    """Up to ``count`` different labels, in random order."""
    return [int(label) for label in rng.permutation(labels)[:count]]


def rank_of(name: str) -> float:
    """A number in [0, 1) that depends on the name alone; names below a ratio make up that share of a dataset."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "big") / 2**48
