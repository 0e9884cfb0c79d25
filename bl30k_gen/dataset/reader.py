"""The reader of videos with masks, from a folder, tar shards or HDF5 shards, by path or URL.

It reads the datasets of this project, the published BL30K tars, DAVIS and YouTube-VOS: anything with ``JPEGImages``
and ``Annotations``, whose videos lie directly in these or one level down (``JPEGImages/480p``).
"""

import contextlib
import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from bl30k_gen.dataset import masks, shards
from bl30k_gen.dataset.derived import Annotated, open_annotations
from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.images import SUFFIXES
from bl30k_gen.dataset.layout import IMAGE_SETS, METADATA, SHARDS, Layout
from bl30k_gen.dataset.listing import by_frame, video_names
from bl30k_gen.dataset.modalities import MASK, RGB
from bl30k_gen.dataset.names import checked_name
from bl30k_gen.dataset.partial_shard import find_shards
from bl30k_gen.dataset.trees import Damaged, FolderTree, RemoteTree, ShardTree, Tree
from bl30k_gen.errors import UserError, nearest, printable
from bl30k_gen.inputs import parse_json, read_text
from bl30k_gen.remote import Place, RemotePath, place

if TYPE_CHECKING:
    from bl30k_gen.config import Config

CONFIG = "config.yaml"
_MASK_SUFFIXES = (".png",)
_RESOLUTION = "480p"  # selected where there are several

log = logging.getLogger(__name__)


def open_dataset(
    path: str | Place,
    damaged: Damaged | None = None,
    annotations: str | Path | None = None,
    masks_mean: masks.Meaning | None = None,
) -> "VideoStore":
    """Open a dataset: a folder, one tar or HDF5 shard, a folder of shards, or a folder that is rendered into shards.

    In the last case the committed videos of partial shards are read, too.

    Args:
        path: on this machine, or a URL (``s3://``, ``gs://``, ``hf://``, ``https://``, ``memory://``). Only ranges of
            a remote shard are fetched.
        damaged: see ``trees.ShardTree``; None: a damaged shard is an error.
        annotations: the folder of stored annotations; None: they are derived on demand.
        masks_mean: the meaning of the masks; None: it is decided over the dataset, see ``masks.decide``.

    Raises:
        UserError: there is no dataset, or it cannot be reached.
    """
    location = place(path)
    store = _open_url(location, damaged) if isinstance(location, RemotePath) else _open(location, damaged)
    store.masks = masks_mean
    if annotations is not None:
        store.annotations = open_annotations(annotations)
    return store


def _open(path: Path, damaged: Damaged | None) -> "VideoStore":
    if path.is_file():
        if path.suffix not in shards.SUFFIXES:
            raise UserError(f"{path} is no dataset", f"give a folder, or a shard ({', '.join(shards.SUFFIXES)})")
        return VideoStore(path, ShardTree([path], damaged=damaged))
    if not path.is_dir():
        raise UserError(f"dataset {path} does not exist", "check the path")
    if (path / RGB).is_dir():
        return VideoStore(path, FolderTree(path))
    if (path / SHARDS).is_dir():
        return VideoStore(path, ShardTree(find_shards(Layout(path).shards), FolderTree(path), damaged))
    if found := sorted(p for p in path.iterdir() if p.suffix in shards.SUFFIXES):
        return VideoStore(path, ShardTree(found, damaged=damaged))
    inner = sorted(p.parent for p in path.glob(f"*/{RGB}"))
    if len(inner) == 1:
        return VideoStore(inner[0], FolderTree(inner[0]))
    if inner:
        raise UserError(f"{path} holds several datasets", f"give one of {', '.join(map(str, inner))}")
    if Layout(path).config.is_file():
        raise UserError(f"dataset {path} has no finished video yet", "render one; the same command continues a build")
    raise UserError(f"dataset {path} has no {RGB} folder and no shards", "give the folder that holds them")


def _open_url(url: RemotePath, damaged: Damaged | None) -> "VideoStore":
    if url.suffix in shards.SUFFIXES:
        if damaged is not None and not url.is_file():  # else a wrong URL would be a damaged shard
            raise UserError(f"shard {url} cannot be read", "there is no such file")
        return VideoStore(url, ShardTree([url], damaged=damaged))
    if url.scheme in ("http", "https") and (listed := _listed_shards(url)):
        return VideoStore(url, ShardTree(listed, damaged=damaged))
    tree = RemoteTree(url)
    if RGB in tree.folders(""):
        return VideoStore(url, tree)
    if SHARDS in tree.folders(""):
        return VideoStore(url, ShardTree(_shards_of(tree, SHARDS), tree, damaged))
    if found := _shards_of(tree, ""):
        return VideoStore(url, ShardTree(found, damaged=damaged))
    if not (tree.folders("") or tree.files("")):
        raise UserError(f"dataset {url} does not exist, or its server lists no files", _missing(url))
    raise UserError(f"dataset {url} has no {RGB} folder and no shards", "give the folder that holds them")


def _missing(url: RemotePath) -> str:
    if url.scheme in ("http", "https"):
        return f"give a shard, or a folder of shards with the {shards.CHECKSUMS['sha256']} that `pack` writes"
    bucket = (url.parents or [url])[-1]
    exists = url.scheme == "memory" or bucket.exists()
    return "check the path" if exists else f"there is no {bucket}, or it is not yours"


def _listed_shards(url: RemotePath) -> list[RemotePath]:
    """The shards that the list of checksums in their folder names: web servers need not list files."""
    try:
        lines = read_text(url / shards.CHECKSUMS["sha256"]).splitlines()
    except FileNotFoundError:
        return []
    names = [line.partition("  ")[2] for line in lines]
    return [url / checked_name(name, url) for name in names if name.endswith(shards.SUFFIXES)]


def _shards_of(tree: RemoteTree, folder: str) -> list[RemotePath]:
    root = tree.root / folder if folder else tree.root
    return [root / name for name in tree.files(folder) if name.endswith(shards.SUFFIXES)]


class VideoStore(Annotated):
    """The videos of a dataset; usable in forked and spawned processes.

    Where the dataset has ``Metadata/``, ``videos`` are those with metadata: the others are unfinished.
    """

    def __init__(self, path: Place, tree: Tree):
        self.path = path
        self.tree = tree
        self._rgb = _with_resolution(tree, RGB)
        self._mask = _with_resolution(tree, MASK)
        self.masks: masks.Meaning | None = None  # as stated by the user
        self._rule: masks.Rule | None = None
        self.rendered = METADATA in tree.folders("")  # by this project
        if self.rendered:
            names = [n.removesuffix(".json") for n in tree.files(METADATA) if n.endswith(".json")]
        else:
            names = tree.folders(self._rgb)
        # macOS adds files that begin with "._" to tars.
        self.videos = [checked_name(name, path) for name in names if not name.startswith("._")]

    @property
    def root(self) -> Path:
        """The folder of the dataset, or of its single shard, for files that describe it.

        Raises UserError where the dataset is a URL.
        """
        if isinstance(self.path, RemotePath):
            raise UserError(f"nothing is written beside {self.path}", "say with --out where to")
        return self.path if self.path.is_dir() else self.path.parent

    def require(self, name: str) -> None:
        """Raises UserError where the dataset has no such video."""
        if name not in self.videos:
            known = f"it has {len(self.videos)} videos" + (f", {self.videos[0]} the first" if self.videos else "")
            raise UserError(f"{self.path} has no video {printable(name)}", nearest(name, self.videos, known))

    def frames(self, name: str) -> list[str]:
        """Names of a video's frames, without suffix, in order."""
        return list(self._files(name)[0])

    def mask_frames(self, name: str) -> list[int]:
        """Numbers (positions in ``frames``) of the frames that have a mask."""
        rgb, mask = self._files(name)
        return [i for i, frame in enumerate(rgb) if frame in mask]

    def rgb_bytes(self, name: str, i: int) -> bytes:
        """The encoded RGB frame number ``i``, as stored."""
        return self.tree.read(self.rgb_path(name, i))

    def mask_bytes(self, name: str, i: int) -> bytes:
        """The encoded mask of frame number ``i``, as stored."""
        return self.tree.read(self.mask_path(name, i))

    def read_rgb(self, name: str, i: int) -> np.ndarray:
        """(H, W, 3) uint8 sRGB of frame number ``i``. Raises UserError naming a file that is missing or damaged."""
        return decode_rgb(self.rgb_bytes(name, i), self.path / self.rgb_path(name, i), self.rendered)

    def read_mask(self, name: str, i: int) -> masks.MaskFrame:
        """The mask of frame number ``i``, by the mask rule of the whole dataset.

        Raises UserError naming a file that is missing or damaged.
        """
        path = self.path / self.mask_path(name, i)
        return self.rule.apply(masks.read_values(self.mask_bytes(name, i), path), path)

    @property
    def rule(self) -> masks.Rule:
        """The meaning of the masks: stated, or decided over the dataset, with a warning if they are binary."""
        if self._rule is None:
            if self.masks is None and self.rendered:
                self._rule = masks.Rule()
                return self._rule
            videos = masks.spread(self.videos, masks.SAMPLE)
            count = max(2, masks.SAMPLE // max(1, len(videos)))
            chosen = [(name, i) for name in videos for i in masks.spread(self.mask_frames(name), count)]
            rule = masks.decide(self._readable_masks(chosen), self.masks)
            if rule.meaning == "binary" and not rule.stated:
                log.warning("%s: its masks hold 0 and 255 alone; read as one object with id 1", self.path)
            self._rule = rule
        return self._rule

    def _readable_masks(self, chosen: list[tuple[str, int]]) -> Iterator[bytes]:
        """The encoded masks that can be read; reading one of the others later raises the error."""
        for name, i in chosen:
            with contextlib.suppress(UserError):
                yield self.mask_bytes(name, i)

    def metadata(self, name: str) -> dict[str, Any] | None:
        """The video's metadata; None where the dataset has none. Raises UserError where it is damaged."""
        path = f"{METADATA}/{name}.json"
        if not self.tree.exists(path):
            return None
        return parse_json(self.tree.read(path), self.path / path, "restore or render it again")

    def required_metadata(self, name: str) -> dict[str, Any]:
        """The video's metadata. Raises UserError where it is missing or damaged."""
        metadata = self.metadata(name)
        if metadata is None:
            remedy = nearest(name, self.videos, "give a dataset that `generate.py` rendered, and one of its videos")
            raise UserError(f"{self.path} has no metadata of video {name}", remedy)
        return metadata

    def config(self, overrides: Sequence[str] = ()) -> "Config | None":
        """The configuration of the dataset, changed by ``key=value``; None where it has no ``config.yaml``.

        Raises UserError where that file is not valid.
        """
        if not self.tree.exists(CONFIG):
            return None
        from bl30k_gen.config import parse_config

        return parse_config(self.tree.read(CONFIG), self.path / CONFIG, overrides)

    def image_set(self, split: str) -> list[str]:
        """Names of the videos in ``ImageSets/<split>.txt``.

        Args:
            split: such as ``train``, or ``2017/train`` to select one of several lists. In a dataset without folders
                of years, ``2017/train`` means ``train``.

        Lines may be names of videos, or paths of frames as in DAVIS-2016. Shards may be a part of the dataset: their
        missing videos are left out, with a warning.

        Raises:
            UserError: there is no such list, or it names a video that a folder lacks.
        """
        path = self._image_set_path(split)
        names = video_names(self.tree.read(path), self.path / path)
        if unknown := sorted(set(names) - set(self.videos)):
            if self.tree.complete:
                raise UserError(f"{self.path / path} lists {unknown[0]}, which is not there", "fix the list")
            log.warning("%s: %d of %d videos of list %s are not here", self.path, len(unknown), len(names), split)
        return [name for name in names if name not in set(unknown)]

    def rgb_path(self, name: str, i: int) -> str:
        rgb, _ = self._files(name)
        return f"{self._rgb}/{name}/{_nth(list(rgb.values()), i, name)}"

    def mask_path(self, name: str, i: int) -> str:
        rgb, mask = self._files(name)
        frame = _nth(list(rgb), i, name)
        if frame not in mask:
            raise UserError(f"{self.path / self._mask / name}: frame {frame} has no mask", "see mask_frames")
        return f"{self._mask}/{name}/{mask[frame]}"

    def members(self, name: str) -> dict[str, int]:
        """``{path in the dataset: bytes}`` of all files of a video."""
        folders = [f"{self._rgb}/{name}", f"{self._mask}/{name}"]
        paths = [f"{folder}/{file}" for folder in folders for file in self.tree.files(folder)]
        if self.tree.exists(f"{METADATA}/{name}.json"):
            paths.append(f"{METADATA}/{name}.json")
        return {path: self.tree.size(path) for path in paths}

    def image_set_paths(self) -> list[str]:
        """Paths of all lists in ``ImageSets``, at any depth."""
        found, folders = [], [IMAGE_SETS]
        for folder in folders:
            folders += [f"{folder}/{inner}" for inner in self.tree.folders(folder)]
            found += [f"{folder}/{file}" for file in self.tree.files(folder) if file.endswith(".txt")]
        return found

    def _image_set_path(self, split: str) -> str:
        lists = self.image_set_paths()
        if f"{IMAGE_SETS}/{split}.txt" in lists:
            return f"{IMAGE_SETS}/{split}.txt"
        without_year = f"{IMAGE_SETS}/{PurePosixPath(split).name}.txt"
        if without_year in lists:
            return without_year
        matching = [path for path in lists if path.endswith(f"/{split}.txt")]
        known = ", ".join(path.removeprefix(f"{IMAGE_SETS}/").removesuffix(".txt") for path in matching or lists)
        if len(matching) == 1:
            return matching[0]
        problem = "several lists" if matching else "no list"
        raise UserError(f"{self.path / IMAGE_SETS} has {problem} {split}", f"there are: {known or 'none'}")

    def _files(self, name: str) -> tuple[dict[str, str], dict[str, str]]:
        rgb, mask = _listing(self.tree, f"{self._rgb}/{name}", f"{self._mask}/{name}")
        if not rgb:
            raise UserError(f"{self.path / self._rgb / name} holds no frames", "restore the video or leave it out")
        return rgb, mask


@functools.lru_cache(maxsize=64)  # a sampler reads several frames of a video in a row
def _listing(tree: Tree, rgb: str, mask: str) -> tuple[dict[str, str], dict[str, str]]:
    """``{stem: file name}`` of the frames in one folder and of the masks in another."""
    return by_frame(tree.files(rgb), SUFFIXES, rgb), by_frame(tree.files(mask), _MASK_SUFFIXES, mask)


def _nth(frames: list[str], i: int, name: str) -> str:
    if not -len(frames) <= i < len(frames):
        raise UserError(f"video {name} has no frame {i}", f"it has {len(frames)}, counted from 0")
    return frames[i]


def _with_resolution(tree: Tree, kind: str) -> str:
    """``JPEGImages``, or ``JPEGImages/480p`` where the videos lie one level down."""
    folders = tree.folders(kind)
    if _RESOLUTION in folders:
        return f"{kind}/{_RESOLUTION}"
    if folders and tree.folders(f"{kind}/{folders[0]}"):
        if len(folders) > 1:
            raise UserError(f"{kind} holds several resolutions", f"name one of them {_RESOLUTION}")
        return f"{kind}/{folders[0]}"
    return kind
