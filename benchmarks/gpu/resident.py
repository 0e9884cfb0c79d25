"""Decoded videos in the memory of the device, and training samples cut out of them there.

For data of hundreds of megabytes when decoded: training needs no loader process, no decoder and no OpenCV. The random
parameters of a sample are drawn by ``training.data`` and applied to the pixels on the device. Differences to
``training.data``: interpolation is bilinear, rotated crops show the pixels beside the crop, contrast scales around
the mean colour of the video, and hue does not change.
"""

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError
from models.backbone import MEAN, STD
from training.data import sampling, transforms
from training.data.sample import Batch
from training.schema.data import FrameChange, Jitter, VideoSource
from training.schema.stage import Stage


@dataclass(frozen=True)
class Clip:
    """A video: frames ``start`` to ``start + count`` of ``Clips``; ``size`` is (width, height), ``mean`` RGB."""

    name: str
    start: int
    count: int
    size: tuple[int, int]
    mean: np.ndarray


class Clips:
    """Decoded videos on a device.

    frames: (N, 3, H, W) uint8 sRGB. ids: (N, H, W) uint8, 0 for background. Smaller videos lie at the upper left.
    """

    def __init__(self, clips: list[Clip], frames: Tensor, ids: Tensor):
        self.clips, self.frames, self.ids = clips, frames, ids

    @staticmethod
    def load(store: VideoStore, names: Sequence[str], device: str) -> "Clips":
        """Decode the annotated frames of videos. Raises UserError where there are none, or one is damaged."""
        if not names:
            raise UserError(f"{store.path} has no videos", "give a folder that `benchmarks.gpu.pack` has made")
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            videos = list(pool.map(functools.partial(_decode, store), names))
        width, height = (max(rgb.shape[axis] for rgb, _ in videos) for axis in (2, 1))
        count = sum(len(rgb) for rgb, _ in videos)
        frames = torch.tensor(transforms.FILL, dtype=torch.uint8).view(3, 1, 1).repeat(count, 1, height, width)
        ids = torch.zeros(count, height, width, dtype=torch.uint8)
        clips, start = [], 0
        for name, (rgb, mask) in zip(names, videos, strict=True):
            number, (h, w) = len(rgb), rgb.shape[1:3]
            frames[start : start + number, :, :h, :w] = torch.from_numpy(rgb).movedim(-1, 1)
            ids[start : start + number, :h, :w] = torch.from_numpy(mask)
            clips.append(Clip(name, start, number, (w, h), rgb.mean((0, 1, 2))))
            start += number
        return Clips(clips, frames.to(device), ids.to(device))

    def only(self, names: Sequence[str]) -> "Clips":
        """The named videos, with the same tensors of pixels."""
        return Clips([clip for clip in self.clips if clip.name in names], self.frames, self.ids)

    def image(self, clip: Clip, number: int) -> Tensor:
        """(3, h, w), normalised as the networks take it."""
        width, height = clip.size
        return _normalised(self.frames[clip.start + number, :, :height, :width].float())

    def mask(self, clip: Clip, number: int) -> Tensor:
        """(h, w) uint8 ids."""
        width, height = clip.size
        return self.ids[clip.start + number, :height, :width]


def _decode(store: VideoStore, name: str) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W, 3) and (N, H, W), uint8."""
    numbers = store.mask_frames(name)
    if len(numbers) < 3:
        raise UserError(f"{store.path}: {name} has {len(numbers)} annotated frames", "a sample needs three")
    masks = np.stack([store.read_mask(name, i).ids for i in numbers])
    return np.stack([store.read_rgb(name, i) for i in numbers]), masks.astype(np.uint8)


@dataclass
class Plan:
    """The random parameters of a batch.

    frames: (B, T) numbers. matrices (B, T, 2, 2) and shifts (B, T, 2) map a point of the crop to one of the frame.
    colours: (B, T, 3, 4), an affine map of RGB.
    """

    frames: np.ndarray
    matrices: np.ndarray
    shifts: np.ndarray
    colours: np.ndarray

    @staticmethod
    def empty(batch: int, frames: int) -> "Plan":
        shape = (batch, frames)
        return Plan(
            np.zeros(shape, np.int64),
            np.zeros((*shape, 2, 2), np.float32),
            np.zeros((*shape, 2), np.float32),
            np.zeros((*shape, 3, 4), np.float32),
        )


class Sampler:
    """Endless batches of a stage from clips: like ``training.data.videos``, or of their frames as still images.

    Args:
        stage: gives batch, frames, size, objects, augmentation, and for videos the curriculum and the crops.
    """

    def __init__(self, clips: Clips, stage: Stage, random: np.random.Generator):
        self.clips, self.stage, self.random = clips, stage, random
        (self.source,) = stage.sources.values()
        self.labels = int(clips.ids.max()) + 1
        self.generator = torch.Generator(clips.ids.device).manual_seed(int(random.integers(2**62)))

    def batch(self, progress: float) -> Batch:
        """A batch on the device.

        Args:
            progress: of the training, 0 to 1; the curriculum of frame distances depends on it.
        """
        plan = Plan.empty(self.stage.batch, self.stage.frames)
        for row in range(self.stage.batch):
            clip = self.clips.clips[self.random.integers(len(self.clips.clips))]
            if isinstance(self.source, VideoSource):
                self._plan_video(plan, row, clip, self.source, progress)
            else:
                self._plan_still(plan, row, clip)
        return self._cut(plan)

    def _plan_video(self, plan: Plan, row: int, clip: Clip, source: VideoSource, progress: float) -> None:
        change, size = self.stage.augmentation, self.stage.size
        assert change.frame is not None and change.sequence.crop_ratio is not None  # Stage sees to it
        distance = sampling.largest_distance(self.stage.curriculum, int(1000 * progress), 1000)
        numbers = sampling.draw_frames(self.random, clip.count, self.stage.frames, distance)
        box = transforms.draw_crop(self.random, *clip.size, source.crop_scale, change.sequence.crop_ratio)
        box_size, first = np.subtract(box[2:], box[:2]), np.array(box[:2], float)
        mirror = self._mirror()
        jitter = transforms.draw_jitter(self.random, _without_hue(change.sequence.jitter))
        for t, number in enumerate(numbers):
            matrix = mirror * transforms.draw_affine(self.random, change.frame) * (box_size / size)[:, None]
            plan.matrices[row, t], plan.frames[row, t] = matrix, clip.start + number
            plan.shifts[row, t] = first + box_size / 2 - matrix @ np.full(2, size / 2)
            plan.colours[row, t] = self._colours(clip, jitter, change.frame)

    def _plan_still(self, plan: Plan, row: int, clip: Clip) -> None:
        """Like ``training.data.images``: the short side is ``scale`` crops long, positions of crops are random."""
        change, size = self.stage.augmentation, self.stage.size
        assert change.frame is not None and change.sequence.scale is not None  # Stage sees to it
        number = clip.start + self.random.integers(clip.count)
        scale = self.random.uniform(*change.sequence.scale)
        factor = min(clip.size) / (scale * size)
        room = np.maximum(0.0, np.array(clip.size) * size / min(clip.size) - size)
        mirror = self._mirror()
        jitter = transforms.draw_jitter(self.random, _without_hue(change.sequence.jitter))
        for t in range(self.stage.frames):
            matrix = factor * mirror * transforms.draw_affine(self.random, change.frame)
            centre = size / 2 + self.random.uniform(-room / 2, room / 2)
            plan.matrices[row, t], plan.frames[row, t] = matrix, number
            plan.shifts[row, t] = np.array(clip.size) / 2 - matrix @ centre
            plan.colours[row, t] = self._colours(clip, jitter, change.frame)

    def _mirror(self) -> np.ndarray:
        """(2, 1): signs of the rows of a matrix; the first is negative for a horizontal flip."""
        return np.array([[-1.0 if self.random.random() < self.stage.augmentation.sequence.flip else 1.0], [1.0]])

    def _colours(self, clip: Clip, together: list[transforms.ColourStep], change: FrameChange) -> np.ndarray:
        steps = together + transforms.draw_jitter(self.random, _without_hue(change.jitter))
        return transforms.colour_matrix(steps, lambda: clip.mean)

    def _cut(self, plan: Plan) -> Batch:
        device, size = self.clips.frames.device, self.stage.size
        frames, matrices, shifts, colours = (
            torch.from_numpy(x).to(device) for x in (plan.frames, plan.matrices, plan.shifts, plan.colours)
        )
        place = torch.arange(size, device=device) + 0.5
        points = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)
        source = torch.einsum("btij,hwj->bthwi", matrices, points) + shifts[:, :, None, None]
        height, width = self.clips.frames.shape[-2:]
        grid = (2 * source / torch.tensor([width, height], device=device) - 1).flatten(0, 1)
        fill = torch.tensor(transforms.FILL, dtype=torch.float32, device=device).view(3, 1, 1)
        flat = frames.flatten()
        images = F.grid_sample(self.clips.frames[flat] - fill, grid, align_corners=False) + fill
        ids = F.grid_sample(self.clips.ids[flat, None].float(), grid, mode="nearest", align_corners=False)
        mixed = torch.einsum("nij,njhw->nihw", colours[..., :3].flatten(0, 1), images)
        images = (mixed + colours[..., 3].flatten(0, 1)[..., None, None]).clamp(0, 255)
        masks, present = self._choose(ids.view(*plan.frames.shape, size, size).to(torch.uint8))
        return Batch(
            images=_normalised(images).unflatten(0, plan.frames.shape),
            masks=masks,
            void=torch.zeros(*plan.frames.shape, size, size, dtype=torch.bool, device=device),
            present=present,
            given=masks[:, 0],
        )

    def _choose(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Masks (B, T, O, S, S) of random objects of the first frame, and which exist: (B, O) bool.

        Rendered objects that are smaller than BL30K's filter allows are left out.
        """
        areas = F.one_hot(ids[:, 0].flatten(1).long(), self.labels).sum(1)
        min_area = sampling.SMALL * (self.stage.size / 384) ** 2 if self._is_filtered() else 0
        ranks = torch.rand(areas.shape, device=ids.device, generator=self.generator)
        ranks = ranks.masked_fill(areas <= min_area, -1.0)
        ranks[:, 0] = -1.0
        best, labels = F.pad(ranks, (0, self.stage.objects), value=-1.0).topk(self.stage.objects)
        found = best >= 0
        masks = (ids[:, :, None] == labels[:, None, :, None, None]) & found[:, None, :, None, None]
        present = found.clone()
        present[:, 0] = True
        return masks.float(), present

    def _is_filtered(self) -> bool:
        return self.source.kind == "videos" and self.source.label_filter == "small"


def _without_hue(jitter: Jitter) -> Jitter:
    return jitter.model_copy(update={"hue": 0.0})


def _normalised(pixels: Tensor) -> Tensor:
    """Normalise (..., 3, H, W) of 0 to 255 with ImageNet's mean and deviation."""
    mean, std = (torch.tensor(x, device=pixels.device).view(3, 1, 1) for x in (MEAN, STD))
    return (pixels / 255 - mean) / std
