"""Samples from annotated videos: DAVIS, YouTube-VOS, BL30K and any folder or shards in their layout."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bl30k_gen.dataset import masks
from bl30k_gen.dataset.layout import IMAGE_SETS, read_image_set
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.errors import UserError
from training.data import sampling, transforms
from training.data.perturb import perturb
from training.data.sample import Sample
from training.data.unusable import Unusable
from training.schema.data import Augmentation, VideoSource, place_of

log = logging.getLogger(__name__)

_VOID = 255
MIN_FRAMES = 3  # annotated frames that a sample needs
MAX_CHECKED = 256  # videos that are checked before training


@dataclass(frozen=True)
class FrameTransform:
    """The geometric transform of a sample's frames: the crop ``box`` of an image of ``size``, a flip, a resize to
    ``out`` x ``out`` pixels, then the frame's own affine change around the centre.

    All of this is one affine map, so each frame is resampled once. Pixels outside of the crop are never used.
    """

    size: tuple[int, int]
    box: transforms.CropBox
    flip: bool
    matrices: list[np.ndarray]
    out: int

    def apply_to_mask(self, mask: np.ndarray, t: int) -> np.ndarray:
        """(out, out) uint8 ids, nearest neighbour, of a mask (H, W)."""
        return self._apply(mask, t, Image.Resampling.NEAREST)

    def apply_to_image(
        self, image: Image.Image, t: int, steps: list[transforms.ColourStep], source: object
    ) -> np.ndarray:
        """(out, out, 3) RGB, bicubic, with its colours changed."""
        rgb = transforms.decode_pixels(image, self.box, (self.out, self.out), source)
        changed = self._apply(rgb, t, Image.Resampling.BICUBIC)
        return transforms.recolour_pixels(changed, steps)

    def _apply(self, pixels: np.ndarray, t: int, resample: Image.Resampling) -> np.ndarray:
        """Transform a frame, which may have been decoded at less than ``size``."""
        smaller = np.array([pixels.shape[1] / self.size[0], pixels.shape[0] / self.size[1]])
        box = np.array(self.box).reshape(2, 2) * smaller
        first, last = np.floor(box[0]).astype(int), np.ceil(box[1]).astype(int)
        inside = pixels[first[1] : last[1], first[0] : last[0]]
        scale = (box[1] - box[0]) / self.out
        centre = np.full(2, self.out / 2)
        matrix, shift = self.matrices[t], centre - self.matrices[t] @ centre
        if self.flip:
            matrix, shift = matrix * [[-1], [1]], (self.out, 0) + shift * (-1, 1)
        shift = box[0] - first + scale * shift
        return transforms.warp(inside, scale[:, None] * matrix, shift, (self.out, self.out), resample)


class Videos:
    """Samples of one annotated video each: ``videos.draw(i, rng, distance)`` is a sample of video ``i``.

    Sampling: frames within the curriculum's distance are drawn. A random object of the first one is the target,
    another random one the second object, and the rest is background. If the first frame shows no object, frames are
    drawn again, at most five times in all; then the sample is used without an object.

    Augmentation: a flip, a crop and a colour change are drawn once per sample, a small affine and colour change for
    each frame. Masks are cropped first, so that images are decoded only after the frames are chosen.
    """

    def __init__(self, source: VideoSource, augmentation: Augmentation, frames: int, objects: int, size: int):
        self.source, self.augmentation = source, augmentation
        self.frames, self.objects, self.size = frames, objects, size
        assert augmentation.frame is not None and augmentation.sequence.crop_ratio is not None  # checked by Stage
        self.change, self.crop_ratio = augmentation.frame, augmentation.sequence.crop_ratio
        self.store = open_dataset(place_of(source.path), masks_mean=source.masks)
        self.names = choose_videos(self.store, source)
        if not self.names:
            raise UserError(f"dataset {source.path} has no videos to train on", "check split, names and share")
        check_masks(self.store, self.names)

    def __len__(self) -> int:
        return len(self.names)

    def draw(self, index: int, rng: np.random.Generator, distance: int) -> Sample:
        """A sample. Raises UserError naming a damaged file, and Unusable."""
        name = self.names[index]
        annotated = self.store.mask_frames(name)
        if len(annotated) < MIN_FRAMES:
            raise Unusable(
                f"{self.source.path}: {name} has {len(annotated)} annotated frames, and a sample needs {MIN_FRAMES}"
            )
        distance = max(1, distance // self.source.annotated_every)
        for _ in range(sampling.TRIES):
            frames = [annotated[i] for i in sampling.draw_frames(rng, len(annotated), self.frames, distance)]
            geometry = self._draw_geometry(rng, name, frames)
            ids, void = self._read_masks(name, frames, geometry)
            labels = sampling.candidates(ids, void, self.source.label_filter, self.size)
            if labels:
                break
        targets = sampling.draw_objects(rng, labels, self.objects)
        masks = np.zeros((self.frames, self.objects, self.size, self.size), np.uint8)
        for number, label in enumerate(targets):
            np.equal(ids, label, out=masks[:, number].view(bool))
        masks *= 255
        given = masks[0]
        if (iou := self.augmentation.first_mask_iou) is not None:
            given = np.stack([perturb(mask > 0, rng.uniform(*iou), rng) for mask in given]).astype(np.uint8) * 255
        return Sample(
            images=self._read_images(rng, name, frames, geometry),
            masks=torch.from_numpy(masks),
            void=torch.from_numpy(void),
            present=torch.arange(self.objects) < max(1, len(targets)),
            given=torch.from_numpy(given),
            name=f"{name} {' '.join(self.store.frames(name)[i] for i in frames)}",
        )

    def _draw_geometry(self, rng: np.random.Generator, name: str, frames: list[int]) -> "FrameTransform":
        change = self.augmentation.sequence
        image = self._open(name, frames[0])
        return FrameTransform(
            size=image.size,
            box=transforms.draw_crop(rng, *image.size, self.source.crop_scale, self.crop_ratio),
            flip=bool(rng.random() < change.flip),
            matrices=[transforms.draw_affine(rng, self.change) for _ in frames],
            out=self.size,
        )

    def _read_masks(self, name: str, frames: list[int], geometry: "FrameTransform") -> tuple[np.ndarray, np.ndarray]:
        """ids (T, H, W) int and void (T, H, W) bool, cropped and changed."""
        read = [self.store.read_mask(name, i) for i in frames]
        for i, mask in zip(frames, read, strict=True):
            if mask.ids.shape != geometry.size[::-1]:
                raise UserError(
                    f"{self.store.path / self.store.mask_path(name, i)} is {mask.ids.shape[::-1]} pixels, "
                    f"its video {geometry.size}",
                    "restore it, or leave the video out",
                )
        values = _in_one_byte([mask.ids for mask in read], f"{self.source.path}: {name}")
        changed = []
        for t, mask in enumerate(read):
            if mask.void is not None:
                values[t] = np.where(mask.void, np.uint8(_VOID), values[t])
            changed.append(geometry.apply_to_mask(values[t], t))
        values = np.stack(changed)
        return values * (values != _VOID), values == _VOID

    def _read_images(
        self, rng: np.random.Generator, name: str, frames: list[int], geometry: "FrameTransform"
    ) -> torch.Tensor:
        together = transforms.draw_jitter(rng, self.augmentation.sequence.jitter)
        images = np.empty((self.frames, 3, self.size, self.size), np.uint8)
        for t, i in enumerate(frames):
            steps = together + transforms.draw_jitter(rng, self.change.jitter)
            image = self._open(name, i)
            if image.size != geometry.size:
                raise UserError(
                    f"{self.store.path / self.store.rgb_path(name, i)} is {image.size} pixels, "
                    f"its video {geometry.size}",
                    "restore it, or leave the video out",
                )
            source = self.store.path / self.store.rgb_path(name, i)
            images[t] = geometry.apply_to_image(image, t, steps, source).transpose(2, 0, 1)
        return torch.from_numpy(images)

    def _open(self, name: str, i: int) -> Image.Image:
        return transforms.open_image(self.store.rgb_bytes(name, i), self.store.path / self.store.rgb_path(name, i))


def check_masks(store: VideoStore, names: list[str]) -> None:
    """Check some videos before training, and say how many of them are too short.

    Raises:
        UserError: all of them are too short, or none of their masks shows an object.
    """
    chosen = masks.spread(names, MAX_CHECKED)
    short = [name for name in chosen if len(store.mask_frames(name)) < MIN_FRAMES]
    if len(short) == len(chosen):
        what = (
            f"{store.path}: {short[0]} has {len(store.mask_frames(short[0]))} annotated frames, as few as the others"
        )
        raise UserError(what, f"a sample needs {MIN_FRAMES}: leave the source out, or give it more")
    if short:
        examples = f"{len(short)} of {len(chosen)} videos, such as {short[0]},"
        log.warning("%s: %s have under %d annotated frames: never used", store.path, examples, MIN_FRAMES)
    looked_at = 0
    damaged: UserError | None = None
    for name in masks.spread([name for name in chosen if name not in set(short)], masks.SAMPLE):
        for i in masks.spread(store.mask_frames(name), 4):
            looked_at += 1
            try:
                if store.read_mask(name, i).ids.any():
                    return
            except UserError as error:  # a damaged file is reported when it is drawn
                damaged = error
    if damaged is not None:
        raise damaged
    raise UserError(
        f"{store.path} shows no object in any of {looked_at} masks that were looked at",
        "check that these are masks of objects, and what they mean (masks: ids, binary or soft)",
    )


def choose_videos(store: VideoStore, source: VideoSource) -> list[str]:
    """Names of the videos that a source uses, sorted.

    A dataset without ``ImageSets`` (the published BL30K) has no splits: all its videos are used. Whether a video is
    in the share depends on its name alone, so a larger share contains the smaller one.

    Raises:
        UserError: a list is missing, or names a video that does not exist.
    """
    names = store.videos
    if source.split is not None:
        if IMAGE_SETS in store.tree.folders(""):
            names = store.image_set(source.split)
        else:
            log.warning("%s has no lists of splits; all its videos are used", store.path)
    if source.names is not None:
        if not Path(source.names).is_file():
            raise UserError(f"list {source.names} is no file", "give a text file with a video name a line")
        wanted = read_image_set(Path(source.names))
        if unknown := sorted(set(wanted) - set(names)):
            raise UserError(f"list {source.names} names {unknown[0]}, which {store.path} lacks", "fix the list")
        names = wanted
    return sorted(name for name in names if sampling.rank_of(name) < source.share)


def _in_one_byte(ids: list[np.ndarray], name: str) -> list[np.ndarray]:
    """The ids as uint8 below 255; 16-bit ids are renumbered."""
    if all(frame.dtype == np.uint8 for frame in ids):
        return ids
    labels = np.unique(np.append(np.stack(ids), 0))
    if len(labels) > _VOID:
        raise UserError(f"{name} has more than 254 objects", "leave the video out")
    return [np.searchsorted(labels, frame).astype(np.uint8) for frame in ids]
