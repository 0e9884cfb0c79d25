"""Folders of masks, one folder of PNGs for each video, as predictions and ground truth come on disk."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bl30k_gen.dataset.masks import MaskFrame, White, read_mask, white_meaning
from bl30k_gen.errors import UserError, nearest


class MaskVideo:
    """The masks of one video, read one at a time by the mask rule.

    names: stems of the PNGs in temporal order. ``merged`` makes one object, id 1, of all. Raises UserError if the
    folder has no PNGs.
    """

    def __init__(self, folder: Path, merged: bool = False):
        self.folder = folder
        self.merged = merged
        self.names = [path.stem for path in sorted(folder.glob("*.png"), key=frame_order)]
        if not self.names:
            raise UserError(f"{folder} has no masks", "a video is a folder of PNGs, one for each frame")

    @cached_property
    def white(self) -> White:
        """What 255 means in this video."""
        return white_meaning(self.path(name) for name in self.names)

    def path(self, name: str) -> Path:
        return self.folder / f"{name}.png"

    def read(self, name: str) -> MaskFrame:
        """Raises UserError if the mask is missing, damaged, or not of the size of the first."""
        frame = read_mask(self.path(name), self.white)
        if frame.ids.shape != self.size:
            raise UserError(
                f"{self.path(name)} is {describe_size(frame.ids.shape)}, the first mask {describe_size(self.size)}",
                "all masks of a video have one size",
            )
        return replace(frame, ids=(frame.ids != 0).astype(np.uint8)) if self.merged else frame

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first mask."""
        return read_mask(self.path(self.names[0])).ids.shape


def object_ids(ids: np.ndarray) -> set[int]:
    """The objects of a label map."""
    return {int(label) for label in np.unique(ids)} - {0}


def describe_size(shape: tuple[int, int]) -> str:
    """``854x480`` for (480, 854)."""
    return f"{shape[1]}x{shape[0]}"


def find_videos(root: Path, subset: Iterable[str] | None = None) -> list[str]:
    """Names of the video folders under ``root``: all of them, or those of ``subset`` in its order.

    Raises UserError if the folder is missing or has no videos, or lacks one of the subset.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{root} is no folder", "give the folder that holds one folder of masks for each video")
    found = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        inside = "holds masks but no video folders" if any(root.glob("*.png")) else "is empty"
        raise UserError(f"{root} {inside}", "give the folder that holds one folder of masks for each video")
    if subset is None:
        return found
    subset = list(subset)
    for name in subset:
        if name not in found:
            hint = nearest(name, found, f"it has {len(found)} others, such as {found[0]}")
            raise UserError(f"{root} has no video {name}", hint)
    if not subset:
        raise UserError("the list of videos is empty", "name at least one video, or give no list to take all")
    return subset


def frame_order(path: Path) -> tuple[int, str]:
    """Numbered frames by their number, whether padded with zeros or not."""
    return (int(path.stem) if path.stem.isdecimal() else -1, path.stem)
