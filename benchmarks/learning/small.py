"""What the benchmarks with small networks share: stages, training, scaled datasets, plots and pages."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.page import command, load, machine, publish
from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.seeding import rng
from models import checkpoint
from models.backbone import widen_stem
from models.stcn import STCN
from models.stm import STM
from training.data.mixture import SampleOrder, loader, open_mixture
from training.engine.distributed import processes
from training.engine.trainer import Trainer
from training.schema.stage import Stage, load_stage
from training.tasks.network import build_network, build_step

PRESET = Path(__file__).with_name("small.yaml")
RESAMPLES = 2000
"""Number of bootstrap samples of an interval."""


def small_stage(
    name: str, data: Mapping[str, Path], iterations: int, seed: int, *overrides: str, preset: Path = PRESET
) -> Stage:
    """A stage of a small propagation network.

    The learning rate falls to a tenth for the last quarter. Sources that are not in ``data`` are left out. From the
    middle of the run the loss counts only the hardest pixels. Crops of videos are taken at about the size of the
    samples, so that they are not scaled down as whole frames would be.
    """
    sources = load_stage(name).data
    left_out = [f"data.{source}.weight=0" for source in sources if source not in data]
    crops = [f"data.{source}.crop_scale=[0.1, 0.5]" for source in data if sources[source].kind == "videos"]
    schedule = [
        f"iterations={iterations}",
        f"seed={seed}",
        f"optimiser.decay_at=[{max(1, 3 * iterations // 4)}]",
        f"loss.warm_up=[{iterations // 4}, {iterations // 2}]",
    ]
    places = [f"{source}={path}" for source, path in data.items()]
    return load_stage(name, [*left_out, *crops, *schedule, *overrides], places, preset=str(preset))


def train(stage: Stage, out: Path, start: Path | None = None) -> Path:
    """Run a stage on the processor, or resume it; returns ``out``, which then has its network."""
    print(f"--- {out}: {stage.network}, {stage.iterations} iterations of {stage.batch}", flush=True)
    with processes("cpu") as group:
        Trainer(stage, out, group, start).run()
    return out


@torch.no_grad()
def calibrated(stage: Stage, out: Path, batches: int = 8) -> Path:
    """Write a random network of the stage, whose batch norms have the statistics of some samples.

    Training freezes the stored means and variances, which usually come from ImageNet. Without ImageNet they would be
    zeros and ones, and activations would grow from block to block. The weights of the masks' channels have the same
    scale relative to those of the image as in a stem that was widened from ImageNet's.
    """
    if out.exists():
        return out
    network = build_network(stage.network, stage.model, objects=stage.objects, seed=stage.seed)
    assert isinstance(network, STM | STCN)
    stem = (network.memory_encoder if isinstance(network, STM) else network.value_encoder.resnet).conv1
    stem.weight.copy_(widen_stem(stem.weight[:, :3].clone(), stem.in_channels))
    step = build_step(network, stage.loss, stage.runtime, torch.device("cpu"), stage.alignment)
    for module in network.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.train().momentum = None  # a plain mean over the batches
    mixture = open_mixture(stage)
    order = SampleOrder(mixture, batches, stage.batch, stage.runtime.batch_per_step, stage.curriculum)
    for batch in loader(mixture, order, 0):
        step(batch.to(torch.device("cpu")), 1.0)
    out.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(network, out)
    return out


def shrink(
    dataset: Path,
    out: Path,
    short_side: int,
    quality: int = 95,
    subsampling: str = "4:4:4",
    names: Sequence[str] | None = None,
) -> Path:
    """A copy of a dataset whose frames have this short side, with its lists; complete or not there.

    Args:
        quality, subsampling: of its JPEGs.
        names: of the videos that are taken; all, with the lists, if None.
    """
    if out.exists():
        return out
    store, staged = open_dataset(dataset), Layout(out.with_name(f".{out.name}.part"))
    for name in store.videos if names is None else names:
        for number in store.mask_frames(name):
            rgb, ids = Image.fromarray(store.read_rgb(name, number)), store.read_mask(name, number).ids
            factor = short_side / min(rgb.size)
            width, height = (round(side * factor) for side in rgb.size)
            size = width, height
            small = files.encode_jpeg(np.asarray(rgb.resize(size, Image.Resampling.BICUBIC)), quality, subsampling)
            files.write_atomically(staged.rgb(name, number), small)
            mask = np.asarray(Image.fromarray(ids).resize(size, Image.Resampling.NEAREST))
            files.write_atomically(staged.mask(name, number), encode_mask(mask))
    for path in store.image_set_paths() if names is None else ():
        files.write_atomically(staged.root / path, store.tree.read(path))
    files.replace(staged.root, out)
    return out


def write_page(out: Path, title: str, lines: Sequence[str], load_before: float) -> None:
    """Write a page of ``docs/results``: the command, the machine, and the results."""
    where = f"{machine('torch')}, one thread, load (processes a processor) {load_before:.1f} at the start"
    head = [f"# {title}", "", f"`{command()}` on {where} and {load():.1f} at the end.", ""]
    publish("\n".join([*head, *lines]), out)


def axes_of(width: float, height: float, **settings) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot(**settings)
    axes.grid(alpha=0.3)
    return figure, axes


def save(figure: Figure, out: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    files.write_atomically(out, buffer.getvalue())


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of values (seeds, videos) over both axes."""
    random, (seeds, videos) = rng(0, "bootstrap"), values.shape
    means = [
        values[random.integers(seeds, size=seeds)][:, random.integers(videos, size=videos)].mean()
        for _ in range(RESAMPLES)
    ]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def spread(values: np.ndarray, sign: str = "") -> str:
    """Mean and ``interval`` as text. sign: "+" writes the sign of positive numbers."""
    low, high = interval(values)
    return f"{values.mean():{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f})"


def stills(renders: Path, out: Path) -> Path:
    """Write the frames of the training videos with their masks as still images, by rename; kept if ``out`` exists."""
    if out.exists():
        return out
    store, staged = open_dataset(renders), Layout(out.with_name(f".{out.name}.part"))
    for name in store.image_set("train"):
        for number in store.mask_frames(name):
            files.write_atomically(staged.rgb(name, number), store.rgb_bytes(name, number))
            files.write_atomically(staged.mask(name, number), store.mask_bytes(name, number))
    files.replace(staged.root, out)
    return out
