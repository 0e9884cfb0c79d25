"""The background families: functions of a random stream that paint a (768, 1024, 3) uint8 image."""

from bl30k_gen.library.procedural.backgrounds import landscapes, towns
from bl30k_gen.library.procedural.families import families

BACKGROUNDS = families(landscapes, towns)
