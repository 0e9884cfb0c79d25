"""The shape families: functions of a random stream that make a RawMesh, front towards -y, z up."""

from bl30k_gen.builtin.families import SHAPES
from bl30k_gen.builtin.shapes import (  # noqa: F401 - each registers its families
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

__all__ = ["SHAPES"]
