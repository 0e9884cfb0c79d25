"""Short sequences made of still images with masks: FSS-1000, DUTS, ECSSD, BIG, HRSOD, any folder of pairs."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bl30k_gen.dataset import masks
from bl30k_gen.dataset.files import PICTURE_ERRORS
from bl30k_gen.dataset.layout import IMAGE_SETS, MASK, RGB, read_image_set
from bl30k_gen.errors import UserError
from training.config import Augmentation, ImageSource
from training.data import pictures
from training.data.perturb import perturb
from training.data.sample import Sample
from training.data.sampling import rank_of

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".webp", ".png")
_MASK_ENDINGS = ("_gt", "_mask", "_segmentation")
_IMAGE_ENDINGS = ("_im", "_image")
_MASK_FOLDERS = ("mask", "gt", "ground", "annot", "label")


@dataclass(frozen=True)
class Pair:
    image: Path
    mask: Path


class Images:
    """Samples of one image each: ``images.draw(i, rng)`` is a sequence of warped copies of image ``i``.

    One scale, flip and colour change are drawn per sequence; each frame gets its own affine change, crop, colour
    change and, by chance, a thin-plate warp. The picture is brought to the size of the crop before it is changed, so
    that each frame is resampled once; what lies outside the picture is filled with the mean colour.

    Soft masks stay soft, as the published loaders have them; of ids, one random object of the image is taken.
    """

    def __init__(self, source: ImageSource, augmentation: Augmentation, frames: int, size: int):
        self.source, self.augmentation = source, augmentation
        self.frames, self.size = frames, size
        root = Path(source.path)
        named = {str(pair.image.relative_to(root)): pair for pair in find_pairs(root)}
        self.names = [name for name in named if rank_of(name) < source.share]
        self.pairs = [named[name] for name in self.names]
        if not self.pairs:
            raise UserError(f"{source.path} has no images to train on", "raise its share")

    def __len__(self) -> int:
        return len(self.pairs)

    def draw(self, index: int, rng: np.random.Generator, distance: int | None = None) -> Sample:
        """A sample; the distance of frames means nothing here. Raises UserError naming a damaged file."""
        pair, change = self.pairs[index], self.augmentation.sequence
        scale = rng.uniform(*change.scale)
        flip = rng.random() < change.flip
        image, mask = self._read(pair, scale, rng)
        image = pictures.recolour(image, pictures.draw_jitter(rng, change.jitter))
        if flip:
            image, mask = (x.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for x in (image, mask))
        canvas = tuple(side / scale for side in image.size)
        frames = [self._frame(rng, image, mask, canvas) for _ in range(self.frames)]
        tensors = torch.stack([mask for _, mask in frames])
        given = tensors[0]
        if self.augmentation.first_mask_iou is not None:
            iou = rng.uniform(*self.augmentation.first_mask_iou)
            given = torch.from_numpy(perturb(given[0].numpy() > 127, iou, rng)[None].astype(np.uint8) * 255)
        return Sample(
            images=torch.stack([frame for frame, _ in frames]),
            masks=tensors,
            void=torch.zeros(self.frames, self.size, self.size, dtype=torch.bool),
            present=torch.ones(1, dtype=torch.bool),
            given=given,
            name=str(pair.image.name),
        )

    def _read(self, pair: Pair, scale: float, rng: np.random.Generator) -> tuple[Image.Image, Image.Image]:
        """The picture, its short side ``scale`` times the crop's, and a mask of 0 to 255 of the same size."""
        picture = pictures.open_picture(_bytes(pair.image), pair.image)
        mask = self._mask(pair.mask, rng)
        if mask.size != picture.size:
            raise UserError(f"{pair.mask} is {mask.size} pixels, its image {picture.size}", "leave the pair out")
        factor = scale * self.size / min(picture.size)
        size = tuple(max(1, round(side * factor)) for side in picture.size)
        image = pictures.crop_and_resize(picture, (0, 0, *picture.size), size, pair.image)
        return image, mask.resize(size, Image.Resampling.BICUBIC)

    def _mask(self, path: Path, rng: np.random.Generator) -> Image.Image:
        """0 to 255. Palette PNGs hold ids, and so do grey ones without a bright pixel; other grey ones are soft."""
        try:
            with Image.open(path, formats=("PNG",)) as file:
                grey = file.convert("L") if file.mode in ("L", "LA", "1") else None
        except PICTURE_ERRORS as error:
            raise UserError(f"mask {path} is damaged ({error})", "restore it, or leave the pair out") from None
        if grey is not None and grey.getextrema()[1] >= 128:
            return grey
        ids = masks.read_mask(path).ids
        labels = np.unique(ids[ids > 0])
        target = int(rng.choice(labels)) if len(labels) else -1
        return Image.fromarray((ids == target).astype(np.uint8) * 255)

    def _frame(
        self, rng: np.random.Generator, image: Image.Image, mask: Image.Image, canvas: tuple[float, float]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(3, S, S) and (1, S, S) uint8. The crop lies anywhere in ``canvas``, the picture before its scaling."""
        change, out = self.augmentation.frame, (self.size, self.size)
        matrix = pictures.draw_affine(rng, change)
        room = [max(0.0, side - self.size) for side in canvas]
        centre = tuple(self.size / 2 + rng.uniform(-side / 2, side / 2) for side in room)
        frame = pictures.affine(image, matrix, out, centre, Image.Resampling.BICUBIC)
        frame = pictures.recolour(frame, pictures.draw_jitter(rng, change.jitter))
        target = pictures.affine(mask, matrix, out, centre, Image.Resampling.BICUBIC)
        tensors = pictures.to_tensor(frame), pictures.to_tensor(target)[None]
        warp = self.augmentation.warp
        if warp is not None and rng.random() < warp.chance:
            return pictures.warp_frame(*tensors, pictures.ThinPlate.draw(rng, warp).grid(self.size))
        return tensors


def find_pairs(root: Path) -> list[Pair]:
    """Images with their masks below a folder, sorted.

    A mask is a PNG with the image's name (endings ``_im`` and ``_gt`` are passed over), in the same folder or in one
    beside it whose name says so (mask, gt, ground truth, annotation, label). The frames of a video dataset count as
    images, too; where it has a list ``train``, those of the videos on it.

    Raises:
        UserError: the folder does not exist, or there are no pairs in it.
    """
    if not root.is_dir():
        raise UserError(f"image folder {root} does not exist", "check the path")
    found: dict[tuple[str, str], dict[str, Path]] = {}
    for path in sorted(root.rglob("*")):
        suffix = path.suffix.lower()
        if suffix not in _IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        place, in_mask_folder = _place(path.relative_to(root).parent)
        stem = path.stem
        is_mask = suffix == ".png" and (in_mask_folder or stem.lower().endswith(_MASK_ENDINGS))
        for ending in (*_MASK_ENDINGS, *_IMAGE_ENDINGS):
            stem = stem.removesuffix(ending)
        found.setdefault((place, stem), {})["mask" if is_mask else suffix] = path
    pairs, listed = [], _listed(root)
    for files in found.values():
        mask = files.pop("mask", None) or files.pop(".png", None)
        images = [files[suffix] for suffix in _IMAGE_SUFFIXES if suffix in files]
        if mask is not None and images and (listed is None or listed & {images[0].parent.name, images[0].stem}):
            pairs.append(Pair(images[0], mask))
    if not pairs:
        raise UserError(f"{root} holds no images with masks", "masks are PNGs with the name of their image")
    return sorted(pairs, key=lambda pair: str(pair.image))


def _listed(root: Path) -> set[str] | None:
    """What lists ``train`` of a dataset name, videos or images; None where there is no such list."""
    lists = sorted((root / IMAGE_SETS).rglob("train.txt"))
    return {Path(word).parent.name or word for path in lists for word in read_image_set(path)} if lists else None


def _place(folder: Path) -> tuple[str, bool]:
    """Where a file belongs, the same for an image and for its mask in a folder beside; and whether it is a mask's."""
    parts = list(folder.parts)
    in_mask_folder = False
    for i, part in enumerate(parts):
        if part == MASK or any(word in part.lower() for word in _MASK_FOLDERS):
            parts[i], in_mask_folder = "*", True
        elif part == RGB or "image" in part.lower():
            parts[i] = "*"
    return "/".join(parts), in_mask_folder


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read", str(error.strerror)) from None
