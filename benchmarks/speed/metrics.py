"""Speed of J and F compared with a straightforward implementation, on real masks.

    python -m benchmarks.speed.metrics Annotations/480p [--videos 4] [--frames 12]

All read the same PNGs. The straightforward implementation follows the formulas on whole images, frame by frame:
boundary maps by comparing shifted copies, dilation by a disk with SciPy, scikit-image and, if installed, OpenCV,
precision and recall by counting. The implementations alternate frame by frame in one run, so that the load of the
machine is the same for all. Their scores must agree to the last bit.
"""

import argparse
import time
from math import ceil, hypot
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation
from skimage.morphology import dilation, disk

from bl30k_gen.errors import run_entry_point
from training.evaluation.folders import MaskVideo, find_videos
from training.evaluation.metrics import score_frame

cv2: Any
try:
    import cv2
except ImportError:
    cv2 = None


def straightforward(truth: np.ndarray, prediction: np.ndarray, dilate) -> tuple[float, float]:
    """J and F of two binary masks (H, W)."""

    def boundary(mask):
        padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
        inner = (mask != padded[:-1, 1:]) | (mask != padded[1:, :-1])
        inner[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
        return inner

    union = (truth | prediction).sum()
    j = (truth & prediction).sum() / union if union else 1.0
    kernel = disk(ceil(0.008 * hypot(*truth.shape)))
    in_truth, in_prediction = boundary(truth), boundary(prediction)
    near_truth, near_prediction = dilate(in_truth, kernel), dilate(in_prediction, kernel)
    if not in_truth.any() or not in_prediction.any():
        return j, float(in_truth.any() == in_prediction.any())
    precision = (in_prediction & near_truth).sum() / in_prediction.sum()
    recall = (in_truth & near_prediction).sum() / in_truth.sum()
    return j, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def opencv_dilation(mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    return cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("annotations", type=Path, help="folder of video folders of masks")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, default=12, help="of each video")
    options = parser.parse_args()
    implementations = {
        "ours": lambda truth, prediction: tuple(score_frame(truth.view(np.uint8), prediction.view(np.uint8), [1])[0]),
        "scipy": lambda truth, prediction: straightforward(truth, prediction, binary_dilation),
        "skimage": lambda truth, prediction: straightforward(truth, prediction, dilation),
    }
    if cv2:
        cv2.setNumThreads(1)
        implementations["opencv"] = lambda truth, prediction: straightforward(truth, prediction, opencv_dilation)
    seconds = dict.fromkeys([*implementations, "reading"], 0.0)
    pairs = masks_read = 0
    for name in find_videos(options.annotations)[: options.videos]:
        video = MaskVideo(options.annotations / name, merged=True)
        shown = video.names[: options.frames + 3]
        video.read(shown[0])  # decides once per video what white means
        start = time.perf_counter()
        masks = [video.read(frame).ids.astype(bool) for frame in shown]
        seconds["reading"] += time.perf_counter() - start
        masks_read += len(masks)
        for truth, prediction in zip(masks, masks[3:], strict=False):  # the mask three frames later is the prediction
            scores = {}
            for label, score in implementations.items():
                start = time.perf_counter()
                scores[label] = score(truth, prediction)
                seconds[label] += time.perf_counter() - start
            if len(set(scores.values())) != 1:
                raise SystemExit(f"{name}: the scores differ: {scores}")
            pairs += 1
    print(f"{pairs} pairs of masks of {masks[0].shape[1]}x{masks[0].shape[0]}, equal scores")
    for label in implementations:
        milliseconds = 1000 * seconds[label] / pairs
        print(f"{label:8s} {milliseconds:8.2f} ms a pair  {seconds[label] / seconds['ours']:6.1f}x the time of ours")
    milliseconds = 1000 * seconds["reading"] / masks_read
    print(f"reading  {milliseconds:8.2f} ms a mask, not counted above")


if __name__ == "__main__":
    run_entry_point(main)
