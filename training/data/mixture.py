"""Samples of weighted sources in a fixed order: sample n of a run is the same for any number of workers and GPUs."""

import hashlib
import multiprocessing
import os
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bl30k_gen.errors import UserError
from bl30k_gen.seeding import rng
from training.data import transforms
from training.data.fusion import FusionSet
from training.data.images import Images
from training.data.interactions import Interactions
from training.data.sample import Batch, FusionBatch, S2MBatch, Sample
from training.data.sampling import largest_distance
from training.data.unusable import Unusable
from training.data.videos import Videos
from training.schema.data import AnySource, Curriculum, FusionSource, VideoSource
from training.schema.stage import Stage

REPLACEMENTS = 20
"""Other items that are tried instead of a damaged one."""

Source = Images | Interactions | Videos | FusionSet


class Draw(NamedTuple):
    """One sample to make: its place in the order, the item, and the largest distance between two frames."""

    epoch: int
    number: int  # in the epoch
    source: int
    item: int
    distance: int


def open_mixture(stage: Stage) -> "Mixture":
    """The sources of a stage. Raises UserError if one has no path, is missing or is empty, or if there are none."""
    batches: dict[str, type[Batch | FusionBatch | S2MBatch]] = {"fusion": FusionBatch, "s2m": S2MBatch}
    sources = {name: _open(name, source, stage) for name, source in stage.sources.items()}
    return Mixture(sources, batches.get(stage.network, Batch), stage.seed)


class Mixture(Dataset):
    """Several sources as one dataset, indexed by ``Draw``.

    All randomness of a sample comes from the seed, the epoch and the number in the epoch. A damaged file is skipped:
    another item is used instead, and the sample names the file in ``skipped``.

    Args:
        sources: by name; the weight of each is that of its configuration.
        batch: the class of the batches.
    """

    def __init__(self, sources: Mapping[str, Source], batch: type[Batch | FusionBatch | S2MBatch], seed: int):
        self.seed = seed
        self.names, self.sources = list(sources), list(sources.values())
        self.weights = [source.source.weight for source in self.sources]
        self.collate: Callable[[Sequence[Any]], Batch | FusionBatch | S2MBatch] = batch.collate
        if not self.sources:
            raise UserError("the stage has no data", "give a source a weight above 0")

    def __getitem__(self, draw: Draw) -> Sample | FusionBatch | S2MBatch:
        source, item = self.sources[draw.source], draw.item
        skipped: list[str] = []
        for attempt in range(REPLACEMENTS):
            stream = rng(self.seed, "sample", draw.epoch, draw.number, attempt)
            try:
                sample = source.draw(item, stream, draw.distance)
            except Unusable as error:
                reason = UserError(str(error), "leave the source out, or give it more")
            except UserError as error:
                skipped.append(str(error))
                reason = error
            else:
                if isinstance(sample, Sample):
                    return replace(sample, skipped=tuple(skipped))
                return replace(sample, skipped=skipped)
            item = int(stream.integers(len(source)))
        raise reason

    def held_out(self) -> "Mixture":
        """The images that ``validation`` holds out; sources of other data have none."""
        other = copy(self)
        other.seed = int(rng(self.seed, "validation").integers(2**62))
        other.sources = [source.held_out() for source in self.sources if isinstance(source, Images | Interactions)]
        return other

    def epoch_length(self) -> int:
        """Samples in an epoch."""
        return sum(self._counts())

    def order(self, epoch: int) -> np.ndarray:
        """(epoch_length, 2): source and item of each sample of an epoch, shuffled.

        A weight of 2.5 takes every item twice, and a random half of them once more.
        """
        rows = []
        for number, (source, count) in enumerate(zip(self.sources, self._counts(), strict=True)):
            copies, rest = divmod(count, len(source))
            some = rng(self.seed, "copies", epoch, number).permutation(len(source))[:rest]
            items = np.concatenate([np.tile(np.arange(len(source)), copies), some])
            rows.append(np.stack([np.full(count, number), items], 1))
        joined = np.concatenate(rows)
        return joined[rng(self.seed, "order", epoch).permutation(len(joined))]

    def describe(self) -> dict[str, dict[str, float | str]]:
        """What each source holds; the digest is of the names of its items."""
        rows: dict[str, dict[str, float | str]] = {}
        for name, source, count in zip(self.names, self.sources, self._counts(), strict=True):
            digest = hashlib.sha256("\n".join(source.names).encode()).hexdigest()
            path = str(source.source.path)
            rows[name] = {"path": path, "items": len(source), "samples_per_epoch": count, "digest": digest}
        return rows

    def _counts(self) -> list[int]:
        return [max(1, round(w * len(s))) for w, s in zip(self.weights, self.sources, strict=True)]


class SampleOrder:
    """The order of a run's samples: a list of ``Draw`` for each step of a process.

    Iteration i takes the samples i * batch to (i + 1) * batch of the run, for any number of processes. Each process
    takes an equal part of them, in steps of at most ``batch_per_step``. The curriculum's distance is part of each
    draw, so that it changes at the first sample of an epoch without new workers.

    Args:
        iterations: of the whole run.
        batch: samples of an iteration, over all processes.
        first: the iteration to begin with.
        rank, world: number of this process, and of how many.

    Raises UserError if the processes cannot share a batch equally.
    """

    def __init__(
        self,
        mixture: Mixture,
        iterations: int,
        batch: int,
        batch_per_step: int,
        curriculum: Curriculum | None,
        first: int = 0,
        rank: int = 0,
        world: int = 1,
    ):
        self.mixture, self.iterations, self.batch, self.curriculum = mixture, iterations, batch, curriculum
        self.first, self.rank = first, rank
        self.share = samples_per_process(batch, world)
        self.step = max(n for n in range(1, self.share + 1) if self.share % n == 0 and n <= batch_per_step)
        self.epochs = -(-iterations * batch // mixture.epoch_length())
        self._orders: OrderedDict[int, np.ndarray] = OrderedDict()

    @property
    def steps(self) -> int:
        """Steps of a process in an iteration."""
        return self.share // self.step

    def __iter__(self) -> Iterator[list[Draw]]:
        for iteration in range(self.first, self.iterations):
            start = iteration * self.batch + self.rank * self.share
            for offset in range(0, self.share, self.step):
                yield [self.draw(start + offset + i) for i in range(self.step)]

    def draw(self, position: int) -> Draw:
        """Sample number ``position`` of the run."""
        epoch, number = divmod(position, self.mixture.epoch_length())
        if epoch not in self._orders:
            self._orders[epoch] = self.mixture.order(epoch)
            while len(self._orders) > 2:
                self._orders.popitem(last=False)
        source, item = self._orders[epoch][number].tolist()
        return Draw(epoch, number, source, item, largest_distance(self.curriculum, epoch, self.epochs))


def samples_per_process(batch: int, world: int) -> int:
    """Samples that each process takes of a batch. Raises UserError if they cannot be shared equally."""
    if batch % world:
        raise UserError(f"batch {batch} cannot be shared by {world} processes", "choose a multiple")
    return batch // world


class Steps(Dataset):
    """Batches of a mixture, by lists of ``Draw``. A UserError is returned: torch would lose it on its way."""

    def __init__(self, mixture: Mixture):
        self.mixture = mixture

    def __getitem__(self, draws: list[Draw]) -> Batch | FusionBatch | S2MBatch | UserError:
        try:
            return self.mixture.collate([self.mixture[draw] for draw in draws])
        except UserError as error:
            return error


def loader(
    mixture: Mixture, order: SampleOrder, workers: int, pin_memory: bool = False
) -> Iterator[Batch | FusionBatch | S2MBatch]:
    """uint8 batches in the order's steps. Raises UserError if a sample cannot be made."""
    batches = DataLoader(
        Steps(mixture),
        batch_size=None,
        sampler=order,
        num_workers=workers,
        pin_memory=pin_memory,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_begin_worker,
        generator=torch.Generator(),  # else a resumed run, which begins again here, would shift the random numbers
    )
    return map(_batch_or_raise, iter(batches))


def _batch_or_raise(batch: Batch | FusionBatch | S2MBatch | UserError) -> Batch | FusionBatch | S2MBatch:
    if isinstance(batch, UserError):
        raise batch
    return batch


def _begin_worker(worker: int) -> None:
    """One thread. Signals reach all processes of a terminal or job; workers run until the trainer ends them."""
    transforms.opencv()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none, and no batch system either
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        trainer = multiprocessing.parent_process()
        assert trainer is not None and trainer.pid is not None  # a worker has one
        threading.Thread(target=_end_with, args=(trainer.pid,), daemon=True).start()


def _end_with(trainer: int) -> None:
    """End this worker when the trainer sends SIGTERM, and not when Slurm sends it to every process of a job.

    The trainer still has an iteration to finish then, and a worker that died would end it with an error.
    """
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)


def _open(name: str, source: AnySource, stage: Stage) -> Source:
    if source.path is None:
        remedy = f"give --data {name}=PATH, or leave it out: --set data.{name}.weight=0"
        raise UserError(f"source {name} has no path", remedy)
    if isinstance(source, FusionSource):
        return FusionSet(source, stage.augmentation, stage.size)
    if isinstance(source, VideoSource):
        return Videos(source, stage.augmentation, stage.frames, stage.objects, stage.size)
    held_out = stage.validation.share if stage.validation else 0.0
    if stage.network == "s2m":
        assert stage.scribbles is not None  # a stage of S2M has them
        return Interactions(source, stage.augmentation, stage.scribbles, stage.size, held_out)
    return Images(source, stage.augmentation, stage.frames, stage.size, held_out)
