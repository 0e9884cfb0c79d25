"""A preview of a run: its configuration, its data, an image of samples, and its cost on this machine."""

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.text import memory_size, plural
from training.data.mixture import SampleOrder, open_mixture
from training.engine import visualisation
from training.engine.distributed import processes
from training.engine.trainer import open_validation
from training.runs.folder import RunFolder
from training.schema.stage import Stage
from training.tasks.network import AnyBatch, AnyStep, build_network, build_step
from training.tasks.speed import choose_precision

SHOWN = 4  # samples in the image


@dataclass(frozen=True)
class Cost:
    """Cost of a forward and backward pass: seconds and bytes per sample, and bytes that do not depend on samples."""

    seconds: float
    sample: int
    fixed: int


def dry_run(stage: Stage, out: Path, device: str, start: Path | None) -> None:
    """Print the preview; write ``samples.png`` and all settings into the run's folder. Nothing is trained.

    Raises:
        UserError: as in the run itself, for data, settings and weights.
    """
    show_settings(stage, out)
    mixture = open_mixture(stage)
    order = SampleOrder(mixture, stage.iterations, stage.batch, stage.runtime.batch_per_step, stage.curriculum)
    for name, source in mixture.describe().items():
        counts = f"{source['items']} items, {source['samples_per_epoch']} samples an epoch"
        print(f"data {name}: {counts}, from {source['path']}")
    if stage.validation is not None:
        print(f"held out for validation: {sum(len(source) for source in mixture.held_out().sources)} items")
    if validation := open_validation(stage.validation_videos):
        print(
            f"validation: {plural(len(validation.names), 'video')} every {stage.validation_videos.every} iterations"
        )
    print(f"that is {plural(order.epochs, 'epoch')} of {plural(mixture.epoch_length(), 'sample')}")
    began = time.perf_counter()
    samples = mixture.collate([mixture[order.draw(position)] for position in range(SHOWN)])
    loading = (time.perf_counter() - began) / SHOWN
    image = out / "samples.png"
    visualisation.save(image, samples.to(torch.device("cpu")), rows=SHOWN)
    print(f"samples: {image}")
    for text in samples.skipped:
        print(f"skipped: {text}")
    with processes(device) as group:
        cost = measure(stage, samples, group.device, start)
    every, workers = stage.iterations * stage.batch, max(1, stage.runtime.workers)
    print("\n".join(describe(every, workers, cost, loading, order.step, group.device)))


def show_settings(stage: Stage, out: Path) -> None:
    """Print what is trained, and write all settings into ``settings.yaml`` in the run's folder."""
    path = RunFolder(out).settings
    write_atomically(path, stage.to_yaml())
    print(f"{stage.network}: {amount(stage)}")
    print(f"all settings: {path}")


def amount(stage: Stage) -> str:
    """How much is trained: ``300000 iterations of 16 samples of 3 frames at 384``."""
    samples = f"{plural(stage.batch, 'sample')} of {plural(stage.frames, 'frame')} at {stage.size}"
    return f"{plural(stage.iterations, 'iteration')} of {samples}"


def describe(samples: int, workers: int, cost: Cost, loading: float, step: int, device: torch.device) -> list[str]:
    """Lines on memory and time.

    Args:
        samples: number of samples in the whole run, loaded by ``workers`` processes.
        loading: seconds to load a sample in one process.
        step: samples that are computed together.
    """
    needed = cost.fixed + step * cost.sample
    pace = max(cost.seconds, loading / workers)
    slower = "loading is what takes longer; more runtime.workers help" if pace > cost.seconds else "loading keeps up"
    hours = pace * samples / 3600
    return [
        f"memory: {memory_size(cost.fixed)} for weights, gradients and Adam, {memory_size(cost.sample)} a sample; "
        f"{memory_size(needed)} for {step} at once (runtime.batch_per_step)",
        f"time on {device}: {cost.seconds:.3f} s a sample, {loading:.3f} s to load it by one of {workers} workers: "
        f"{slower}",
        f"about {hours:.1f} hours on one such device, without validation",
    ]


def measure(stage: Stage, samples: AnyBatch, device: torch.device, start: Path | None) -> Cost:
    """The cost of a sample, measured with two: S2M's batch norms need two.

    On a CPU, the bytes of a sample are those of the tensors that autograd keeps.
    """
    network = build_network(
        stage.network, stage.model, objects=stage.objects, imagenet=stage.imagenet, seed=stage.seed, start=start
    )
    step = build_step(network, stage.loss, stage.runtime, device, stage.alignment)
    return measure_step(step, samples, device, stage.runtime.precision)


def measure_step(step: AnyStep, samples: AnyBatch, device: torch.device, precision: str) -> Cost:
    """As ``measure``, for a network with its losses on the device."""
    autocast, _ = choose_precision(precision, device)
    two = samples.first(2).to(device)
    weights = sum(p.numel() * p.element_size() for p in step.parameters())
    seconds, saved = 0.0, {}
    own = {p.untyped_storage().data_ptr() for p in step.parameters()}

    def record(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    before = 0
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(2):  # the first pass also prepares kernels and memory
        saved.clear()
        began = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
            with torch.autocast(device.type, autocast, enabled=autocast is not None):
                total, _, _ = step(two, 1.0)
        total.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = (time.perf_counter() - began) / len(two)
    sample = sum(saved.values()) // len(two)
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device) - before
        sample = max(sample, (peak - weights) // len(two))  # gradients are as large as the weights
    return Cost(seconds, sample, 4 * weights)
