"""Storage of probabilities."""

import numpy as np
import torch

from training.interactive.state import STEPS, Maps, likeliest, pack, unpack


def near_ties(rows: int, pixels: int = 4000) -> torch.Tensor:
    """(O, 1, N): background and two or more objects differ by less than a quantisation step."""
    random = torch.Generator().manual_seed(rows)
    level = torch.rand(1, 1, pixels, generator=random) / rows
    return level + (torch.rand(rows, 1, pixels, generator=random) - 0.5) * 2e-6


def test_rounding_never_changes_the_most_likely_object():
    third = torch.full((2, 1, 1), 1 / 3)
    overlapping = torch.tensor([1.0, np.nextafter(np.float32(1), 0)]).view(2, 1, 1).flip(0)  # from outside, if at all
    for prob in (near_ties(1), near_ties(2), near_ties(5), near_ties(9), third, overlapping, torch.zeros(0, 1, 4)):
        objects = range(1, len(prob) + 1)
        kept = unpack(pack(prob, objects), tuple(objects))
        assert torch.equal(likeliest(kept), likeliest(prob))
        assert len(prob) == 0 or (kept - prob).abs().max() < 2.5 / STEPS
    plain = np.array((near_ties(5) * STEPS).round().numpy().astype(np.uint16))
    assert not torch.equal(likeliest(unpack(Maps(range(5), plain), tuple(range(5)))), likeliest(near_ties(5)))


def test_stored_probabilities_take_two_bytes_a_pixel():
    assert pack(near_ties(3), (1, 2, 3)).nbytes == 2 * 3 * 4000
