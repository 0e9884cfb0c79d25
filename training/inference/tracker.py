"""Follows objects through the frames of one view in one direction, and manages their memory and its budget.

Objects whose first masks are in the same frame form a cohort with its own memory, because memories differ in length.
A labelled frame enters the memory of every object (as in the YouTube-VOS code of Mask-Propagation, STCN and RDE;
their DAVIS code is the case of one cohort).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bl30k_gen.text import memory_size
from models.aggregate import aggregate
from models.policy import GrowingMemory, RecurrentMemory
from models.propagation import Entry, PropagationNetwork, Query
from training.inference.options import Options, autocast, new_memory


@dataclass
class Cohort:
    """Objects that share a memory."""

    objects: tuple[int, ...]
    memory: GrowingMemory | RecurrentMemory


class Tracker:
    """For each frame, call ``segment``, then ``label`` if masks are given, else ``remember``.

    Tensors may hold a batch of mirrored frames. Objects lie along the second dimension, in the order of ``objects``.
    """

    def __init__(self, network: PropagationNetwork, options: Options, say: Callable[[str], None] = print):
        self.network, self.options, self.say = network, options, say
        self.memory_every = options.memory_every
        self.cohorts: list[Cohort] = []
        self._since_memory = 0  # frames since the last permanent one

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids of the objects that are followed."""
        return tuple(label for cohort in self.cohorts for label in cohort.objects)

    def encode(self, image: Tensor) -> Query:
        """Encode image (B, 3, h, w)."""
        with autocast(self.options, image.device):
            return self.network.encode_query(image)

    def memorise(self, image: Tensor, query: Query, masks: Tensor) -> Entry:
        """Encode a frame with masks (B, O, h, w) as memory."""
        with autocast(self.options, image.device):
            return self.network.encode_memory(image, query, masks)

    def segment(self, query: Query) -> Tensor:
        """Probabilities (B, 1 + O, h, w), background first."""
        with autocast(self.options, query.key.device):
            readouts = [
                self.network.read(cohort.memory.memory(), query, self.options.reading) for cohort in self.cohorts
            ]
            logits = self.network.decode(torch.cat(readouts, dim=1), query)
        return aggregate(logits.float().sigmoid())

    def add_permanent(self, entry: Entry, objects: Sequence[int]) -> None:
        """Follow new ``objects`` from labelled frames, which are permanent memory."""
        cohort = Cohort(tuple(objects), new_memory(self.network, self.options))
        with autocast(self.options, entry.key.device):
            cohort.memory.start(entry)
        self.cohorts.append(cohort)
        self._since_memory = 0

    def label(self, image: Tensor, query: Query, masks: Tensor, given: Collection[int]) -> None:
        """Add a frame with masks (B, O, h, w) to memory, some of them given by the user.

        Rows of ``masks`` are ``objects``, then the new ids in ``given``. For objects whose mask is not given, the
        frame is an ordinary memory frame.
        """
        entry = self.memorise(image, query, masks)
        with autocast(self.options, image.device):
            for cohort, own in self._split(entry):
                if any(label in given for label in cohort.objects):
                    cohort.memory.start(own)
                else:
                    cohort.memory.add(own)
        new = [label for label in given if label not in self.objects]
        if new:
            self.add_permanent(select(entry, slice(len(self.objects), len(self.objects) + len(new))), new)
        self._since_memory = 0
        self._keep_budget()

    def remember(self, image: Tensor, query: Query, prob: Tensor) -> None:
        """Add a segmented frame, prob (B, 1 + O, h, w), to memory: each ``memory_every``-th permanently.

        The others are added temporarily with the option ``previous``, and not at all without it.
        """
        self._since_memory += 1
        permanent = self._since_memory >= self.memory_every
        if not permanent and not self.options.previous:
            return
        entry = self.memorise(image, query, prob[:, 1:])
        with autocast(self.options, image.device):
            for cohort, own in self._split(entry):
                cohort.memory.add(own, permanent)
        if permanent:
            self._since_memory = 0
            self._keep_budget()

    def _split(self, entry: Entry) -> Iterator[tuple[Cohort, Entry]]:
        """Each cohort with the rows of its objects in an entry."""
        row = 0
        for cohort in self.cohorts:
            yield cohort, select(entry, slice(row, row + len(cohort.objects)))
            row += len(cohort.objects)

    def _keep_budget(self) -> None:
        growing = [cohort.memory for cohort in self.cohorts if isinstance(cohort.memory, GrowingMemory)]
        if sum(memory.nbytes for memory in growing) <= self.options.memory_budget:
            return
        if any([memory.thin() for memory in growing]):
            self.memory_every *= 2
            budget = memory_size(self.options.memory_budget)
            self.say(f"memory budget of {budget} reached: memory_every is {self.memory_every} from here on")


def select(entry: Entry, rows: slice | list[int]) -> Entry:
    """The entry of some of the objects; a key that all objects share stays whole."""
    key = entry.key if entry.key.shape[1] == 1 else entry.key[:, rows]
    return Entry(key, entry.value[:, rows])
