"""What a run would do: its numbers, its data, a picture of its samples, and what a sample costs here."""

import resource
import sys
import time
from pathlib import Path

import torch
from PIL import Image

from bl30k_gen.dataset.files import clear_disk_errors
from training import pictures
from training.config import Stage
from training.data.mixture import Mixture, Order
from training.distributed import processes
from training.trainer import AnyBatch, build_network, build_step, choose_precision

SHOWN = 4


def dry_run(stage: Stage, out: Path, device: str, start: Path | None) -> None:
    """Print all that, and write ``samples.png`` into the run's folder. Nothing is trained.

    Raises:
        UserError: as the run itself would, for data, numbers and weights.
    """
    print(stage.to_yaml())
    mixture = Mixture(stage)
    order = Order(mixture, stage)
    for name, source in mixture.describe().items():
        counts = f"{source['items']} items, {source['samples_per_epoch']} samples an epoch"
        print(f"data {name}: {counts}, from {source['path']}")
    if stage.validation is not None:
        print(f"held out for validation: {sum(len(source) for source in mixture.held_out().sources)} items")
    print(
        f"{order.epochs} epochs of {mixture.epoch_length()} samples; {stage.iterations} iterations of {stage.batch}"
    )
    began = time.perf_counter()
    samples = mixture.collate([mixture[order.draw(position)] for position in range(SHOWN)])
    loading = (time.perf_counter() - began) / SHOWN
    picture = out / "samples.png"
    with clear_disk_errors(picture):
        out.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pictures.show(samples.to(torch.device("cpu")), rows=SHOWN)).save(picture)
    print(f"samples: {picture}")
    for text in samples.skipped:
        print(f"passed over: {text}")
    with processes(device) as group:
        seconds, memory = cost_of_a_sample(stage, samples, group.device, start)
        hours = seconds * stage.batch * stage.iterations / 3600
        print(
            f"on {group.device}: {seconds:.2f} s for a sample, {memory:.1f} GiB for a step of two, "
            f"{loading:.2f} s to load it in one worker; about {hours:.1f} hours on one such device"
        )


def cost_of_a_sample(
    stage: Stage, samples: AnyBatch, device: torch.device, start: Path | None
) -> tuple[float, float]:
    """Seconds of a forward and backward pass for each of two samples, and the peak of memory in GiB.

    Two, because S2M's batch norms need them.
    """
    step = build_step(stage, build_network(stage, start), device)
    autocast, _ = choose_precision(stage.runtime.precision, device)
    two = samples.first(2).to(device)
    seconds = 0.0
    for _ in range(2):  # the first one also prepares kernels and memory
        began = time.perf_counter()
        with torch.autocast(device.type, autocast, enabled=autocast is not None):
            total, _, _ = step(two, 1.0)
        total.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = (time.perf_counter() - began) / len(two)
    if device.type == "cuda":
        return seconds, torch.cuda.max_memory_allocated(device) / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
