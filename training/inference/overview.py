"""A film and a contact sheet of a segmented video, for a quick visual check."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bl30k_gen.dataset import preview
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import MaskFrame, decide, read_mask
from training.evaluation.captions import EMPTY, note
from training.inference.film import write_film
from training.inference.video import FrameFolder, StoredFrames, VideoFile

FILM, SHEET = "overlay.mp4", "contact_sheet.jpg"
SHOWN, COLUMNS, WIDTH = 12, 6, 240
"""Frames in a contact sheet, frames in a row, and the width of each in pixels."""


def write_overview(
    frames: FrameFolder | StoredFrames | VideoFile, names: list[str], out: Path, say: Callable[[str], None]
) -> None:
    """Write a film and a contact sheet of ``frames`` with the masks in ``out``, into ``out``, and say where.

    Frames without any object are marked in both, and counted.

    Args:
        names: of the masks, one for each frame.

    Raises:
        UserError: a frame or mask cannot be read, or an image cannot be written.
    """
    rule = decide([out / f"{names[0]}.png"], "ids")
    shown = set(np.linspace(0, len(names) - 1, min(SHOWN, len(names))).round().astype(int).tolist())
    tiles: list[preview.Tile] = []
    empty: list[str] = []

    def images() -> Iterator[NDArray[np.uint8]]:
        for number, (name, frame) in enumerate(zip(names, frames, strict=True)):
            mask = read_mask(out / f"{name}.png", rule)
            if not mask.ids.any():
                empty.append(name)
            if number in shown:
                small_frame, small_mask = preview.shrink(frame, mask, WIDTH)
                tiles.append(preview.Tile(name, small_frame, _marked(small_frame, small_mask)))
            yield _marked(frame, mask)

    write_film(out / FILM, images(), frames.rate)
    sheet = preview.tiled(frames.path.name, tiles, COLUMNS, WIDTH)
    write_atomically(out / SHEET, preview.encode_sheet(sheet, out / SHEET))
    if empty:
        say(f"{out}: {len(empty)} of {len(names)} masks are empty, no object was found; the first is {empty[0]}.png")
    say(f"{out / FILM}")
    say(f"{out / SHEET}")


def _marked(frame: NDArray[np.uint8], mask: MaskFrame) -> NDArray[np.uint8]:
    """The frame with its mask, or with the note ``EMPTY``."""
    return preview.overlay(frame, mask) if mask.ids.any() else note(frame, EMPTY)
