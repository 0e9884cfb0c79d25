"""The small network that comes with the project: found by its name, and better than a copied mask."""

from pathlib import Path

import numpy as np
import pytest
import torch

from bl30k_gen.dataset.files import sha256
from bl30k_gen.errors import UserError
from models.propagation import PropagationNetwork
from models.s2m import S2M
from training.inference.load import load_fusion, load_network
from training.inference.segment import segment_frames
from training.runs.folder import WEIGHTS, network_file


def test_small_is_the_projects_network_unless_a_file_has_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert network_file("small") == WEIGHTS / "small_propagation.pt"
    assert isinstance(load_network("small", PropagationNetwork, "cpu"), PropagationNetwork)
    Path("small").write_bytes(b"")
    assert network_file("small") == Path("small")


def test_missing_networks_are_named():
    for part in (lambda: load_network("small", S2M, "cpu"), lambda: load_fusion("small", "cpu")):
        with pytest.raises(UserError, match="no small network for"):
            part()
    assert not list(WEIGHTS.glob("small_s2m*"))


def test_every_shipped_file_is_small_in_half_precision_and_has_a_true_card():
    files = sorted(WEIGHTS.glob("*.pt"))
    assert files
    for file in files:
        assert file.stat().st_size <= 8e6
        weights = torch.load(file, weights_only=True)["weights"]
        assert {value.dtype for value in weights.values() if value.is_floating_point()} == {torch.float16}
        assert f"sha256 {sha256(file)}" in file.with_suffix(".md").read_text()


def test_a_moving_disc_is_followed_further_than_a_copied_mask():
    rng = np.random.default_rng(0)
    coarse = np.kron(rng.integers(40, 160, (12, 18, 3)), np.ones((16, 16, 1))).astype(np.uint8)
    y, x = np.mgrid[:192, :288]
    frames, masks = [], []
    for t in range(8):
        disc = (y - 90 - 2 * t) ** 2 + (x - 70 - 14 * t) ** 2 < 32**2
        frames.append(np.where(disc[..., None], np.array([230, 60, 40], np.uint8), coarse))
        masks.append(disc)
    network = load_network("small", PropagationNetwork, "cpu")
    given = {0: masks[0].astype(np.uint8)}
    last = list(segment_frames(network, frames, given))[-1].labels() == 1

    def iou(mask):
        return (mask & masks[-1]).sum() / (mask | masks[-1]).sum()

    assert iou(masks[0]) < 0.1
    assert iou(last) > 0.6
