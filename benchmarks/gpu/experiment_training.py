"""How ``benchmarks.gpu.experiment`` trains: sizes, the network, the stages, and an arm with its optimiser."""

import copy
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from benchmarks.gpu.resident import Sampler
    from models.propagation import PropagationNetwork
    from training.schema.stage import Stage

MODEL = {"backbone": "resnet18", "memory_backbone": "resnet18", "value_dim": 256}
"""The published widths except the values', which have 512 channels: that network takes 66 MB in half precision."""
HARDEST_FRACTION = 0.6
"""Of the pixels of videos, the hardest, that the loss counts, as in benchmarks/learning/small.yaml."""


@dataclass(frozen=True)
class ExperimentSizes:
    """Sizes of the experiment.

    rate: the learning rate; it grows linearly over the first ``rate_warm_up`` iterations. timed: iterations that warm
    the device up, and iterations after them whose speed is measured. max_iterations: of a turn; None for what the
    time allows. scored_frames: of each video; None for all.
    """

    crop: int = 224
    batch: int = 16
    turns: int = 4
    rate: float = 2e-4
    rate_warm_up: int = 100
    timed: int = 20
    max_iterations: int | None = None
    model: dict[str, Any] = field(default_factory=lambda: MODEL)
    scored_frames: int | None = None


DRY_EXPERIMENT = ExperimentSizes(
    crop=64,
    batch=2,
    turns=2,
    rate_warm_up=1,
    timed=1,
    max_iterations=1,
    model={"backbone": "resnet18", "memory_backbone": "resnet18", "key_dim": 16, "value_dim": 16, "decoder_dim": 16},
    scored_frames=4,
)


class Trained(NamedTuple):
    """What a call of ``Arm.train`` did. losses: means of up to ten consecutive parts."""

    iterations: int
    seconds: float
    losses: list[float]

    @property
    def rate(self) -> float:
        """Iterations a second."""
        return self.iterations / self.seconds


class Arm:
    """A network with its optimiser and the number of its iterations.

    steps: of the optimiser. iterations: of all turns. diverged: whether a loss was not finite.
    """

    def __init__(self, network: "PropagationNetwork", rate: float, rate_warm_up: int):
        import torch

        self.network = network.train().to(memory_format=torch.channels_last)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        fused = True if self.device.type == "cuda" else None
        self.optimiser = torch.optim.Adam(self.parameters, rate, weight_decay=1e-7, fused=fused)
        self.rate, self.rate_warm_up = rate, rate_warm_up
        self.steps = 0
        self.iterations = 0
        self.diverged = False

    def copy(self) -> "Arm":
        """A deep copy of the network, the optimiser and the counts."""
        other = Arm(copy.deepcopy(self.network), self.rate, self.rate_warm_up)
        other.optimiser.load_state_dict(copy.deepcopy(self.optimiser.state_dict()))
        other.steps, other.iterations, other.diverged = self.steps, self.iterations, self.diverged
        return other

    def train(
        self, sampler: "Sampler", stage: "Stage", iterations: int, progress: tuple[float, float], deadline: float
    ) -> Trained:
        """Train for a number of iterations, or until the deadline.

        Args:
            progress: of the arm's training, 0 to 1, at the first and after the last iteration.
            deadline: as ``time.time()`` tells; later iterations are left out.
        """
        import torch

        from training.tasks.propagation import TrainingStep, run

        step = TrainingStep(self.network, stage.loss)
        fraction = HARDEST_FRACTION if stage.objects > 1 else 1.0
        began, losses = time.time(), []
        for number in range(iterations):
            if time.time() > deadline:
                break
            at = progress[0] + (progress[1] - progress[0]) * number / iterations
            self.steps += 1
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * min(1.0, self.steps / self.rate_warm_up) * (1.0 if at < 0.8 else 0.2)
            batch = sampler.batch(at)
            self.optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                total, _ = step.losses(run(self.network, batch), batch, fraction)
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimiser.step()
            losses.append(total.detach())
        self.iterations += len(losses)
        values = torch.stack(losses).float().cpu() if losses else torch.zeros(0)
        means = [part.mean().item() for part in values.chunk(10)] if len(values) else []
        self.diverged = self.diverged or not all(math.isfinite(mean) for mean in means)
        return Trained(len(losses), time.time() - began, means)


def new_network(sizes: ExperimentSizes, seed: int, device: str) -> "PropagationNetwork":
    """STCN with random weights, whose batch norms are trained: without ImageNet, on batches of 48 frames."""
    import torch

    from models import checkpoint
    from models.backbone import widen_stem
    from models.stcn import STCN

    torch.manual_seed(seed)
    network = checkpoint.build("stcn", {**sizes.model, "multi_object": True})
    assert isinstance(network, STCN)
    stem = network.value_encoder.resnet.conv1
    with torch.no_grad():
        stem.weight.copy_(widen_stem(stem.weight[:, :3].clone(), stem.in_channels))
    return network.to(device)


def stages(sizes: ExperimentSizes, seed: int) -> dict[str, "Stage"]:
    """The published stages for still images, renders and real videos, at this size: their augmentation and loss."""
    from training.schema.stage import load_stage

    common = [f"size={sizes.crop}", f"batch={sizes.batch}", f"seed={seed}", "imagenet=none"]
    sources = {"static": ("static", "fss"), "renders": ("bl30k", "bl30k"), "real": ("vos", "davis")}
    found = {}
    for name, (stage, source) in sources.items():
        whole = load_stage(f"stcn/{stage}", common)
        only = {source: whole.data[source].model_copy(update={"path": "in memory"})}
        if name != "static":
            only[source] = only[source].model_copy(update={"crop_scale": (0.1, 0.7)})  # frames are small already
        found[name] = whole.model_copy(update={"data": only})
    return found
