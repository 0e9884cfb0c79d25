"""Videos small enough to be checked by brute force, of hand-made and of built-in models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import trimesh

from bl30k_gen.annotations.view import VideoGeometry
from bl30k_gen.config import load_config
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.dataset import sampler
from bl30k_gen.scene.assets import load_models
from bl30k_gen.scene.trajectory import NEAR_CLIP
from tests.scene.conftest import a_scene, as_model

ROOT = Path(__file__).resolve().parents[2]
CUBE = trimesh.creation.box()
DEFORM = (
    "objects.deformation={chance: 1.0, kinds: [lattice, wave, bend], cycles: [1, 2], displacement: [0.15, 0.3],"
    " amplitude: [0.04, 0.1], wavelength: [0.4, 0.9], angle: [0.8, 1.8]}"
)
SHAKE = "camera.shake={angle: [0.01, 0.02], roll: 0.5, cycles: [3, 30], waves: 6}"


@pytest.fixture(scope="session")
def cubes() -> Callable[..., VideoGeometry]:
    """``cubes(path, ...)``: cubes of side 1 on paths of (start, end), before a static camera of 90 degrees at
    (0, -6, 0) that looks along y; the backdrop is at y = 12."""

    def make(*paths: tuple, frames: int = 3, **backdrop: object) -> VideoGeometry:
        spec = a_scene(0, "video.width=96", "video.height=64", f"video.frames={frames}")
        objects = tuple(
            spec.objects[0].model_copy(
                update={
                    "id": 2 * number + 1,
                    "location": path,
                    "rotation": ((0.0, 0.0, 0.0),) * 2,
                    "scale": ((np.sqrt(3),) * 3,) * 2,
                }
            )
            for number, path in enumerate(paths)
        )
        camera = spec.camera.model_copy(
            update={
                "location": ((0.0, -6.0, 0.0),) * 2,
                "target": ((0.0, 0.0, 0.0),) * 2,
                "field_of_view": np.pi / 2,
            }
        )
        behind = spec.backdrop.model_copy(
            update={"centre": (0.0, 12.0, 0.0), "width": 50.0, "height": 50.0} | backdrop
        )
        spec = spec.model_copy(update={"objects": objects, "camera": camera, "backdrop": behind})
        return VideoGeometry(spec, {objects[0].model.id: as_model(CUBE.vertices, [CUBE.faces], "cube")})

    return make


@pytest.fixture(scope="session")
def sampled() -> Callable[..., VideoGeometry]:
    """Video ``index`` of the demo recipe with overrides, small."""

    def make(index: int, *overrides: str) -> VideoGeometry:
        small = ["video={frames: 6, width: 144, height: 96}", "motion.location_speed=0.5", *overrides]
        config = load_config(ROOT / "render_configs/demo.yaml", small)
        spec = sampler(config, open_catalogue(config.assets))(f"a{index:05d}").spec
        return VideoGeometry(spec, load_models(spec))

    return make


@pytest.fixture(scope="session")
def first_hit() -> Callable[..., np.ndarray]:
    """Depth of the first triangle on rays through (N, 2) places: every ray with every triangle."""

    def find(video: VideoGeometry, frame: int, places: np.ndarray) -> np.ndarray:
        geometry = video.geometry
        corners = []
        for body in geometry.bodies:
            view = geometry.extrinsics[frame] @ body.poses[frame]
            vertices = geometry.vertices(body, frame).astype(np.float64) @ view[:3, :3].T + view[:3, 3]
            corners.append(vertices[body.faces])
        a, b, c = np.moveaxis(np.concatenate(corners), 1, 0)
        k = geometry.intrinsics
        depth = np.full(len(places), np.inf)
        normal = np.cross(b - a, c - a)
        for number, place in enumerate(places):
            ray = np.array([*((place - k[:2, 2]) / np.diag(k)[:2]), 1.0])
            with np.errstate(divide="ignore", invalid="ignore"):
                along = (a * normal).sum(axis=1) / (normal @ ray)
                point = along[:, None] * ray
                sides = [(np.cross(q - p, point - p) * normal).sum(axis=1) for p, q in ((a, b), (b, c), (c, a))]
                hit = (np.min(sides, axis=0) >= -1e-15) & (along >= NEAR_CLIP)
            depth[number] = along[hit].min(initial=np.inf)
        return depth

    return find
