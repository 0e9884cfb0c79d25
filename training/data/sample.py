"""A training sample, and a batch of them: bytes until they reach the device, then tensors."""

from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor

from models.backbone import MEAN, STD


@dataclass(frozen=True)
class Sample:
    """One sequence; a batch has the same fields with a batch dimension in front.

    images: (T, 3, H, W) uint8 sRGB.
    masks: (T, O, H, W) uint8, 255 inside the object; values between are soft masks of still images.
    void: (T, H, W) bool, pixels that count for no loss.
    present: (O,) bool, objects that exist; the first always does, perhaps with empty masks.
    given: (O, H, W) uint8, masks of the first frame as the network sees them; RDE's are perturbed.
    name: video or image, and frames.
    skipped: damaged files that were passed over before this sample was found.
    """

    images: Tensor
    masks: Tensor
    void: Tensor
    present: Tensor
    given: Tensor
    name: str = ""
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True)
class Batch:
    """A batch on the training device.

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

    @staticmethod
    def collate(samples: list[Sample]) -> "Batch":
        """Stack samples; still bytes, so that little is copied between processes."""
        tensors = ("images", "masks", "void", "present", "given")
        stacked = {name: torch.stack([getattr(sample, name) for sample in samples]) for name in tensors}
        return Batch(**stacked, names=[s.name for s in samples], skipped=[e for s in samples for e in s.skipped])

    def pin_memory(self) -> "Batch":
        return self._map(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """On the device, images normalised, masks in [0, 1]."""
        moved = self._map(lambda tensor: tensor.to(device, non_blocking=True))
        mean, std = (torch.tensor(x, device=device).view(3, 1, 1) for x in (MEAN, STD))
        return replace(
            moved,
            images=(moved.images.float() / 255 - mean) / std,
            masks=moved.masks.float() / 255,
            given=moved.given.float() / 255,
        )

    def first(self, count: int) -> "Batch":
        return self._map(lambda tensor: tensor[:count])

    @property
    def labels(self) -> Tensor:
        inside = self.masks > 0.5
        labels = torch.zeros(self.void.shape, dtype=torch.int64, device=self.void.device)
        for number in range(inside.shape[2], 0, -1):
            labels[inside[:, :, number - 1]] = number
        labels[self.void] = -1
        return labels

    def __len__(self) -> int:
        return self.images.shape[0]

    def _map(self, change) -> "Batch":
        tensors = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("names", "skipped")}
        return replace(self, **{name: change(tensor) for name, tensor in tensors.items()})
