"""Samples for S2M: an object of a still image, an imperfect mask of it, and scribbles that correct the mask."""

import numpy as np
import torch

from training.data.images import Items
from training.data.perturb import perturb
from training.data.sample import S2MBatch
from training.data.scribbles import Scribbler
from training.schema.data import Augmentation, ImageSource, LvisSource, Scribbles


class Interactions(Items):
    """``interactions.draw(i, rng)`` is one image with the mask so far, scribbles, and the true mask.

    The mask so far is empty, or the true one perturbed. Another object of the image, if the source has one, gets
    negative scribbles, or is part of the mask so far.
    """

    def __init__(
        self,
        source: ImageSource | LvisSource,
        augmentation: Augmentation,
        scribbles: Scribbles,
        size: int,
        held_out: float = 0.0,
    ):
        super().__init__(source, augmentation, 1, size, held_out)
        self.chances = scribbles
        self.scribbler = Scribbler(scribbles, size)

    def draw(self, index: int, rng: np.random.Generator, distance: int | None = None) -> S2MBatch:
        """A sample without batch dimension. Raises UserError naming a damaged file."""
        chances, number = self.chances, self.numbers[index]
        from_zero = rng.random() < chances.from_zero
        drawn = [self.stills.mask(number, rng)]
        if not from_zero and rng.random() < chances.another:
            another = self.stills.another(number, rng, chances.another_smallest)
            drawn += [another] if another is not None else []
        images, masks = self.warper.draw(self.stills.image_path(number), drawn, rng)
        truth, *others = masks[0].numpy() > 127
        nothing = np.zeros_like(truth)
        before = nothing if from_zero else perturb(truth, rng.uniform(*chances.iou), rng)
        beside = nothing
        for other in others:
            if rng.random() < chances.another_negative:
                beside, _ = self.scribbler.correct(nothing, other, rng)
            else:
                before = before | perturb(other, chances.another_iou, rng)
        positive, negative = self.scribbler.correct(before, truth, rng)
        return S2MBatch(
            image=images[0],
            before=_bytes(before),
            positive=_bytes(positive),
            negative=_bytes(negative | beside),
            true=_bytes(truth),
            names=[self.stills.names[number]],
        )


def _bytes(mask: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(mask.astype(np.uint8) * 255)[None]
