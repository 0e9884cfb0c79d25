"""The one interface of all propagation networks, and the blocks that they share.

A network turns labelled frames into memory and reads that memory for the next frame:

    query = network.encode_query(image)                  # image (B, 3, H, W), normalised
    entry = network.encode_memory(image, query, masks)   # masks (B, O, H, W) of objects, in [0, 1]
    readout = network.read(memory, query, reading)       # memory is an Entry of T frames
    logits = network.decode(readout, query)              # (B, O, H, W), before soft aggregation

Objects are batched, and what depends on the image alone is computed once for all of them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.backbone import CHANNELS, STRIDE, ResNetEncoder, check_backbone, load_imagenet
from models.memory import SOFTMAX, Reading, read_memory
from models.winograd import WinogradConv2d


class Query(NamedTuple):
    """An encoded frame: key (B, Ck, h, w), value (B, Cv, h, w), f16, f8, f4 (B, C, ., .); h = H/16, w = W/16."""

    key: Tensor
    value: Tensor
    f16: Tensor
    f8: Tensor
    f4: Tensor


class Entry(NamedTuple):
    """Memory of T frames: key (B, O or 1, Ck, T, h, w), value (B, O, Cv, T, h, w)."""

    key: Tensor
    value: Tensor

    @property
    def frames(self) -> int:
        return self.value.shape[3]

    @staticmethod
    def cat(entries: list["Entry"]) -> "Entry":
        """Join entries along time. The channels lie last in storage, the layout that reading is fastest with."""
        if not entries:
            raise ValueError("memory is empty: a labelled frame must enter it before it is read")

        def join(tensors: list[Tensor]) -> Tensor:
            return torch.cat([tensor.movedim(2, -1) for tensor in tensors], dim=2).movedim(-1, 2)

        return Entry(join([entry.key for entry in entries]), join([entry.value for entry in entries]))


@dataclass(frozen=True)
class PropagationConfig:
    """Backbones and widths of a propagation network. The defaults are the published STM network's.

    multi_object: the memory encoder also sees a channel with the sum of the other objects' masks (5 input channels);
    False is the network of the first training stage (4 channels).
    norm: "batch", whose means and variances stay frozen in training, or "group", which stores none: for networks that
    are trained from scratch, or are used on other images than those of training.
    """

    backbone: str = "resnet50"
    memory_backbone: str = "resnet50"
    key_dim: int = 128
    value_dim: int = 512
    decoder_dim: int = 256
    multi_object: bool = True
    norm: str = "batch"

    def __post_init__(self):
        check_backbone(self.backbone)
        check_backbone(self.memory_backbone)


class ResBlock(nn.Module):
    """Pre-activation residual block without norm: conv(relu(conv(relu(x)))) + skip.

    The skip is the identity, or a 3x3 convolution of the un-activated x where the width changes.
    """

    def __init__(self, in_dim: int, out_dim: int):
        super().__init__()
        self.downsample = None if in_dim == out_dim else nn.Conv2d(in_dim, out_dim, 3, padding=1)
        self.conv1 = nn.Conv2d(in_dim, out_dim, 3, padding=1)
        self.conv2 = nn.Conv2d(out_dim, out_dim, 3, padding=1)

    def forward(self, x: Tensor, shared: Tensor | None = None) -> Tensor:
        """x (B*O, C, h, w); ``shared`` (B, S, h, w) stands for the last S channels, equal for all objects."""
        if self.downsample is not None:
            skip = convolve(self.downsample, x, shared)
        else:
            skip = x if shared is None else join(x, shared)
        y = convolve(self.conv1, torch.relu(x), None if shared is None else torch.relu(shared))
        return self.conv2(torch.relu(y)) + skip


def convolve(conv: nn.Conv2d, x: Tensor, shared: Tensor | None = None) -> Tensor:
    """conv of x (B*O, C, h, w) joined with ``shared`` (B, S, h, w), whose part of the sum is computed once."""
    if shared is None:
        return conv(x)
    objects = x.shape[0] // shared.shape[0]
    if objects == 1:
        return conv(join(x, shared))
    own, common = slice(0, x.shape[1]), slice(x.shape[1], None)
    if isinstance(conv, WinogradConv2d):
        y, z = conv.on_channels(x, own, None), conv.on_channels(shared, common, conv.bias)
    else:
        y = F.conv2d(x, conv.weight[:, own], padding=conv.padding)
        z = F.conv2d(shared, conv.weight[:, common], conv.bias, padding=conv.padding)
    return y + per_object(z, objects)


def join(x: Tensor, shared: Tensor) -> Tensor:
    """Channels of x (B*O, C, h, w), then those of ``shared`` (B, S, h, w)."""
    return torch.cat([x, per_object(shared, x.shape[0] // shared.shape[0])], dim=1)


def per_object(x: Tensor, objects: int) -> Tensor:
    """(B, ...) -> (B*O, ...), each sample repeated for its objects."""
    return x if objects == 1 else x.repeat_interleave(objects, dim=0)


class KeyValue(nn.Module):
    """Two plain 3x3 convolutions of stride-16 features: key and value (STM, section 3.1)."""

    def __init__(self, in_dim: int, key_dim: int, value_dim: int):
        super().__init__()
        self.key = nn.Conv2d(in_dim, key_dim, 3, padding=1)
        self.value = nn.Conv2d(in_dim, value_dim, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.key(x), self.value(x)


class Upsample(nn.Module):
    """Refinement step of the decoder: the coarse map at twice its size plus the skip features, then a ResBlock.

    STM refines the skip features with a ResBlock of their own (``refine``), STCN and RDE do not. The skip branch sees
    the image alone, so it runs once for all objects.
    """

    def __init__(self, skip_dim: int, up_dim: int, out_dim: int, refine: bool):
        super().__init__()
        self.skip_conv = nn.Conv2d(skip_dim, up_dim, 3, padding=1)
        self.skip_block = ResBlock(up_dim, up_dim) if refine else nn.Identity()
        self.out_block = ResBlock(up_dim, out_dim)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        skip = self.skip_block(self.skip_conv(skip))
        x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        return self.out_block(x + per_object(skip, x.shape[0] // skip.shape[0]))


class Decoder(nn.Module):
    """From the memory readout and the query's value to a logit at full resolution (STM, section 3.3)."""

    def __init__(self, value_dim: int, skip_dims: tuple[int, int], dim: int, refine: bool):
        super().__init__()
        self.compress = ResBlock(2 * value_dim, 2 * dim)
        self.up_8 = Upsample(skip_dims[0], 2 * dim, dim, refine)
        self.up_4 = Upsample(skip_dims[1], dim, dim, refine)
        self.pred = nn.Conv2d(dim, 1, 3, padding=1)

    def forward(self, readout: Tensor, query: Query) -> Tensor:
        """readout (B*O, Cv, h, w) -> logits (B*O, 1, H, W)."""
        x = self.compress(readout, query.value)
        x = self.up_8(x, query.f8)
        x = self.up_4(x, query.f4)
        x = self.pred(torch.relu(x))
        return F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)


class PropagationNetwork(nn.Module, ABC):
    """Base of STM, STCN and RDE: everything but the two encoders."""

    similarity: str
    evaluation: Reading
    """How the published evaluation reads the memory."""

    def __init__(self, config: PropagationConfig, refine: bool):
        super().__init__()
        self.config = config
        self.decoder = Decoder(config.value_dim, CHANNELS[config.backbone][1:], config.decoder_dim, refine)

    @abstractmethod
    def encode_query(self, image: Tensor) -> Query:
        """image (B, 3, H, W), normalised; H and W multiples of 16."""

    @abstractmethod
    def encode_memory(self, image: Tensor, query: Query | None, masks: Tensor) -> Entry:
        """One frame as memory. masks (B, O, H, W), soft or hard; an absent object has a mask of zeros.

        ``query`` is the same frame's ``encode_query``, which STCN and RDE need and STM does not.
        """

    def read(self, memory: Entry, query: Query, reading: Reading = SOFTMAX) -> Tensor:
        """(B, O, Cv, h, w): the value read from memory for each position of the query."""
        return read_memory(memory.key, memory.value, query.key, self.similarity, reading)

    def decode(self, readout: Tensor, query: Query) -> Tensor:
        """Logits (B, O, H, W) of each object by itself; ``aggregate`` makes the objects compete."""
        logits = self.decoder(readout.flatten(0, 1), query)
        return logits.view(*readout.shape[:2], *logits.shape[-2:])

    def load_imagenet(self, source: str | Path) -> None:
        """Load ImageNet weights into the encoders; ``source`` as in ``backbone.imagenet_weights``."""
        for module in self.modules():
            if isinstance(module, ResNetEncoder):
                load_imagenet(module, module.backbone, source)

    def memory_input(self, image: Tensor, masks: Tensor) -> Tensor:
        """Images with mask channels, one per object: (B*O, 5 or 4, H, W) of RGB, mask, sum of the other masks.

        The sum is not clamped (STM's own code clamps it to one; the published MiVOS, STCN and RDE do not).
        """
        check_image(image)
        if masks.ndim != 4 or masks.shape[0] != image.shape[0] or masks.shape[-2:] != image.shape[-2:]:
            raise ValueError(
                f"masks {tuple(masks.shape)} do not fit images {tuple(image.shape)}: expected (B, O, H, W)"
            )
        channels = [masks]
        if self.config.multi_object:
            channels.append(masks.sum(1, keepdim=True) - masks)
        images = per_object(image, masks.shape[1])
        return torch.cat([images, torch.stack(channels, dim=2).flatten(0, 1).to(images.dtype)], dim=1)


def check_image(image: Tensor) -> None:
    """Raise ValueError unless the images are (B, 3, H, W) with sides that are multiples of 16."""
    if image.ndim != 4 or image.shape[1] != 3:
        raise ValueError(f"images of shape {tuple(image.shape)}: expected (B, 3, H, W)")
    height, width = image.shape[-2:]
    if height % STRIDE or width % STRIDE:
        raise ValueError(f"images of {height}x{width} pixels: pad both sides to multiples of {STRIDE}")
