"""Holes of a texture are at the same places as in the renderer, also for UVs outside of 0..1."""

import numpy as np
import pytest

from bl30k_gen.library.asset import Model, Part
from bl30k_gen.scene.holes import holes_of


@pytest.mark.parametrize(
    ("wrap", "expected"), [("repeat", "10 10 10"), ("clamp", "11 10 00"), ("mirror", "01 10 01")]
)
def test_a_texture_repeats_as_its_sampler_says(wrap, expected):
    """A texture with a hole in its right half, on a sheet with u from -1 to 2."""
    texture = np.full((8, 8, 4), 255, np.uint8)
    texture[:, 4:, 3] = 0
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
    uv = np.array([[[-1, 0.5], [2, 0.5], [0, 0.5]]], np.float32)
    part = Part(np.array([[0, 1, 2]], np.int32), uv, (1.0, 1.0, 1.0), texture, 0.5, 0.0, (wrap, "repeat"))
    holes = holes_of(Model(vertices, (part,), ""))
    along = (np.arange(6) + 0.5) / 6
    weights = np.stack([1 - along, along, np.zeros(6)], axis=1)
    seen = holes.opaque(np.zeros(6, np.int64), weights)
    assert "".join("01"[int(value)] for value in seen) == expected.replace(" ", "")
