"""J&F of a network in training on a few annotated videos, computed by the inference engine."""

import numpy as np
import torch

from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from models.propagation import PropagationNetwork
from training.engine.distributed import Processes
from training.evaluation.folders import object_ids
from training.evaluation.metrics import score_frame
from training.inference.options import published_options
from training.inference.propagate import propagate
from training.schema.data import place_of
from training.schema.stage import ValidationVideos


class Validation:
    """The validation videos. Raises UserError if there are none, one lacks masks, or none starts with an object."""

    def __init__(self, config: ValidationVideos):
        self.config = config
        self.store = open_dataset(place_of(config.path))
        names = self.store.image_set(config.split) if config.split else self.store.videos
        if not names:
            raise UserError(f"{config.path} has no videos to validate on", "set validation_videos.split")
        chosen = np.linspace(0, len(names) - 1, min(config.videos, len(names))).round().astype(int)
        self.names = [names[i] for i in chosen]
        for name in self.names:
            if len(self.store.mask_frames(name)) < 2:
                raise UserError(f"video {name} of {config.path} has fewer than two masks", "leave it out of the list")
        if not any(self._first(name)[1] for name in self.names):
            raise UserError(f"videos of {config.path} show no object at their start", "validate on others")

    def score(self, network: PropagationNetwork, processes: Processes) -> float:
        """J&F in per cent, the mean over the objects of the first masks. The processes share the videos.

        As in DAVIS-2017, the first frame is not scored, and the last one only if there is no other. The network must
        be in evaluation mode.
        """
        scores = [s for name in self.names[processes.rank :: processes.world] for s in self._score(network, name)]
        total = torch.tensor([sum(scores), len(scores)], dtype=torch.float64, device=processes.device)
        total = processes.mean(total)
        return 100 * float(total[0] / total[1])

    def _first(self, name: str) -> tuple[np.ndarray, list[int]]:
        """A video's first mask (H, W), and its objects."""
        ids = self.store.read_mask(name, self.store.mask_frames(name)[0]).ids
        return ids, sorted(object_ids(ids))

    def _score(self, network: PropagationNetwork, name: str) -> list[float]:
        """For each object, the mean of J and F over a video's frames."""
        annotated = self.store.mask_frames(name)
        first, objects = self._first(name)
        scored = set(annotated[1:-1] or annotated[1:])
        options = published_options(network, short_side=self.config.short_side)
        frames = ((number, self.store.read_rgb(name, number)) for number in range(annotated[0], max(scored) + 1))
        values = []
        for result in propagate(network, frames, {annotated[0]: first}, options, say=lambda text: None):
            if result.number in scored:
                truth = self.store.read_mask(name, result.number)
                values.append(score_frame(truth.ids, result.labels(), objects, truth.void))
        return np.mean(values, axis=(0, 2)).tolist() if objects else []
