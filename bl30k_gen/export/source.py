"""The source of an export: the videos of a dataset, each with its split and its number."""

import functools
import json
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from bl30k_gen.dataset import files
from bl30k_gen.dataset.derived import Annotated
from bl30k_gen.dataset.layout import IMAGE_SETS, METADATA, SPLITS
from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.dataset.trees import FolderTree
from bl30k_gen.errors import UserError, nearest
from bl30k_gen.remote import Place

DEFAULT_SPLIT = "train"

Ids = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoEntry:
    """One video of an export."""

    name: str
    split: str
    number: int  # from 0 within the export; ids in the written files are derived from it


class SourceVideo:
    """The frames, masks and metadata of a video, read on demand."""

    def __init__(self, store: VideoStore, entry: VideoEntry):
        self._store = store
        self.name, self.split, self.number = entry.name, entry.split, entry.number

    @property
    def source(self) -> Place:
        """The dataset's path, for error messages."""
        return self._store.path

    @functools.cached_property
    def frames(self) -> list[str]:
        """Names of the frames without suffix, in order."""
        return self._store.frames(self.name)

    @functools.cached_property
    def annotated(self) -> list[int]:
        """Numbers of the frames that have a mask. Raises UserError where there is none."""
        frames = self._store.mask_frames(self.name)
        if not frames:
            raise UserError(f"{self.source}: video {self.name} has no mask", "name the other videos with --video")
        return frames

    @functools.cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels, of the first frame."""
        height, width = self.rgb(0).shape[:2]
        return height, width

    def file_name(self, i: int) -> str:
        """The stored file name of frame number ``i``, e.g. ``00000.jpg``."""
        return PurePosixPath(self._store.rgb_path(self.name, i)).name

    def rgb(self, i: int) -> npt.NDArray[np.uint8]:
        """(H, W, 3) uint8 sRGB of frame number ``i``."""
        return self._store.read_rgb(self.name, i)

    def rgb_bytes(self, i: int) -> bytes:
        """The encoded frame number ``i``, as stored."""
        return self._store.rgb_bytes(self.name, i)

    def ids(self, i: int) -> Ids:
        """(H, W) object ids of frame number ``i``; void becomes background.

        Raises UserError where the mask has another size than the video.
        """
        mask = self._store.read_mask(self.name, i)
        if mask.ids.shape != self.size:
            raise UserError(
                f"{self.source}: the mask of {self.name}/{self.frames[i]} is {_text(mask.ids.shape)} pixels, "
                f"its video {_text(self.size)}",
                "scale one of them",
            )
        if mask.void is not None:
            _warn_of_void(self.source)
        return mask.ids

    def mask_bytes(self, i: int) -> bytes:
        """The mask of frame number ``i`` as a palette PNG of object ids; void becomes background.

        Those of this project are the stored bytes. Raises UserError where the frame has no mask.
        """
        return self._store.mask_bytes(self.name, i) if self.recorded else encode_mask(self.ids(i))

    @functools.cached_property
    def recorded(self) -> dict[str, Any] | None:
        """The video's metadata, or None where the dataset has none."""
        return self._store.metadata(self.name)

    @property
    def metadata(self) -> dict[str, Any]:
        """The video's metadata. Raises UserError where the dataset has none."""
        if self.recorded is None:
            raise UserError(
                f"{self.source} has no {METADATA}/{self.name}.json",
                "this format needs cameras and poses, which only datasets rendered by this project have",
            )
        return self.recorded

    @property
    def derived(self) -> Annotated:
        """The reader of annotations, used as ``video.derived.read_depth(video.name, 0)``."""
        return self._store

    def place_frame(self, i: int, path: Path) -> None:
        """Put frame number ``i`` at ``path``: a hard link to the file in the dataset if possible, else a copy.

        A link takes no space, and is safe because published frames never change.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        tree = self._store.tree
        if isinstance(tree, FolderTree):
            try:
                os.link(os.path.realpath(tree.root / self._store.rgb_path(self.name, i)), path)
                return
            except OSError:  # another file system, or one without links
                pass
        path.write_bytes(self.rgb_bytes(i))

    def place_metadata(self, folder: Path) -> None:
        """Copy the video's metadata to ``folder``, if the dataset has any."""
        path = f"{METADATA}/{self.name}.json"
        if self._store.tree.exists(path):
            folder.mkdir(exist_ok=True)
            (folder / f"{self.name}.json").write_bytes(self._store.tree.read(path))


def entries(store: VideoStore, names: Sequence[str] | None, lists: str | None = None) -> list[VideoEntry]:
    """The videos to export, numbered in the order of the dataset.

    Args:
        names: only these videos; None: all.
        lists: the folder in ``ImageSets`` that has the lists, such as ``2017``; None: the only one.

    Raises:
        UserError: a name is unknown, there is no video, or the lists of a split cannot be used.
    """
    wanted = set(store.videos if names is None else names)
    if unknown := sorted(wanted - set(store.videos)):
        remedy = nearest(unknown[0], store.videos, "`generate.py info` counts what is there")
        raise UserError(f"{store.path} has no video {unknown[0]}", remedy)
    chosen = [name for name in store.videos if name in wanted]
    if not chosen:
        raise UserError(f"{store.path} has no finished video", "there is nothing to export")
    splits, unlisted = _splits(store, lists), 0
    for name in chosen:
        if name not in splits:
            metadata = store.metadata(name)
            splits[name] = DEFAULT_SPLIT if metadata is None else str(metadata["split"])
            unlisted += metadata is None
    if unlisted:
        log.warning("%s: %d videos are in no list; they go to split %s", store.path, unlisted, DEFAULT_SPLIT)
    return [VideoEntry(name, splits[name], number) for number, name in enumerate(chosen)]


def fingerprint(store: VideoStore, entry: VideoEntry) -> list[str | int]:
    """Name, split and number of a video, and the digest of its metadata or sizes: all that its export depends on."""
    members = store.members(entry.name)
    metadata = f"{METADATA}/{entry.name}.json"
    content = store.tree.read(metadata) if metadata in members else json.dumps(members).encode()
    return [entry.name, entry.split, entry.number, files.sha256_bytes(content)]


def by_split(videos: Sequence[VideoEntry]) -> Iterator[tuple[str, list[VideoEntry]]]:
    """(split, its videos); train and val first, other splits in alphabetical order."""
    splits = {video.split for video in videos}
    for split in sorted(splits, key=lambda s: (s not in SPLITS, SPLITS.index(s) if s in SPLITS else 0, s)):
        yield split, [video for video in videos if video.split == split]


def _splits(store: VideoStore, lists: str | None) -> dict[str, str]:
    """``{video: split}`` from the dataset's lists of train and val videos. Raises UserError as ``entries``."""
    split_of: dict[str, str] = {}
    for split in SPLITS:
        found = [path for path in store.image_set_paths() if path.endswith(f"/{split}.txt")]
        if len(found) > 1 and lists is None and f"{IMAGE_SETS}/{split}.txt" not in found:
            folders = ", ".join(PurePosixPath(path).parent.name for path in found)
            raise UserError(f"{store.path} has several lists {split} in {IMAGE_SETS}", f"give --lists: {folders}")
        if found or lists is not None:
            split_of |= dict.fromkeys(store.image_set(f"{lists}/{split}" if lists else split), split)
    return split_of


@functools.cache
def _warn_of_void(source: Path) -> None:  # cached: once for each dataset
    log.warning("%s: void pixels of its masks are exported as background", source)


def _text(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
