"""Checkpoints: our own format, and the published files of MiVOS, Mask-Propagation, STCN and RDE; all load strictly.

Our own file is a dictionary: format, version, network (its name), config (its configuration), weights. A published
file is a bare state dict; the tables below rename its keys one to one, in both directions.
"""

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.backbone import read_weights, widen_stem
from models.clicks import ClickConfig, ClickNetwork
from models.fusion import Fusion, FusionConfig
from models.propagation import PropagationConfig
from models.rde import RDE, RDEConfig
from models.s2m import S2M, S2MConfig
from models.stcn import STCN, STCNConfig
from models.stm import STM

FORMAT = "bl30k-network"
VERSION = 1

Network = STM | STCN | RDE | Fusion | S2M | ClickNetwork
NETWORKS: dict[str, tuple[type[Network], type]] = {
    "stm": (STM, PropagationConfig),
    "stcn": (STCN, STCNConfig),
    "rde": (RDE, RDEConfig),
    "fusion": (Fusion, FusionConfig),
    "s2m": (S2M, S2MConfig),
    "clicks": (ClickNetwork, ClickConfig),
}

# Prefixes of our keys and of the published ones. The first match counts, in both directions.
_DECODER = [
    ("decoder.up_8.out_block.", "decoder.up_16_8.out_conv."),
    ("decoder.up_4.out_block.", "decoder.up_8_4.out_conv."),
]
_STM = [
    ("query_encoder.layer1.", "rgb_encoder.res2."),
    ("query_encoder.", "rgb_encoder."),
    ("query_head.key.", "kv_q_f16.key_proj."),
    ("query_head.value.", "kv_q_f16.val_proj."),
    ("memory_encoder.", "mask_rgb_encoder."),
    ("memory_head.key.", "kv_m_f16.key_proj."),
    ("memory_head.value.", "kv_m_f16.val_proj."),
    *_DECODER,
    ("decoder.up_8.skip_conv.", "decoder.up_16_8.skip_conv1."),
    ("decoder.up_8.skip_block.", "decoder.up_16_8.skip_conv2."),
    ("decoder.up_4.skip_conv.", "decoder.up_8_4.skip_conv1."),
    ("decoder.up_4.skip_block.", "decoder.up_8_4.skip_conv2."),
    ("decoder.", "decoder."),
]
_STCN = [
    ("key_encoder.layer1.", "key_encoder.res2."),
    ("key_encoder.", "key_encoder."),
    ("key_head.key.", "key_proj.key_proj."),
    ("key_head.value.", "key_comp."),
    ("value_encoder.block1.", "value_encoder.fuser.block1."),
    ("value_encoder.block2.", "value_encoder.fuser.block2."),
    ("value_encoder.attention.channel.0.", "value_encoder.fuser.attention.ChannelGate.mlp.1."),
    ("value_encoder.attention.channel.2.", "value_encoder.fuser.attention.ChannelGate.mlp.3."),
    ("value_encoder.attention.spatial.", "value_encoder.fuser.attention.SpatialGate.spatial.conv."),
    ("value_encoder.resnet.", "value_encoder."),
    *_DECODER,
    ("decoder.up_8.skip_conv.", "decoder.up_16_8.skip_conv."),
    ("decoder.up_4.skip_conv.", "decoder.up_8_4.skip_conv."),
    ("decoder.", "decoder."),
]
_SAM = [
    pair
    for part in ("key", "value")
    for pair in [
        *(
            (f"sam_{part}.extract.{ours}.", f"mem_compress.{part}_encoder.non_local.{theirs}.")
            for ours, theirs in [("theta", "theta"), ("phi", "phi.0"), ("g", "g.0"), ("out", "W")]
        ),
        *(
            (f"sam_{part}.enhance.branches.{i}.", f"mem_compress.{part}_encoder.conv1.aspp{i + 1}.atrous_conv.")
            for i in range(4)
        ),
        (f"sam_{part}.enhance.project.", f"mem_compress.{part}_encoder.conv1.conv1."),
        (f"sam_{part}.squeeze.", f"mem_compress.compress_{part}."),
    ]
]
_FUSION = [
    ("stem.", "conv1.0."),
    ("block1.0.", "conv2.0."),
    ("block1.2.", "conv2.2."),
    ("block2.0.", "conv3.0."),
    ("block2.2.", "conv3.2."),
    ("pred.", "final_conv."),
]
_S2M = [
    ("backbone.", "backbone."),
    ("low.", "classifier.project."),
    ("aspp.", "classifier.aspp."),
    ("head.", "classifier.classifier."),
]
PUBLISHED = {"stm": _STM, "stcn": _STCN, "rde": _STCN + _SAM, "fusion": _FUSION, "s2m": _S2M}


def build(name: str, config: Mapping[str, Any] | None = None) -> Network:
    """Build a network with random weights. Raises ValueError for an unknown name or configuration key."""
    if name not in NETWORKS:
        raise ValueError(f"network {name!r} is unknown: choose one of {', '.join(NETWORKS)}")
    network, config_class = NETWORKS[name]
    config = config or {}
    unknown = set(config) - {field.name for field in dataclasses.fields(config_class)}
    if unknown:
        raise ValueError(f"network {name} has no configuration key {', '.join(sorted(unknown))}")
    try:
        return network(config_class(**config))
    except (RuntimeError, TypeError) as error:  # torch's, for sizes below zero and the like
        raise ValueError(f"network {name} cannot be built with {config}: {str(error).splitlines()[0]}") from None


def name_of(network: nn.Module) -> str:
    """The name under which ``build`` makes this kind of network."""
    for name, (kind, _) in NETWORKS.items():
        if type(network) is kind:
            return name
    raise ValueError(f"{type(network).__name__} is not a network of checkpoints: {', '.join(NETWORKS)}")


def save(network: Network, path: str | Path) -> None:
    """Write our own format, as ``write`` does."""
    write(
        {
            "format": FORMAT,
            "version": VERSION,
            "network": name_of(network),
            "config": dataclasses.asdict(network.config),
            "weights": network.state_dict(),
        },
        path,
    )


def export(network: nn.Module, path: str | Path) -> None:
    """Write a network in the form in which its paper's authors published it: a bare state dict with their keys."""
    write(to_published(network), path)


def load(path: str | Path, network: str | None = None, **changes: Any) -> Network:
    """Build the network that a file holds, ours or published, on the CPU.

    Args:
        network: its name. None: a published file is recognised by its keys; RDE's first stage has those of STCN.
        changes: configuration to change, e.g. ``multi_object=True`` for a network that was trained on single objects.

    Raises ValueError with the first keys that differ when the file does not fit.
    """
    content = read_weights(path)
    try:
        if content.get("format") == FORMAT:
            lacking = [key for key in ("version", "network", "config", "weights") if key not in content]
            if lacking:
                raise ValueError(f"lacks {', '.join(lacking)}; the file is not whole")
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']}, but this code reads version {VERSION}")
            if network not in (None, content["network"]):
                raise ValueError(f"holds the network {content['network']}, not {network}")
            built = build(content["network"], content["config"] | changes)
            fill(built, content["weights"])
        else:
            built = from_published(content, network, **changes)
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: {error}") from error
    return built


def to_published(network: nn.Module) -> dict[str, Tensor]:
    """The network's weights under their published keys. Raises ValueError for a network of no published form."""
    name = name_of(network)
    if name not in PUBLISHED:
        raise ValueError(f"network {name} has no published form; save it in our own")
    table = PUBLISHED[name]
    return {_rename(key, table, 0): value for key, value in network.state_dict().items()}


def from_published(weights: dict[str, Tensor], network: str | None = None, **changes: Any) -> Network:
    """A network from a published state dict; arguments as in ``load``."""
    network = network or recognise(weights)
    if network not in PUBLISHED:
        raise ValueError(f"network {network!r} is unknown: choose one of {', '.join(PUBLISHED)}")
    table = PUBLISHED[network]
    ours = {_rename(key, table, 1): value for key, value in weights.items()}
    config: dict[str, Any] = {}
    stem = {"stm": "memory_encoder.conv1.weight", "stcn": "value_encoder.resnet.conv1.weight"}
    stem["rde"] = stem["stcn"]
    if network in stem and stem[network] in ours:
        config["multi_object"] = ours[stem[network]].shape[1] == 5
    if network == "rde" and not any(key.startswith("sam_") for key in ours):
        config["update"] = "none"
    built = build(network, config | changes)
    fill(built, ours)
    return built


def recognise(weights: dict[str, Tensor]) -> str:
    """The network of a published state dict, by its keys."""
    typical_keys = {
        "stm": "mask_rgb_encoder.conv1.weight",
        "rde": "mem_compress.compress_key.weight",
        "stcn": "key_comp.weight",
        "fusion": "final_conv.weight",
        "s2m": "classifier.aspp.project.0.weight",
    }
    for name, key in typical_keys.items():
        if key in weights:
            return name
    raise ValueError(f"neither our format nor a published network; its first keys are {', '.join(list(weights)[:3])}")


def fill(network: nn.Module, weights: dict[str, Tensor], fresh: tuple[str, ...] = ()) -> None:
    """Load weights strictly, in place; a stem of a single-object network is widened for several objects.

    fresh: prefixes of keys that may be absent from ``weights``; the network keeps its own values there, e.g.
    ("sam_",) when RDE's second stage starts from its first.
    """
    own = network.state_dict()
    weights = dict(weights)
    for key, value in own.items():
        if key not in weights and key.startswith(fresh):
            weights[key] = value
        elif key.endswith("conv1.weight") and key in weights and value.shape[1] == 5 and weights[key].shape[1] == 4:
            weights[key] = widen_stem(weights[key], 5)
    missing = [key for key in own if key not in weights]
    surplus = [key for key in weights if key not in own]
    misfit = [
        f"{key} {tuple(weights[key].shape)} instead of {tuple(own[key].shape)}"
        for key in own
        if key in weights and weights[key].shape != own[key].shape
    ]
    problems = [
        f"{what} {', '.join(keys[:3])}{f' and {len(keys) - 3} more' if len(keys) > 3 else ''}"
        for what, keys in [("missing", missing), ("unknown", surplus), ("wrong size", misfit)]
        if keys
    ]
    if not problems and (wrong := not_finite(weights)) is not None:
        raise ValueError(f"weights are no numbers in {wrong}: the file is of a training that diverged, or damaged")
    if problems:
        raise ValueError(f"weights do not fit the network {name_of(network)}: {'; '.join(problems)}")
    network.load_state_dict(weights)


def not_finite(weights: dict[str, Tensor]) -> str | None:
    """The first key whose weights are not all finite numbers; None where all are."""
    floating = ((key, value) for key, value in weights.items() if value.is_floating_point())
    return next((key for key, value in floating if not torch.isfinite(value).all()), None)


def is_deeplab(path: str | Path) -> bool:
    """Whether a file holds what ``start_s2m`` takes: a DeepLabV3+ whose stem is for images."""
    content = read_weights(path)
    weights = content.get("model_state", content)
    stem = weights.get("backbone.conv1.weight") if isinstance(weights, dict) else None
    return isinstance(stem, Tensor) and stem.shape[1] == 3


def start_s2m(network: S2M, path: str | Path) -> None:
    """Start S2M from a DeepLabV3+ for VOC with ResNet-50 at output stride 16, whose keys the published S2M shares.

    Its stem gets three more orthogonal channels. The classifier of one class is S2M's own.
    """
    content = read_weights(path)
    weights = {_rename(key, _S2M, 1): value for key, value in content.get("model_state", content).items()}
    stem = weights.get("backbone.conv1.weight")
    if stem is None or stem.shape[1] != 3:
        raise ValueError(f"{path}: not a DeepLabV3+ of images, backbone.conv1.weight should have 3 input channels")
    weights["backbone.conv1.weight"] = widen_stem(stem, 6)
    for key in ("head.3.weight", "head.3.bias"):
        weights.pop(key, None)
    try:
        fill(network, weights, fresh=("head.3.",))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _rename(key: str, table: list[tuple[str, str]], source: int) -> str:
    for pair in table:
        if key.startswith(pair[source]):
            return pair[1 - source] + key[len(pair[source]) :]
    return key


def write(content: dict[str, Any], path: str | Path) -> None:
    """Write what ``torch.save`` takes, whole or not at all. Raises OSError, e.g. where the disk is full."""
    temporary = Path(path).with_name(f".{Path(path).name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the name without the contents
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            raise error.__context__ from None  # torch hides it behind an error of its own
        raise
