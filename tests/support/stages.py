"""What a training stage describes, built from its fields: its network, and the order of its samples."""

from pathlib import Path

from models.checkpoint import Network
from training.data.mixture import Mixture, SampleOrder
from training.schema.stage import Stage
from training.tasks.network import build_network


def network_of(stage: Stage, start: Path | None = None) -> Network:
    """The network that a run of the stage begins with."""
    return build_network(
        stage.network, stage.model, objects=stage.objects, imagenet=stage.imagenet, seed=stage.seed, start=start
    )


def order_of(stage: Stage, mixture: Mixture, first: int = 0, rank: int = 0, world: int = 1) -> SampleOrder:
    """The order of the samples of a run of the stage."""
    steps = stage.runtime.batch_per_step
    return SampleOrder(mixture, stage.iterations, stage.batch, steps, stage.curriculum, first, rank, world)
