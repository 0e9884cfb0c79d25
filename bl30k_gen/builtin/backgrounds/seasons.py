"""Backgrounds by the water and in the garden, in summer and in snow."""

import numpy as np

from bl30k_gen.builtin.backgrounds import props
from bl30k_gen.builtin.backgrounds.outside import DARK, STONE
from bl30k_gen.builtin.backgrounds.props import WARM, texture, tone, wood
from bl30k_gen.builtin.backgrounds.scenery import Paint, Scenery
from bl30k_gen.builtin.families import background
from bl30k_gen.builtin.patterns import Random, fractal, hsv, smoothstep


def _water(scenery: Scenery, random: Random, near: float, colour: np.ndarray) -> None:
    """Water from ``near`` to the horizon, its waves seen from the side."""
    waves = fractal(random, (256, 256), 1.1, (1, 5))
    shade = np.clip(0.62 + 0.16 * waves, 0, 1) + 0.35 * smoothstep(1.6, 2.6, waves)
    image = np.repeat((shade.clip(0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
    scenery.box(0, near + 1000, -0.2, (4000, 2000, 0.2), Paint(tuple(colour), image, 9.0))


def _far_hills(scenery: Scenery, random: Random, colour: np.ndarray, away: float) -> None:
    for _ in range(7):
        x, size = random.uniform(-1, 1) * away * 0.9, random.uniform(0.1, 0.35) * away
        scenery.ball(
            x, away * random.uniform(0.9, 1.3), 0, (size, size, size * random.uniform(0.1, 0.3)), Paint(colour)
        )


@background
def beach(random: Random) -> np.ndarray:
    """Sand, surf and sea; parasols, towels, bathers, palms or dunes, a far coast."""
    scenery = Scenery(random, (0, 0, 1.7), random.uniform(-0.2, 0.2), 0.02)
    props.daylight(scenery, random, int(random.choice([0, 0, 4])), 0.52)
    shore = random.uniform(13, 18)
    scenery.box(
        0, shore / 2 - 10, -0.2, (400, shore + 20, 0.24), Paint((1.0, 0.95, 0.85), texture(random, "sand"), 2.2)
    )
    _water(
        scenery, random, shore, hsv(random.uniform(0.48, 0.58), random.uniform(0.5, 0.75), random.uniform(0.6, 0.85))
    )
    for k in range(4):
        for x in np.arange(-40, 40, 3.0):
            y = shore + 0.3 + 2.6 * k**1.4 + 0.5 * np.sin(x * 0.6 + k)
            scenery.box(
                x,
                y,
                0,
                (3.2, random.uniform(0.15, 0.8), 0.05 + 0.06 * k),
                Paint((0.95, 0.97, 0.97)),
                random.normal(0, 0.1),
            )
    _far_hills(scenery, random, np.array([0.42, 0.50, 0.52]), 420)
    towel = texture(random, "stripes")
    for _ in range(int(random.integers(6, 11))):
        x, y = random.uniform(-9, 9), random.uniform(4.5, shore - 1.5)
        cloth = Paint(hsv(random.choice([0.0, 0.08, 0.14, 0.45, 0.58, 0.92]), random.uniform(0.4, 0.85), 0.9))
        scenery.cylinder(x, y, 0, 0.03, 2.1, Paint((0.9, 0.9, 0.88)))
        for k in range(3):
            scenery.cylinder(
                x, y, 1.9 + 0.1 * k, 1.15 - 0.35 * k, 0.1, cloth if k % 2 == 0 else Paint((0.95, 0.94, 0.9))
            )
        scenery.box(
            x + 0.9, y, 0.04, (0.8, 1.8, 0.03), Paint(tone(random, 0.9, 0.9), towel, 0.7), random.uniform(-0.4, 0.4)
        )
        if random.uniform() < 0.7:
            props.person(scenery, random, x + random.uniform(-0.9, 0.9), y + 0.6, sitting=random.uniform() < 0.5)
    for _ in range(int(random.integers(3, 9))):
        props.person(
            scenery, random, random.uniform(-10, 10), random.uniform(shore - 2, shore + 5), random.uniform(1.2, 1.8)
        )
    side = random.choice([-1, 1])
    for _ in range(int(random.integers(2, 6))):
        x, y, tall = side * random.uniform(4, 9), random.uniform(5, 12), random.uniform(4, 6.5)
        scenery.cylinder(x, y, 0, 0.14, tall, Paint((0.42, 0.33, 0.24)))
        for leaf in range(9):
            a = 2 * np.pi * leaf / 9
            place = x + 0.8 * np.cos(a), y + 0.8 * np.sin(a), tall - 0.15
            scenery.box(*place, (1.7, 0.35, 0.06), Paint((0.25, 0.42, 0.18)), a)
    for _ in range(int(random.integers(0, 4))):
        x, y = random.uniform(-50, 50), random.uniform(60, 160)
        scenery.box(x, y, 0, (5, 1.6, 0.8), Paint((0.95, 0.95, 0.95)))
        scenery.box(x, y, 0.8, (0.1, 2.8, random.uniform(5, 8)), Paint((0.96, 0.96, 0.94)), 1.2)
    return scenery.photograph(random.uniform(4, 9), 0.25)


@background
def harbour(random: Random) -> np.ndarray:
    """A quay with bollards and crates, boats with masts at the piers, houses in a row behind the water."""
    scenery = Scenery(random, (random.uniform(-1, 1), 0, 2.6), random.uniform(-0.25, 0.25), 0.0)
    props.daylight(scenery, random, int(random.choice([0, 3, 4])), 0.52)
    _water(scenery, random, 3.5, hsv(random.uniform(0.5, 0.6), random.uniform(0.3, 0.6), random.uniform(0.35, 0.55)))
    scenery.box(
        0, -4, -0.4, (80, 16, 1.0), Paint((0.85, 0.83, 0.8), texture(random, "cobbles", "concrete", "planks"), 2.0)
    )
    for x in np.arange(-12, 13, 4.5):
        scenery.cylinder(x, 3.4, 0.6, 0.16, 0.4, DARK)
        scenery.ball(x, 3.4, 1.02, (0.22, 0.22, 0.1), DARK)
    far = random.uniform(42, 60)
    x = -60.0
    while x < 60:
        wide, tall = random.uniform(5, 9), random.uniform(6, 13)
        coat = Paint(
            hsv(random.choice([0.02, 0.07, 0.12, 0.14, 0.55]), random.uniform(0.15, 0.6), random.uniform(0.6, 0.95))
        )
        scenery.box(x + wide / 2, far + 4, 0.8, (wide - 0.1, 8, tall), coat)
        scenery.box(x + wide / 2, far + 4, tall + 0.8, (wide, 7, 1.1), Paint((0.48, 0.26, 0.2)))
        for u in np.arange(1, wide - 0.6, 1.7):
            for z in np.arange(1.6, tall - 1, 2.8):
                scenery.box(x + u, far - 0.02, z, (0.8, 0.1, 1.3), Paint((0.15, 0.18, 0.22)))
        x += wide
    scenery.box(0, far + 2, -0.2, (160, 6, 1.1), STONE)
    for _ in range(int(random.integers(9, 16))):
        x, y, yaw = random.uniform(-16, 16), random.uniform(7, far - 8), random.uniform(-0.4, 0.4)
        long, hull = random.uniform(5, 9), Paint(tone(random, 0.7, 0.85))
        scenery.box(x, y, 0, (1.9, long * 0.8, 0.85), hull, yaw)
        scenery.box(x, y, 0.78, (2.0, long * 0.82, 0.1), Paint((0.93, 0.92, 0.9)), yaw)
        scenery.ball(x + np.sin(yaw) * long * 0.38, y - long * 0.38, 0.4, (0.9, 1.4, 0.45), hull)
        scenery.box(x, y, 0.88, (1.2, long * 0.35, 0.7), Paint((0.9, 0.9, 0.88)), yaw)
        scenery.box(x, y, 1.15, (1.22, long * 0.3, 0.3), Paint((0.12, 0.15, 0.18)), yaw)
        if random.uniform() < 0.75:
            mast = random.uniform(7, 11)
            scenery.cylinder(x, y, 0.9, 0.07, mast, Paint((0.85, 0.85, 0.85)))
            scenery.cylinder(x, y + long * 0.2, 2.0, 0.16, long * 0.45, Paint(tone(random, 0.7, 0.7)), 1, yaw)
    pier = Paint((0.8, 0.75, 0.7), texture(random, "planks"), 1.5)
    crate = wood(random)
    for x in (-9, 9):
        scenery.box(x, 12, 0.35, (1.6, 20, 0.15), pier)
        for y in range(4, 22, 3):
            scenery.cylinder(x - 0.9, y, 0, 0.14, 1.3, Paint((0.35, 0.27, 0.2)))
    for _ in range(int(random.integers(3, 7))):
        scenery.box(
            random.uniform(-5, 5),
            random.uniform(2.0, 3.0),
            0.6,
            random.uniform(0.4, 0.9, 3),
            crate,
            random.uniform(0, 1),
        )
    return scenery.photograph(random.uniform(4, 8), 0.35)


@background
def winter(random: Random) -> np.ndarray:
    """A village in snow: firs, cottages with lit windows and chimneys, a fence, a path."""
    scenery = Scenery(random, (random.uniform(-1, 1), 0, 1.7), random.uniform(-0.2, 0.2), 0.03)
    dusk = random.uniform() < 0.5
    props.daylight(scenery, random, 2 if dusk else int(random.choice([3, 4])), 0.55)
    if dusk:
        scenery.sky_power, scenery.sun = 0.6, None
        scenery.above, scenery.below = np.array([0.20, 0.24, 0.38]), np.array([0.16, 0.18, 0.26])
    snow = Paint((0.93, 0.95, 0.99))
    scenery.box(0, 100, -0.3, (400, 300, 0.3), snow)
    for _ in range(26):
        x, y, size = random.uniform(-25, 25), random.uniform(4, 60), random.uniform(1.0, 4.0)
        scenery.ball(x, y, -0.1 * size, (size, size, 0.2 * size), snow)
    for _ in range(46):
        y = random.uniform(5, 70)
        x = random.choice([-1, 1]) * random.uniform(2.2, 4 + 0.6 * y)
        tall, hue = random.uniform(2.5, 7.5), random.uniform(0.3, 0.45)
        scenery.cylinder(x, y, 0, 0.03 * tall, 0.3 * tall, Paint((0.22, 0.16, 0.12)))
        for k in range(5):
            wide = 0.26 * tall * (1 - 0.18 * k)
            green = Paint(hsv(hue, 0.35, random.uniform(0.14, 0.26)))
            z = tall * (0.2 + 0.17 * k)
            scenery.ball(x, y, z, (wide, wide, 0.10 * tall), green, 0.25)
            scenery.ball(x, y, z + 0.055 * tall, (wide * 0.85, wide * 0.85, 0.06 * tall), snow, 0.55)
    wall = Paint((0.75, 0.62, 0.5), texture(random, "planks", "logs", "bricks"), 1.8)
    for k in range(int(random.integers(3, 6))):
        side, y = (-1) ** k, 12 + 8 * k + random.uniform(-2, 2)
        x, wide, tall = side * random.uniform(4, 8), random.uniform(4, 6), random.uniform(2.4, 3.6)
        scenery.box(x, y, 0, (wide, 4, tall), wall)
        for step in range(6):
            scenery.box(x, y, tall + 0.32 * step, ((wide + 0.8) * (1 - step / 6), 4.6, 0.36), snow)
        scenery.box(x + 1, y, tall + 0.5, (0.6, 0.6, 1.9), Paint((0.5, 0.36, 0.3)))
        for u in (-0.27, 0.27):
            scenery.box(x + u * wide, y - 2.02, 0.9, (0.9, 0.06, 1.0), Paint(WARM, glow=5 if dusk else 1.5))
        scenery.box(x, y - 2.02, 0, (0.9, 0.06, 1.9), Paint(tone(random, 0.7, 0.5)))
        if dusk:
            scenery.lamp(x, y - 2.6, 1.3, WARM, 1.3, 1.6)
    for x in np.arange(-9, 9.1, 1.6):
        if abs(x) > 1.4:
            scenery.box(x, 7, 0, (0.13, 0.13, 1.0), Paint((0.4, 0.3, 0.22)))
            scenery.box(x, 7, 1.0, (0.18, 0.18, 0.08), snow)
            for z in (0.4, 0.75):
                scenery.box(x + 0.8 * np.sign(x), 7, z, (1.6, 0.06, 0.1), Paint((0.4, 0.3, 0.22)))
    if dusk:
        for _ in range(40):
            lamp = hsv(random.choice([0.1, 0.0, 0.35, 0.58]), 0.7, 1)
            scenery.ball(
                random.uniform(-9, 9),
                random.uniform(8, 30),
                random.uniform(0.8, 3.5),
                (0.05, 0.05, 0.05),
                Paint(lamp, glow=14),
            )
    for _ in range(int(random.integers(1, 4))):
        props.person(scenery, random, random.uniform(-1.5, 1.5), random.uniform(5, 18))
    return scenery.photograph(random.uniform(5, 10))


@background
def garden(random: Random) -> np.ndarray:
    """Behind a house: lawn, flower beds, a fence or hedge, a shed, a table with chairs, fruit trees."""
    scenery = Scenery(random, (random.uniform(-0.8, 0.8), 0, 1.6), random.uniform(-0.2, 0.2), 0.0)
    props.daylight(scenery, random, int(random.choice([0, 0, 3, 4])), 0.55)
    scenery.box(
        0, 50, -0.3, (200, 160, 0.3), Paint(hsv(random.uniform(0.2, 0.26), 0.35, 1.0), texture(random, "grass"), 1.4)
    )
    end = random.uniform(11, 15)
    board = wood(random)
    if random.uniform() < 0.5:
        for x in np.arange(-14, 14, 0.34):
            scenery.box(x, end, 0, (0.28, 0.05, random.uniform(1.55, 1.65)), board)
    else:
        for x in np.arange(-14, 14, 0.9):
            props.bush(scenery, random, x, end, random.uniform(1.3, 1.7), (0.26, 0.34))
    for _ in range(9):
        props.tree(scenery, random, random.uniform(-16, 16), end + random.uniform(2, 14), random.uniform(4, 8))
    side = random.choice([-1, 1])
    wall = Paint((0.9, 0.88, 0.84), texture(random, "planks", "bricks", "plaster"), 1.8)
    scenery.box(side * 4.3, end - 2.0, 0, (3.0, 2.4, 2.1), wall)
    tiles = texture(random, "shingles")
    for k in range(4):
        scenery.box(
            side * 4.3, end - 2.0, 2.1 + 0.2 * k, (3.5 * (1 - k / 5), 2.8, 0.22), Paint((0.5, 0.3, 0.24), tiles, 1.5)
        )
    scenery.box(side * 4.6, end - 3.22, 0, (0.85, 0.05, 1.8), Paint(tone(random, 0.7, 0.5)))
    scenery.box(side * 3.6, end - 3.22, 1.0, (0.7, 0.05, 0.6), Paint((0.2, 0.25, 0.3)))
    for _ in range(44):
        x = random.uniform(-7, 7)
        y = end - random.uniform(0.5, 1.4) if random.uniform() < 0.6 else random.uniform(4, end - 1)
        if abs(x) < 2 and y < end - 2:
            continue
        props.bush(scenery, random, x, y, random.uniform(0.25, 0.7))
        petals = Paint(hsv(random.choice([0.0, 0.93, 0.85, 0.14, 0.1, 0.75]), random.uniform(0.15, 0.85), 0.95))
        for _ in range(6):
            dx, dy = random.uniform(-0.35, 0.35, 2)
            scenery.ball(x + dx, y - 0.3 + dy * 0.4, random.uniform(0.25, 0.7), (0.07, 0.07, 0.06), petals)
    x, y = -side * random.uniform(1.2, 2.6), random.uniform(5, 8)
    props.table(scenery, random, x, y, 1.3, 0.8, board)
    for k in (-1, 1):
        props.chair(scenery, x + k * 0.95, y, board, -k * np.pi / 2)
    if random.uniform() < 0.6:
        scenery.cylinder(x, y, 0, 0.03, 2.3, board)
        for k in range(3):
            scenery.cylinder(x, y, 2.1 + 0.1 * k, 1.3 - 0.4 * k, 0.1, Paint(tone(random, 0.8, 0.9)))
    for _ in range(int(random.integers(0, 3))):
        props.person(scenery, random, random.uniform(-2, 2), random.uniform(5, 9), sitting=False)
    for k in range(6):
        scenery.cylinder(0.25 * np.sin(2.0 * k), 3 + 1.1 * k, 0, 0.34, 0.03, STONE)
    return scenery.photograph(random.uniform(5, 10))
