"""Folders of masks, predicted or true: one folder of PNGs for each video."""

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bl30k_gen.dataset.listing import by_frame
from bl30k_gen.dataset.masks import SAMPLE, MaskFrame, Meaning, Rule, decide, read_mask, read_values, spread
from bl30k_gen.errors import UserError, nearest


class MaskVideo:
    """The masks of one video, read one at a time.

    names: stems of the PNGs in temporal order.

    Args:
        merged: all objects become one, with id 1.
        rule: the mask rule decided over the dataset; None: decided over this video, or ``stated`` by the user.

    Raises UserError if the folder has no PNGs.
    """

    def __init__(self, folder: Path, merged: bool = False, rule: Rule | None = None, stated: Meaning | None = None):
        self.folder = folder
        self.merged = merged
        self.files = by_frame((path.name for path in folder.iterdir()), (".png",), folder) if folder.is_dir() else {}
        self.names = list(self.files)
        if not self.names:
            raise UserError(f"{folder} has no masks", "a video is a folder of PNGs, one for each frame")
        self._rule, self._stated = rule, stated

    @cached_property
    def rule(self) -> Rule:
        """The mask rule."""
        return self._rule or decide((self.path(name) for name in spread(self.names, SAMPLE)), self._stated)

    def path(self, name: str) -> Path:
        return self.folder / self.files.get(name, f"{name}.png")

    def read(self, name: str) -> MaskFrame:
        """Read a mask. Raises UserError if it is missing, damaged, or not of the size of the first."""
        frame = read_mask(self.path(name), self.rule)
        if frame.ids.shape != self.size:
            raise UserError(
                f"{self.path(name)} is {describe_size(frame.ids.shape)}, the first mask {describe_size(self.size)}",
                "all masks of a video have one size",
            )
        return replace(frame, ids=(frame.ids != 0).astype(np.uint8)) if self.merged else frame

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first mask."""
        return read_values(self.path(self.names[0])).shape


def folder_rule(root: Path, videos: Iterable[str], stated: Meaning | None = None) -> Rule:
    """The mask rule of some videos below a folder, see ``masks.decide``."""
    chosen = spread(list(videos), SAMPLE)
    per_video = max(2, SAMPLE // max(1, len(chosen)))
    folders = (MaskVideo(root / name) for name in chosen)
    return decide((video.path(name) for video in folders for name in spread(video.names, per_video)), stated)


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
    for inside in ("Annotations/480p", "Annotations"):
        if (root / inside).is_dir():
            raise UserError(f"{root} is a dataset, not a folder of masks", f"give {root / inside}")
    found = sorted(path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        has_masks = any(path.suffix.lower() == ".png" for path in root.iterdir())
        inside = "holds masks but no video folders" if has_masks else "is empty"
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
