"""Loads checkpoints for inference."""

from pathlib import Path
from typing import Literal

import torch

from bl30k_gen.errors import UserError
from models import checkpoint
from models.backbone import Network, prepare_for_inference
from models.fusion import Fusion
from models.s2m import S2M
from training.runs.folder import Part, network_file


def load_network(path: str | Path, kind: type[Network], device: str = "auto") -> Network:
    """The network of a checkpoint, ours or published, in evaluation mode and optimised for inference.

    Args:
        path: a file, a finished run's folder, or "small" for the project's own small network of that kind.
        kind: the class that it must have, such as ``PropagationNetwork`` or ``S2M``.
        device: "auto" uses a GPU if there is one.

    Raises:
        UserError: the file cannot be read, holds another network, or there is no such device.
    """
    try:
        network = checkpoint.load(network_file(path, part_of(kind)))
    except ValueError as error:
        raise UserError(
            str(error), "give a run's folder, a checkpoint file of train.py or a published one, or small"
        ) from None
    if not isinstance(network, kind):
        fitting = [name for name, (known, _) in checkpoint.NETWORKS.items() if issubclass(known, kind)]
        needed = f"here one of {', '.join(fitting)} is needed"
        raise UserError(f"{path} holds the network {checkpoint.name_of(network)}", needed)
    return prepare_for_inference(network.to(pick_device(device)))


def part_of(kind: type[torch.nn.Module]) -> Part:
    """The name of the kind of network, for ``network_file``."""
    return "fusion" if issubclass(kind, Fusion) else "s2m" if issubclass(kind, S2M) else "propagation"


def load_fusion(source: str | Path, device: str = "auto") -> Fusion | Literal["linear", "none"]:
    """The fusion network of a checkpoint; "linear" and "none" are returned unchanged."""
    if source == "linear":
        return "linear"
    if source == "none":
        return "none"
    return load_network(source, Fusion, device=device)


def pick_device(name: str) -> torch.device:
    """The device called "auto" or by a name of torch. Raises UserError if it is not available."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        raise UserError(f"there is no device {name} here", "choose auto, cpu or cuda") from None
