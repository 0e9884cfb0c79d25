"""How the fusion network is trained (MiVOS, sections 3.3 and 4.2)."""

import torch
from torch import Tensor, nn

from models.aggregate import object_logits
from models.fusion import Fusion, align
from models.memory import affinity
from models.propagation import PropagationNetwork
from training.data.sample import FusionBatch, labels_of
from training.tasks.losses import bootstrapped_cross_entropy, overlap


class FusionStep(nn.Module):
    """A fusion network with its loss. ``alignment`` is a frozen propagation network whose keys align differences."""

    def __init__(self, network: Fusion, alignment: nn.Module | None):
        super().__init__()
        if network.config.difference_aware and alignment is None:
            raise ValueError("a difference-aware fusion network needs a propagation network to align differences")
        if alignment is not None and not isinstance(alignment, PropagationNetwork):
            raise ValueError("differences are aligned by a propagation network, and these are weights of another one")
        self.network = network
        # A list hides it from the parameters: it is not trained.
        self.alignment = [alignment.eval().requires_grad_(False)] if alignment is not None else []

    def forward(self, batch: FusionBatch, share: float) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """As in ``TrainingStep``: loss, its parts, masks (B, O, H, W)."""
        difference = self.differences(batch) if self.network.config.difference_aware else None
        fused = self.network(batch.image, batch.older, batch.newer, batch.distance, difference)
        logits = object_logits(torch.sigmoid(fused.float()) * batch.present[:, :, None, None])
        labels = labels_of(batch.true)
        loss = bootstrapped_cross_entropy(logits, labels, batch.present, share).mean()
        masks = logits.detach().softmax(1)[:, 1:]
        return loss, {"iou": overlap(masks[:, None], labels[:, None], batch.present)}, masks

    @torch.no_grad()
    def differences(self, batch: FusionBatch) -> Tensor:
        """(B, O, 2, H, W): what the correction of the reference added and removed, aligned to the frame."""
        alignment = self.alignment[0]
        memory = alignment.encode_memory(batch.reference, alignment.encode_query(batch.reference), batch.after)
        weights = affinity(memory.key, alignment.encode_query(batch.image).key, alignment.similarity)
        return align(weights, batch.before, batch.after)
