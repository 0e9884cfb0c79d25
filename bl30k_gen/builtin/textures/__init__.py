"""Texture families: functions of a random stream that paint a square (size, size, 3) uint8 image which tiles."""

from bl30k_gen.builtin.families import TEXTURES
from bl30k_gen.builtin.textures import built, cloth, ground, stone  # noqa: F401 - each registers its families

__all__ = ["TEXTURES"]
