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
ANNOTATED = 3  # frames of a video that a sample needs
LOOKED_AT = 256  # videos whose frames are counted before training


@dataclass(frozen=True)
class FrameTransform:
    """What happens to every frame of a sample: the crop ``box`` of an image of ``size``, then a flip, both to
    ``out`` x ``out`` pixels, then the frame's own affine change around the centre.

    All of it is one affine map, so that each frame is resampled once. What lies outside the crop is not shown.
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
        """Of a frame that may be smaller than ``size``."""
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

    The sampling recipe: frames within the curriculum's distance; a random object of the first sampled frame is the
    target and a random other one the second object, the rest is background. Up to five draws of frames are made
    until the first one shows an object; then the sample is taken as it is.

    Augmentation: a flip, a crop and a colour change are drawn once per sample, a small affine and colour change for
    each frame. Masks are cropped first, so that images are decoded only once the frames are chosen.
    """

    def __init__(self, source: VideoSource, augmentation: Augmentation, frames: int, objects: int, size: int):
        self.source, self.augmentation = source, augmentation
        self.frames, self.objects, self.size = frames, objects, size
        assert augmentation.frame is not None and augmentation.sequence.crop_ratio is not None  # Stage sees to it
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
        if len(annotated) < ANNOTATED:
            raise Unusable(
                f"{self.source.path}: {name} has {len(annotated)} annotated frames, and a sample needs {ANNOTATED}"
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
    """Say before training how many videos are too short, of those looked at.

    Raises:
        UserError: all are, or no mask that was looked at shows an object.
    """
    chosen = masks.spread(names, LOOKED_AT)
    short = [name for name in chosen if len(store.mask_frames(name)) < ANNOTATED]
    if len(short) == len(chosen):
        what = (
            f"{store.path}: {short[0]} has {len(store.mask_frames(short[0]))} annotated frames, as few as the others"
        )
        raise UserError(what, f"a sample needs {ANNOTATED}: leave the source out, or give it more")
    if short:
        looked = f"{len(short)} of {len(chosen)} videos"
        log.warning(
            "%s: %s, such as %s, have under %d annotated frames: never used", store.path, looked, short[0], ANNOTATED
        )
    looked_at = 0
    damaged: UserError | None = None
    for name in masks.spread([name for name in chosen if name not in set(short)], masks.SAMPLE):
        for i in masks.spread(store.mask_frames(name), 4):
            looked_at += 1
            try:
                if store.read_mask(name, i).ids.any():
                    return
            except UserError as error:  # a damaged one is named when it is drawn
                damaged = error
    if damaged is not None:
        raise damaged
    raise UserError(
        f"{store.path} shows no object in any of {looked_at} masks that were looked at",
        "check that these are masks of objects, and what they mean (masks: ids, binary or soft)",
    )


def choose_videos(store: VideoStore, source: VideoSource) -> list[str]:
    """Names of the videos that a source takes, sorted.

    A dataset without any ``ImageSets`` (the published BL30K) has no splits, so that all its videos count. Whether a
    video is in the share depends on its name alone: a larger share holds the smaller one.

    Raises:
        UserError: a list is missing, or names a video that is not there.
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
    """The same objects with ids below 255: 16-bit ids are numbered anew."""
    if all(frame.dtype == np.uint8 for frame in ids):
        return ids
    labels = np.unique(np.append(np.stack(ids), 0))
    if len(labels) > _VOID:
        raise UserError(f"{name} has more than 254 objects", "leave the video out")
    return [np.searchsorted(labels, frame).astype(np.uint8) for frame in ids]
