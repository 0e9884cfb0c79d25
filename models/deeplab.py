"""DeepLabV3+ (Chen et al., 2018) with a ResNet at output stride 16, for scribbles and clicks."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from models.backbone import STRIDE, build_resnet

CHANNELS = {"resnet18_half": (32, 256), "resnet18": (64, 512), "resnet50": (256, 2048)}
"""Channels of layer1 and of layer4 by backbone."""


class DilatedResNet(nn.Module):
    """torchvision's ResNet whose layer4 does not stride. Returns layer1 (/4) and layer4 (/16).

    The ResNet-50's layer4 is dilated instead, as published. Blocks of the ResNet-18 and of its half do not support
    dilation.
    """

    def __init__(self, in_channels: int, backbone: str = "resnet50"):
        super().__init__()
        if backbone not in CHANNELS:
            raise ValueError(f"backbone {backbone!r} is unknown: choose one of {', '.join(CHANNELS)}")
        dilation = {"replace_stride_with_dilation": [False, False, True]} if backbone == "resnet50" else {}
        resnet = build_resnet(backbone, **dilation)
        if not dilation:
            resnet.layer4[0].conv1.stride = resnet.layer4[0].downsample[0].stride = (1, 1)
        self.conv1 = nn.Conv2d(in_channels, resnet.conv1.out_channels, 7, stride=2, padding=3, bias=False)
        self.bn1, self.maxpool = resnet.bn1, resnet.maxpool
        self.layer1, self.layer2 = resnet.layer1, resnet.layer2
        self.layer3, self.layer4 = resnet.layer3, resnet.layer4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        low = self.layer1(self.maxpool(torch.relu(self.bn1(self.conv1(x)))))
        return low, self.layer4(self.layer3(self.layer2(low)))


class DeepLabV3Plus(nn.Module):
    """One logit per pixel.

    Args:
        in_channels: of the input.
        dim: width of the ASPP and of the head.
        low_dim: width of the projected layer1 features.
        align_corners: of every bilinear interpolation.
        backbone: a key of ``CHANNELS``.
    """

    def __init__(
        self,
        in_channels: int,
        dim: int = 256,
        low_dim: int = 48,
        align_corners: bool = False,
        backbone: str = "resnet50",
    ):
        super().__init__()
        self.align_corners = align_corners
        self.backbone = DilatedResNet(in_channels, backbone)
        low, high = CHANNELS[backbone]
        self.low = nn.Sequential(nn.Conv2d(low, low_dim, 1, bias=False), nn.BatchNorm2d(low_dim), nn.ReLU())
        self.aspp = ASPP(high, [6, 12, 18], dim)
        self.aspp.project[3].p = 0.1
        self.head = nn.Sequential(
            nn.Conv2d(dim + low_dim, dim, 3, padding=1, bias=False),
            nn.BatchNorm2d(dim),
            nn.ReLU(),
            nn.Conv2d(dim, 1, 1),
        )

    def features(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> (B, low_dim + dim, H/4, W/4): layer1 features first, then the ASPP's."""
        if x.shape[-2] % STRIDE or x.shape[-1] % STRIDE:
            raise ValueError(f"input of {x.shape[-2]}x{x.shape[-1]} pixels: pad both sides to multiples of {STRIDE}")
        low, high = self.backbone(x)
        low = self.low(low)
        return torch.cat([low, self._resize(self.aspp(high), low.shape[-2:])], dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, 1, H, W)."""
        return self.classify(self.features(x), x.shape[-2:])

    def classify(self, features: Tensor, size: tuple[int, ...]) -> Tensor:
        """Features to logits (B, 1, *size)."""
        return self._resize(self.head(features), size)

    def _resize(self, x: Tensor, size: tuple[int, ...]) -> Tensor:
        return F.interpolate(x, size=size, mode="bilinear", align_corners=self.align_corners)
