"""RDE (Li et al., CVPR 2022): STCN with a recurrent dynamic embedding, so that memory stays the same size.

The recurrent embedding is one entry of memory. ``RDE.update`` merges each new memory frame into it, by the
spatio-temporal aggregation module (SAM) or by a moving average (the supplement's ablation).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.memory import Reading
from models.propagation import Entry
from models.stcn import STCN, STCNConfig


@dataclass(frozen=True)
class RDEConfig(STCNConfig):
    """The defaults are the published network's.

    update: "sam", "ema" (a moving average without weights of its own) or "none" (the first training stage, in which
        the module does not exist yet).
    enhance: SAM's enhancing part: "aspp" or "none".
    blocks: residual squeeze-and-excitation blocks before the ASPP (none in any published command).
    ema_keep: share of the old embedding in the moving average: 0.5 after GCNet, close to 1 after AFB-URR, 0 after
        SwiftNet, whose new embedding replaces its match.
    """

    update: str = "sam"
    enhance: str = "aspp"
    blocks: int = 0
    ema_keep: float = 0.5

    def __post_init__(self):
        super().__post_init__()
        if self.update not in ("sam", "ema", "none"):
            raise ValueError(f"update {self.update!r} is unknown: choose sam, ema or none")
        if self.enhance not in ("aspp", "none"):
            raise ValueError(f"enhance {self.enhance!r} is unknown: choose aspp or none")
        if not 0 <= self.ema_keep < 1:
            raise ValueError(f"ema_keep is {self.ema_keep}: it must lie in [0, 1)")


class NonLocal(nn.Module):
    """SAM's extraction: x + out(y), where y = f g / N and f = theta^T phi over N pooled positions.

    The published code divides by N and takes no softmax. The product is associative then: phi g^T is a small
    (c/2 x c/2) matrix, and the affinity of all positions is never formed.
    """

    def __init__(self, dim: int):
        super().__init__()
        self.theta = nn.Conv3d(dim, dim // 2, 1)
        self.phi = nn.Conv3d(dim, dim // 2, 1)
        self.g = nn.Conv3d(dim, dim // 2, 1)
        self.out = nn.Conv3d(dim // 2, dim, 1)

    def forward(self, x: Tensor) -> Tensor:
        theta = self.theta(x).flatten(2)
        phi = F.max_pool3d(self.phi(x), (1, 2, 2)).flatten(2)
        g = F.max_pool3d(self.g(x), (1, 2, 2)).flatten(2)
        summary = torch.matmul(g, phi.mT) / phi.shape[-1]
        return x + self.out(torch.matmul(summary, theta).unflatten(2, x.shape[2:]))


class ResidualSE(nn.Module):
    """Optional residual block with squeeze and excitation; both frames' channels are gated together."""

    def __init__(self, dim: int, reduction: int = 16):
        super().__init__()
        self.conv1 = nn.Conv3d(dim, dim, (1, 3, 3), padding=(0, 1, 1))
        self.conv2 = nn.Conv3d(dim, dim, (1, 3, 3), padding=(0, 1, 1))
        self.norm = nn.InstanceNorm3d(dim)
        hidden = max(1, 2 * dim // reduction)
        self.gate = nn.Sequential(nn.Linear(2 * dim, hidden), nn.ReLU(), nn.Linear(hidden, 2 * dim), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv2(torch.relu(self.norm(self.conv1(x)))))
        gate = self.gate(y.mean((-2, -1)).flatten(1)).view(*y.shape[:3], 1, 1)
        return torch.relu(x + self.norm(y * gate))


class ASPP3D(nn.Module):
    """SAM's enhancing: four parallel convolutions of growing spatial dilation, joined. Time does not mix."""

    def __init__(self, dim: int):
        super().__init__()
        branches = [nn.Conv3d(dim, dim // 4, 1, bias=False)]
        for rate in (2, 4, 6):
            branches.append(
                nn.Conv3d(dim, dim // 4, (1, 3, 3), padding=(0, rate, rate), dilation=(1, rate, rate), bias=False)
            )
        self.branches = nn.ModuleList(branches)
        self.project = nn.Conv3d(dim, dim, (1, 3, 3), padding=(0, 1, 1), bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([torch.relu(branch(x)) for branch in self.branches], dim=1)
        return torch.relu(self.project(x))


class SAM(nn.Module):
    """Two frames of embedding become one: extracting, enhancing, squeezing (RDE, section 3.2)."""

    def __init__(self, dim: int, enhance: str, blocks: int):
        super().__init__()
        self.extract = NonLocal(dim)
        self.blocks = nn.Sequential(*(ResidualSE(dim) for _ in range(blocks)))
        self.enhance = ASPP3D(dim) if enhance == "aspp" else None
        self.squeeze = nn.Conv3d(dim, dim, (2, 3, 3), padding=(0, 1, 1))

    def embed(self, x: Tensor) -> Tensor:
        """Extract and enhance: (B, C, 2, h, w), recurrent embedding first -> the same shape."""
        x = self.blocks(self.extract(x))
        return x if self.enhance is None else x + self.enhance(x)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, 2, h, w), recurrent embedding first -> (B, C, 1, h, w)."""
        return self.squeeze(self.embed(x))


class RDE(STCN):
    config: RDEConfig
    evaluation = Reading(top_k=40)

    def __init__(self, config: RDEConfig | None = None):
        config = config or RDEConfig()
        super().__init__(config)
        if config.update == "sam":
            self.sam_key = SAM(config.key_dim, config.enhance, config.blocks)
            self.sam_value = SAM(config.value_dim, config.enhance, config.blocks)

    def update(self, recurrent: Entry, new: Entry) -> Entry:
        """The next recurrent embedding, one frame. Both entries hold one frame."""
        if recurrent.frames != 1 or new.frames != 1:
            raise ValueError(f"update takes one frame each, not {recurrent.frames} and {new.frames}")
        if self.config.update == "none":
            raise ValueError('this RDE has update="none" (the first training stage), so it cannot merge memory')
        if self.config.update == "ema":
            return moving_average(recurrent, new, self.config.ema_keep)
        if min(new.value.shape[-2:]) < 2:
            raise ValueError("SAM pools its input by two: images must be at least 32 pixels on both sides")
        pair = Entry.cat([recurrent, new])
        key = self.sam_key(pair.key.flatten(0, 1)).unflatten(0, pair.key.shape[:2])
        value = self.sam_value(pair.value.flatten(0, 1)).unflatten(0, pair.value.shape[:2])
        return Entry(key, value)


def moving_average(recurrent: Entry, new: Entry, keep: float) -> Entry:
    """Merge each new position into the memory position that its key is nearest to (RDE's supplement, equation 1).

    merged = keep * old + (1 - keep) * new. New positions with the same match are averaged first, so that the result
    does not depend on their order; memory positions without a match stay.
    """
    old_key, new_key = recurrent.key.flatten(3), new.key.flatten(3)
    distance = torch.cdist(new_key.detach().mT.float(), old_key.detach().mT.float())
    match = distance.argmin(-1).unsqueeze(2)

    def merge(old: Tensor, added: Tensor) -> Tensor:
        target = match.expand(*added.shape[:2], 1, -1)
        count = torch.zeros_like(old[:, :, :1]).scatter_add(-1, target, torch.ones_like(added[:, :, :1]))
        total = torch.zeros_like(old).scatter_add(-1, target.expand_as(added), added)
        return torch.where(count > 0, keep * old + (1 - keep) * total / count.clamp(min=1), old)

    key = merge(old_key, new_key).view_as(recurrent.key)
    value = merge(recurrent.value.flatten(3), new.value.flatten(3)).view_as(recurrent.value)
    return Entry(key, value)
