"""How a propagation network is run on a training sample, and its loss."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from models.aggregate import object_logits
from models.propagation import Entry, PropagationNetwork, Query
from models.rde import RDE
from models.stm import STM
from training.data.sample import Batch
from training.schema.stage import Loss
from training.tasks.losses import bootstrapped_cross_entropy, divergence, overlap


@dataclass
class Predictions:
    """logits: (B, 1 + O, H, W), aggregated, of each frame but the first. terms: losses other than cross-entropy."""

    logits: list[Tensor]
    terms: dict[str, Tensor] = field(default_factory=dict)


class TrainingStep(nn.Module):
    """A network with its losses in one module, as distributed training needs it."""

    def __init__(self, network: PropagationNetwork, loss: Loss):
        super().__init__()
        self.network = network
        self.loss = loss

    def forward(self, batch: Batch, share: float) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Run the network on a batch and compute the loss.

        Args:
            share: ratio of the hardest pixels in the loss, see ``losses.hard_pixel_ratio``.

        Returns: the total loss; its parts and the mean IoU, detached; the predicted masks (B, T - 1, O, H, W).
        """
        predictions = run(self.network, batch)
        total, parts = self.losses(predictions, batch, share)
        masks = torch.stack([masks_of(logits.detach()) for logits in predictions.logits], dim=1)
        parts["iou"] = overlap(masks, batch.labels[:, 1:], batch.present)
        return total, {name: part.detach() for name, part in parts.items()}, masks

    def losses(self, predictions: Predictions, batch: Batch, share: float) -> tuple[Tensor, dict[str, Tensor]]:
        """The total loss and its parts: cross-entropy of each frame, and weighted terms."""
        labels = batch.labels
        parts = {}
        for t, logits in enumerate(predictions.logits, 1):
            parts[f"frame_{t}"] = bootstrapped_cross_entropy(logits, labels[:, t], batch.present, share).mean()
        weighted = (w * part for w, part in zip(self.loss.frame_weights, parts.values(), strict=True))
        total = sum(weighted, start=labels.new_zeros((), dtype=torch.float32))
        weights = {"guidance": self.loss.guidance, "consistency": self.loss.consistency}
        for name, term in predictions.terms.items():
            parts[name] = weights[name] * term
            total = total + parts[name]
        return total, parts


def run(network: PropagationNetwork, batch: Batch) -> Predictions:
    """Propagate the first frame's masks through the sample, as the network's own paper trains it."""
    return run_rde(network, batch) if isinstance(network, RDE) else run_growing(network, batch)


def run_growing(network: PropagationNetwork, batch: Batch) -> Predictions:
    """STM and STCN: each frame is read from all before it, with the masks that were predicted for them.

    Gradients flow through the predicted masks.
    """
    first, queries = encode_queries(network, batch)
    memory = [network.encode_memory(batch.images[:, 0], first, batch.given)]
    predictions = Predictions([])
    for t, query in enumerate(queries, 1):
        logits = segment(network, Entry.cat(memory), query, batch.present)
        predictions.logits.append(logits)
        if t < len(queries):
            memory.append(network.encode_memory(batch.images[:, t], query, masks_of(logits)))
    return predictions


def run_rde(network: RDE, batch: Batch) -> Predictions:
    """RDE: even frames are read from the recurrent embedding, odd ones from the whole memory (RDE, section 3.3).

    Even frames are also read from the whole memory: this readout is the teacher of the recurrent embedding (unbiased
    guidance), and its masks go into memory. The first frame's value from its perturbed mask is trained to match the
    value from its true mask (mask consistency). Without recurrence, in RDE's first stage, every frame is read from
    the whole memory.
    """
    first_query, queries = encode_queries(network, batch)
    first = network.encode_memory(batch.images[:, 0], first_query, batch.given)
    true = network.encode_memory(batch.images[:, 0], first_query, batch.masks[:, 0])
    predictions = Predictions([], {"consistency": divergence(first.value, true.value)})
    recurrent, memory = first, [first]
    last = len(queries)
    for t, query in enumerate(queries, 1):
        even = network.config.update != "none" and t % 2 == 0
        whole = network.read(Entry.cat(memory), query)
        if even:
            readout = network.read(recurrent, query)
            predictions.logits.append(decode(network, readout, query, batch.present))
            image_value = query.value.unsqueeze(1).expand(-1, readout.shape[1], -1, -1, -1)
            student, teacher = (torch.cat([part, image_value], dim=2) for part in (readout, whole))
            predictions.terms["guidance"] = predictions.terms.get("guidance", 0) + divergence(student, teacher)
        if not even or t < last:
            from_whole = decode(network, whole, query, batch.present)
        if not even:
            predictions.logits.append(from_whole)
        if t < last:
            entry = network.encode_memory(batch.images[:, t], query, masks_of(from_whole))
            memory.append(entry)
            if network.config.update != "none":
                recurrent = network.update(recurrent, entry)
    return predictions


def encode_queries(network: PropagationNetwork, batch: Batch) -> tuple[Query | None, list[Query]]:
    """The first frame's query and the others', encoded as one batch. STM needs no query of the first: it is None."""
    images = batch.images[:, 1:] if isinstance(network, STM) else batch.images
    encoded = network.encode_query(images.flatten(0, 1))
    parts = [x.unflatten(0, images.shape[:2]).unbind(1) for x in encoded]
    queries = [Query(*frame) for frame in zip(*parts, strict=True)]
    return (None, queries) if isinstance(network, STM) else (queries[0], queries[1:])


def segment(network: PropagationNetwork, memory: Entry, query: Query, present: Tensor) -> Tensor:
    """Aggregated logits (B, 1 + O, H, W) of a frame."""
    return decode(network, network.read(memory, query), query, present)


def decode(network: PropagationNetwork, readout: Tensor, query: Query, present: Tensor) -> Tensor:
    """Aggregated logits of a readout; an absent object has probability 0."""
    prob = torch.sigmoid(network.decode(readout, query).float()) * present[:, :, None, None]
    return object_logits(prob)


def masks_of(logits: Tensor) -> Tensor:
    """Soft masks (B, O, H, W) of the objects."""
    return logits.softmax(1)[:, 1:]
