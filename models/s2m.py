"""S2M, scribbles to a mask (MiVOS, section 3.1): DeepLabV3+ on image, mask so far and scribbles."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.backbone import load_imagenet, set_norm, start_orthogonal
from models.deeplab import DeepLabV3Plus


@dataclass(frozen=True)
class S2MConfig:
    """Backbone, width of the ASPP and the head, and width of the projected layer1 features. By default as published.

    norm: "batch", or "group", which stores no statistics of the training images.
    """

    backbone: str = "resnet50"
    dim: int = 256
    low_dim: int = 48
    norm: str = "batch"


class S2M(DeepLabV3Plus):
    """One object at a time; several objects go through hard soft-aggregation afterwards.

    The published network trains with its batch norms in training mode, unlike every other network here.
    """

    def __init__(self, config: S2MConfig | None = None):
        config = config or S2MConfig()
        super().__init__(6, config.dim, config.low_dim, backbone=config.backbone)
        self.config = config
        set_norm(self, config.norm)
        start_orthogonal(self.head[3])

    def load_imagenet(self, source: str | Path) -> None:
        """Load ImageNet weights into the ResNet; ``source`` as in ``backbone.imagenet_weights``."""
        load_imagenet(self.backbone, self.config.backbone, source)

    def segment(self, image: Tensor, mask: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """Logits (B, O, H, W).

        Args:
            image: (B, 3, H, W), normalised; H and W multiples of 16.
            mask, positive, negative: (B, O, H, W) of 0 and 1: the mask so far, and scribbles inside and outside.
        """
        if not mask.shape == positive.shape == negative.shape or mask.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f"mask {tuple(mask.shape)} and scribbles {tuple(positive.shape)}, {tuple(negative.shape)} "
                f"do not fit images {tuple(image.shape)}: expected (B, O, H, W)"
            )
        objects = mask.shape[1]
        images = image.unsqueeze(1).expand(-1, objects, -1, -1, -1)
        channels = torch.cat([images, torch.stack([mask, positive, negative], dim=2)], dim=2)
        return self(channels.flatten(0, 1)).view(mask.shape)
