"""Small synthetic datasets (moving ellipses), and the golden numbers of the published networks."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bl30k_gen.dataset import files, masks
from models import checkpoint
from tests.support.cells import cells, compare, encoded_once, stm
from tests.support.golden import golden, one_thread, small
from training.schema.stage import load_stage

__all__ = ["cells", "compare", "encoded_once", "golden", "one_thread", "small", "stm"]

torch.set_num_threads(1)

FRAMES, WIDTH, HEIGHT = 12, 120, 88
COLOURS = np.array([[0, 0, 0], [220, 60, 50], [60, 190, 80], [70, 90, 230]], np.uint8)


def ellipses(video: int, frame: int) -> np.ndarray:
    """(H, W) uint8: objects 1 to 3, the later ones in front."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    for number in (1, 2, 3):
        cx = 14 + 26 * number + (frame - 6) * (2 - number) * (1 + video % 3) * 0.7
        cy = 24 + 10 * number - (frame - 6) * (number - 2) * 1.5
        ids[((x - cx) / (15 + video % 4)) ** 2 + ((y - cy) / 11) ** 2 < 1] = number
    return ids


def image(ids: np.ndarray, video: int) -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([x * 2, y * 2, 40 + 30 * (video % 5) + 0 * x], -1).astype(np.uint8)
    rgb[ids > 0] = np.roll(COLOURS[1:], video, 0)[ids[ids > 0] - 1]
    return rgb


def make_videos(root: Path, count: int = 6) -> Path:
    names = [f"a{video:05d}" for video in range(count)]
    for video, name in enumerate(names):
        for frame in range(FRAMES):
            ids = ellipses(video, frame)
            jpeg = files.encode_jpeg(image(ids, video), 92, "4:4:4")
            files.write_atomically(root / f"JPEGImages/{name}/{frame:05d}.jpg", jpeg)
            files.write_atomically(root / f"Annotations/{name}/{frame:05d}.png", masks.encode_mask(ids))
    files.write_atomically(root / "ImageSets/train.txt", "".join(f"{name}\n" for name in names))
    return root


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    return make_videos(tmp_path_factory.mktemp("videos"))


@pytest.fixture(name="make_videos", scope="session")
def _make_videos():
    """make_videos(root, count) -> root: a new dataset of ``count`` videos, which the test may change."""
    return make_videos


@pytest.fixture(scope="session")
def tiny(videos):
    """tiny(name, *overrides) -> Stage: the small preset on the synthetic videos."""
    return lambda name, *overrides: load_stage(name, overrides, [str(videos)], preset="tiny")


@pytest.fixture(scope="session")
def recipe(shared):
    """The module that rebuilds weights and inputs of the golden numbers."""
    spec = importlib.util.spec_from_file_location("golden_recipe", shared / "golden/recipe.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def published_weights(shared, recipe):
    """published_weights(keys, gain) -> a published state dict, for a list of keys and shapes."""

    def fill(keys: str, gain) -> dict[str, torch.Tensor]:
        recipe.GAIN.clear()
        recipe.GAIN.update(gain if isinstance(gain, dict) else json.loads(str(gain)))
        shapes = json.loads((shared / f"golden/{keys}.json").read_text())
        return {key: torch.from_numpy(recipe.weight_for(key, shape)) for key, shape in shapes}

    return fill


@pytest.fixture(scope="session")
def check_gradients(recipe):
    """check_gradients(network, gold, prefix): norms within 1e-3, single gradients within 3e-3 of the largest."""

    def check(network: torch.nn.Module, gold, prefix: str) -> None:
        shadow = copy.deepcopy(network)  # its parameters are replaced by gradients, under published names
        for own, other in zip(network.parameters(), shadow.parameters(), strict=True):
            other.data = torch.zeros_like(own) if own.grad is None else own.grad
        gradients = checkpoint.to_published(shadow)
        names = [key.removeprefix(f"{prefix}/grad/") for key in gold if key.startswith(f"{prefix}/grad/")]
        assert len(names) >= 3
        for name in names:
            gradient = gradients[name].numpy()
            norm, single = gold[f"{prefix}/grad/{name}"][0], gold[f"{prefix}/gradsub/{name}"]
            np.testing.assert_allclose(np.linalg.norm(gradient), norm, rtol=1e-3, err_msg=name)
            atol = 3e-3 * np.abs(single).max()
            np.testing.assert_allclose(recipe.sub(gradient, 512), single, rtol=0, atol=atol, err_msg=name)

    return check
