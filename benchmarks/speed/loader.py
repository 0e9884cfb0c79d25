"""Training samples a second from a folder, tar and HDF5 shards, compared with the usual folder loader.

    python -m benchmarks.speed.loader DATASET [--workers 2] [--size 384] [--results docs/results/loader.md]

DATASET is a folder of rendered videos; its shards are made in a temporary folder. The usual loader below follows
published code: each frame's JPEG and PNG are decoded at full size, then cropped and resized, rotated and recoloured
in separate steps, and converted to a normalised float tensor in the worker. All methods draw three frames and two
objects a sample with the augmentation of the stage stcn/bl30k. They alternate in one run, so that the load of the
machine is the same for all; processor time is that of all processes of a turn.
"""

import argparse
import os
import platform
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from benchmarks.page import command, processor_seconds, spread, table
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.writers import ShardFormat
from bl30k_gen.errors import run_entry_point
from models.backbone import MEAN, STD
from training.data.mixture import SampleOrder, loader, open_mixture
from training.schema.stage import Stage, load_stage

BATCH = 8
USUAL = "usual folder loader"
SHARDS: tuple[ShardFormat, ...] = ("tar", "hdf5")


class UsualVideos(Dataset):
    """Three frames of a video in a folder, by PIL and torchvision, with equal seeds for image and mask."""

    def __init__(self, root: Path, size: int, length: int):
        self.root, self.length = root, length
        self.names = sorted(path.name for path in (root / "JPEGImages").iterdir())
        fill = tuple(int(255 * channel) for channel in MEAN)

        def crop(mode: InterpolationMode):
            flip = transforms.RandomHorizontalFlip()
            return transforms.Compose(
                [flip, transforms.RandomResizedCrop((size, size), (0.25, 1), interpolation=mode)]
            )

        def turn(mode: InterpolationMode, fill):
            return transforms.RandomAffine(degrees=15, shear=10, interpolation=mode, fill=fill)

        self.crop_image, self.crop_mask = crop(InterpolationMode.BICUBIC), crop(InterpolationMode.NEAREST)
        self.turn_image = turn(InterpolationMode.BICUBIC, fill)
        self.turn_mask = turn(InterpolationMode.NEAREST, 0)
        jitter, grey = transforms.ColorJitter(0.1, 0.03, 0.03, 0), transforms.RandomGrayscale(0.05)
        self.recolour = transforms.Compose([jitter, grey])
        self.recolour_frame = transforms.ColorJitter(0.01, 0.01, 0.01, 0)
        self.finish = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        name = self.names[index % len(self.names)]
        frames = sorted(path.stem for path in (self.root / "JPEGImages" / name).iterdir())
        start = random.randrange(len(frames) - 2)
        chosen = [start, *sorted(random.sample(range(start + 1, len(frames)), 2))]
        seed, images, masks = random.randrange(2**31), [], []
        for number in chosen:
            own = random.randrange(2**31)
            image = Image.open(self.root / "JPEGImages" / name / f"{frames[number]}.jpg").convert("RGB")
            mask = Image.open(self.root / "Annotations" / name / f"{frames[number]}.png").convert("P")
            image = _seeded(seed, lambda x: self.recolour(self.crop_image(x)), image)
            mask = _seeded(seed, self.crop_mask, mask)
            image = _seeded(own, lambda x: self.recolour_frame(self.turn_image(x)), image)
            mask = _seeded(own, self.turn_mask, mask)
            images.append(self.finish(image))
            masks.append(np.array(mask))
        masks = np.stack(masks)
        labels = [label for label in np.unique(masks[0]) if label != 0]
        targets = np.zeros((3, 2, *masks.shape[1:]), np.float32)
        for number, label in enumerate(random.sample(labels, min(2, len(labels)))):
            targets[:, number] = masks == label
        return {"images": torch.stack(images), "masks": torch.from_numpy(targets)}


def _seeded(seed: int, change, image: Image.Image) -> Image.Image:
    torch.default_generator.manual_seed(seed)  # the only generator of torchvision
    return change(image)


def usual_batches(root: Path, stage: Stage, count: int) -> Iterator[object]:
    dataset = UsualVideos(root, stage.size, count)
    workers = stage.runtime.workers
    yield from DataLoader(dataset, BATCH, num_workers=workers, prefetch_factor=4 if workers else None)


def our_batches(root: Path, stage: Stage, count: int) -> Iterator[object]:
    source = stage.data["bl30k"].model_copy(update={"path": str(root), "split": None})
    stage = stage.model_copy(update={"data": {"bl30k": source}, "batch": BATCH, "iterations": count // BATCH})
    mixture = open_mixture(stage)
    order = SampleOrder(mixture, stage.iterations, stage.batch, stage.runtime.batch_per_step, stage.curriculum)
    for batch in loader(mixture, order, stage.runtime.workers):
        yield batch.to(torch.device("cpu"))  # normalised floats, like those of the usual loader


class Turn(NamedTuple):
    rate: float  # samples a second, after the workers have started
    processor: float  # milliseconds a sample, of all processes


def take_turn(batches: Iterator[object], workers: int, count: int) -> Turn:
    """Load ``count`` samples. The first batch of each worker is not timed: it waits for the worker to start."""
    for _ in range(max(1, workers)):
        next(batches)
    began, before, taken = time.perf_counter(), processor_seconds(), 0
    for _ in batches:
        taken += BATCH
    return Turn(taken / (time.perf_counter() - began), 1000 * (processor_seconds() - before) / count)


def measure(places: dict[str, Path], stage: Stage, samples: int, rounds: int) -> dict[str, list[Turn]]:
    """Run all methods in rounds, each beginning with another method. ``places``: the dataset of each method."""
    turns: dict[str, list[Turn]] = {method: [] for method in places}
    for number in range(rounds):
        methods = list(places)
        for method in methods[number % len(methods) :] + methods[: number % len(methods)]:
            batches = (usual_batches if method == USUAL else our_batches)(places[method], stage, samples)
            turns[method].append(take_turn(batches, stage.runtime.workers, samples))
            print(f"{stage.size} {method}: {turns[method][-1].rate:.1f} samples/s", flush=True)
    return turns


def results_table(turns: dict[str, list[Turn]]) -> str:
    """Markdown table of medians (smallest to largest)."""
    rows = []
    for method, own in turns.items():
        rates = [turn.rate for turn in own]
        processor = [turn.processor for turn in own]
        faster = [turn.rate / usual.rate for turn, usual in zip(own, turns[USUAL], strict=True)]
        less = [usual.processor / turn.processor for turn, usual in zip(own, turns[USUAL], strict=True)]
        rows.append([method, spread(rates, ".1f"), spread(faster), spread(processor, ".0f"), spread(less)])
    columns = ["method", "samples/s", "times the usual one", "processor, ms a sample", "times less"]
    return table(columns, rows)


def report(arguments: argparse.Namespace, shards: Path) -> str:
    store = open_dataset(arguments.dataset)
    for kind in SHARDS:
        pack(store, shards / kind, kind)
    places: dict[str, Path] = {USUAL: store.root, "folder": store.root, **{str(k): shards / k for k in SHARDS}}
    load, tables = os.getloadavg()[0], []
    for size in arguments.size:
        stage = load_stage("stcn/bl30k", [f"size={size}", f"runtime.workers={arguments.workers}"])
        turns = measure(places, stage, arguments.samples, arguments.rounds)
        tables += ["", f"## Crops of {size} x {size}", "", results_table(turns)]
    height, width = store.read_rgb(store.videos[0], 0).shape[:2]
    head = [
        "# Training samples a second",
        "",
        f"`{command()}` on {os.cpu_count()} cores ({platform.machine()}), Python "
        f"{platform.python_version()}, torch {torch.__version__}, load average {load:.0f} at the start and "
        f"{os.getloadavg()[0]:.0f} at the end.",
        "",
        f"{len(store.videos)} rendered videos of {width}x{height}; a sample is three frames and two objects, changed "
        f"as stcn/bl30k says; {arguments.workers} workers, {arguments.rounds} rounds of {arguments.samples} samples, "
        "in turns. Median (smallest to largest); ratios are of turns in the same round.",
    ]
    return "\n".join([*head, *tables]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="folder of rendered videos")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, nargs="+", default=[384, 192], help="sides of the crop")
    parser.add_argument("--samples", type=int, default=240, help="of each method in a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--results", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as shards:
        text = report(arguments, Path(shards))
    print(text)
    if arguments.results:
        write_atomically(arguments.results, text)


if __name__ == "__main__":
    run_entry_point(main)
