"""The shape families: functions of a random stream that make a RawMesh."""

from bl30k_gen.library.procedural import household, outdoors, things

_FAMILIES = (
    *(household.book, household.bottle, household.bowl, household.chair, household.guitar, household.lamp),
    *(household.mug, household.stool, household.table, household.teapot, household.umbrella, household.vase),
    *(outdoors.airplane, outdoors.cactus, outdoors.car, outdoors.coral, outdoors.house, outdoors.mushroom),
    *(outdoors.rocket, outdoors.sailboat, outdoors.shell, outdoors.starfish, outdoors.tree),
    *(things.chess, things.die, things.drum, things.gear, things.knot, things.robot, things.train, things.trophy),
)

SHAPES = {family.__name__: family for family in _FAMILIES}
