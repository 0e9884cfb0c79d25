"""The texture families: functions of a random stream that paint a tileable (size, size, 3) uint8 image."""

from bl30k_gen.builtin.families import TEXTURES
from bl30k_gen.builtin.textures import built, cloth, ground, stone  # noqa: F401 - each registers its families

__all__ = ["TEXTURES"]
