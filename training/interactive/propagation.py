"""One round of propagation: a corrected frame is propagated in both directions and merged with older results.

A state goes in and a new one comes out (MiVOS, section 3.2); the session calls it and remembers the old state.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from models.fusion import Fusion
from models.propagation import Entry, PropagationNetwork, Query
from training.inference.options import Options
from training.inference.tracker import Tracker, select
from training.interactive.cache import EncodedFrames
from training.interactive.merging import Merge, Merger, give_way
from training.interactive.state import Maps, State, pack, unpack

Direction = Literal["both", "forward", "backward"]
Progress = Callable[[int, Maps], None]
"""Called with the number of each finished frame and its maps. An exception ends the round."""

Memory = Sequence[tuple[list[int], Entry | None]]
"""For each corrected frame, its known objects, in the order of the session's, and its memory of them."""


@dataclass
class Round:
    """A running round: the state that it starts from, and its results so far."""

    before: State
    frame: int
    locked: frozenset[int]
    references: tuple[tuple[int, Maps], ...]
    probs: list[Maps]
    disagreement: dict[int, float]

    @property
    def objects(self) -> tuple[int, ...]:
        return self.before.objects

    @property
    def mask(self) -> Maps:
        """The mask that is propagated."""
        return next(maps for frame, maps in reversed(self.references) if frame == self.frame)

    def bounds(self, frames: range) -> dict[int, int]:
        """For each propagated object, the frame to stop before: a corrected one that knows it, or the end."""
        bounds = {}
        for label in self.objects:
            if label in self.mask.objects and label not in self.locked:
                known = (f for f, maps in self.references if f in frames and label in maps.objects)
                bounds[label] = min(known, key=lambda f: abs(f - frames.start), default=frames.stop)
        return bounds

    def beside(self, older: Tensor, newer: Tensor, moving: list[int], corrected: bool) -> Tensor:
        """Probabilities (1, O, h, w): new ones of the moving objects, older ones of the others.

        Older objects have priority at a pixel if they are locked or the user has corrected the frame; else the moving
        objects have.
        """
        rows = [row for row, label in enumerate(self.objects) if label in moving]
        resting = [row for row in range(len(self.objects)) if row not in rows]
        firm = [row for row in resting if corrected or self.objects[row] in self.locked]
        loose = [row for row in resting if row not in firm]
        result = older.clone()
        result[:, rows] = give_way(newer[:, rows], older[:, firm])
        result[:, loose] = give_way(older[:, loose], result[:, rows])
        return result


class Propagation:
    """Propagates corrected frames of one video with one network; encoded frames are reused.

    Args:
        image: frame number -> (1, 3, h, w), padded.
        fusion: see ``Merger``.
        cache: bytes of encoded frames to keep.
        say: called when the memory budget is reached.
    """

    def __init__(
        self,
        network: PropagationNetwork,
        image: Callable[[int], Tensor],
        fusion: Fusion | Literal["linear", "none"],
        options: Options,
        device: torch.device,
        cache: int,
        say: Callable[[str], None],
    ):
        self.network, self.options, self.device, self.say = network, options, device, say
        self._image = image
        self.encoded = EncodedFrames(self._encode, cache)
        self._merger = Merger(fusion, network, self.encoded, options, device)
        self._reference_entries: list[tuple[Maps, list[int], Entry | None]] = []

    def round(
        self,
        state: State,
        frame: int,
        shown: Maps,
        locked: frozenset[int],
        progress: Progress | None,
        direction: Direction,
        first: int,
        last: int,
    ) -> State:
        """The state after a corrected frame was propagated, up to frames that were corrected before.

        Args:
            shown: the frame's maps with its correction.
            locked: objects that must not change.
            direction, first, last: the direction and the range of frames.
        """
        made = Round(state, frame, locked, state.references, list(state.probs), dict(state.disagreement))
        if frame in state.corrected:
            made.probs[frame] = shown
            made.references = (*state.references, (frame, state.corrected[frame]))
        with torch.inference_mode():
            if direction != "backward":
                self._carry(made, range(frame + 1, last + 1), progress)
            if direction != "forward":
                self._carry(made, range(frame - 1, first - 1, -1), progress)
        return replace(
            state,
            probs=tuple(made.probs),
            references=made.references,
            corrected={f: maps for f, maps in state.corrected.items() if f != frame},
            draft=None,
            rounds=state.rounds + 1,
            disagreement=made.disagreement,
        )

    def _encode(self, frame: int) -> tuple[Tensor, Query]:
        image = self._image(frame)
        with torch.inference_mode():
            return image, Tracker(self.network, self.options).encode(image)

    def _carry(self, made: Round, frames: range, progress: Progress | None) -> None:
        """Propagate to ``frames`` in this order; results go into the round's ``probs`` and ``disagreement``."""
        frame, objects, probs = made.frame, made.objects, made.probs
        bounds = made.bounds(frames)
        reach = max((abs(bound - frame) for bound in bounds.values()), default=0)
        frames = frames[: max(0, reach - 1)]
        if not frames:
            return
        memory = self._memory(made)
        merges = self._merges(made, bounds, memory)
        interacted = {f for f, _ in made.references}
        for t, newer in self._pass(frames, objects, memory):
            moving = [label for label in objects if label in bounds and abs(t - frame) < abs(bounds[label] - frame)]
            prob, apart = newer, 0.0
            for labels, merge in (group for group in merges if group[0][0] in moving):
                rows = [objects.index(label) for label in labels]
                older = unpack(probs[t], labels, self.device).unsqueeze(0)
                apart = max(apart, _disagreement(older, newer[:, rows]))
                if merge and len(rows) == len(objects):
                    prob = merge(t, older, newer)
                elif merge:
                    prob = prob.clone()
                    prob[:, rows] = merge(t, older, newer[:, rows])
            if len(moving) < len(objects):
                older = unpack(probs[t], objects, self.device).unsqueeze(0)
                prob = made.beside(older, prob, moving, t in interacted)
            if apart:
                made.disagreement[t] = apart
            else:
                made.disagreement.pop(t, None)
            probs[t] = pack(prob[0], objects)
            if progress:
                progress(t, probs[t])

    def _merges(self, made: Round, bounds: dict[int, int], memory: Memory) -> list[tuple[list[int], Merge | None]]:
        """The groups of objects that end at the same earlier correction, and the function that merges each group."""
        frame, mask = made.frame, made.mask
        known, entry = memory[max(n for n, (f, _) in enumerate(made.references) if f == frame)]
        assert entry is not None, "the corrected frame knows the objects that its correction moves"
        groups = []
        for bound in sorted(set(bounds.values())):
            if any(f == bound for f, _ in made.references):
                labels = [label for label in made.objects if bounds.get(label) == bound]
                rows = [known.index(label) for label in labels]
                key = select(entry, rows if len(rows) < len(known) else slice(None)).key
                before = made.before.probs[frame]
                groups.append((labels, self._merger.between(bound, frame, before, mask, key, labels)))
        return groups

    def _pass(self, frames: range, objects: Sequence[int], memory: Memory) -> Iterator[tuple[int, Tensor]]:
        """Probabilities (1, O, h, w) of frames in this order before merging; memory frames use these."""
        tracker = Tracker(self.network, self.options, self.say)
        for labels, numbers in _cohorts(objects, memory):
            entries = []
            for known, entry in (memory[n] for n in numbers):
                assert entry is not None, "a frame that knows an object has been memorised"
                rows = [known.index(label) for label in labels]
                entries.append(entry if labels == known else select(entry, rows))
            tracker.add_permanent(Entry.cat(entries), labels)
        order = [tracker.objects.index(label) if label in tracker.objects else None for label in objects]
        plain = order == list(range(len(order)))
        for t in frames:
            image, query = self.encoded[t]
            prob = tracker.segment(query)
            absent = torch.zeros_like(prob[:, :1])
            rows = [absent if row is None else prob[:, row + 1 : row + 2] for row in order]
            yield t, prob[:, 1:] if plain else torch.cat(rows, dim=1)
            if t != frames[-1]:
                tracker.remember(image, query, prob)

    def _memory(self, made: Round) -> Memory:
        """The memory of the corrected frames; entries of earlier rounds are reused."""
        for number, (frame, mask) in enumerate(made.references):
            known = [label for label in made.objects if label in mask.objects]
            if number == len(self._reference_entries) or self._reference_entries[number][:2] != (mask, known):
                entry = None
                if known:
                    image, query = self.encoded[frame]
                    prob = unpack(mask, known, self.device).unsqueeze(0)
                    entry = Tracker(self.network, self.options).memorise(image, query, prob)
                self._reference_entries[number:] = [(mask, known, entry)]
        return [(known, entry) for _, known, entry in self._reference_entries[: len(made.references)]]


def _cohorts(objects: Sequence[int], memory: Memory) -> list[tuple[list[int], list[int]]]:
    """Groups of objects that are known in the same corrected frames, with the indices of these in ``memory``."""
    cohorts: dict[tuple[int, ...], list[int]] = {}
    for label in objects:
        numbers = tuple(n for n, (known, _) in enumerate(memory) if label in known)
        if numbers:
            cohorts.setdefault(numbers, []).append(label)
    return [(labels, list(numbers)) for numbers, labels in cohorts.items()]


def _disagreement(older: Tensor, newer: Tensor) -> float:
    """The largest 1 - IoU over the objects (1, O, h, w)."""
    a, b = older > 0.5, newer > 0.5
    both, either = (a & b).sum((-2, -1)), (a | b).sum((-2, -1))
    return float((1 - both / either.clamp(min=1))[either > 0].max()) if bool((either > 0).any()) else 0.0
