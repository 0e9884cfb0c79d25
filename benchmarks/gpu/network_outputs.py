"""The networks' outputs on the GPU, in float32 and bf16, compared with those on the processor."""

import copy
from typing import TYPE_CHECKING

from benchmarks.gpu.network_setup import NetworkSizes, exact, release_memory, stage_of
from benchmarks.gpu.networks_page import ALIKE, CLOSE
from benchmarks.gpu.run import Run

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from models.propagation import PropagationNetwork


def compare_outputs(run: Run, sizes: NetworkSizes, device: str) -> None:
    """Train each network for seconds to follow discs, so that its labels are not random, and compare the outputs."""
    import torch

    from benchmarks.speed.train_step import discs, own_variant, random_network

    for name in sizes.networks:
        if run.left() < 40:
            return
        with run.attempt("equality", network=name):
            extra = [f"size={sizes.fit_crop}", "batch=8" if device == "cuda" else "batch=2"]
            stage = stage_of(name, sizes, [*extra, "optimiser.learning_rate=1e-4"])
            trained = own_variant(stage, random_network(stage), torch.device(device), "bfloat16")
            for number in range(sizes.fit_steps):
                trained.iterate(discs(stage, number, torch.device(device)))
            network = copy.deepcopy(trained.network).cpu().float().eval().requires_grad_(False)
            batch = discs(stage.model_copy(update={"batch": 1}), 10**6, torch.device("cpu"))
            for objects in (1, 2):
                _compare(run, network, batch.images, batch.masks[:, :, :objects], name, device)
        release_memory(device)


def _compare(
    run: Run, network: "PropagationNetwork", images: "Tensor", masks: "Tensor", name: str, device: str
) -> None:
    import torch

    from models.backbone import prepare_for_inference

    expected = _segment(network, images, masks, "cpu", None)
    moved = prepare_for_inference(copy.deepcopy(network).to(device))
    single = _segment(moved, images, masks, device, None)
    half = _segment(moved, images, masks, device, torch.bfloat16)
    difference = (expected - single).abs().max().item()
    agreeing = (expected.argmax(1) == half.argmax(1)).float().mean().item()
    run.record(
        "equality",
        network=name,
        objects=masks.shape[2],
        float32_difference=difference,
        float32_met=difference <= CLOSE,
        bf16_labels_alike=agreeing,
        bf16_met=agreeing >= ALIKE,
        object_pixels=(expected.argmax(1) > 0).float().mean().item(),
    )


def _segment(
    network: "PropagationNetwork", images: "Tensor", masks: "Tensor", device: str, dtype: "torch.dtype | None"
) -> "Tensor":
    """Probabilities of the third frame, with two in memory: (1, O + 1, H, W) on the processor.

    Args:
        images: (1, 3, 3, H, W). masks: (1, 3, O, H, W). dtype: of autocast; None for exact float32.
    """
    import torch

    from models.aggregate import aggregate
    from models.propagation import Entry
    from models.rde import RDE

    entries = []
    with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype is not None), exact(dtype is None):
        for t in (0, 1):
            image = images[:, t].to(device)
            entries.append(network.encode_memory(image, network.encode_query(image), masks[:, t].to(device)))
        if isinstance(network, RDE):
            entries.append(network.update(*entries))
        query = network.encode_query(images[:, 2].to(device))
        readout = network.read(Entry.cat(entries), query, network.evaluation)
        return aggregate(network.decode(readout, query).float().sigmoid()).cpu()
