"""Training samples and batches: uint8 until they reach the device, then float."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.utils.data import default_collate

from models.backbone import MEAN, STD


@dataclass(frozen=True)
class Sample:
    """One sequence; a batch has the same fields with a batch dimension in front.

    images: (T, 3, H, W) uint8 sRGB.
    masks: (T, O, H, W) uint8, 255 inside the object; values between are soft masks of still images.
    void: (T, H, W) bool, pixels that no loss counts.
    present: (O,) bool, objects that exist; the first always does, perhaps with empty masks.
    given: (O, H, W) uint8, masks of the first frame as the network sees them; RDE's are perturbed.
    name: video or image, and frames.
    skipped: damaged files that were skipped before this sample.
    """

    images: Tensor
    masks: Tensor
    void: Tensor
    present: Tensor
    given: Tensor
    name: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaseBatch:
    """Base of all batches: uint8 from the loader; ``to`` moves them to the device and makes them float.

    IMAGES are (B, ..., 3, H, W) sRGB, later normalised; MASKS have 255 for 1, later [0, 1]; OTHERS stay as they are.
    A subclass is a dataclass with these fields, ``names`` and ``skipped``.
    """

    IMAGES: ClassVar[tuple[str, ...]]
    MASKS: ClassVar[tuple[str, ...]]
    OTHERS: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def collate(cls, samples: Sequence[Any]) -> Self:
        """Stack samples: of this class, with the same fields without a batch dimension."""
        stacked = cls._stacked(samples)
        lists = {key: [text for sample in samples for text in getattr(sample, key)] for key in ("names", "skipped")}
        return cls(**stacked, **lists)

    def pin_memory(self) -> Self:
        return self._map(Tensor.pin_memory)

    def to(self, device: torch.device) -> Self:
        """On the device, images normalised, masks in [0, 1]."""
        moved = self._map(lambda tensor: tensor.to(device, non_blocking=True))
        mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in (MEAN, STD))
        factor, shift = 1 / (255 * std), mean / std
        floats = {name: getattr(moved, name).float() for name in (*self.IMAGES, *self.MASKS)}
        for name in self.IMAGES:  # in place: allocating new memory takes more time than the arithmetic
            floats[name].mul_(factor).sub_(shift)
        for name in self.MASKS:
            floats[name].div_(255)
        return replace(moved, **floats)

    def first(self, count: int) -> Self:
        return self._map(lambda tensor: tensor[:count])

    def __len__(self) -> int:
        return len(getattr(self, self.IMAGES[0]))

    @classmethod
    def _tensors(cls) -> tuple[str, ...]:
        return (*cls.IMAGES, *cls.MASKS, *cls.OTHERS)

    @classmethod
    def _stacked(cls, samples: Sequence[Any]) -> dict[str, Tensor]:
        """Stack tensors; in a worker into memory that it shares with the trainer, so that batches are not copied."""
        return {name: default_collate([getattr(sample, name) for sample in samples]) for name in cls._tensors()}

    def _map(self, change: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{name: change(getattr(self, name)) for name in self._tensors()})


@dataclass(frozen=True)
class Batch(BaseBatch):
    """A batch of sequences on the training device.

    images (B, T, 3, H, W) normalised, masks (B, T, O, H, W) and given (B, O, H, W) in [0, 1], void (B, T, H, W) bool,
    present (B, O) bool; labels (B, T, H, W) int64 are 0 for background, 1 and 2 for the objects, -1 for void.
    """

    images: Tensor
    masks: Tensor
    void: Tensor
    present: Tensor
    given: Tensor
    names: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    IMAGES = ("images",)
    MASKS = ("masks", "given")
    OTHERS = ("void", "present")

    @classmethod
    def collate(cls, samples: Sequence[Sample]) -> Self:
        """Stack samples as uint8, so that little is copied between processes."""
        names, skipped = [s.name for s in samples], [error for s in samples for error in s.skipped]
        return cls(**cls._stacked(samples), names=names, skipped=skipped)

    @property
    def labels(self) -> Tensor:
        return labels_of(self.masks).masked_fill(self.void, -1)


@dataclass(frozen=True)
class FusionBatch(BaseBatch):
    """Two propagations of the same objects to one frame; the second one starts at the reference frame.

    From the loader images are (B, 3, H, W) uint8 sRGB and masks uint8 with 255 for 1; ``to`` makes them float,
    images normalised and masks in [0, 1].

    image, reference: (B, 3, H, W), the frame to be fused and the reference frame.
    older, newer: (B, O, H, W) soft masks of the frame, propagated from another reference and from this one.
    before, after: (B, O, H, W), masks of the reference frame, propagated from the other reference and true ones.
    true: (B, O, H, W), the target.
    distance: (B, 2), from the frame to the other reference and to this one, divided by the distance of the two.
    present: (B, O) bool.
    """

    image: Tensor
    reference: Tensor
    older: Tensor
    newer: Tensor
    before: Tensor
    after: Tensor
    true: Tensor
    distance: Tensor
    present: Tensor
    names: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    IMAGES = ("image", "reference")
    MASKS = ("older", "newer", "before", "after", "true")
    OTHERS = ("distance", "present")


@dataclass(frozen=True)
class S2MBatch(BaseBatch):
    """Images with one object each.

    From the loader images are uint8 sRGB and masks uint8 with 255 for 1; ``to`` makes them float, images normalised
    and masks in [0, 1].

    image: (B, 3, H, W).
    before: (B, 1, H, W), the mask so far, hard.
    positive, negative: (B, 1, H, W), scribbles on the object and beside it.
    true: (B, 1, H, W), the target.
    """

    image: Tensor
    before: Tensor
    positive: Tensor
    negative: Tensor
    true: Tensor
    names: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    IMAGES = ("image",)
    MASKS = ("before", "positive", "negative", "true")


def labels_of(masks: Tensor) -> Tensor:
    """(..., O, H, W) soft masks -> (..., H, W) int64: 0 for background, else the first object above 0.5."""
    inside = masks > 0.5
    labels = torch.zeros(inside.shape[:-3] + inside.shape[-2:], dtype=torch.int64, device=masks.device)
    for number in range(inside.shape[-3], 0, -1):
        labels[inside[..., number - 1, :, :]] = number
    return labels
