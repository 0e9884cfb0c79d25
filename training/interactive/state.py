"""The state of an interactive session, and its file.

A file is an npz archive: ``about`` holds JSON (UTF-8 bytes), ``prob_<frame>``, ``corrected_<frame>`` and
``trusted_<number>`` are arrays (O, h, w) uint16. A frame without the first has no object; an interaction without the
last has the mask that its frame has now.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.errors import UserError
from training.interactive.local_control import Box

FORMAT = "bl30k-session"
VERSION = 1
STEPS = 65535
"""Probabilities are kept as whole numbers of this fraction, exact to 1e-5 in half the space of floats."""

Tool = Literal["scribble", "click", "brush", "mask"]


@dataclass(frozen=True)
class Draft:
    """An interaction that goes on: more strokes or clicks of its kind on its frame, in its box, add to its marks."""

    frame: int
    kind: Tool
    box: Box | None
    base: np.ndarray
    marks: tuple = ()


@dataclass(frozen=True)
class State:
    """Everything that ``undo`` restores. Probabilities of a frame are (O, h, w) uint16, at the padded working size.

    probs: of every frame. trusted: the frames that were propagated from, each with its mask then, in this order; a
    frame may be there more than once. corrected: masks of frames that were interacted with and not propagated yet.
    """

    probs: tuple[np.ndarray, ...]
    trusted: tuple[tuple[int, np.ndarray], ...] = ()
    corrected: Mapping[int, np.ndarray] = field(default_factory=dict)
    draft: Draft | None = None
    rounds: int = 0

    @property
    def interacted(self) -> tuple[int, ...]:
        """The frames that were propagated from, in this order."""
        return tuple(frame for frame, _ in self.trusted)


def pack(prob: Tensor) -> np.ndarray:
    """Probabilities as uint16."""
    return (prob.clamp(0, 1) * STEPS).round().to(torch.int32).cpu().numpy().astype(np.uint16)


def unpack(packed: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """float32 probabilities."""
    return torch.from_numpy(packed.astype(np.int32)).to(device).float() / STEPS


def write_state(path: str | Path, state: State, objects: tuple[int, ...], size: tuple[int, int]) -> None:
    """Write a session's file, whole or not at all. ``size`` is (height, width) of the frames."""
    about = {
        "format": FORMAT,
        "version": VERSION,
        "objects": objects,
        "size": size,
        "frames": len(state.probs),
        "interacted": state.interacted,
        "rounds": state.rounds,
    }
    arrays: dict[str, Any] = {f"prob_{t:05d}": prob for t, prob in enumerate(state.probs) if prob.any()}
    arrays |= {f"corrected_{t:05d}": mask for t, mask in state.corrected.items()}
    outdated = ((n, mask) for n, (t, mask) in enumerate(state.trusted) if mask is not state.probs[t])
    arrays |= {f"trusted_{n:05d}": mask for n, mask in outdated}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    write_atomically(path, buffer.getvalue())


def read_state(path: str | Path, objects: tuple[int, ...], size: tuple[int, int], empty: State) -> State:
    """Read a session's file.

    Args:
        objects, size: of the session that goes on.
        empty: a state of the session, for its number of frames and the shape of their arrays.

    Raises:
        UserError: the file is missing, damaged, or of another video.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            arrays = {name: file[name] for name in file.files if name != "about"}
        if (about["format"], about["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {about['format']}, version {about['version']}")
        interacted, rounds = tuple(map(int, about["interacted"])), int(about["rounds"])
        mine = list(objects), list(size), len(empty.probs)
        theirs = about["objects"], about["size"], about["frames"]
    except OSError as error:
        raise UserError(f"session {path} cannot be read", error.strerror or str(error)) from None
    except (ValueError, KeyError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is no saved session ({error})", "give a file that a session has saved") from None
    for what, own, other in zip(("objects", "frame size", "number of frames"), mine, theirs, strict=True):
        if own != other:
            raise UserError(f"session {path} has the {what} {other}, not {own}", "open the video it was made with")
    shape = empty.probs[0].shape
    for array in arrays.values():
        if array.shape != shape or array.dtype != np.uint16:
            what = f"session {path} was made at the size {array.shape[1:]}, this one works at {shape[1:]}"
            raise UserError(what, "set the same short_side")
    nothing = np.zeros(shape, np.uint16)
    probs = tuple(arrays.get(f"prob_{t:05d}", nothing) for t in range(len(empty.probs)))
    corrected = {int(name[10:]): array for name, array in arrays.items() if name.startswith("corrected_")}
    trusted = tuple((t, arrays.get(f"trusted_{n:05d}", probs[t])) for n, t in enumerate(interacted))
    return State(probs, trusted, corrected, rounds=rounds)
