"""Golden numbers of the published networks, for deterministic weights and inputs (see the shared folder's README)."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models import checkpoint


@pytest.fixture(autouse=True)
def one_thread():
    """These networks are too small to gain from threads, and the machine may be shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


class Golden:
    """One golden file: its numbers, and networks filled by the published key names."""

    def __init__(self, folder: Path, recipe, name: str):
        self.recipe, self._folder = recipe, folder
        self.numbers = np.load(folder / f"{name}.npz")
        self.gain = json.loads(str(self.numbers["gain"]))
        self.meta = json.loads(str(self.numbers["meta"]))

    def __getitem__(self, key: str) -> np.ndarray:
        return self.numbers[key]

    def weights(self, keys: str, gain: dict | None = None) -> dict[str, torch.Tensor]:
        """A published state dict of the recipe's weights, for a list of keys and shapes."""
        self.recipe.GAIN.clear()
        self.recipe.GAIN.update(self.gain if gain is None else gain)
        return {key: torch.from_numpy(self.recipe.weight_for(key, shape)) for key, shape in self.shapes(keys)}

    def shapes(self, keys: str) -> list:
        """[[key, shape], ...] of a published state dict."""
        return json.loads((self._folder / f"{keys}_keys.json").read_text())

    def network(self, keys: str, gain: dict | None = None, **changes) -> torch.nn.Module:
        return checkpoint.from_published(self.weights(keys, gain), **changes).eval()

    def image(self, name: str, height: int = 96, width: int = 160) -> torch.Tensor:
        return torch.from_numpy(self.recipe.image(name, height, width))

    def soft(self, name: str, objects: int, height: int = 96, width: int = 160) -> torch.Tensor:
        """(1, O, H, W)"""
        masks = [self.recipe.soft_mask(name, height, width, o) for o in range(objects)]
        return torch.from_numpy(np.stack(masks)[None])

    def hard(self, name: str, objects: int, height: int = 96, width: int = 160) -> torch.Tensor:
        return (self.soft(name, objects, height, width) > 0.5).float()

    def check(self, key: str, got: torch.Tensor, atol: float = 1e-4, rtol: float = 1e-5) -> None:
        """Compare with the numbers under ``key``, sub-sampling ``got`` if they were."""
        expected = self.numbers[key]
        got = got.detach().numpy()
        if expected.shape != got.shape:
            got = self.recipe.sub(got, expected_size(got.size, expected.size))
        np.testing.assert_allclose(got, expected, rtol=rtol, atol=atol, err_msg=key)


def expected_size(size: int, kept: int) -> int:
    """The n for which the recipe's sub-sampling of ``size`` numbers leaves ``kept``."""
    step = next(step for step in range(1, size + 1) if -(-size // step) == kept)
    return -(-size // step)


@pytest.fixture(scope="session")
def golden(shared):
    """golden(name) -> Golden; skips where the shared data are absent."""
    folder = shared / "golden"
    spec = importlib.util.spec_from_file_location("golden_recipe", folder / "recipe.py")
    assert spec is not None and spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return lambda name: Golden(folder, recipe, name)


SMALL = {"backbone": "resnet18", "memory_backbone": "resnet18", "key_dim": 16, "value_dim": 32, "decoder_dim": 16}


@pytest.fixture(scope="session")
def small():
    """small(name, **config) -> a network that is fast on a CPU, always with the same weights."""
    built = {}

    def make(name: str, **config) -> torch.nn.Module:
        key = name, tuple(sorted(config.items()))
        if key not in built:
            torch.manual_seed(0)
            built[key] = checkpoint.build(name, SMALL | config).eval()
        return copy.deepcopy(built[key])

    return make
