"""Texture families: functions of a random stream that paint a square (size, size, 3) uint8 image which tiles."""

from bl30k_gen.builtin.families import families
from bl30k_gen.builtin.textures import built, cloth, ground, stone

TEXTURES = families(built, cloth, ground, stone)
