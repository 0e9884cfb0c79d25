"""STCN (Cheng et al., NeurIPS 2021): one key of the image for memory and query, shared by all objects."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.backbone import CHANNELS, ResNetEncoder, start_orthogonal
from models.memory import Reading
from models.propagation import (
    Entry,
    KeyValue,
    PropagationConfig,
    PropagationNetwork,
    Query,
    ResBlock,
    check_image,
)


@dataclass(frozen=True)
class STCNConfig(PropagationConfig):
    """The defaults are the published network's."""

    memory_backbone: str = "resnet18"
    key_dim: int = 64


class CBAM(nn.Module):
    """Convolutional block attention (Woo et al., 2018): channels are gated first, positions second."""

    def __init__(self, dim: int, reduction: int = 16):
        super().__init__()
        hidden = max(1, dim // reduction)
        self.channel = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU(), nn.Linear(hidden, dim))
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.channel(x.mean((-2, -1))) + self.channel(x.amax((-2, -1)))
        x = x * torch.sigmoid(gate)[..., None, None]
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(pooled))


class ValueEncoder(nn.Module):
    """The light encoder of image and masks, joined with the image's stride-16 features.

    The published network has the attention although the paper does not draw it.
    """

    def __init__(self, backbone: str, in_channels: int, f16_dim: int, value_dim: int, norm: str = "batch"):
        super().__init__()
        self.resnet = ResNetEncoder(backbone, in_channels, bias=True, norm=norm)
        self.block1 = ResBlock(CHANNELS[backbone][0] + f16_dim, value_dim)
        self.attention = CBAM(value_dim)
        self.block2 = ResBlock(value_dim, value_dim)

    def forward(self, x: Tensor, f16: Tensor) -> Tensor:
        """x (B*O, in_channels, H, W), f16 (B, C, h, w) -> (B*O, value_dim, h, w)."""
        x = self.block1(self.resnet(x)[0], f16)
        return self.block2(x + self.attention(x))


class STCN(PropagationNetwork):
    config: STCNConfig
    similarity = "l2"
    evaluation = Reading(top_k=20)

    def __init__(self, config: STCNConfig | None = None):
        config = config or STCNConfig()
        super().__init__(config, refine=False)
        f16_dim = CHANNELS[config.backbone][0]
        self.key_encoder = ResNetEncoder(config.backbone, norm=config.norm)
        self.key_head = KeyValue(f16_dim, config.key_dim, config.value_dim)
        start_orthogonal(self.key_head.key)
        channels = 5 if config.multi_object else 4
        self.value_encoder = ValueEncoder(config.memory_backbone, channels, f16_dim, config.value_dim, config.norm)

    def encode_query(self, image: Tensor) -> Query:
        check_image(image)
        features = self.key_encoder(image)
        return Query(*self.key_head(features[0]), *features)

    def encode_memory(self, image: Tensor, query: Query | None, masks: Tensor) -> Entry:
        """The key is the query's own, with one object; only the value depends on the masks."""
        if query is None:
            raise ValueError("memory is built upon the frame's query: encode_query comes first")
        value = self.value_encoder(self.memory_input(image, masks), query.f16)
        return Entry(query.key[:, None, :, None], value.unflatten(0, masks.shape[:2]).unsqueeze(3))
