"""Shape families."""

import numpy as np

from bl30k_gen.library.mesh import Material, RawMesh, RawPart, by_material


def lathe(profile: np.ndarray, material: Material, segments: int = 48) -> tuple[np.ndarray, RawPart]:
    """Turn an (N, 2) profile of (radius, height) about the z axis."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    n = len(profile)
    vertices = np.stack(
        [
            np.outer(np.cos(angle), profile[:, 0]),
            np.outer(np.sin(angle), profile[:, 0]),
            np.tile(profile[:, 1], (segments + 1, 1)),
        ],
        axis=-1,
    ).reshape(-1, 3)
    u, v = np.meshgrid(np.linspace(0, 1, segments + 1), np.linspace(0, 1, n), indexing="ij")
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    i, j = np.meshgrid(np.arange(segments), np.arange(n - 1), indexing="ij")
    a = (i * n + j).ravel()
    faces = np.concatenate([np.stack([a, a + n, a + n + 1], 1), np.stack([a, a + n + 1, a + 1], 1)])
    return vertices, RawPart(faces, uv[faces], material)


def vase(random: np.random.Generator) -> RawMesh:
    height = np.linspace(0, 1, 40)
    radius = 0.3 + 0.12 * np.sin(height * random.uniform(4, 7) + random.uniform(0, 6))
    profile = np.stack([radius, height], axis=1)
    vertices, part = lathe(profile, Material(tuple(random.uniform(0.2, 0.9, 3)), roughness=0.3))
    return by_material(vertices, [part], y_up=False)


def bowl(random: np.random.Generator) -> RawMesh:
    angle = np.linspace(-np.pi / 2, random.uniform(-0.2, 0.2), 24)
    profile = np.stack([np.cos(angle), np.sin(angle) * random.uniform(0.5, 1)], axis=1)
    vertices, part = lathe(profile, Material(tuple(random.uniform(0.2, 0.9, 3)), roughness=0.3))
    return by_material(vertices, [part], y_up=False)


SHAPES = {"bowl": bowl, "vase": vase}
