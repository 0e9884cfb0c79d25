"""Checkpoints made ready to work."""

from pathlib import Path

import torch
from torch import nn

from bl30k_gen.errors import UserError
from models import checkpoint
from models.backbone import prepare_for_inference
from training.runs.folder import network_file
from training.schema.stage import PROPAGATION as PROPAGATION


def load_network(path: str | Path, *kinds: str, device: str = "auto") -> nn.Module:
    """The network of a checkpoint, ours or published, in evaluation mode and as fast as it can be.

    Args:
        path: a file, or a finished run's folder.
        kinds: the names it may have, such as ``*PROPAGATION`` or "s2m".
        device: "auto" takes a GPU where there is one.

    Raises:
        UserError: the file cannot be read, holds another network, or there is no such device.
    """
    try:
        network = checkpoint.load(network_file(path))
    except ValueError as error:
        raise UserError(str(error), "give a checkpoint of train.py, or a published one") from None
    name = checkpoint.name_of(network)
    if name not in kinds:
        raise UserError(f"{path} holds the network {name}", f"here one of {', '.join(kinds)} is needed")
    return prepare_for_inference(network).to(pick_device(device))


def pick_device(name: str) -> torch.device:
    """The device: "auto", or a name that torch knows. Raises UserError if it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        raise UserError(f"there is no device {name} here", "choose auto, cpu or cuda") from None
