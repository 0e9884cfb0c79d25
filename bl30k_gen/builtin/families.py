"""The registries of the built-in families, and the decorators that add a function under its own name."""

from collections.abc import Callable
from typing import Protocol, TypeVar

import numpy as np

from bl30k_gen.builtin.patterns import SIZE, Random
from bl30k_gen.library.formats.mesh import RawMesh


class Texture(Protocol):
    """Paints a tileable (size, size, 3) uint8 image."""

    def __call__(self, random: Random, size: int = SIZE) -> np.ndarray: ...


Shape = Callable[[Random], RawMesh]  # front towards -y, z up
Background = Callable[[Random], np.ndarray]  # (768, 1024, 3) uint8
Family = TypeVar("Family")

SHAPES: dict[str, Shape] = {}
TEXTURES: dict[str, Texture] = {}
BACKGROUNDS: dict[str, Background] = {}


def shape(make: Shape) -> Shape:
    return _add(SHAPES, make)


def texture(make: Texture) -> Texture:
    return _add(TEXTURES, make)


def background(make: Background) -> Background:
    return _add(BACKGROUNDS, make)


def _add(families: dict[str, Family], make: Family) -> Family:
    """Register a family. Raises ValueError if its name, which datasets record, is taken."""
    name: str = getattr(make, "__name__")  # noqa: B009 - a protocol of callables promises no name
    if name in families:
        raise ValueError(f"two families are called {name}")
    families[name] = make
    return make
