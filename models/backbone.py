"""ResNet encoders cut at stride 16, with extra input channels for masks."""

import urllib.error
import warnings
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.resnet import BasicBlock

from models.winograd import WinogradConv2d

STRIDE = 16
"""Images are encoded at this stride; their sides must be multiples of it."""

CHANNELS = {"resnet18_half": (128, 64, 32), "resnet18": (256, 128, 64), "resnet50": (1024, 512, 256)}
"""Channels of (f16, f8, f4) by backbone. ``resnet18_half`` is a ResNet-18 of half the width, for processors."""

GROUP = 8
"""Channels that a group normalisation normalises together."""

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
"""Images are RGB in [0, 1], minus MEAN, divided by STD, in every network here."""


Network = TypeVar("Network", bound=nn.Module)


def check_backbone(name: str) -> None:
    """Raises ValueError for a backbone that is unknown."""
    if name not in CHANNELS:
        raise ValueError(f"backbone {name!r} is unknown: choose one of {', '.join(CHANNELS)}")


def set_norm(module: nn.Module, norm: str) -> None:
    """Keep a module's batch norms, or replace them by group norms. Raises ValueError for a norm that is unknown."""
    if norm not in ("batch", "group"):
        raise ValueError(f"norm {norm!r} is unknown: choose batch or group")
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d) and norm == "group":
            setattr(module, name, nn.GroupNorm(child.num_features // GROUP, child.num_features))
        else:
            set_norm(child, norm)


def build_resnet(backbone: str, **settings: Any) -> Any:  # torchvision's are typed as plain modules
    """A ResNet with torchvision's layer names and random weights. ``settings`` are for torchvision's backbones."""
    check_backbone(backbone)
    if backbone == "resnet18_half":
        return HalfResNet18()
    return torchvision.models.get_model(backbone, weights=None, **settings)


class HalfResNet18(nn.Module):
    """A ResNet-18 with half of its channels, with torchvision's layer names."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, stride=2, padding=3, bias=False)
        self.bn1, self.maxpool = nn.BatchNorm2d(32), nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1, self.layer2 = self._layer(32, 32, 1), self._layer(32, 64, 2)
        self.layer3, self.layer4 = self._layer(64, 128, 2), self._layer(128, 256, 2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @staticmethod
    def _layer(in_dim: int, out_dim: int, stride: int) -> nn.Sequential:
        skip = nn.Sequential(nn.Conv2d(in_dim, out_dim, 1, stride, bias=False), nn.BatchNorm2d(out_dim))
        first = BasicBlock(in_dim, out_dim, stride, skip if stride > 1 else None)
        return nn.Sequential(first, BasicBlock(out_dim, out_dim))


class ResNetEncoder(nn.Module):
    """torchvision's ResNet up to layer3.

    Args:
        backbone: a key of ``CHANNELS``.
        in_channels: 3 for an image, more for an image with masks.
        bias: give every convolution a bias, as the published mask encoders do (zero at the start).
        norm: "batch" or "group"; the published networks have batch norms.
    """

    def __init__(self, backbone: str = "resnet50", in_channels: int = 3, bias: bool = False, norm: str = "batch"):
        super().__init__()
        self.backbone = backbone
        resnet = build_resnet(backbone)
        self.conv1 = nn.Conv2d(in_channels, resnet.conv1.out_channels, 7, stride=2, padding=3, bias=False)
        self.bn1, self.maxpool = resnet.bn1, resnet.maxpool
        self.layer1, self.layer2, self.layer3 = resnet.layer1, resnet.layer2, resnet.layer3
        set_norm(self, norm)
        if bias:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    module.bias = nn.Parameter(torch.zeros(module.out_channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, in_channels, H, W) -> f16, f8, f4 at strides 16, 8 and 4, channels as in ``CHANNELS``."""
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        f4 = self.layer1(x)
        f8 = self.layer2(f4)
        return self.layer3(f8), f8, f4


@torch.no_grad()
def load_imagenet(encoder: nn.Module, backbone: str, source: str | Path) -> None:
    """Load ImageNet weights into an encoder with torchvision's layer names; ``source`` as in ``imagenet_weights``.

    Extra input channels of the stem get orthogonal weights; biases that ImageNet's ResNet lacks are zero.
    """
    weights = imagenet_weights(backbone, source)
    own = encoder.state_dict()
    for key, value in own.items():
        if key.endswith(".bias") and key not in weights:
            weights[key] = torch.zeros_like(value)
        given = weights.get(key)
        if given is None or (given.shape != value.shape and key != "conv1.weight"):
            raise ValueError(f"{source}: {key} does not fit, so this is not torchvision's {backbone}")
    weights["conv1.weight"] = widen_stem(weights["conv1.weight"], own["conv1.weight"].shape[1])
    encoder.load_state_dict({key: weights[key] for key in own})


def imagenet_weights(backbone: str, source: str | Path) -> dict[str, Tensor]:
    """The state dict of torchvision's ImageNet ResNet, the first version, which all published networks began from.

    source: "torchvision" (its cache, else a download), a weights file, or a folder that holds torchvision's files.
    Raises ValueError if the weights cannot be found, naming the file and where to put it.
    """
    if backbone == "resnet18_half":
        raise ValueError("the backbone resnet18_half has no ImageNet weights: train it from nothing (imagenet: none)")
    entry = torchvision.models.get_model_weights(backbone)["IMAGENET1K_V1"]
    name = Path(entry.url).name
    if str(source) == "torchvision":
        place = Path(torch.hub.get_dir()) / "checkpoints" / name
        try:
            return dict(entry.get_state_dict(progress=False, check_hash=True, weights_only=True))
        except (urllib.error.URLError, OSError, RuntimeError) as error:
            raise ValueError(
                f"ImageNet weights of {backbone} cannot be downloaded ({error}): put {name} at {place}, "
                "name a local copy of it, or train with --no-pretrained"
            ) from error
    file = Path(source) / name if Path(source).is_dir() else Path(source)
    if not file.is_file():
        raise ValueError(f"{file}: no such file; put torchvision's {name} there, or train with --no-pretrained")
    return read_weights(file)


def load_tensors(file: str | Path | BinaryIO) -> Any:
    """Read what ``torch.save`` has written, onto the CPU, without executing anything in it.

    Raises errors of many types. PyTorch's warnings are left out: what is wrong with a file is said by the caller.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def read_weights(file: str | Path) -> dict:
    """Read the dictionary in a ``.pth`` file without executing anything. Raises ValueError if it cannot be read."""
    if not Path(file).is_file():
        raise ValueError(f"{file}: no such file")
    try:
        content = load_tensors(file)
    except Exception as error:  # zip, pickle and archive errors have no common base
        raise ValueError(f"{file}: not a readable weights file ({type(error).__name__}); fetch it again") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: holds a {type(content).__name__}, not a dictionary of weights")
    return dict(content)


def widen_stem(weight: Tensor, in_channels: int, generator: torch.Generator | None = None) -> Tensor:
    """Append orthogonal input channels to a stem weight (out, in, 7, 7) until it has ``in_channels``.

    Turns a single-object network into a multi-object one (4 -> 5 channels), and ImageNet's 3 channels into 4 or 5.
    """
    extra = in_channels - weight.shape[1]
    if extra < 0:
        raise ValueError(f"a stem with {weight.shape[1]} input channels cannot become one with {in_channels}")
    if extra == 0:
        return weight
    added = weight.new_empty(weight.shape[0], extra, *weight.shape[2:])
    return torch.cat([weight, nn.init.orthogonal_(added, generator=generator)], dim=1)


def start_orthogonal(conv: nn.Module) -> None:
    """Give a convolution orthogonal weights and a bias of zero."""
    assert isinstance(conv, nn.Conv2d) and conv.bias is not None
    nn.init.orthogonal_(conv.weight)
    nn.init.zeros_(conv.bias)


def prepare_for_inference(network: Network) -> Network:
    """Make a network faster, in place, on its device.

    Batch norms are folded into the convolutions and weights are stored channels last. On CPUs, wide 3x3 convolutions
    are computed by Winograd's algorithm.
    The outputs stay the same up to float32 rounding; the state dict does not, so save the network first. A batch norm
    is folded if it is called ``bn<i>`` beside ``conv<i>``, or directly follows a convolution in a Sequential.
    """
    network.eval().requires_grad_(False)
    for module in network.modules():
        children = dict(module.named_children())
        names = list(children)
        pairs = [(f"conv{name[2:]}", name) for name in names if name.startswith("bn")]
        if isinstance(module, nn.Sequential):
            pairs += list(zip(names, names[1:], strict=False))
        for conv, norm in pairs:
            before, after = children.get(conv), children[norm]
            if isinstance(before, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                setattr(module, conv, fuse_conv_bn_eval(before, after))
                setattr(module, norm, nn.Identity())
    for parameter in network.parameters():
        if parameter.ndim == 4:  # SAM's 3D convolutions keep their layout
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.Conv2d) and WinogradConv2d.fits(child):
                setattr(module, name, WinogradConv2d(child))
    return network
