"""Estimates the time of a recipe on this machine: each kind of work is timed on a few samples or frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bl30k_gen.dataset.reader import VideoStore
from models.backbone import prepare_for_inference
from models.fusion import Fusion
from models.propagation import PropagationNetwork
from training.data.mixture import SampleOrder, open_mixture
from training.data.sample import FusionBatch
from training.engine.dry_run import measure, measure_step
from training.inference.propagate import propagate
from training.schema.stage import Stage
from training.tasks.fusion import FusionStep
from training.tasks.network import build_network, freeze_batchnorm

TIMED_FRAMES = 3


@dataclass
class Pace:
    """Seconds per sample and per frame on this machine. Networks have random weights, as training has not begun.

    stages: {folder of the run: stage}.
    """

    device: torch.device
    stages: Mapping[Path, Stage]
    _samples: dict[str, float] = field(default_factory=dict)  # results by kind of work
    _frames: dict[tuple[Path, str], float] = field(default_factory=dict)

    def sample(self, stage: Stage) -> float:
        """Seconds for a sample of a stage, forward and backward."""
        key = f"{stage.network} {stage.model} {stage.objects} {stage.frames} {stage.size} {stage.runtime}"
        if key not in self._samples:
            self._samples[key] = self._time_fusion(stage) if stage.network == "fusion" else self._time_samples(stage)
        return self._samples[key]

    def frame(self, network: Path, store: VideoStore, video: str) -> float:
        """Seconds for a frame of a video in propagation from its first mask. ``network`` is the folder of a run."""
        key = network, str(store.path)
        if key not in self._frames:
            numbers = range(min(TIMED_FRAMES, len(store.frames(video))))
            frames = [(number, store.read_rgb(video, number)) for number in numbers]
            first = store.read_mask(video, store.mask_frames(video)[0]).ids
            built = prepare_for_inference(self._propagation(network))
            times = [result.seconds for result in propagate(built, frames, {0: first}, say=lambda text: None)]
            self._frames[key] = times[-1]  # the first ones also prepare kernels and memory
        return self._frames[key]

    def _time_samples(self, stage: Stage) -> float:
        mixture = open_mixture(stage)
        order = SampleOrder(mixture, stage.iterations, stage.batch, stage.runtime.batch_per_step, stage.curriculum)
        samples = mixture.collate([mixture[order.draw(position)] for position in range(2)])
        return measure(_untrained(stage), samples, self.device, None).seconds

    def _time_fusion(self, stage: Stage) -> float:
        """Time random images: the fusion set may not exist yet."""
        network = build_network(stage.network, stage.model, objects=stage.objects)
        assert isinstance(network, Fusion)
        aligning = Path(stage.alignment) if stage.alignment else None
        alignment = self._propagation(aligning) if aligning is not None and aligning in self.stages else None
        if network.config.difference_aware and alignment is None:
            return measure(stage, _random_samples(stage), self.device, None).seconds  # with existing weights
        step = FusionStep(freeze_batchnorm(network), alignment).to(self.device)
        return measure_step(step, _random_samples(stage), self.device, stage.runtime.precision).seconds

    def _propagation(self, network: Path) -> PropagationNetwork:
        stage = self.stages[network]
        built = build_network(stage.network, stage.model, objects=stage.objects)
        assert isinstance(built, PropagationNetwork)
        return built.to(self.device)


def _untrained(stage: Stage) -> Stage:
    return stage.model_copy(update={"imagenet": "none"})


def _random_samples(stage: Stage) -> FusionBatch:
    """A batch of two samples with random images and masks."""
    size, objects = stage.size, stage.objects

    def noise(channels: int) -> torch.Tensor:
        return torch.randint(0, 256, (2, channels, size, size), dtype=torch.uint8)

    return FusionBatch(
        image=noise(3),
        reference=noise(3),
        older=noise(objects),
        newer=noise(objects),
        before=noise(objects),
        after=noise(objects),
        true=noise(objects),
        distance=torch.full((2, 2), 0.5),
        present=torch.ones(2, objects).bool(),
    )
