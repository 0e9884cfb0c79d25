"""The background families: functions of a random stream that paint a (768, 1024, 3) uint8 image."""

from bl30k_gen.builtin.backgrounds import (  # noqa: F401 - each registers its families
    halls,
    indoors,
    landscapes,
    outside,
    seasons,
    towns,
)
from bl30k_gen.builtin.families import BACKGROUNDS

__all__ = ["BACKGROUNDS"]
