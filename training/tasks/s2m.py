"""How S2M, scribbles to a mask, is trained (MiVOS, section 3.1)."""

import torch
from torch import Tensor, nn

from models.aggregate import object_logits
from models.s2m import S2M
from training.data.sample import S2MBatch, labels_of
from training.tasks.losses import bootstrapped_cross_entropy, overlap


class S2MStep(nn.Module):
    """S2M with its loss. Its parts are the mean IoU of its masks, and that of the masks it was given."""

    def __init__(self, network: S2M):
        super().__init__()
        self.network = network

    def forward(self, batch: S2MBatch, share: float) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """As in ``TrainingStep``: loss, its parts, masks (B, 1, H, W)."""
        answer = self.network.segment(batch.image, batch.before, batch.positive, batch.negative)
        logits = object_logits(torch.sigmoid(answer.float()))
        labels = labels_of(batch.true)
        present = torch.ones(len(batch), 1, dtype=torch.bool, device=labels.device)
        loss = bootstrapped_cross_entropy(logits, labels, present, share).mean()
        masks = logits.detach().softmax(1)[:, 1:]
        before, after = (overlap(x[:, None], labels[:, None], present) for x in (batch.before, masks))
        return loss, {"iou": after, "iou_before": before}, masks
