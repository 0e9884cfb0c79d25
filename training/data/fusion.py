"""Samples for fusion: two propagations of the same objects to one frame, from two reference frames.

A fusion set is what ``train.py make-fusion-data`` writes:

    fusion.json                             how it was made, and of which dataset
    <video>/<reference>/<object>/<frame>.png    soft masks, 0 to 255, of a propagation from the reference's true masks

References and frames are numbers of frames (positions in the video), objects are ids. Packed, the same paths lie in
tar or HDF5 files, each with its copy of ``fusion.json``.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bl30k_gen.dataset.files import IMAGE_ERRORS
from bl30k_gen.dataset.masks import MEANINGS, Meaning
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.shards import SUFFIXES
from bl30k_gen.dataset.trees import FolderTree, ShardTree
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json
from training.data import transforms
from training.data.sample import FusionBatch
from training.data.sampling import rank_of
from training.data.unusable import Unusable
from training.schema.data import Augmentation, FusionSource, place_of

PROVENANCE = "fusion.json"
TRIES = 20
"""Draws before ``Unusable`` is raised."""
TRIES_SAME_VIDEO, TRIES_STRICT = 5, 15
"""The first of these draws: those from the given video, and those whose two propagations must differ."""

MIN_CHANGED_PIXELS, MIN_CHANGE = 100, 25
"""Two propagations differ if at least this many pixels differ by more than this (of 255)."""


class FusionSet:
    """Samples of one frame each: ``fusion_set.draw(i, rng)`` is one of video ``i``.

    A first reference, an object, a second reference and a frame are drawn. The second reference is one of the frames
    that were propagated from the first one. The frame need not lie between the references. Pairs of propagations that
    are nearly equal are skipped in the first draws. A second object is any other object that both references show.
    """

    def __init__(self, source: FusionSource, augmentation: Augmentation, size: int):
        self.source, self.augmentation, self.size = source, augmentation, size
        self.root = Path(place_of(source.path))
        self.tree = open_fusion_set(self.root)
        made_of, masks = read_provenance(self.tree.read(PROVENANCE), self.root / PROVENANCE)
        self.store = open_dataset(source.videos or made_of, masks_mean=masks)
        existing = set(self.store.videos)
        folders = self.tree.folders("")
        if lost := [name for name in folders if name not in existing]:
            raise UserError(f"{self.store.path} lacks video {lost[0]} of fusion set {self.root}", "set data.*.videos")
        self.names = [name for name in folders if rank_of(name) < source.share]
        if not self.names:
            raise UserError(f"fusion set {self.root} has no videos", "run `train.py make-fusion-data`")

    def __len__(self) -> int:
        return len(self.names)

    def draw(self, index: int, rng: np.random.Generator, distance: int | None = None) -> FusionBatch:
        """A sample without batch dimension. Raises UserError naming a damaged file, and Unusable."""
        name = self.names[index]
        for attempt in range(TRIES):
            if attempt >= TRIES_SAME_VIDEO:
                name = self.names[int(rng.integers(len(self)))]
            chosen = self._choose(rng, name)
            if chosen is None:
                continue
            first, second, frame, objects = chosen
            window = self._draw_window(rng, name, frame)
            older, newer = (self._propagated(window, name, number, frame, objects) for number in (first, second))
            changed = (older[0].int() - newer[0].int()).abs() > MIN_CHANGE
            if attempt >= TRIES_STRICT or changed.sum() >= MIN_CHANGED_PIXELS:
                return self._sample(window, name, *chosen, older, newer)
        raise Unusable(f"{self.root}: no pair of propagations for {name} in {TRIES} draws")

    def _choose(self, rng: np.random.Generator, name: str) -> tuple[int, int, int, list[int]] | None:
        """First reference, second reference, frame, and one or two objects; None if the draw has no valid sample."""
        references = _numbers(self.tree.folders(name))
        if len(references) < 2:
            return None
        first = _one_of(rng, references)
        objects = self._objects(name, first)
        if not objects:
            return None
        target = _one_of(rng, objects)
        reached = self._frames(name, first, target)
        seconds = [r for r in references if r != first and r in reached and target in self._objects(name, r)]
        if not seconds:
            return None
        second = _one_of(rng, seconds)
        frames = (reached & self._frames(name, second, target)) - {first, second}
        if not frames:
            return None
        both = set(objects) & set(self._objects(name, second)) - {target}
        return first, second, _one_of(rng, sorted(frames)), [target, *([_one_of(rng, sorted(both))] if both else [])]

    def _objects(self, name: str, reference: int) -> list[int]:
        return _numbers(self.tree.folders(f"{name}/{_folder(reference)}"))

    def _frames(self, name: str, reference: int, label: int) -> set[int]:
        return set(_numbers(self.tree.files(f"{name}/{_folder(reference)}/{_folder(label)}")))

    def _draw_window(self, rng: np.random.Generator, name: str, frame: int) -> "CropWindow":
        size = self._open(name, frame).size
        left, top = (int(rng.integers(max(1, side - self.size + 1))) for side in size)
        flip = bool(rng.random() < self.augmentation.sequence.flip)
        return CropWindow(
            size, left, top, self.size, flip, transforms.draw_jitter(rng, self.augmentation.sequence.jitter)
        )

    def _sample(
        self,
        window: "CropWindow",
        name: str,
        first: int,
        second: int,
        frame: int,
        objects: list[int],
        older: torch.Tensor,
        newer: torch.Tensor,
    ) -> FusionBatch:
        span = abs(first - second)
        names = self.store.frames(name)
        return FusionBatch(
            image=self._image(window, name, frame),
            reference=self._image(window, name, second),
            older=older,
            newer=newer,
            before=self._propagated(window, name, first, second, objects),
            after=self._true(window, name, second, objects),
            true=self._true(window, name, frame, objects),
            distance=torch.tensor([abs(first - frame) / span, abs(second - frame) / span]),
            present=torch.arange(2) < len(objects),
            names=[f"{name} {names[frame]} from {names[first]} and {names[second]}"],
        )

    def _image(self, window: "CropWindow", name: str, number: int) -> torch.Tensor:
        image, source = self._open(name, number), self.store.path / self.store.rgb_path(name, number)
        if image.size != window.size:
            raise UserError(f"{source} is {image.size} pixels, its video {window.size}", "leave the video out")
        return window.of_image(transforms.decode(image, (0, 0, *window.size), window.size, source))

    def _propagated(
        self, window: "CropWindow", name: str, reference: int, frame: int, objects: list[int]
    ) -> torch.Tensor:
        """(2, S, S) of a frame, propagated from a reference's true masks."""
        masks = []
        for label in objects:
            path = f"{name}/{_folder(reference)}/{_folder(label)}/{frame:05d}.png"
            try:
                with Image.open(io.BytesIO(self.tree.read(path)), formats=("PNG",)) as file:
                    mask = np.asarray(file if file.mode == "L" else file.convert("L"))
            except IMAGE_ERRORS as error:
                raise UserError(f"{self.root / path} is damaged ({error})", "make this video's data again") from None
            masks.append(window.of_mask(mask, self.root / path))
        return _two(masks)

    def _true(self, window: "CropWindow", name: str, number: int, objects: list[int]) -> torch.Tensor:
        """(2, S, S)"""
        ids = self.store.read_mask(name, number).ids
        ids = window.of_mask(ids, self.store.path / self.store.mask_path(name, number))
        return _two([(ids == label).astype(np.uint8) * 255 for label in objects])

    def _open(self, name: str, number: int) -> Image.Image:
        source = self.store.path / self.store.rgb_path(name, number)
        return transforms.open_image(self.store.rgb_bytes(name, number), source)


@dataclass(frozen=True)
class CropWindow:
    """The square that a sample shows of its frames of ``size`` (width, height), its flip and its colour changes.

    Frames are cropped first. Pixels outside of a frame have the mean colour, or are background in masks.
    """

    size: tuple[int, int]
    left: int
    top: int
    side: int
    flip: bool
    steps: list[transforms.ColourStep]

    def of_image(self, rgb: Image.Image) -> torch.Tensor:
        """(3, S, S)"""
        right, bottom = min(self.left + self.side, rgb.width), min(self.top + self.side, rgb.height)
        inside = np.asarray(rgb.crop((self.left, self.top, right, bottom)))
        shown = self._fill(transforms.recolour_pixels(inside, self.steps), transforms.FILL)
        return torch.from_numpy(shown).movedim(-1, 0).contiguous()

    def of_mask(self, mask: np.ndarray, source: object) -> np.ndarray:
        """(S, S) of a mask (H, W), which ``source`` names."""
        if mask.shape != self.size[::-1]:
            raise UserError(f"{source} is {mask.shape[::-1]} pixels, its frame {self.size}", "make the data again")
        return self._fill(mask[self.top : self.top + self.side, self.left : self.left + self.side], 0)

    def _fill(self, inside: np.ndarray, outside: int | tuple[int, int, int]) -> np.ndarray:
        shown = np.full((self.side, self.side, *inside.shape[2:]), outside, inside.dtype)
        shown[: inside.shape[0], : inside.shape[1]] = inside
        return np.ascontiguousarray(shown[:, ::-1]) if self.flip else shown


def _two(masks: list[np.ndarray]) -> torch.Tensor:
    """(2, S, S) of the masks of one or two objects; an absent object has a mask of zeros."""
    return torch.from_numpy(np.stack([*masks, *(np.zeros_like(masks[0]) for _ in range(2 - len(masks)))]))


def read_provenance(data: bytes, source: Path) -> tuple[str, Meaning | None]:
    """The dataset that a fusion set was made of, and what its masks mean; None: decided over the whole dataset.

    Raises UserError naming ``source`` if this is not in ``data``.
    """
    values = parse_json(data, source, "make the set again")
    made_of, masks = values.get("dataset"), values.get("masks")  # older sets do not say what masks mean
    if not isinstance(made_of, str) or not made_of:
        raise UserError(f"{source}: its dataset is no path", "make the set again, or set data.*.videos")
    if masks is not None and masks not in MEANINGS:
        raise UserError(f"{source}: masks are {str(masks)[:40]!r}", f"they are null or one of {', '.join(MEANINGS)}")
    return made_of, masks


def open_fusion_set(root: Path) -> FolderTree | ShardTree:
    """The files of a fusion set: a folder, a folder of packed files, or one packed file.

    Raises UserError if there is none, or if only some of its videos are packed.
    """
    shards = [root] if root.is_file() and root.suffix in SUFFIXES else shards_in(root)
    tree = ShardTree(shards) if shards else FolderTree(root)
    if not tree.exists(PROVENANCE) or not _is_json(tree.read(PROVENANCE)):
        raise UserError(f"{root} is no fusion set: {PROVENANCE} is missing or damaged", "see docs/recipes.md")
    if shards and root.is_dir() and (loose := FolderTree(root).folders("")):
        raise UserError(f"{root} holds {loose[0]} beside packed files", "give `make-fusion-data` again, to its end")
    return tree


def shards_in(root: Path) -> list[Path]:
    """The packed files in a folder."""
    return sorted(path for path in root.glob("*") if path.suffix in SUFFIXES and not path.name.startswith("."))


def _is_json(data: bytes) -> bool:
    try:
        return bool(parse_json(data, PROVENANCE, ""))
    except UserError:
        return False


def _folder(number: int) -> str:
    return f"{number:05d}"


def _numbers(names: list[str]) -> list[int]:
    """The numbers in names of files and folders such as ``00012.png``, sorted."""
    stems = (Path(name).stem for name in names)
    return sorted(int(stem) for stem in stems if stem.isdigit())


def _one_of(rng: np.random.Generator, values: list[int]) -> int:
    return values[int(rng.integers(len(values)))]
