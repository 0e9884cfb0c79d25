"""Exports the masks of a session: palette, binary and soft masks, a film, a dataset, other formats, a script."""

import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bl30k_gen.dataset.files import clear_disk_errors, encode_jpeg, rename, write_atomically, write_json
from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.export import run
from bl30k_gen.export.base import Format, format_of
from bl30k_gen.export.target import PRIVATE
from training.inference.film import write_film
from training.inference.video import FrameFolder, Frames, StoredFrames
from training.interactive.session import InteractiveSession

OtherFormat = Literal["coco", "youtube-vis", "burst", "sav"]
What = Literal["masks", "binary", "soft", "overlay", "dataset", "script"] | OtherFormat
KINDS: tuple[str, ...] = tuple(kind for part in get_args(What) for kind in get_args(part) or (part,))
OPACITY = 0.5

Tick = Callable[[int], None]
"""Called with the number of finished frames."""


def export(
    what: What,
    session: InteractiveSession,
    frames: Frames,
    out: Path,
    colours: Mapping[int, tuple[int, int, int]],
    actions: list[dict[str, Any]],
    tick: Tick,
) -> str:
    """Write one kind of export into ``out``, and return one line about it.

    masks: palette PNGs as in DAVIS. binary: a folder of black-and-white PNGs for each object. soft: the same with
    probabilities. overlay: a film. dataset: frames and masks in the layout of ``train.py --data``, without frames
    that have no mask. script: the actions, for ``train.py interact``. Other formats are made from the dataset, as by
    ``generate.py export``.
    """
    if what == "script":
        write_json(out / "script.json", {"objects": [], "short_side": min(session.view.working), "actions": actions})
        return f"{out / 'script.json'}: {len(actions)} actions"
    if what == "overlay":
        return _film(session, frames, out / "overlay.mp4", colours, tick)
    if what == "dataset":
        return _dataset(session, frames, out / "dataset", tick)
    if what in get_args(OtherFormat):
        kind = format_of(what)  # before anything is written: it may need a package
        return f"{_dataset(session, frames, out / 'dataset', tick)}; {_other(kind, out / 'dataset', out / what)}"
    return _masks(what, session, frames, out / what, tick)


def _masks(what: What, session: InteractiveSession, frames: Frames, folder: Path, tick: Tick) -> str:
    count = 0
    for t, name in enumerate(frames.names):
        for path, data in _images(what, session, t):
            write_atomically(folder / path / f"{name}.png", data)
            count += 1
        tick(t + 1)
    if what != "masks":
        _remove_deleted(folder, {str(label) for label in session.objects}, frames.names)
    return f"{folder}: {count} masks"


def _remove_deleted(folder: Path, objects: Set[str], names: Sequence[str]) -> None:
    """Remove the masks of objects that were deleted since an earlier export, and nothing else."""
    for old in folder.iterdir() if folder.is_dir() else ():
        if old.is_dir() and old.name.isdecimal() and old.name not in objects:
            for name in names:
                (old / f"{name}.png").unlink(missing_ok=True)
            with suppress(OSError):  # it holds something of the user's
                old.rmdir()


def _images(what: What, session: InteractiveSession, t: int) -> Iterator[tuple[str, bytes]]:
    """(folder, PNG) of a frame."""
    if what == "masks":
        yield "", encode_mask(session.labels(t))
    elif what == "binary":
        labels = session.labels(t)
        for label in session.objects:
            yield str(label), _grey(np.where(labels == label, 255, 0).astype(np.uint8))
    else:
        for label, prob in zip(session.objects, session.soft(t), strict=True):
            yield str(label), _grey((prob.clip(0, 1) * 255).round().astype(np.uint8))


def _grey(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _film(
    session: InteractiveSession,
    frames: Frames,
    path: Path,
    colours: Mapping[int, tuple[int, int, int]],
    tick: Tick,
) -> str:
    table = np.zeros((256, 3), np.float32)
    for label, colour in colours.items():
        table[label] = colour

    def mixed(t: int) -> NDArray[np.uint8]:
        labels = session.labels(t)[..., None]
        tinted = np.where(labels > 0, (1 - OPACITY) * frames[t] + OPACITY * table[labels[..., 0]], frames[t])
        return tinted.astype(np.uint8)

    count = write_film(path, (mixed(t) for t in range(len(frames))), frames.rate, tick)
    return f"{path}: {count} frames"


def _dataset(session: InteractiveSession, frames: Frames, root: Path, tick: Tick) -> str:
    state, name = session.state, frames.path.stem
    known = [
        t for t in range(len(frames)) if t in state.corrected or t in state.interacted or any(state.probs[t].areas)
    ]
    if not known:
        raise UserError("no frame has a mask yet", "draw one, or propagate")
    for done, t in enumerate(known, 1):
        write_atomically(root / "JPEGImages" / name / f"{frames.names[t]}.jpg", _jpeg(frames, t))
        write_atomically(root / "Annotations" / name / f"{frames.names[t]}.png", encode_mask(session.labels(t)))
        tick(done)
    write_atomically(root / "ImageSets/train.txt", f"{name}\n")
    names = {frames.names[t] for t in known}
    for kind in ("JPEGImages", "Annotations"):  # of an earlier export of more frames
        for file in set((root / kind / name).iterdir()):
            if file.stem not in names:
                file.unlink()
    left = len(frames) - len(known)
    return f"{root}: {len(known)} frames" + (f"; {left} frames without any mask are left out" if left else "")


def _other(kind: Format, dataset: Path, out: Path) -> str:
    """Write the dataset in another format, and replace an earlier export.

    Raises UserError if the disk is full, or the folder is none of an export.
    """
    if out.exists() and not (out / PRIVATE).is_dir():
        raise UserError(f"{out} was not made by an export", "move it away")
    with clear_disk_errors(out), tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as folder:
        summary = run.export(open_dataset(dataset), kind, Path(folder) / out.name)
        shutil.rmtree(out, ignore_errors=True)
        rename(Path(folder) / out.name, out)
    return f"{out}: {summary.files} files"


def _jpeg(frames: Frames, t: int) -> bytes:
    if isinstance(frames, FrameFolder | StoredFrames):
        data = frames.encoded(t)
        if data.startswith(b"\xff\xd8\xff"):  # a JPEG already
            return data
    return encode_jpeg(frames[t], 95, "4:4:4")


def describe_places(out: Path) -> dict[str, str]:
    """The path of each kind of export."""
    names = {"overlay": "overlay.mp4", "script": "script.json"}
    return {what: os.fspath(out / names.get(what, what)) for what in KINDS}
