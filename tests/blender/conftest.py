"""One Blender child for these tests, and scenes to render."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bl30k_gen.config import load_config
from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import read_values
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.child import BlenderChild
from bl30k_gen.render.dataset import sampler
from bl30k_gen.render.staging import write_scene
from bl30k_gen.scene.spec import SceneSpec

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def child() -> Iterator[BlenderChild]:
    child = BlenderChild("cpu", 1, timeout=600.0)
    yield child
    child.close()


@pytest.fixture
def draw(child, tmp_path) -> Callable[[SceneSpec], tuple[np.ndarray, np.ndarray]]:
    """render(scene) -> (T, H, W, 3) frames and (T, H, W) masks, as stored."""
    drawn = iter(range(100))

    def draw(spec: SceneSpec) -> tuple[np.ndarray, np.ndarray]:
        layout = Layout(tmp_path / str(next(drawn)))
        child.render_once(write_scene(layout, spec))
        rgb = [layout.staged_rgb(spec.name, frame) for frame in range(spec.video.frames)]
        masks = [read_values(layout.staged_mask(spec.name, frame)) for frame in range(spec.video.frames)]
        return np.stack([decode_rgb(path.read_bytes(), path) for path in rgb]), np.stack(masks)

    return draw


@pytest.fixture(scope="session")
def sample() -> Callable[..., SceneSpec]:
    """The scene of video ``index`` of the demo recipe, small and fast to render, with overrides."""

    def sample(index: int, *overrides: str) -> SceneSpec:
        small = ["video={frames: 2, width: 256, height: 160}", "render.samples=2", "motion.location_speed=1.0"]
        config = load_config(ROOT / "render_configs/demo.yaml", [*small, *overrides])
        return sampler(config, open_catalogue(config.assets))(f"a{index:05d}").spec

    return sample
