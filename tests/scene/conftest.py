"""A small catalogue, hand-made and real meshes, and scenes made of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import trimesh

from bl30k_gen.config import Config, load_config
from bl30k_gen.library.asset import ImageAsset, Model, Part
from bl30k_gen.scene.sampler import sample_scene
from bl30k_gen.scene.spec import SceneSpec

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class FakeAsset:
    id: str
    path: str


@dataclass(frozen=True)
class FakeCatalogue:
    models: tuple[FakeAsset, ...]
    textures: tuple[FakeAsset, ...]
    backgrounds: tuple[FakeAsset, ...]


def fake_catalogue(models: int = 12, textures: int = 7, backgrounds: int = 5) -> FakeCatalogue:
    def some(kind: str, count: int) -> tuple[FakeAsset, ...]:
        return tuple(FakeAsset(f"{kind}-{i:03d}", f"builtin:{kind}-{i:03d}") for i in range(count))

    return FakeCatalogue(some("model", models), some("texture", textures), some("background", backgrounds))


def fake_load(asset: FakeAsset) -> Model | ImageAsset:
    """Every third model is a bar, the others are cubes, every second one has a texture; every image is 3 : 2."""
    if not asset.id.startswith("model"):
        return ImageAsset((30, 20), asset.id, lambda: np.zeros((20, 30, 3), np.uint8))
    number = int(asset.id[-3:])
    box = trimesh.creation.box((1, 1, 1) if number % 3 else (1, 0.05, 0.05))
    texture = np.zeros((2, 2, 3), np.uint8) if number % 2 else None
    return as_model(box.vertices, [box.faces], asset.id, texture)


def as_model(vertices, faces_of_parts, name: str, texture=None) -> Model:
    """A Model with a unit diagonal, centred."""
    vertices = np.asarray(vertices, np.float64)
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    unit = ((vertices - (low + high) / 2) / np.linalg.norm(high - low)).astype(np.float32)
    parts = tuple(
        Part(np.asarray(faces, np.int32), None, (0.8, 0.8, 0.8), texture, 0.5, 0.0) for faces in faces_of_parts
    )
    return Model(unit, parts, name)


def configuration(*overrides: str) -> Config:
    return load_config(ROOT / "render_configs/bl30k.yaml", overrides)


def a_scene(index: int, *overrides: str, models: int = 12) -> SceneSpec:
    return sample_scene(configuration(*overrides), fake_catalogue(models), fake_load, fake_load, index).spec


@pytest.fixture(scope="session")
def real_models(shared) -> dict[str, Model]:
    """Real meshes, named as the assets of ``fake_catalogue``; each material is a part."""
    files = sorted((shared / "data/shapenet_layout").glob("*/*/models/model_normalized.obj"))
    models = {}
    for file in files:
        loaded = trimesh.load(file, process=False, skip_materials=True)
        pieces = list(loaded.geometry.values()) if isinstance(loaded, trimesh.Scene) else [loaded]
        starts = np.cumsum([0, *(len(piece.vertices) for piece in pieces)])
        vertices = np.concatenate([piece.vertices for piece in pieces])
        faces = [piece.faces + start for piece, start in zip(pieces, starts, strict=False)]
        name = f"model-{len(models):03d}"
        models[name] = as_model(vertices[:, [0, 2, 1]] * [1, -1, 1], faces, name)
    return models
