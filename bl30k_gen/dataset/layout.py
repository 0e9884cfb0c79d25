"""File names of a dataset in the layout of BL30K, which is that of DAVIS and YouTube-VOS; publishing of videos.

    JPEGImages/<video>/00000.jpg    Annotations/<video>/00000.png    Metadata/<video>.json
    ImageSets/{train,val}.txt       Logs/<video>.jsonl               config.yaml   DATASET.md
    .staging/<video>/<owner>/       a video that is being rendered; it has one owner, see render/output/lease.py

A video is published when ``Metadata/<video>.json`` exists: it is the last file, and appears by rename. A video
without metadata is not part of the dataset.

A dataset may be rendered into shards instead (``runtime.store``), which hold the first three folders:

    Shards/<shard>.tar (or .h5)               a finished shard, its index beside it
    Shards/.published/<video>                 a link whose text is <split>/<shard>; the last step, by rename
    Shards/.staging/<shard>/<owner>/          a partial shard, see dataset/partial_shard.py
    Shards/.unfinished/<video>.tar            the frames so far of a video whose rendering was stopped
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bl30k_gen.dataset import files
from bl30k_gen.dataset.listing import video_names
from bl30k_gen.dataset.metadata import dumps
from bl30k_gen.dataset.modalities import MASK, MODALITIES, RGB
from bl30k_gen.dataset.names import checked_name, is_name
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import holds, read_bytes, read_json

METADATA, IMAGE_SETS = "Metadata", "ImageSets"
SPLITS = ("train", "val")
SHARDS = "Shards"
PARTIAL = "part.tar"  # the file of a partial shard


def frame_name(folder: str, frame: int) -> str:
    """``00000.jpg`` or ``00000.png``."""
    return MODALITIES[folder].file_name(frame)


@dataclass(frozen=True)
class StagingArea:
    """The staging folders of unfinished videos or shards: ``.staging/<name>/<owner>/`` for one called ``name``."""

    root: Path
    owner: str = ""  # unique name of the worker to which these staging folders belong

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))

    @property
    def staging_root(self) -> Path:
        """The folder of all staging folders."""
        return self.root / ".staging"

    def home(self, name: str) -> Path:
        """The parent of the owner's staging folder, which may be removed. Raises UserError for an invalid name."""
        return self.staging_root / checked_name(name, self.root)

    def staging(self, name: str) -> Path:
        """The owner's staging folder of a video or shard. Raises UserError as ``home``."""
        return self.home(name) / self.owner


@dataclass(frozen=True)
class Layout(StagingArea):
    """Paths in a dataset whose folder is ``root``."""

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

    def staged_scene(self, name: str) -> Path:
        return self.staging(name) / "scene.json"

    def staged_frame(self, folder: str, name: str, frame: int) -> Path:
        """A staged frame of the modality ``folder``."""
        return self.staging(name) / folder / frame_name(folder, frame)

    def staged_rgb(self, name: str, frame: int) -> Path:
        return self.staged_frame(RGB, name, frame)

    def staged_mask(self, name: str, frame: int) -> Path:
        return self.staged_frame(MASK, name, frame)

    def staged_metadata(self, name: str) -> Path:
        return self.staging(name) / "metadata.json"

    @property
    def shards(self) -> "ShardLayout":
        """Layout of the shards that videos are rendered into, with the same owner."""
        return ShardLayout(self.root / SHARDS, self.owner)

    def is_published(self, name: str) -> bool:
        """Whether a video is part of the dataset, as files or in a shard."""
        return self.metadata(name).exists() or os.path.lexists(self.shards.marker(name))

    def published(self) -> list[str]:
        """Sorted names of the published videos, from two listings."""
        names = [n.removesuffix(".json") for n in list_visible(self.root / METADATA) if n.endswith(".json")]
        return sorted(names + list_visible(self.shards.markers))


@dataclass(frozen=True)
class ShardLayout(StagingArea):
    """Paths of the shards of a dataset; ``root`` is its folder ``Shards``. Shards are staged as videos are."""

    @classmethod
    def of_partial(cls, path: Path) -> tuple["ShardLayout", str]:
        """The layout, with the owner, of the partial shard ``path``, and the name of the shard."""
        owned = path.parent
        home = owned.parent
        staging_root = home.parent
        return cls(staging_root.parent, owned.name), home.name

    @property
    def dataset(self) -> Path:
        """The folder of the dataset."""
        return self.root.parent

    def finished(self, shard: str, suffix: str) -> Path:
        return self.root / f"{shard}{suffix}"

    def partial(self, shard: str) -> Path:
        return self.staging(shard) / PARTIAL

    def partials(self) -> list[Path]:
        """All partial shards, of all owners."""
        return sorted(self.staging_root.glob(f"*/*/{PARTIAL}"))

    @property
    def markers(self) -> Path:
        """Folder of the commit markers: links whose text names the shard in which a video was published."""
        return self.root / ".published"

    def marker(self, video: str) -> Path:
        return self.markers / video

    def committed(self, video: str) -> tuple[str, str] | None:
        """(split, shard) of a video that was published in a shard; None without a valid commit marker.

        Raises OSError where the file system cannot tell: an unreadable marker does not mean that it is missing.
        """
        try:
            split, _, shard = os.readlink(self.marker(video)).partition("/")
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.EINVAL):  # missing, or no link
                return None
            raise
        return (split, shard) if split in SPLITS and is_name(shard) else None

    def holds(self, video: str, shard: str) -> bool:
        """Whether a video was published in this shard. Raises OSError as ``committed``."""
        return (self.committed(video) or ("", ""))[1] == shard

    @property
    def interrupted(self) -> Path:
        """Folder of the frames so far of videos whose rendering was stopped."""
        return self.root / ".unfinished"

    def unfinished(self, video: str) -> Path:
        """The frames so far of a video whose rendering was stopped."""
        return self.interrupted / f"{checked_name(video, self.dataset)}.tar"

    def claim_text(self, shard: str) -> Path:
        """Text of the link in ``.staging/<video>/`` that claims a video for the owner of a shard."""
        return Path("../..") / self.staging(shard).relative_to(self.dataset)

    @staticmethod
    def claiming_shard(claim: Path) -> str:
        """The shard named by a link that claims a video. Raises OSError where it is no link."""
        owned = Path(os.readlink(claim))
        return owned.parent.name


def list_visible(folder: Path) -> list[str]:
    """Names in a folder without hidden ones; empty where it does not exist."""
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise UserError(f"{folder} is a file", "a folder belongs there: remove the file") from None


def describe_staged(layout: Layout, name: str, frames: int) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each staged frame, by its future path in the dataset.

    Raises:
        UserError: a frame is missing.
    """
    described = {}
    for folder in MODALITIES:
        for frame in range(frames):
            path = layout.staged_frame(folder, name, frame)
            try:
                entry = {"bytes": path.stat().st_size, "sha256": files.sha256(path)}
            except FileNotFoundError:
                raise UserError(f"{path} is missing", "render the video again") from None
            described[f"{folder}/{name}/{path.name}"] = entry
    return described


def publish(layout: Layout, name: str, metadata: Mapping[str, Any]) -> None:
    """Make a staged video part of the dataset, in place of a published video of the same name.

    If this is killed, calling it again completes it, or ``finish_publishing``, which needs no metadata. Until then no
    reader sees the video.

    Raises:
        UserError: a frame that ``metadata["files"]`` lists is not staged, or the disk is full.
    """
    text = dumps(metadata)
    begun = holds(layout.staged_metadata(name), text)
    published = holds(layout.metadata(name), text) and not (layout.staging(name) / RGB).exists()
    if not begun and not published:
        for folder in MODALITIES:
            _keep_only(layout.staging(name) / folder, _frames_listed(metadata, folder, name))
        files.write_atomically(layout.staged_metadata(name), text, parents=False)
    finish_publishing(layout, name)


def finish_publishing(layout: Layout, name: str) -> bool:
    """Complete an interrupted ``publish``; to be called before a video is rendered.

    Every step is a rename out of or into the staging folder. FileNotFoundError tells an owner that has lost it.

    Returns:
        Whether the video is published now. If not, it has to be rendered (some of its frames may be staged).
    """
    staged = layout.staged_metadata(name)
    if staged.exists():
        with files.clear_disk_errors(layout.metadata(name)):
            layout.metadata(name).parent.mkdir(parents=True, exist_ok=True)
            replaced = layout.staging(name) / "replaced"
            _remove_earlier(layout.metadata(name), replaced)
            for folder in MODALITIES:
                source, target = layout.staging(name) / folder, layout.root / folder / name
                if source.exists():  # else it was moved before the interruption
                    target.parent.mkdir(parents=True, exist_ok=True)
                    _remove_earlier(target, replaced)
                    files.replace(source, target)
            files.replace(staged, layout.metadata(name))
    if not layout.is_published(name):
        return False
    discard_staging(layout, name)
    return True


def discard_staging(area: StagingArea, name: str) -> None:
    """Remove the owner's staging folder of a video or shard; one rename makes it disappear whole."""
    discarded = area.staging_root / f".{name}.{area.owner}.discarded"
    with contextlib.suppress(FileNotFoundError):
        os.rename(area.staging(name), discarded)
    shutil.rmtree(discarded, ignore_errors=True)


def unpublish(layout: Layout, name: str) -> None:
    """Remove a video from the dataset, so that it is rendered again."""
    layout.metadata(name).unlink(missing_ok=True)
    for folder in MODALITIES:
        shutil.rmtree(layout.root / folder / name, ignore_errors=True)


def write_image_sets(layout: Layout) -> dict[str, list[str]]:
    """Update ``ImageSets/train.txt`` and ``val.txt`` to the published videos.

    The split of a video is recorded in its metadata and never changes, so only new names are looked up: a call costs
    two listings and one JSON for each new video. Call it once at the end of a run. Several runs may end at the same
    time: each checks again after writing, so the last one misses no video.

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
            splits[known.get(name) or _split(layout, name)].append(name)
        for split, names in splits.items():
            text = "".join(f"{name}\n" for name in names)
            path = layout.image_set(split)
            if not holds(path, text):
                files.write_atomically(path, text)
                written = True
    return splits


def move_folder(source: Path, target: Path) -> None:
    """Move a folder, unless it was moved before; replaces the remains of an unpublished video at ``target``."""
    if not source.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    files.replace(source, target)


def read_image_set(path: Path) -> list[str]:
    """Names in a list, one a line; empty where it does not exist. Raises UserError where it is no text."""
    try:
        return video_names(read_bytes(path), path)
    except FileNotFoundError:
        return []


def _split(layout: Layout, name: str) -> str:
    path, remedy = layout.metadata(name), "it is damaged: run `generate.py verify --repair`"
    if committed := layout.shards.committed(name):
        return committed[0]
    try:
        split = read_json(path, remedy).get("split")
    except FileNotFoundError:  # the video has an invalid commit marker
        path, split = layout.shards.marker(name), None
    if split not in SPLITS:
        raise UserError(f"{path} names no split", remedy)
    return split


def _frames_listed(metadata: Mapping[str, Any], folder: str, name: str) -> set[str]:
    prefix = f"{folder}/{name}/"
    return {path.removeprefix(prefix) for path in metadata["files"] if path.startswith(prefix)}


def _remove_earlier(path: Path, replaced: Path) -> None:
    """Move an earlier version out of the dataset, by a rename into the staging folder."""
    if replaced.is_dir():
        shutil.rmtree(replaced)
    replaced.unlink(missing_ok=True)
    if path.exists():
        files.replace(path, replaced)


def _keep_only(folder: Path, wanted: set[str]) -> None:
    """Remove files that an interrupted writer left. Raises UserError if a wanted file is missing."""
    present = set(os.listdir(folder)) if folder.exists() else set()
    if missing := sorted(wanted - present):
        raise UserError(f"{folder / missing[0]} is missing", "render the video again")
    for leftover in present - wanted:
        (folder / leftover).unlink()
