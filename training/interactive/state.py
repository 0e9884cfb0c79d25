"""The state of an interactive session, and its file.

A file is an npz archive: ``about`` holds JSON (UTF-8 bytes), ``prob_<frame>``, ``corrected_<frame>`` and
``trusted_<number>`` are arrays (O, h, w) uint16 of the objects that ``about`` lists for them. A frame without
``prob_`` has no object. A reference without ``trusted_`` has the current mask of its frame.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import open_regular, parse_json
from models.clicks import Click
from training.evaluation.scribbles import Stroke
from training.interactive.local_control import Box

FORMAT = "bl30k-session"
VERSION = 2
STEPS = 65535
"""Probabilities are stored as integers from 0 to this: half the space of float32, see ``pack``."""

Tool = Literal["scribble", "click", "brush", "fill", "mask"]


class Maps:
    """Probabilities of some objects in one frame, (O, h, w) uint16 at the padded working size. Immutable.

    objects: their ids, in the order of the rows.
    """

    def __init__(self, objects: Sequence[int], array: NDArray[np.uint16]):
        self.objects = tuple(objects)
        self.nbytes = array.nbytes
        self._array: NDArray[np.uint16] | None = array
        self._read: Callable[[], NDArray[np.uint16]] | None = None

    @property
    def array(self) -> NDArray[np.uint16]:
        if self._array is not None:
            return self._array
        assert self._read is not None
        return self._read()

    def leave_memory(self, read: Callable[[], NDArray[np.uint16]]) -> None:
        """Free the array; from now on each access calls ``read``."""
        _ = self.doubts
        self._read, self._array = read, None

    @classmethod
    def stored(
        cls,
        objects: Sequence[int],
        size: tuple[int, int],
        areas: Sequence[float],
        doubts: Sequence[float],
        read: Callable[[], NDArray[np.uint16]],
    ) -> "Maps":
        """Maps whose array is not in memory; ``read`` returns it."""
        maps = cls(objects, np.zeros((0, *size), np.uint16))
        maps.nbytes = 2 * len(maps.objects) * size[0] * size[1]
        maps._read, maps._array = read, None
        maps.__dict__.update(areas=tuple(areas), doubts=tuple(doubts))
        return maps

    @cached_property
    def areas(self) -> tuple[float, ...]:
        """For each object, the ratio of pixels at which it is likelier than other objects and background."""
        if not self.objects:
            return ()
        return _areas(likeliest(unpack(self, self.objects)), len(self.objects))

    @cached_property
    def doubts(self) -> tuple[float, ...]:
        """Uncertainty of each object: the sum of min(p, 1 - p) divided by its area, from 0 (certain) to 10."""
        doubts = (float(np.minimum(one, STEPS - one).mean(dtype=np.float64)) / STEPS for one in self.array)
        return tuple(min(10.0, doubt / max(area, 1e-6)) for doubt, area in zip(doubts, self.areas, strict=True))


@dataclass(frozen=True)
class Draft:
    """The current interaction; further strokes or clicks of its kind on its frame, in its box, add to its marks.

    marks: strokes, or (object id, click) pairs.
    """

    frame: int
    kind: Tool
    box: Box | None
    base: Maps
    marks: tuple[Stroke | tuple[int, Click], ...] = ()


@dataclass(frozen=True)
class State:
    """The state of a session, which ``undo`` restores.

    objects: ids, in the order of the rows. probs: maps of all frames. references: the frames that were propagated, in
    this order, each with its mask at that time; a frame may occur more than once. corrected: masks of frames that
    were corrected and not propagated yet. waiting: objects that were added during the session and not drawn yet; they
    are unknown in frames that were corrected before. deleted: ids that are not used again. disagreement: for frames
    between two corrected ones, 1 - IoU of the propagations from both sides.
    """

    objects: tuple[int, ...]
    probs: tuple[Maps, ...]
    references: tuple[tuple[int, Maps], ...] = ()
    corrected: Mapping[int, Maps] = field(default_factory=dict)
    draft: Draft | None = None
    rounds: int = 0
    waiting: frozenset[int] = frozenset()
    deleted: frozenset[int] = frozenset()
    disagreement: Mapping[int, float] = field(default_factory=dict)

    @property
    def interacted(self) -> tuple[int, ...]:
        """The frames that were propagated, in this order."""
        return tuple(frame for frame, _ in self.references)


def with_background(prob: Tensor) -> Tensor:
    """(O, h, w) -> (1 + O, h, w): the background has the remaining probability."""
    return torch.cat([(1 - prob.sum(0, keepdim=True)).clamp(min=0), prob])


def likeliest(prob: Tensor) -> Tensor:
    """The likeliest object at each pixel of probabilities (O, h, w): its row plus one (uint8), 0 for background."""
    largest = (1 - prob.sum(0)).clamp(min=0)
    winner = torch.zeros(prob.shape[1:], dtype=torch.uint8, device=prob.device)
    for row, one in enumerate(prob):  # a few rows: several times as fast as torch.max
        winner.masked_fill_(one > largest, row + 1)
        largest = torch.maximum(largest, one)
    return winner


def pack(prob: Tensor, objects: Sequence[int]) -> Maps:
    """Store probabilities (O, h, w) as uint16, with errors up to 2e-5; the likeliest object stays the same.

    Networks leave near ties, most of all between touching objects, with differences below the rounding.
    """
    prob = prob.clamp(0, 1)
    whole = (prob * STEPS).round()
    winner = likeliest(prob)
    while bool((wrong := (apparent := likeliest(whole / STEPS)) != winner).any()):
        # Move a step from the wrong winner to the right one; the background follows from the objects.
        steps = torch.zeros(1 + len(whole), int(wrong.sum()), device=prob.device)
        steps.scatter_(0, apparent[wrong].long().unsqueeze(0), -1)
        steps.scatter_(0, winner[wrong].long().unsqueeze(0), 1)
        whole[:, wrong] = (whole[:, wrong] + steps[1:]).clamp(0, STEPS)
    maps = Maps(objects, whole.to(torch.int32).cpu().numpy().astype(np.uint16))
    maps.__dict__["areas"] = _areas(winner, len(whole))
    return maps


def _areas(winner: Tensor, objects: int) -> tuple[float, ...]:
    """The ratio of pixels of each object in ``likeliest`` (h, w)."""
    counts = torch.bincount(winner.flatten(), minlength=1 + objects)[1:]
    return tuple((counts.double() / winner.numel()).tolist())


def unpack(maps: Maps, objects: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """float32 probabilities (O, h, w) of ``objects``; 0 for objects that the maps lack."""
    prob = torch.from_numpy(maps.array.astype(np.int32)).to(device).float() / STEPS
    if maps.objects == tuple(objects):
        return prob
    wanted = prob.new_zeros(len(objects), *prob.shape[1:])
    for row, label in enumerate(objects):
        if label in maps.objects:
            wanted[row] = prob[maps.objects.index(label)]
    return wanted


def significant(value: float) -> float:
    """An area or a doubt with six digits. Decimals would not do: an object may be a millionth of its frame."""
    return float(f"{value:.6g}")


def nothing(size: tuple[int, int]) -> Maps:
    """The maps of a frame without any object."""
    return Maps((), np.zeros((0, *size), np.uint16))


def write_state(path: str | Path, state: State, size: tuple[int, int]) -> None:
    """Write a session's file atomically. ``size`` is (height, width) of the frames."""
    maps = {f"prob_{t:05d}": prob for t, prob in enumerate(state.probs) if prob.array.any()}
    maps |= {f"corrected_{t:05d}": mask for t, mask in state.corrected.items()}
    outdated = ((n, mask) for n, (t, mask) in enumerate(state.references) if mask is not state.probs[t])
    maps |= {f"trusted_{n:05d}": mask for n, mask in outdated}
    about = {
        "format": FORMAT,
        "version": VERSION,
        "objects": state.objects,
        "waiting": sorted(state.waiting),
        "deleted": sorted(state.deleted),
        "size": size,
        "frames": len(state.probs),
        "interacted": state.interacted,
        "rounds": state.rounds,
        "disagreement": {str(t): value for t, value in state.disagreement.items()},
        "maps": {name: known.objects for name, known in maps.items()},
    }
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: known.array for name, known in maps.items()}
    np.savez_compressed(buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    write_atomically(path, buffer.getvalue())


def read_state(path: str | Path, size: tuple[int, int], empty: State) -> State:
    """Read a session's file.

    Args:
        size: of the frames of the session that continues.
        empty: a state of the session, for its number of frames and the shape of their arrays.

    Raises:
        UserError: the file is missing, damaged, or of another video.
    """
    try:
        with open_regular(path) as opened, np.load(opened, allow_pickle=False) as file:
            about: dict[str, Any] = parse_json(file["about"].tobytes(), path, "give a file that a session has saved")
            if (about["format"], about["version"]) != (FORMAT, VERSION):
                raise ValueError(f"format {about['format']}, version {about['version']}")
            maps = {name: (tuple(map(int, known)), file[name]) for name, known in about["maps"].items()}
        mine = list(size), len(empty.probs)
        theirs = about["size"], about["frames"]
        interacted, rounds = tuple(map(int, about["interacted"])), int(about["rounds"])
        objects = tuple(map(int, about["objects"]))
        waiting, deleted = frozenset(about["waiting"]), frozenset(about["deleted"])
        disagreement = {int(t): float(value) for t, value in about["disagreement"].items()}
    except OSError as error:
        raise UserError(f"session {path} cannot be read", error.strerror or str(error)) from None
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path} is no saved session ({error})", "give a file that a session has saved") from None
    for what, own, other in zip(("frame size", "number of frames"), mine, theirs, strict=True):
        if own != other:
            raise UserError(f"session {path} has the {what} {other}, not {own}", "open the video it was made with")
    shape = empty.probs[0].array.shape[1:]
    for known, array in maps.values():
        if array.shape != (len(known), *shape) or array.dtype != np.uint16:
            what = f"session {path} was made at the size {array.shape[1:]}, this one works at {shape}"
            raise UserError(what, "set the same short_side")
    read = {name: Maps(known, array) for name, (known, array) in maps.items()}
    absent = nothing(shape)
    probs = tuple(read.get(f"prob_{t:05d}", absent) for t in range(len(empty.probs)))
    corrected = {int(name[10:]): array for name, array in read.items() if name.startswith("corrected_")}
    references = tuple((t, read.get(f"trusted_{n:05d}", probs[t])) for n, t in enumerate(interacted))
    return State(objects, probs, references, corrected, None, rounds, waiting, deleted, disagreement)
