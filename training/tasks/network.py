"""The network of a stage with its initial weights, and the network with its loss."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bl30k_gen.errors import UserError
from models import checkpoint
from models.backbone import read_weights
from models.fusion import Fusion
from models.propagation import PropagationNetwork
from models.s2m import S2M
from training.data.sample import Batch, FusionBatch, S2MBatch
from training.runs.folder import network_file
from training.runs.state import FORMAT, read_state
from training.schema.stage import PROPAGATION, Loss, Runtime
from training.tasks import speed
from training.tasks.fusion import FusionStep
from training.tasks.propagation import TrainingStep
from training.tasks.s2m import S2MStep

AnyBatch = Batch | FusionBatch | S2MBatch
AnyStep = TrainingStep | FusionStep | S2MStep


def build_network(
    name: str,
    model: Mapping[str, Any],
    *,
    objects: int,
    imagenet: str = "none",
    seed: int = 0,
    start: Path | None = None,
) -> checkpoint.Network:
    """A network with the weights that training begins with.

    Args:
        name, model: as in ``checkpoint.build``.
        objects: in a sample; with several, a propagation network sees the other objects' masks.
        imagenet: where encoders start without ``start``: as in ``backbone.imagenet_weights``, or "none".
        seed: of random weights.
        start: a network file (ours or a published one), a training state, or the folder of a finished run. Weights
            of single objects are widened for several; RDE's recurrence may be missing in them. S2M also takes a
            DeepLabV3+ for VOC, with which the published one began.

    Raises:
        UserError: the weights cannot be read or do not fit.
    """
    torch.manual_seed(seed)
    if name in PROPAGATION:
        model = {**model, "multi_object": objects > 1}
    try:
        network = checkpoint.build(name, model)
        if isinstance(network, S2M) and start is not None and checkpoint.is_deeplab(network_file(start)):
            checkpoint.start_s2m(network, network_file(start))
        elif start is not None:
            checkpoint.fill(network, _weights(start, name), fresh=("sam_key.", "sam_value."))
        elif imagenet != "none" and isinstance(network, PropagationNetwork | S2M):
            network.load_imagenet(imagenet)
    except (ValueError, TypeError) as error:
        remedy = f"give --from weights of {name}" if start is not None else "see model and imagenet in the stage"
        raise UserError(str(error), remedy) from None
    return network


def _weights(start: Path, network: str) -> dict[str, torch.Tensor]:
    start = network_file(start)
    if read_weights(start).get("format") == FORMAT:
        return read_state(start)["network"]
    return checkpoint.load(start, network).state_dict()


def build_step(
    network: nn.Module,
    loss: Loss,
    runtime: Runtime,
    device: torch.device,
    alignment: str | None = None,
    world: int = 1,
) -> AnyStep:
    """The network with its losses, on the device of one of ``world`` processes.

    Args:
        alignment: for fusion, weights of the propagation network whose keys align differences.

    Raises:
        UserError: fusion's alignment network cannot be loaded, or S2M's batch norms cannot be shared.
    """
    network = network.to(device)
    if isinstance(network, S2M):
        return S2MStep(speed.prepare(learn_batchnorm(network, device, world), runtime))
    network = speed.prepare(freeze_batchnorm(network), runtime)
    if isinstance(network, PropagationNetwork):
        return TrainingStep(network, loss)
    assert isinstance(network, Fusion)  # stages train no other
    try:
        aligned = checkpoint.load(network_file(alignment)).to(device) if alignment else None
        return FusionStep(network, aligned)
    except ValueError as error:
        raise UserError(str(error), "give weights of one: --set alignment=CHECKPOINT") from None


def freeze_batchnorm(network: speed.Network) -> speed.Network:
    """Set training mode, but let batch norms use their stored means and variances; their weights are trained.

    The published code keeps the whole network in evaluation mode for this, because batches are small.
    """
    for module in network.train().modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return network


def learn_batchnorm(network: S2M, device: torch.device, world: int) -> S2M:
    """Set training mode with batch norms that use, and learn, the statistics of the batch over all processes.

    Raises:
        UserError: there are several processes without GPUs, which PyTorch's synchronised batch norm needs.
    """
    if world > 1:
        if device.type != "cuda":
            raise UserError("S2M's batch norms are shared by processes on GPUs only", "train in one process")
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    return network.train()
