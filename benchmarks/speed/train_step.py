"""Training steps a second compared with a plain float32 step; both must give the same losses.

    python -m benchmarks.speed.train_step --size 192 --batch 2 [--results docs/results/train_step.md]
    python -m benchmarks.speed.train_step --device cuda --dtype bfloat16 --set runtime.compile=true

The plain step is STCN's as published code has it: frame by frame and object by object, in float32. Ours is that of
``train.py run stcn/bl30k``: all frames encoded as one batch, objects batched, features of the image computed once,
and the options of ``--set runtime...``. Both are whole iterations with backward pass and Adam, on drawn discs. They
begin with the same weights, get the same batches, and alternate.
"""

import copy
import functools
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck

from benchmarks.page import command, load, machine, parser_of, publish, spread, table
from bl30k_gen.errors import run_entry_point
from models.propagation import Entry, PropagationNetwork, Query
from models.stcn import STCN
from training.data.sample import Batch
from training.schema.stage import Stage, load_stage
from training.tasks.losses import bootstrapped_cross_entropy
from training.tasks.network import build_network, build_step
from training.tasks.propagation import decode, masks_of
from training.tasks.speed import choose_precision

PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
FRACTION = 0.5
"""Of the pixels that the loss counts: as in the middle of the warm-up."""


def discs(stage: Stage, seed: int, device: torch.device) -> Batch:
    """A batch of samples of two discs that move over noise."""
    generator = torch.Generator().manual_seed(seed)
    shape, size = (stage.batch, stage.frames, stage.objects), stage.size
    place = torch.arange(size).float()
    start = size * (0.3 + 0.4 * torch.rand(*shape[:1], 1, *shape[2:], 2, generator=generator))
    move = size * 0.1 * torch.randn(*shape, 2, generator=generator)
    radius = size * (0.1 + 0.1 * torch.rand(*shape[:1], 1, *shape[2:], generator=generator))
    x, y = (start + move).unbind(-1)
    distance = (place - x[..., None, None]) ** 2 + (place[:, None] - y[..., None, None]) ** 2
    masks = distance < radius[..., None, None] ** 2
    masks[:, :, 1:] &= ~masks[:, :, :1]
    images = 0.3 * torch.randn(stage.batch, stage.frames, 3, size, size, generator=generator)
    images += masks.float().sum(2, keepdim=True) * torch.randn(stage.batch, 1, 3, 1, 1, generator=generator)
    return Batch(
        images=images.to(device),
        masks=masks.float().to(device),
        void=torch.zeros(stage.batch, stage.frames, size, size, dtype=torch.bool, device=device),
        present=torch.ones(stage.batch, stage.objects, dtype=torch.bool, device=device),
        given=masks[:, 0].float().to(device),
    )


def plain_loss(network: STCN, batch: Batch) -> Tensor:
    """The stage's loss, computed frame by frame and object by object."""
    labels, total = batch.labels, batch.images.new_zeros(())
    memory: list[list[Entry]] = []
    masks, last = batch.given, batch.images.shape[1] - 1
    for t in range(last + 1):
        image = batch.images[:, t]
        query = network.encode_query(image)
        if t:
            logits = decode(network, _read(network, memory, query), query, batch.present)
            total = total + bootstrapped_cross_entropy(logits, labels[:, t], batch.present, FRACTION).mean()
            masks = masks_of(logits)
        if t < last:
            memory.append(_remember(network, image, query, masks))
    return total


def _remember(network: STCN, image: Tensor, query: Query, masks: Tensor) -> list[Entry]:
    """The memory entries of a frame, one for each object."""
    entries = []
    for number in range(masks.shape[1]):
        own = masks[:, number : number + 1]
        others = masks.sum(1, keepdim=True) - own
        value = network.value_encoder(torch.cat([image, own, others], 1), query.f16)
        entries.append(Entry(query.key[:, None, :, None], value[:, None, :, None]))
    return entries


def _read(network: STCN, memory: list[list[Entry]], query: Query) -> Tensor:
    return torch.cat([network.read(Entry.cat(list(entries)), query) for entries in zip(*memory, strict=True)], 1)


class Variant:
    """A network with its optimiser and its loss, and the seconds and losses of its iterations."""

    def __init__(self, network: PropagationNetwork, loss: Callable[[Batch], Tensor], stage: Stage):
        self.network, self.loss = network, loss
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.optimiser = torch.optim.Adam(self.parameters, stage.optimiser.learning_rate)
        self.device = self.parameters[0].device
        self.seconds: list[float] = []
        self.losses: list[float] = []

    def iterate(self, batch: Batch) -> None:
        began = self._now()
        self.optimiser.zero_grad(set_to_none=True)
        loss = self.loss(batch)
        loss.backward()
        self.optimiser.step()
        self.seconds.append(self._now() - began)
        self.losses.append(loss.item())

    def _now(self) -> float:
        """Seconds: wall time on a GPU, processor time of this process on a shared processor."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            return time.perf_counter()
        return time.process_time()


def random_network(stage: Stage) -> PropagationNetwork:
    """A network whose residual blocks begin as identities: with other random weights activations overflow."""
    network = build_network(stage.network, stage.model, objects=stage.objects, seed=stage.seed)
    assert isinstance(network, PropagationNetwork)
    for module in network.modules():
        if isinstance(module, Bottleneck | BasicBlock):
            nn.init.zeros_((module.bn3 if isinstance(module, Bottleneck) else module.bn2).weight)
    return network


def plain_variant(stage: Stage, network: PropagationNetwork, device: torch.device) -> Variant:
    """The plain step of STCN or RDE; the stage's options of ``runtime`` are not used."""
    runtime = stage.runtime.model_copy(update={"channels_last": False, "compile": False, "checkpointing": False})
    plain = build_step(network, stage.loss, runtime, device).network
    assert isinstance(plain, STCN)
    return Variant(plain, functools.partial(plain_loss, plain), stage)


def own_variant(stage: Stage, network: PropagationNetwork, device: torch.device, dtype: str) -> Variant:
    step = build_step(network, stage.loss, stage.runtime, device)
    autocast, _ = choose_precision(PRECISIONS[dtype], device)

    def loss(batch: Batch) -> Tensor:
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            return step(batch, FRACTION)[0]

    return Variant(network, loss, stage)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--dtype", default="float32", choices=[*PRECISIONS], help="of our step's autocast")
    parser.add_argument("--size", type=int, default=384, help="side of the crop")
    parser.add_argument("--batch", type=int, default=8, help="samples a step")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each variant")
    parser.add_argument("--warm-up", type=int, default=3, help="steps before the timed ones")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    arguments = parser.parse_args()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        parser.error(f"PyTorch {torch.__version__} finds no GPU here: leave --device out")
    torch.set_num_threads(1)
    device, before = torch.device(arguments.device), load()
    settings = [f"size={arguments.size}", f"batch={arguments.batch}", "imagenet=none", "optimiser.learning_rate=1e-4"]
    stage = load_stage("stcn/bl30k", [*settings, *arguments.overrides])
    network = random_network(stage)
    variants = {
        "plain": plain_variant(stage, copy.deepcopy(network), device),
        "ours": own_variant(stage, network, device, arguments.dtype),
    }
    for number in range(arguments.warm_up + arguments.steps):
        batch = discs(stage, number, device)
        for variant in variants.values():
            variant.iterate(batch)
    timed = {label: variant.seconds[arguments.warm_up :] for label, variant in variants.items()}
    ratios = [plain / ours for plain, ours in zip(timed["plain"], timed["ours"], strict=True)]
    apart = max(abs(a - b) / a for a, b in zip(variants["plain"].losses, variants["ours"].losses, strict=True))
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "one thread"
    clock = "wall clock" if device.type == "cuda" else "processor time"
    lines = [
        "# Training steps a second",
        "",
        f"`{command()}` on {name}, {machine('torch')}, load {before:.1f} processes a processor.",
        "",
        f"STCN with ResNet-50, {stage.batch} samples of {stage.frames} frames and {stage.objects} objects, crops of "
        f"{stage.size}; {arguments.steps} steps of each way in turns, by {clock}: median (smallest to largest).",
        "",
    ]
    rows = []
    for label, seconds in timed.items():
        gain = ratios if label == "ours" else [1.0]
        rows.append([label, spread([1 / s for s in seconds], ".3f"), spread(gain)])
    first, last = variants["plain"].losses[0], variants["plain"].losses[-1]
    lines += [
        table(("way", "steps a second", "times the plain one"), rows),
        "",
        f"The losses differ by at most {apart:.1e} of their value over {len(variant.losses)} steps, which bring them "
        f"from {first:.3f} to {last:.3f}.",
    ]
    publish("\n".join(lines), arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
