"""Still images with masks, and short sequences made from them.

Sources are pairs of image and mask (FSS-1000, DUTS, ECSSD, BIG, HRSOD, any folder of pairs), and LVIS (see lvis.py).
"""

import logging
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from PIL import Image

from bl30k_gen.dataset import masks
from bl30k_gen.dataset.images import IMAGE_LIMIT
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_bytes
from training.data import transforms
from training.data.lvis import Objects
from training.data.pairs import find_pairs
from training.data.perturb import perturb
from training.data.sample import Sample
from training.data.sampling import rank_of
from training.schema.data import Augmentation, FrameChange, ImageSource, LvisSource, place_of

log = logging.getLogger(__name__)

MIN_FOLDERS = 5
"""A source with this many folders of images is divided by folders, which are its videos or classes."""


class StillImages(Protocol):
    """Objects of still images, by number.

    names: of the objects. groups: of each object, the name of the group that must stay together when a source is
    divided: its image or its folder.
    """

    names: list[str]
    groups: list[str]

    def image_path(self, index: int) -> Path: ...

    def mask(self, index: int, rng: np.random.Generator) -> Image.Image:
        """(H, W) mode L: 0 to 255. Raises UserError naming a damaged file."""

    def void(self, index: int) -> Image.Image | None:
        """(H, W) mode L: 255 where the annotation says nothing, else 0; None if it says something everywhere."""

    def another(self, index: int, rng: np.random.Generator, smallest: float) -> Image.Image | None:
        """The mask of a random object of the image; None if that is the same object, or if there is no other."""


def open_still_images(source: ImageSource | LvisSource) -> StillImages:
    """The objects of a source. Raises UserError if it does not exist or is empty."""
    if isinstance(source, LvisSource):
        return Objects(source)
    return Pairs(Path(place_of(source.path)), source.masks)


def divide(stills: StillImages, share: float, held_out: float) -> tuple[list[int], list[int]]:
    """Numbers of the training objects, and of the held-out objects; chosen by the names of their groups.

    Args:
        share: ratio of the groups that are used at all.
        held_out: ratio of these that are held out, at least one group; 0 holds none out.
    """
    ranks = {group: rank_of(group) for group in set(stills.groups)}
    used = {group for group, rank in ranks.items() if rank < share}
    excluded: set[str] = set()
    if used and held_out:
        excluded = {group for group in used if ranks[group] >= share * (1 - held_out)}
        excluded = excluded or {max(used, key=ranks.__getitem__)}
    numbers = [index for index, group in enumerate(stills.groups) if group in used]
    return (
        [index for index in numbers if stills.groups[index] not in excluded],
        [index for index in numbers if stills.groups[index] in excluded],
    )


class Items:
    """The training objects of a source of still images; ``held_out()`` has the others."""

    def __init__(
        self,
        source: ImageSource | LvisSource,
        augmentation: Augmentation,
        frames: int,
        size: int,
        held_out: float = 0.0,
    ):
        self.source, self.augmentation = source, augmentation
        self.warper = Warper(augmentation, frame_change(augmentation, source), frames, size)
        self.stills = open_still_images(source)
        self.numbers, self._held_out = divide(self.stills, source.share, held_out)
        if not self.numbers:
            raise UserError(f"{source.path} has no images to train on", "raise its share, or give it more")

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def names(self) -> list[str]:
        return [self.stills.names[number] for number in self.numbers]

    def held_out(self) -> Self:
        """The same source with its held-out objects."""
        other = copy(self)
        other.numbers = self._held_out
        return other


class Images(Items):
    """Samples of one object each: ``images.draw(i, rng)`` is a sequence of warped copies of its image.

    Soft masks stay soft, as in the published loaders. Of a mask of ids, a random object is taken.
    """

    def draw(self, index: int, rng: np.random.Generator, distance: int | None = None) -> Sample:
        """A sample; ``distance`` is not used. Raises UserError naming a damaged file."""
        number = self.numbers[index]
        drawn = [self.stills.mask(number, rng)]
        if (void := self.stills.void(number)) is not None:
            drawn.append(void)
        images, tensors = self.warper.draw(self.stills.image_path(number), drawn, rng)
        unknown = tensors[:, 1] > 127 if void is not None else torch.zeros_like(tensors[:, 0], dtype=torch.bool)
        tensors = tensors[:, :1]
        given = tensors[0]
        if self.augmentation.first_mask_iou is not None:
            iou = rng.uniform(*self.augmentation.first_mask_iou)
            given = torch.from_numpy(perturb(given[0].numpy() > 127, iou, rng)[None].astype(np.uint8) * 255)
        return Sample(
            images=images,
            masks=tensors,
            void=unknown,
            present=torch.ones(1, dtype=torch.bool),
            given=given,
            name=self.stills.names[number],
        )


def frame_change(augmentation: Augmentation, source: ImageSource | LvisSource) -> FrameChange:
    """The changes of each frame; LVIS may have its own scale."""
    assert augmentation.frame is not None  # a stage of images has it
    scale = source.scale if isinstance(source, LvisSource) else None
    return augmentation.frame.model_copy(update={"scale": scale}) if scale else augmentation.frame


@dataclass(frozen=True)
class Warper:
    """Sequences of ``frames`` warped copies of an image and its masks, ``size`` pixels square.

    One scale, flip and colour change are drawn per sequence. Each frame gets its own affine change, crop and colour
    change, and with some probability a thin-plate warp and hidden cells. The image is resized to the scale of the
    crop before it is changed, so that each frame is resampled once. Pixels outside of the image have the mean colour.
    """

    augmentation: Augmentation
    change: FrameChange
    frames: int
    size: int

    def draw(
        self, path: Path, masks: list[Image.Image], rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Images (T, 3, S, S) and masks (T, M, S, S), uint8. Raises UserError naming a damaged or unfit file."""
        sequence = self.augmentation.sequence
        assert sequence.scale is not None  # a stage of images has it
        scale = rng.uniform(*sequence.scale)
        flip = rng.random() < sequence.flip
        image, *masks = self._read(path, masks, scale)
        image = transforms.recolour(image, transforms.draw_jitter(rng, sequence.jitter))
        if flip:
            image, *masks = (x.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for x in (image, *masks))
        canvas = image.width / scale, image.height / scale
        frames = [self._frame(rng, image, masks, canvas) for _ in range(self.frames)]
        if self.augmentation.hide_and_seek is not None:
            hide = self.augmentation.hide_and_seek
            frames[1:] = [transforms.hide(*frame, hide.cells, rng.uniform(*hide.chance), rng) for frame in frames[1:]]
        images, changed = zip(*frames, strict=True)
        return torch.stack(images), torch.stack(changed)

    def _read(self, path: Path, masks: list[Image.Image], scale: float) -> list[Image.Image]:
        """The image with a short side of ``scale`` times the crop's side, and the masks at the same size."""
        image = transforms.open_image(_bytes(path), path)
        for mask in masks:
            if mask.size != image.size:
                raise UserError(f"{path} is {image.size} pixels, its mask {mask.size}", "leave the pair out")
        factor = scale * self.size / min(image.size)
        width, height = (max(1, round(side * factor)) for side in image.size)
        image = transforms.crop_and_resize(image, (0, 0, *image.size), (width, height), path)
        return [image, *(mask.resize((width, height), Image.Resampling.BICUBIC) for mask in masks)]

    def _frame(
        self, rng: np.random.Generator, image: Image.Image, masks: list[Image.Image], canvas: tuple[float, float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(3, S, S) and (M, S, S) uint8. The crop lies anywhere in ``canvas``, the image's size before scaling."""
        out = (self.size, self.size)
        matrix = transforms.draw_affine(rng, self.change)
        room = [max(0.0, side - self.size) for side in canvas]
        x, y = (self.size / 2 + rng.uniform(-side / 2, side / 2) for side in room)
        centre = x, y
        frame = transforms.affine(image, matrix, out, centre, Image.Resampling.BICUBIC)
        frame = transforms.to_tensor(transforms.recolour(frame, transforms.draw_jitter(rng, self.change.jitter)))
        changed = [transforms.affine(mask, matrix, out, centre, Image.Resampling.BICUBIC) for mask in masks]
        tensors = frame, torch.stack([transforms.to_tensor(mask) for mask in changed])
        warp = self.augmentation.warp
        if warp is not None and rng.random() < warp.chance:
            return transforms.warp_frame(*tensors, transforms.ThinPlate.draw(rng, warp).grid(self.size))
        return tensors


class Pairs:
    """Pairs of image and mask below a folder; see ``StillImages``."""

    def __init__(self, root: Path, stated: masks.Meaning | None = None):
        self.pairs = find_pairs(root)
        self.meaning = masks.decide((p.mask for p in masks.spread(self.pairs, masks.SAMPLE)), stated).meaning
        if self.meaning != "ids":
            how = {"binary": "0 and 255 alone", "soft": "soft edges, which are kept"}[self.meaning]
            log.warning("%s: its masks have %s; one object each", root, how)
        places = [pair.image.relative_to(root) for pair in self.pairs]
        self.names = [str(place) for place in places]
        folders = [str(place.parent) for place in places]
        self.groups = folders if len(set(folders)) >= MIN_FOLDERS else self.names

    def image_path(self, index: int) -> Path:
        return self.pairs[index].image

    def void(self, index: int) -> Image.Image | None:
        """Of a mask of ids, what is 255 and thus no object."""
        if self.meaning != "ids":
            return None
        unknown = masks.read_values(self.pairs[index].mask) == masks.WHITE
        return Image.fromarray(unknown.astype(np.uint8) * 255) if unknown.any() else None

    def another(self, index: int, rng: np.random.Generator, smallest: float) -> None:
        """A pair has one object."""

    def mask(self, index: int, rng: np.random.Generator) -> Image.Image:
        """Of a mask of ids a random object; binary and soft masks as they are."""
        path = self.pairs[index].mask
        values = masks.read_values(path)
        if self.meaning == "binary":
            return Image.fromarray((values > 0).astype(np.uint8) * masks.WHITE)
        if self.meaning == "soft":
            return Image.fromarray(values.clip(0, masks.WHITE).astype(np.uint8))
        labels = np.unique(values[(values > 0) & (values != masks.WHITE)])
        target = int(rng.choice(labels)) if len(labels) else -1
        return Image.fromarray((values == target).astype(np.uint8) * 255)


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path, IMAGE_LIMIT)
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error.strerror)) from None
