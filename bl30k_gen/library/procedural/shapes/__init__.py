"""The shape families: functions of a random stream that make a RawMesh, front towards -y, z up."""

from bl30k_gen.library.procedural.families import families
from bl30k_gen.library.procedural.shapes import household, nature, outdoors, things

SHAPES = families(household, nature, outdoors, things)
