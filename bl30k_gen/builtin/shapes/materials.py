"""Materials of shapes: plain colours, or small textures of a family."""

import functools

import numpy as np

from bl30k_gen.builtin.patterns import Random, hsv
from bl30k_gen.builtin.textures import TEXTURES
from bl30k_gen.library.formats.mesh import Material, linear

TEXTURE_SIZE = 256


@functools.cache  # so that forms with equal colours share a material, and become one part
def rgb(text: str, roughness: float = 0.5, metallic: float = 0.0) -> Material:
    """An sRGB colour, given as six hexadecimal digits."""
    srgb = np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255
    return Material(tuple(linear(srgb)), None, roughness, metallic)


def paint(random: Random, roughness: float = 0.35) -> Material:
    """A random plausible paint colour: mostly saturated, seldom neon."""
    colour = hsv(random.uniform(), random.beta(3, 2.6) * 0.85, random.beta(3, 2.2) * 0.8 + 0.12)
    return Material(tuple(linear(colour)), None, roughness)


def textured(random: Random, *families: str, roughness: float = 0.6, metallic: float = 0.0) -> Material:
    """A texture of one of the families, drawn at random."""
    family = families[random.integers(len(families))]
    return Material((1.0, 1.0, 1.0), TEXTURES[family](random, TEXTURE_SIZE), roughness, metallic)


def either(random: Random, *families: str, probability: float = 0.6, roughness: float = 0.5) -> Material:
    """A texture of one of the families with probability ``probability``, else paint."""
    return textured(random, *families, roughness=roughness) if random.uniform() < probability else paint(random)


def steel() -> Material:
    return rgb("b9bec4", 0.35, 0.6)


def gold() -> Material:
    return rgb("d9a93f", 0.35, 0.6)


def black() -> Material:
    return rgb("1d1d20", 0.55)


def cream() -> Material:
    return rgb("efe6d2", 0.45)


def glass() -> Material:
    return rgb("5f7f94", 0.12)
