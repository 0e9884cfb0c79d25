"""Fusion of an older and a newer propagation (MiVOS, section 3.3, equations 4-6).

After each interaction the new propagation meets the result of earlier rounds. A small network decides per object and
pixel which one to trust; the baselines are the network without the differences, and linear blending.

Distances are (n_c, n_r) = (|t_c - t|, |t_r - t|) / |t_c - t_r| for the frame t between the just interacted frame t_r
and the earlier interacted frame t_c that bounds the propagation.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.propagation import per_object


@dataclass(frozen=True)
class FusionConfig:
    """difference_aware False drops the two aligned difference maps from the input of the same network."""

    difference_aware: bool = True
    dim: int = 32


class Fusion(nn.Module):
    """Two residual units at full resolution, without norm. The result is a logit of each object."""

    def __init__(self, config: FusionConfig | None = None):
        super().__init__()
        self.config = config = config or FusionConfig()

        def conv(in_dim: int, out_dim: int) -> nn.Conv2d:
            return nn.Conv2d(in_dim, out_dim, 3, padding=1)

        self.stem = conv(9 if config.difference_aware else 7, config.dim)
        self.block1 = nn.Sequential(conv(config.dim, config.dim), nn.ReLU(), conv(config.dim, config.dim))
        self.block2 = nn.Sequential(conv(config.dim, config.dim), nn.ReLU(), conv(config.dim, config.dim))
        self.pred = conv(config.dim, 1)

    def forward(
        self, image: Tensor, older: Tensor, newer: Tensor, distance: Tensor, difference: Tensor | None = None
    ) -> Tensor:
        """Logits (B, O, H, W); their sigmoid goes through soft aggregation.

        Args:
            image: (B, 3, H, W), normalised.
            older, newer: probabilities (B, O, H, W) before and after this round's propagation.
            distance: (B, 2), n_c and n_r.
            difference: (B, O, 2, H, W) from ``align``; only for a difference-aware network.
        """
        if older.shape != newer.shape or older.ndim != 4 or older.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f"results {tuple(older.shape)} and {tuple(newer.shape)} do not fit images {tuple(image.shape)}: "
                "expected (B, O, H, W) twice"
            )
        if (difference is not None) != self.config.difference_aware:
            raise ValueError("difference maps belong to a difference-aware network, and only to it")
        batch, objects, height, width = older.shape
        channels = [older.unsqueeze(2), newer.unsqueeze(2)]
        if difference is not None:
            channels.append(difference)
        channels.append(distance[:, None, :, None, None].expand(batch, objects, 2, height, width))
        maps = torch.cat(channels, dim=2).flatten(0, 1)
        x = torch.relu(self.stem(torch.cat([per_object(image, objects), maps], dim=1)))
        x = torch.relu(x + self.block1(x))
        x = torch.relu(x + self.block2(x))
        return self.pred(x).view(batch, objects, height, width)


def align(weights: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """What the interaction added and removed, carried to another frame by the affinity (MiVOS, equations 4-5).

    Args:
        weights: (B, O or 1, h*w, h*w) from ``memory.affinity``, with the interacted frame as memory.
        before, after: masks (B, O, H, W) of the interacted frame before and after the interaction.

    Returns: (B, O, 2, H, W), the positive and the negative difference.
    """
    size = before.shape[-2:]
    grid = (size[0] // 16, size[1] // 16)
    if weights.shape[-2] != grid[0] * grid[1]:
        raise ValueError(f"affinity {tuple(weights.shape)} does not fit masks of {size[0]}x{size[1]} pixels")
    change = torch.stack([after - before, before - after], dim=2).clamp(0, 1)
    change = F.interpolate(change.flatten(0, 1), size=grid, mode="area")
    change = change.flatten(2).view(*before.shape[:2], 2, -1)
    aligned = torch.matmul(change.to(weights.dtype), weights).view(-1, 2, *grid)
    aligned = F.interpolate(aligned, size=size, mode="bilinear", align_corners=False)
    return aligned.view(*before.shape[:2], 2, *size)


def blend(older: Tensor, newer: Tensor, distance: Tensor) -> Tensor:
    """Linear blending: each result (B, O, H, W) weighs as much as its interacted frame is near. distance (B, 2)."""
    n_c, n_r = (distance / distance.sum(1, keepdim=True))[:, :, None, None, None].unbind(1)
    return n_r * older + n_c * newer
