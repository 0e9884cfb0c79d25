"""The shape families: functions of a random stream that make a RawMesh, front towards -y, z up."""

from bl30k_gen.builtin.families import families
from bl30k_gen.builtin.shapes import (
    animals,
    buildings,
    garden,
    household,
    leisure,
    living,
    music,
    nature,
    outdoors,
    things,
    tools,
    vehicles,
)

SHAPES = families(
    animals, buildings, garden, household, leisure, living, music, nature, outdoors, things, tools, vehicles
)
