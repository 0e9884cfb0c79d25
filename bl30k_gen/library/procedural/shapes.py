"""The shape families: functions of a random stream that make a RawMesh."""

from bl30k_gen.library.procedural import household, nature, outdoors, things

_FAMILIES = (
    *(household.book, household.bottle, household.bowl, household.chair, household.guitar, household.lamp),
    *(household.mug, household.stool, household.table, household.teapot, household.umbrella, household.vase),
    *(nature.cactus, nature.coral, nature.mushroom, nature.shell, nature.starfish, nature.tree),
    *(outdoors.airplane, outdoors.car, outdoors.house, outdoors.rocket, outdoors.sailboat),
    *(things.chess, things.die, things.drum, things.gear, things.knot, things.robot, things.train, things.trophy),
)

SHAPES = {family.__name__: family for family in _FAMILIES}
