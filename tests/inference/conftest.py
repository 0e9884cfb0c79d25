"""Golden numbers of the published engines, and small networks whose answers are known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

_path = Path(__file__).parents[1] / "models" / "conftest.py"
_spec = importlib.util.spec_from_file_location("golden_fixtures", _path)
_models = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_models)
golden, small, one_thread = _models.golden, _models.small, _models.one_thread

GOLDEN_SIZE = (90, 150)
GOLDEN_PADDING = (3, 5)  # rows above, columns to the left


@pytest.fixture
def compare():
    """compare(probs, expected): probabilities (T, C, 90, 150) with golden ones of the padded frames, every 4th pixel.

    Probabilities differ by at most 1e-4, label maps in at most 1 of 1000 pixels.
    """

    def check(probs: np.ndarray, expected: np.ndarray) -> None:
        expected = expected[:, :, 0].swapaxes(0, 1)
        rows, columns = (
            np.array([4 * i - before for i in range(count) if 0 <= 4 * i - before < side])
            for count, side, before in zip(expected.shape[2:], GOLDEN_SIZE, GOLDEN_PADDING, strict=True)
        )
        inside = (rows + GOLDEN_PADDING[0]) // 4, (columns + GOLDEN_PADDING[1]) // 4
        expected = expected[:, :, inside[0]][..., inside[1]]
        got = probs[:, :, rows][..., columns]
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
        assert (got.argmax(1) == expected.argmax(1)).mean() >= 0.999

    return check


@pytest.fixture
def shift_bias():
    """shift_bias(network, by): add to the decoder's last bias, in place."""

    def shift(network, by):
        with torch.no_grad():
            network.decoder.pred.bias += by
        return network

    return shift
