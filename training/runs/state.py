"""Training states in files, written with a digest that is checked when they are read."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import open_regular
from models import checkpoint
from models.backbone import load_tensors

FORMAT, VERSION = "bl30k-training", 2
_REMEDY = "remove it, and the run continues from the one before"


def write_state(state: dict[str, Any], path: Path) -> None:
    """Write a state with its digest atomically. Raises OSError, e.g. if the disk is full."""
    content = {"format": FORMAT, "version": VERSION, **state}
    checkpoint.write({**content, "digest": digest(content)}, path)


def read_state(path: Path) -> dict[str, Any]:
    """Read a training state without executing anything.

    Raises:
        UserError: the file is no state, is damaged, has an impossible iteration, or weights that are not finite.
    """
    try:
        with open_regular(path) as file:
            state = load_tensors(file)
    except UserError:
        raise
    except Exception as error:  # zip, pickle and archive errors have no common base
        raise UserError(f"{path} is no readable training state ({type(error).__name__})", _REMEDY) from None
    if not isinstance(state, dict) or state.get("format") != FORMAT or state.get("version") != VERSION:
        raise UserError(f"{path} is no training state of this version", _REMEDY)
    if state.pop("digest", None) != digest(state):
        raise UserError(f"{path} was changed or damaged after it was written", _REMEDY)
    iteration = state.get("iteration")
    if not isinstance(iteration, int) or iteration < 0 or not isinstance(state.get("network"), dict):
        raise UserError(f"{path} is of iteration {iteration}", _REMEDY)
    if (wrong := checkpoint.not_finite(state["network"])) is not None:
        raise UserError(f"{path} has weights that are no numbers ({wrong})", _REMEDY)
    return state


def digest(state: dict[str, Any]) -> str:
    """SHA-256 of the contents of a state."""
    running = hashlib.sha256()
    for piece in _pieces(state):
        running.update(piece)
    return running.hexdigest()


def _pieces(value: Any) -> Iterator[bytes]:
    if isinstance(value, dict):
        yield b"{%d" % len(value)
        for key, inner in value.items():
            yield repr(key).encode()
            yield from _pieces(inner)
    elif isinstance(value, (list, tuple)):
        yield b"[%d" % len(value)
        for inner in value:
            yield from _pieces(inner)
    elif isinstance(value, torch.Tensor):
        yield f"{value.dtype}{tuple(value.shape)}".encode()
        flat = value.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            yield flat.view(torch.uint8).numpy().tobytes()
    else:
        yield repr(value).encode()
