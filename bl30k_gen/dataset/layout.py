"""Names and places of a dataset, in BL30K's layout (as DAVIS and YouTube-VOS have it).

    JPEGImages/<video>/00000.jpg    Annotations/<video>/00000.png    Metadata/<video>.json
    ImageSets/{train,val}.txt       Logs/<video>.jsonl               config.yaml   DATASET.md
    .staging/<video>/<owner>/       a video in the making; there is at most one owner, see cluster/lease.py

A video is published when ``Metadata/<video>.json`` exists: it comes last, by rename. Whatever has no metadata is
not part of the dataset.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bl30k_gen.dataset import files
from bl30k_gen.dataset.metadata import dumps
from bl30k_gen.errors import UserError

RGB, MASK, METADATA, IMAGE_SETS = "JPEGImages", "Annotations", "Metadata", "ImageSets"
FRAME_FOLDERS = {RGB: ".jpg", MASK: ".png"}
SPLITS = ("train", "val")


def frame_name(folder: str, frame: int) -> str:
    """``00000.jpg`` or ``00000.png``."""
    return f"{frame:05d}{FRAME_FOLDERS[folder]}"


@dataclass(frozen=True)
class Layout:
    """The places of a dataset that lies in the folder ``root``.

    ``owner`` is whose staging folders these are: of several workers on one dataset each has a name of its own.
    """

    root: Path
    owner: str = ""

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))

    def rgb(self, name: str, frame: int) -> Path:
        return self.root / RGB / name / frame_name(RGB, frame)

    def mask(self, name: str, frame: int) -> Path:
        return self.root / MASK / name / frame_name(MASK, frame)

    def metadata(self, name: str) -> Path:
        return self.root / METADATA / f"{name}.json"

    def image_set(self, split: str) -> Path:
        return self.root / IMAGE_SETS / f"{split}.txt"

    def log(self, name: str) -> Path:
        return self.root / "Logs" / f"{name}.jsonl"

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def card(self) -> Path:
        return self.root / "DATASET.md"

    @property
    def citation(self) -> Path:
        return self.root / "CITATION.cff"

    def staging(self, name: str) -> Path:
        """Folder of a video in the making."""
        return self.root / ".staging" / name / self.owner

    def staged_scene(self, name: str) -> Path:
        return self.staging(name) / "scene.json"

    def staged_rgb(self, name: str, frame: int) -> Path:
        return self.staging(name) / RGB / frame_name(RGB, frame)

    def staged_mask(self, name: str, frame: int) -> Path:
        return self.staging(name) / MASK / frame_name(MASK, frame)

    def staged_metadata(self, name: str) -> Path:
        return self.staging(name) / "metadata.json"

    def is_published(self, name: str) -> bool:
        return self.metadata(name).exists()

    def published(self) -> list[str]:
        """Names of the published videos, sorted, from one listing of a folder."""
        with contextlib.suppress(FileNotFoundError):
            names = os.listdir(self.root / METADATA)
            return sorted(n.removesuffix(".json") for n in names if n.endswith(".json") and not n.startswith("."))
        return []


def describe_staged(layout: Layout, name: str, frames: int) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each staged frame, by the path that it will have in the dataset.

    Raises:
        UserError: a frame is missing.
    """
    described = {}
    for folder in FRAME_FOLDERS:
        for frame in range(frames):
            path = layout.staging(name) / folder / frame_name(folder, frame)
            try:
                entry = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
            except FileNotFoundError:
                raise UserError(f"{path} is missing", "render the video again") from None
            described[f"{folder}/{name}/{path.name}"] = entry
    return described


def publish(layout: Layout, name: str, metadata: Mapping[str, Any]) -> None:
    """Make a staged video part of the dataset.

    Killed at any point, it is finished by calling it again, or by ``finish_publishing``, which needs no metadata;
    until then no reader sees any of it. A published video of the same name is replaced.

    Raises:
        UserError: a frame that ``metadata["files"]`` lists is not staged, or the disk is full.
    """
    text = dumps(metadata)
    begun = _has_text(layout.staged_metadata(name), text)
    done = _has_text(layout.metadata(name), text) and not (layout.staging(name) / RGB).exists()
    if not begun and not done:
        for folder in FRAME_FOLDERS:
            _keep_only(layout.staging(name) / folder, _frames_listed(metadata, folder, name))
        files.write_atomically(layout.staged_metadata(name), text, parents=False)
    finish_publishing(layout, name)


def finish_publishing(layout: Layout, name: str) -> bool:
    """Go on where ``publish`` was interrupted; to be called before a video is rendered.

    Every step is a rename out of or into the staging folder, so none succeeds for an owner who has lost it; it ends
    with FileNotFoundError then.

    Returns:
        Whether the video is published now. If not, it has yet to be rendered (some of its frames may be staged).
    """
    staged = layout.staged_metadata(name)
    if staged.exists():
        with files.clear_disk_errors(layout.metadata(name)):
            layout.metadata(name).parent.mkdir(parents=True, exist_ok=True)
            replaced = layout.staging(name) / "replaced"
            _move_away(layout.metadata(name), replaced)
            for folder in FRAME_FOLDERS:
                source, target = layout.staging(name) / folder, layout.root / folder / name
                if source.exists():  # or else it was moved already
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _move_away(target, replaced)
                    files.replace(source, target)
            files.replace(staged, layout.metadata(name))
    if not layout.is_published(name):
        return False
    discard_staging(layout, name)
    return True


def discard_staging(layout: Layout, name: str) -> None:
    """Remove what is staged of a video, at one stroke for whoever looks."""
    discarded = layout.root / ".staging" / f".{name}.{layout.owner}.discarded"
    with contextlib.suppress(FileNotFoundError):
        os.rename(layout.staging(name), discarded)
    shutil.rmtree(discarded, ignore_errors=True)


def unpublish(layout: Layout, name: str) -> None:
    """Take a video out of the dataset, so that it is rendered again."""
    layout.metadata(name).unlink(missing_ok=True)
    for folder in FRAME_FOLDERS:
        shutil.rmtree(layout.root / folder / name, ignore_errors=True)


def write_image_sets(layout: Layout) -> dict[str, list[str]]:
    """Bring ``ImageSets/train.txt`` and ``val.txt`` up to date with what is published.

    A video's split stands in its metadata and never changes, so a name that is already listed is not looked up
    again: a call costs two listings and one JSON for each new video. Call it once at the end of a run. Several
    runs may end at once: whoever has written looks again, so the last writer misses nothing.

    Returns:
        The sorted names of each split.

    Raises:
        UserError: the metadata of a new video is damaged, or the disk is full.
    """
    written = True
    while written:
        written = False
        known = {name: split for split in SPLITS for name in read_image_set(layout.image_set(split))}
        splits: dict[str, list[str]] = {split: [] for split in SPLITS}
        for name in layout.published():
            splits[known.get(name) or _split(layout.metadata(name))].append(name)
        for split, names in splits.items():
            text = "".join(f"{name}\n" for name in names)
            path = layout.image_set(split)
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                files.write_atomically(path, text)
                written = True
    return splits


def move_folder(source: Path, target: Path) -> None:
    """Move a folder that may have been moved already, over what an unpublished video may have left there."""
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    files.replace(source, target)


def read_image_set(path: Path) -> list[str]:
    """Names in a list, one a line; a list that does not exist is empty."""
    try:
        return path.read_text(encoding="utf-8").split()
    except FileNotFoundError:
        return []


def _split(path: Path) -> str:
    try:
        split = json.loads(path.read_text(encoding="utf-8"))["split"]
    except (ValueError, KeyError, TypeError):
        split = None
    if split not in SPLITS:
        raise UserError(f"{path} names no split", "it is damaged: run `generate.py verify --repair`")
    return split


def _frames_listed(metadata: Mapping[str, Any], folder: str, name: str) -> set[str]:
    prefix = f"{folder}/{name}/"
    return {path.removeprefix(prefix) for path in metadata["files"] if path.startswith(prefix)}


def _move_away(path: Path, replaced: Path) -> None:
    """Take an earlier version out of the dataset, by a rename into our staging folder."""
    if replaced.is_dir():
        shutil.rmtree(replaced)
    replaced.unlink(missing_ok=True)
    if path.exists():
        files.replace(path, replaced)


def _has_text(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _keep_only(folder: Path, wanted: set[str]) -> None:
    """Remove what an interrupted writer left; raise if a wanted file is not there."""
    present = set(os.listdir(folder)) if folder.exists() else set()
    if missing := sorted(wanted - present):
        raise UserError(f"{folder / missing[0]} is missing", "render the video again")
    for leftover in present - wanted:
        (folder / leftover).unlink()
