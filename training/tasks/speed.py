"""Running a network in less time or memory, with the same results up to rounding."""

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import TypeVar

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from bl30k_gen.errors import UserError
from training.schema.stage import Runtime

Network = TypeVar("Network", bound=nn.Module)
PARTS = ("encode_query", "encode_memory", "decode", "update")
"""Methods of a propagation network; ``update`` is RDE's. Other networks have only ``forward``."""


def prepare(network: Network, runtime: Runtime, backend: str = "inductor") -> Network:
    """Apply ``runtime`` in place: channels last, compilation, activation checkpointing.

    Args:
        backend: of torch.compile.

    Raises:
        UserError: activation checkpointing of a network whose batch norms learn their statistics.
    """
    if runtime.channels_last:
        for parameter in network.parameters():
            if parameter.ndim == 4:  # SAM's 3D convolutions keep their layout
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    norms = (module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
    if runtime.checkpointing and any(norm.training for norm in norms):
        raise UserError("runtime.checkpointing counts a batch twice where batch norms learn", "set it to false")
    for name in _parts(network):
        part = getattr(network, name)
        if runtime.compile:
            part = torch.compile(part, backend=backend)
        if runtime.checkpointing:
            part = partial(checkpoint, part, use_reentrant=False, preserve_rng_state=False)
        if runtime.compile or runtime.checkpointing:
            setattr(network, name, part)
    return network


def choose_precision(name: str, device: torch.device) -> tuple[torch.dtype | None, bool]:
    """The dtype of autocast, None for float32, and whether gradients must be scaled (fp16)."""
    if name == "fp16" and device.type != "cuda":
        raise UserError("runtime.precision fp16 needs a GPU", "set runtime.precision=bf16 or fp32")
    if name == "auto":  # PyTorch also calls bf16 supported where older GPUs emulate it, slowly
        name = "bf16" if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0) else "fp32"
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name], name == "fp16"


@contextlib.contextmanager
def as_built(network: nn.Module) -> Iterator[None]:
    """Undo ``prepare`` inside the block, for frames of other sizes, which would be compiled again."""
    prepared = {name: network.__dict__.pop(name) for name in _parts(network) if name in network.__dict__}
    try:
        yield
    finally:
        network.__dict__.update(prepared)


def _parts(network: nn.Module) -> list[str]:
    return [name for name in PARTS if hasattr(network, name)] or ["forward"]
