"""How ``benchmarks.gpu.experiment`` scores: J&F of a network on clips, of the copied first mask, and gains."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.gpu.resident import Clip, Clips
    from models.propagation import PropagationNetwork

Scores = dict[str, float]
"""J&F of videos by their name, per cent."""


def score_network(network: "PropagationNetwork", clips: "Clips", limit: int | None) -> Scores:
    """J&F of a network on each video. The first frame's mask is given; the last frame does not count.

    Args:
        limit: frames of a video that are used; None for all.
    """
    import torch

    from training.inference.options import published_options
    from training.inference.propagate import Propagator
    from training.inference.tensors import label_map

    network.eval()
    precision = "bfloat16" if clips.frames.is_cuda else "float32"
    scores = {}
    for clip in clips.clips:
        propagator = Propagator(network, published_options(network, precision=precision), say=lambda text: None)
        first = clips.mask(clip, 0)
        objects = [int(label) for label in torch.unique(first).tolist() if label]
        given = {label: (first == label).float() for label in objects}
        last = min(clip.count, limit or clip.count) - 1
        predicted = []
        for number in range(last):
            prob = propagator.step(clips.image(clip, number), given if number == 0 else None)
            if number:
                predicted.append(label_map(prob, objects))
        scores[clip.name] = _score_clip(clips, clip, predicted, objects)
    network.train()
    return scores


def score_copied_mask(clips: "Clips", limit: int | None) -> Scores:
    """J&F of the first frame's mask, copied to every frame."""
    import numpy as np

    scores = {}
    for clip in clips.clips:
        first = clips.mask(clip, 0).cpu().numpy()
        count = min(clip.count, limit or clip.count) - 2
        objects = [int(label) for label in np.unique(first) if label]
        scores[clip.name] = _score_clip(clips, clip, [first] * count, objects)
    return scores


def _score_clip(clips: "Clips", clip: "Clip", predicted: list["np.ndarray"], objects: list[int]) -> float:
    """J&F of label maps, the first of which is that of the clip's second frame."""
    import numpy as np

    from training.evaluation.metrics import score_frame

    frames = enumerate(predicted, 1)
    return 100 * float(np.mean([score_frame(clips.mask(clip, n).cpu().numpy(), ids, objects) for n, ids in frames]))


def gain(scores: Scores, base: Scores) -> tuple[float, float, float]:
    """Mean gain over the videos that both have scores of, and the ends of its 95 % bootstrap interval."""
    import numpy as np

    gains = np.array([scores[name] - base[name] for name in scores if name in base])
    means = np.random.default_rng(0).choice(gains, (2000, len(gains))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(gains.mean()), float(low), float(high)
