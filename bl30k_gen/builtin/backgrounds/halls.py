"""Backgrounds in large halls: a factory, a warehouse, an underground station."""

import numpy as np

from bl30k_gen.builtin.backgrounds import props
from bl30k_gen.builtin.backgrounds.props import DAY, NEON, texture, tone
from bl30k_gen.builtin.backgrounds.scenery import Paint, Scenery
from bl30k_gen.builtin.families import background
from bl30k_gen.builtin.patterns import Random, hsv

STEEL, DARK, YELLOW = Paint((0.55, 0.57, 0.60)), Paint((0.12, 0.12, 0.13)), Paint((0.88, 0.66, 0.10))


def _trusses(scenery: Scenery, half: float, end: float, high: float, paint: Paint) -> None:
    """Columns to both sides and beams under the roof."""
    for y in np.arange(3, end, 4.5):
        for side in (-1, 1):
            scenery.box(side * (half - 0.2), y, 0, (0.28, 0.28, high), paint)
        scenery.box(0, y, high - 0.5, (2 * half, 0.18, 0.12), paint)
        scenery.box(0, y, high - 0.15, (2 * half, 0.18, 0.12), paint)
        for x in np.arange(-half + 0.6, half, 1.2):
            scenery.box(x, y, high - 0.5, (0.08, 0.1, 0.4), paint)


@background
def factory(random: Random) -> np.ndarray:
    """Machines with pipes and panels, a crane, drums, workers in bright vests, lamps under trusses."""
    half, end, high = random.uniform(5, 7), random.uniform(20, 28), random.uniform(5.5, 7.5)
    scenery = Scenery(random, (random.uniform(-1.5, 1.5), 0, 1.7), random.uniform(-0.15, 0.15), 0.02)
    wall = Paint((0.8, 0.8, 0.78), texture(random, "corrugated", "bricks", "concrete"), 2.5)
    floor = Paint((0.75, 0.75, 0.74), texture(random, "concrete"), 3.0)
    props.hall(scenery, half, end, high, wall, floor, Paint((0.35, 0.36, 0.38)))
    scenery.above, scenery.below = np.ones(3) * random.uniform(0.25, 0.5), np.ones(3) * 0.22
    _trusses(scenery, half, end, high, Paint(tone(random, 0.7, 0.5)))
    scenery.box(0, end * 0.55, high - 1.1, (2 * half, 0.5, 0.5), YELLOW)
    scenery.box(random.uniform(-2, 2), end * 0.55, high - 1.7, (0.9, 0.9, 0.7), YELLOW)
    for x in np.arange(-half + 1, half, 2.0):
        props.window(scenery, random, x, end, high - 2.4, 1.5, 1.4, random.uniform(1, 4))
    for y in np.arange(2.5, end, 4):
        for x in (-half * 0.5, half * 0.5):
            scenery.box(x, y, high - 0.75, (0.3, 1.3, 0.08), Paint(NEON, glow=12))
    for side in (-1, 1):
        scenery.box(side * 1.55, end / 2, 0, (0.12, end, 0.004), YELLOW)
        for pipe in range(3):
            scenery.cylinder(
                side * (half - 0.35 - 0.25 * pipe),
                end / 2,
                high - 1.3 - 0.3 * (pipe % 2),
                0.1,
                end,
                Paint(tone(random, 0.8, 0.6)),
                1,
            )
        for y in np.arange(3.5, end - 2, 3.4):
            x, paint = side * random.uniform(2.7, half - 1.3), Paint(tone(random, 0.7, 0.55))
            wide, deep, tall = random.uniform((1.1, 1.2, 1.0), (1.9, 2.2, 2.4))
            scenery.box(x, y, 0.1, (wide, deep, tall), paint)
            scenery.box(x, y, tall + 0.1, (wide * 0.6, deep * 0.6, random.uniform(0.2, 0.8)), STEEL)
            scenery.box(x - side * wide * 0.5, y - deep * 0.2, 0.9, (0.06, 0.5, 0.45), DARK)
            scenery.box(
                x - side * wide * 0.52, y - deep * 0.2, 1.05, (0.06, 0.35, 0.25), Paint((0.3, 0.9, 0.7), glow=1.5)
            )
            scenery.cylinder(x + wide * 0.3, y, tall, 0.12, high - tall - 1.2, STEEL)
            scenery.cylinder(x, y - deep / 2, tall * 0.6, wide * 0.28, 0.3, DARK, 1)
            lamp = Paint(((1, 0.25, 0.1), (0.2, 1, 0.4), (1, 0.75, 0.2))[random.integers(3)], glow=14)
            scenery.cylinder(x - wide * 0.3, y, tall + 0.1, 0.05, 0.2, lamp)
    for _ in range(int(random.integers(2, 6))):
        x, y, paint = random.uniform(-1.5, 1.5), random.uniform(4, 12), Paint(tone(random, 0.9, 0.6))
        for k in range(int(random.integers(1, 4))):
            scenery.cylinder(x + 0.62 * k, y, 0, 0.29, 0.88, paint)
            scenery.cylinder(x + 0.62 * k, y, 0.42, 0.30, 0.05, DARK)
    for _ in range(int(random.integers(1, 4))):
        props.person(scenery, random, random.uniform(-1.3, 1.3), random.uniform(4.5, 12))
    return scenery.photograph(random.uniform(4, 8), 0.18)


@background
def warehouse(random: Random) -> np.ndarray:
    """High racks with cartons, pallets on the floor, a lifting truck far down the aisle."""
    half, end, high = random.uniform(2.0, 2.8), random.uniform(22, 30), random.uniform(5.5, 7)
    scenery = Scenery(random, (random.uniform(-0.5, 0.5), 0, 1.6), random.uniform(-0.12, 0.12), 0.08)
    floor = Paint((0.72, 0.72, 0.70), texture(random, "concrete"), 3.0)
    props.hall(scenery, half + 2.5, end, high, Paint((0.7, 0.72, 0.74)), floor, Paint((0.42, 0.43, 0.46)))
    scenery.above, scenery.below = np.ones(3) * 0.45, np.ones(3) * 0.28
    for side in (-1, 1):
        for y in np.arange(3.2, end - 2, 4.4):
            props.shelves(scenery, random, side * (half + 0.4), y, 4.2, 4.6, 3, "crates", -side * np.pi / 2)
            for k in (-2.1, 2.1):
                scenery.box(side * (half - 0.08), y + k, 0, (0.1, 0.1, 4.7), Paint((0.12, 0.25, 0.55)))
            for z in (1.5, 3.05, 4.6):
                scenery.box(side * (half - 0.1), y, z, (0.06, 4.2, 0.12), Paint((0.9, 0.42, 0.08)))
    for y in np.arange(2, end, 3.5):
        scenery.box(0, y, high - 0.3, (0.3, 1.5, 0.08), Paint(NEON, glow=14))
    truck = 9.0
    scenery.box(0.3, truck, 0.25, (0.95, 1.5, 0.8), YELLOW)
    scenery.box(0.3, truck, 1.05, (0.9, 0.9, 0.08), DARK)
    scenery.box(0.3, truck, 2.0, (0.95, 1.0, 0.06), DARK)
    for x in (-0.15, 0.75):
        scenery.box(x, truck - 0.4, 1.0, (0.06, 0.06, 1.0), DARK)
        scenery.box(x, truck - 0.9, 0.1, (0.09, 0.1, 2.9), STEEL)
        scenery.cylinder(x, truck, 0.3, 0.3, 0.25, DARK, 0)
    for _ in range(int(random.integers(2, 5))):
        x, y, size = random.choice([-1, 1]) * (half - 0.6), random.uniform(3, 14), random.uniform(0.6, 1.0)
        scenery.box(x, y, 0, (1.0, 1.0, 0.14), Paint((0.6, 0.45, 0.28)))
        scenery.box(
            x, y, 0.14, (size, size, random.uniform(0.5, 1.2)), Paint((0.72, 0.56, 0.38)), random.uniform(-0.1, 0.1)
        )
    props.person(scenery, random, random.uniform(-1.2, -0.4), random.uniform(5, 11))
    return scenery.photograph(random.uniform(4, 8), 0.22)


@background
def station(random: Random) -> np.ndarray:
    """An underground platform: a train at one side, travellers, benches, tiled walls, rows of lamps."""
    half, end, high = random.uniform(3.2, 4.0), random.uniform(26, 36), random.uniform(3.3, 4.2)
    scenery = Scenery(random, (random.uniform(-0.2, 0.9), 0, 1.6), random.uniform(-0.1, 0.05), 0.0)
    wall = Paint(hsv(random.uniform(), random.uniform(0, 0.25), 0.95), texture(random, "tiles", "bricks"), 0.9)
    floor = Paint((0.8, 0.8, 0.78), texture(random, "terrazzo", "granite"), 1.8)
    props.hall(scenery, half, end, high, wall, floor, Paint((0.6, 0.6, 0.58)))
    scenery.above, scenery.below = np.ones(3) * 0.42, np.ones(3) * 0.26
    body, stripe = Paint((0.75, 0.77, 0.80)), Paint(hsv(random.uniform(), 0.8, 0.75))
    for k in range(3):
        y = 5.5 + 9.2 * k
        scenery.box(-half + 0.2, y, 0.05, (1.7, 9.0, 2.65), body)
        scenery.box(-half + 0.21, y, 0.65, (1.70, 9.02, 0.22), stripe)
        for along in np.arange(-3.6, 4, 1.2):
            glow = Paint((0.95, 0.92, 0.8), glow=1.6)
            door = abs(along) < 0.1 or abs(abs(along) - 3.6) < 0.1
            scenery.box(
                -half + 0.23,
                y + along,
                0.3 if door else 1.15,
                (1.7, 0.9, 2.0 if door else 0.95),
                glow if not door else stripe,
            )
            if door:
                scenery.box(-half + 0.24, y + along, 1.15, (1.7, 0.6, 0.95), glow)
    scenery.box(-half + 1.35, end / 2, 0, (0.35, end, 0.006), YELLOW)
    for y in np.arange(2, end, 2.6):
        scenery.box(0.6, y, high - 0.12, (0.18, 1.7, 0.06), Paint(DAY, glow=11))
        if int(y / 2.6) % 2:
            scenery.cylinder(1.2, y + 1, 0, 0.24, high, Paint(tone(random, 0.4, 0.8)))
            sign = Paint(hsv(random.choice([0.6, 0.0, 0.35]), 0.8, 0.7), glow=0.6)
            scenery.box(half - 0.02, y, 1.7, (0.04, 1.5, 0.4), sign)
            art = Paint((1, 1, 1), texture(random, "camouflage", "floral", "leaves"), 1.4, glow=0.25)
            scenery.box(half - 0.02, y + 1.3, 0.9, (0.04, 1.1, 1.5), art)
            scenery.box(half - 0.4, y, 0.42, (0.42, 1.6, 0.06), Paint((0.5, 0.36, 0.22)))
    for _ in range(int(random.integers(5, 11))):
        props.person(scenery, random, random.uniform(-1.2, half - 0.5), random.uniform(3.5, 16))
    return scenery.photograph(random.uniform(4, 8), 0.3)
