"""The background families: functions of a random stream that paint a (768, 1024, 3) uint8 image."""

from bl30k_gen.library.procedural import landscapes, towns

_FAMILIES = (
    *(landscapes.desert, landscapes.forest, landscapes.meadow, landscapes.mountains, landscapes.sea),
    *(towns.city, towns.market, towns.room, towns.shelf, towns.street),
)

BACKGROUNDS = {family.__name__: family for family in _FAMILIES}
