"""Conversions between frames and masks as arrays and the tensors of networks."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.backbone import MEAN, STD, STRIDE


def normalise(frame: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """(H, W, 3) uint8 sRGB -> (3, H, W) float32, normalised as for all networks."""
    image = torch.from_numpy(np.array(frame)).to(device).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(numbers, device=device).view(3, 1, 1) for numbers in (MEAN, STD))
    return (image - mean) / std


def one_hot(ids: np.ndarray, objects: tuple[int, ...] | list[int], device: torch.device | str = "cpu") -> Tensor:
    """(H, W) object ids -> (O, H, W) float32 of 0 and 1, a map for each of ``objects``."""
    labels = torch.as_tensor(objects, device=device).view(-1, 1, 1)
    return (torch.from_numpy(ids.astype(np.int64)).to(device) == labels).float()


def label_map(prob: Tensor, objects: tuple[int, ...] | list[int]) -> np.ndarray:
    """Probabilities (1 + O, H, W), background first -> (H, W) uint8 ids of the likeliest."""
    ids = np.array([0, *objects], np.uint8)
    return ids[prob.max(0).indices.cpu().numpy()]  # on CPUs argmax takes ten times as long


def working_size(size: tuple[int, int], short_side: int | None, scale: float = 1.0) -> tuple[int, int]:
    """(height, width) to which frames of ``size`` are resized for the network."""
    factor = scale * (short_side / min(size) if short_side else 1)
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


class PaddedView:
    """Converts frames of one size to padded tensors, and results back.

    Frames are resized (bicubic with antialiasing), then padded with zeros to multiples of 16, equally on both sides;
    an odd pixel goes to the bottom and to the right. For results the padding is cut off and probabilities are resized
    (bilinear).
    """

    def __init__(self, size: tuple[int, int], working: tuple[int, int] | None = None):
        self.size, self.working = size, working or size
        rows, columns = (-side % STRIDE for side in self.working)
        self.top, self.left = rows // 2, columns // 2
        self.padding = (self.left, columns - self.left, self.top, rows - self.top)

    @property
    def padded(self) -> tuple[int, int]:
        """(height, width) of the tensors."""
        return self.working[0] + sum(self.padding[2:]), self.working[1] + sum(self.padding[:2])

    def image(self, image: Tensor) -> Tensor:
        """(3, H, W), normalised -> (1, 3, h, w)."""
        image = image.unsqueeze(0)
        if self.working != self.size:
            image = F.interpolate(image, self.working, mode="bicubic", align_corners=False, antialias=True)
        return F.pad(image, self.padding)

    def masks(self, masks: Tensor) -> Tensor:
        """Hard masks (O, H, W) -> (1, O, h, w)."""
        masks = masks.unsqueeze(0)
        if self.working != self.size:
            masks = F.interpolate(masks, self.working, mode="nearest-exact")
        return F.pad(masks, self.padding)

    def fit(self, prob: Tensor) -> Tensor:
        """Probabilities (C, H, W) -> (1, C, h, w)."""
        return F.pad(_resize(prob.unsqueeze(0), self.working), self.padding)

    def cut(self, x: Tensor) -> Tensor:
        """(..., h, w) without its padding, at the working size."""
        return x[..., self.top : self.top + self.working[0], self.left : self.left + self.working[1]]

    def restore(self, prob: Tensor) -> Tensor:
        """Probabilities (1, C, h, w) -> (C, H, W)."""
        return _resize(self.cut(prob), self.size)[0]


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    if x.shape[-2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=False)
