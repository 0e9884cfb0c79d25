"""Indoor backgrounds: rooms of homes, an office, a library, a cafe, a shop."""

import numpy as np

from bl30k_gen.builtin.backgrounds import props
from bl30k_gen.builtin.backgrounds.props import DAY, WARM, texture, tone, wood
from bl30k_gen.builtin.backgrounds.scenery import Paint, Scenery
from bl30k_gen.builtin.families import background
from bl30k_gen.builtin.patterns import Random, hsv

WHITE = Paint((0.90, 0.89, 0.86))


def _plaster(random: Random) -> Paint:
    return Paint(hsv(random.uniform(0.02, 0.62), random.uniform(0.02, 0.28), random.uniform(0.6, 0.92)))


@background
def room(random: Random) -> np.ndarray:
    """A living room: a sofa under pictures, a window, lamps, shelves, plants, a rug."""
    half, end = random.uniform(2.2, 3.0), random.uniform(4.2, 5.6)
    scenery = Scenery(random, (random.uniform(-0.6, 0.6), 0, 1.35), random.uniform(-0.15, 0.15), -0.05)
    floor = Paint((1, 1, 1), texture(random, "planks", "planks", "parquet", "carpet"), 1.6)
    props.hall(scenery, half, end, 2.6, _plaster(random), floor, WHITE)
    day = random.uniform(0.2, 1.0)
    scenery.above, scenery.below = np.ones(3) * (0.15 + 0.35 * day), np.array([0.30, 0.25, 0.2]) * (0.3 + 0.5 * day)
    left = random.choice([-1, 1])
    props.window(scenery, random, left * half * 0.5, end, 0.9, 1.3, 1.35, 1.0 + 5 * day)
    for side in (-1, 1):
        cloth = Paint(tone(random, 0.5, 0.8))
        for k in range(4):
            scenery.cylinder(left * half * 0.5 + side * (0.75 + 0.08 * k), end - 0.1, 0.1, 0.06, 2.3, cloth)
    scenery.box(
        0, end * 0.62, 0.0, (2.4, 1.7, 0.015), Paint((1, 1, 1), texture(random, "tartan", "knit", "weave"), 1.2)
    )
    sofa, x = Paint(tone(random, 0.6, 0.6), texture(random, "weave", "leather", "knit"), 0.7), -left * half * 0.4
    scenery.box(x, end - 0.55, 0.1, (2.0, 0.85, 0.34), sofa)
    scenery.box(x, end - 0.2, 0.4, (2.0, 0.24, 0.48), sofa)
    for k in (-1, 1):
        scenery.box(x + k * 1.0, end - 0.55, 0.1, (0.2, 0.85, 0.52), sofa)
        scenery.box(x + k * 0.48, end - 0.6, 0.44, (0.9, 0.7, 0.14), sofa)
        scenery.ball(x + k * 0.6, end - 0.45, 0.66, (0.22, 0.12, 0.2), Paint(tone(random, 0.9, 0.8)))
    for k in (-0.5, 0.35):
        art = Paint((1, 1, 1), texture(random, "camouflage", "marble", "leaves", "floral"), random.uniform(0.5, 1.2))
        wide, high = random.uniform(0.4, 0.75), random.uniform(0.4, 0.6)
        scenery.box(x + k, end - 0.02, 1.3, (wide, 0.03, high), art)
        scenery.box(x + k, end - 0.01, 1.26, (wide + 0.08, 0.03, high + 0.08), Paint((0.12, 0.10, 0.08)))
    props.table(scenery, random, x * 0.4, end - 1.7, 1.0, 0.55, wood(random))
    props.shelves(
        scenery, random, left * (half - 0.2), end * 0.68, 1.2, random.uniform(1.2, 2.1), 5, "books", -left * np.pi / 2
    )
    props.bush(scenery, random, left * (half - 0.45), end - 0.4, 0.7)
    scenery.cylinder(left * (half - 0.45), end - 0.4, 0, 0.16, 0.3, Paint(tone(random, 0.5, 0.8)))
    lamp = x + 1.35 * np.sign(x + 1e-9)
    scenery.cylinder(lamp, end - 0.4, 0, 0.02, 1.45, Paint((0.1, 0.1, 0.1)))
    scenery.cylinder(lamp, end - 0.4, 1.4, 0.17, 0.28, Paint(WARM, glow=5))
    scenery.lamp(lamp, end - 0.7, 1.5, WARM, 1.2, 1.2)
    return scenery.photograph(random.uniform(4, 8), 0.12)


@background
def kitchen(random: Random) -> np.ndarray:
    """Cupboards above a worktop, tiles between, a window, a stove, pots and fruit, lamps over a table."""
    half, end = random.uniform(2.2, 2.9), random.uniform(3.6, 4.8)
    scenery = Scenery(random, (random.uniform(-0.5, 0.5), 0, 1.45), random.uniform(-0.2, 0.2), -0.08)
    floor = Paint((1, 1, 1), texture(random, "tiles", "terrazzo", "planks", "parquet"), 1.5)
    props.hall(scenery, half, end, 2.5, _plaster(random), floor, WHITE)
    scenery.above, scenery.below = np.ones(3) * 0.45, np.ones(3) * 0.30
    front = [wood(random), Paint(tone(random, 0.5, 0.75)), WHITE][random.integers(3)]
    top = Paint((0.9, 0.9, 0.9), texture(random, "marble", "granite", "planks"), 1.3)
    splash = Paint((1, 1, 1), texture(random, "tiles", "bricks", "marble"), 0.9)
    scenery.box(0, end - 0.01, 0.9, (2 * half, 0.02, 0.6), splash)
    pane = random.uniform(-0.5, 0.5) * half
    props.window(scenery, random, pane, end - 0.03, 1.15, 1.0, 1.0, random.uniform(2, 7))
    steel = Paint((0.62, 0.63, 0.65))
    for k in np.arange(-half + 0.3, half, 0.6):
        scenery.box(k, end - 0.32, 0.1, (0.57, 0.6, 0.76), front)
        scenery.cylinder(k, end - 0.64, 0.72, 0.012, 0.3, steel, 0)
        if abs(k - pane) > 0.8:
            scenery.box(k, end - 0.18, 1.55, (0.57, 0.34, 0.75), front)
            scenery.cylinder(k + 0.2, end - 0.37, 1.6, 0.012, 0.2, steel)
    scenery.box(0, end - 0.33, 0.87, (2 * half, 0.66, 0.04), top)
    stove = -np.sign(pane) * half * 0.55
    scenery.box(stove, end - 0.34, 0.1, (0.62, 0.62, 0.78), Paint((0.16, 0.16, 0.17)))
    for k in (-0.14, 0.14):
        scenery.cylinder(
            stove + k, end - 0.3 + k, 0.91, 0.12, random.uniform(0.08, 0.2), Paint(tone(random, 0.6, 0.6))
        )
    scenery.box(stove, end - 0.25, 1.5, (0.6, 0.45, 0.14), steel)
    props.clutter(scenery, random, 0, end - 0.3, 0.91, half * 0.95, 0.2, 16)
    fridge = np.sign(pane) * (half - 0.35)
    scenery.box(fridge, end - 1.1, 0, (0.68, 0.66, 1.85), Paint(tone(random, 0.3, 0.9)))
    board = wood(random)
    props.table(scenery, random, random.uniform(-0.5, 0.5), end - 2.0, 1.5, 0.8, board)
    for k in (-0.5, 0.5):
        props.chair(scenery, k, end - 1.5, board, random.uniform(-0.3, 0.3))
        props.pendant(scenery, random, k, end - 2.0, 1.75, tone(random, 0.6, 0.5), random.uniform(0.3, 1))
    return scenery.photograph(random.uniform(4, 8), 0.2)


@background
def library(random: Random) -> np.ndarray:
    """An aisle between tall bookcases, reading tables with lamps, a window at the end."""
    half, end = random.uniform(1.8, 2.6), random.uniform(10, 14)
    scenery = Scenery(random, (random.uniform(-0.4, 0.4), 0, 1.5), random.uniform(-0.1, 0.1), 0.0)
    floor = Paint((0.9, 0.85, 0.8), texture(random, "parquet", "planks", "carpet"), 1.4)
    props.hall(scenery, half + 1.2, end, 3.6, Paint((0.55, 0.46, 0.36)), floor, Paint((0.75, 0.70, 0.62)))
    scenery.above, scenery.below = np.array([0.36, 0.33, 0.28]), np.array([0.2, 0.16, 0.12])
    props.window(scenery, random, 0, end - 0.05, 1.0, 1.6, 2.2, random.uniform(3, 8))
    for side in (-1, 1):
        for k in range(4):
            y = 2.4 + k * (end - 3) / 4
            props.shelves(scenery, random, side * half, y, 2.0, 2.6, 6, "books", -side * np.pi / 2)
            scenery.box(side * half, y + 1.15, 0, (0.35, 0.12, 2.9), wood(random))
    board = wood(random)
    for y in (5.0, 8.0):
        x = random.choice([-0.5, 0.5])
        props.table(scenery, random, x, y, 1.1, 0.7, board)
        scenery.cylinder(x, y, 0.75, 0.015, 0.35, Paint((0.6, 0.5, 0.2)))
        scenery.cylinder(x, y, 1.08, 0.12, 0.1, Paint((0.1, 0.45, 0.25), glow=2.5))
        scenery.lamp(x, y - 0.1, 1.0, WARM, 0.9, 0.8)
        props.chair(scenery, x, y - 0.6, board, np.pi + random.uniform(-0.3, 0.3))
    for y in np.arange(2, end, 2.4):
        scenery.ball(0, y, 3.1, (0.16, 0.16, 0.16), Paint(WARM, glow=7))
        scenery.lamp(0, y, 2.9, WARM, 0.55, 1.6)
    if random.uniform() < 0.6:
        props.person(scenery, random, random.uniform(-0.6, 0.6), random.uniform(5.5, 9))
    return scenery.photograph(random.uniform(4, 8), 0.15)


@background
def office(random: Random) -> np.ndarray:
    """Desks with screens in rows, chairs, a wall of windows, light panels, people."""
    half, end = random.uniform(3.5, 5), random.uniform(9, 13)
    scenery = Scenery(random, (random.uniform(-1, 1), 0, 1.5), random.uniform(-0.15, 0.15), -0.04)
    floor = Paint(tone(random, 0.4, 0.6), texture(random, "carpet", "weave"), 1.2)
    props.hall(scenery, half, end, 2.8, _plaster(random), floor, WHITE)
    scenery.above, scenery.below = np.array([0.62, 0.65, 0.70]), np.ones(3) * 0.35
    for x in np.arange(-half + 0.9, half, 1.5):
        props.window(scenery, random, x, end - 0.02, 0.8, 1.25, 1.7, random.uniform(1.5, 3))
    for x in np.arange(-half + 1, half, 2.2):
        for y in np.arange(1.5, end, 2.2):
            scenery.box(x, y, 2.77, (1.1, 0.28, 0.02), Paint((0.95, 0.98, 1.0), glow=6))
    desk, seat = Paint((0.85, 0.8, 0.72)), Paint(tone(random, 0.7, 0.4))
    for y in np.arange(3.2, end - 1, 1.9):
        for x in np.arange(-half + 1.0, half - 0.6, 1.9):
            if random.uniform() < 0.15:
                continue
            props.table(scenery, random, x, y, 1.5, 0.7, desk)
            screen = Paint(
                hsv(random.uniform(0.5, 0.7), random.uniform(0.1, 0.6), 0.9), glow=random.uniform(0.3, 1.4)
            )
            scenery.box(x, y + 0.1, 1.0, (0.6, 0.02, 0.35), screen)
            scenery.box(x, y + 0.13, 0.98, (0.64, 0.03, 0.4), Paint((0.06, 0.06, 0.07)))
            scenery.cylinder(x, y + 0.15, 0.75, 0.03, 0.3, Paint((0.2, 0.2, 0.2)))
            props.chair(scenery, x + random.uniform(-0.3, 0.3), y - 0.6, seat, np.pi + random.uniform(-0.6, 0.6))
            if random.uniform() < 0.3:
                props.person(scenery, random, x, y - 0.55, sitting=True)
    for _ in range(2):
        x = random.choice([-1, 1]) * (half - 0.5)
        props.bush(scenery, random, x, random.uniform(2.5, 6), 0.9)
    return scenery.photograph(random.uniform(5, 9), 0.08)


@background
def cafe(random: Random) -> np.ndarray:
    """Small tables with guests, a counter with bottles behind it, many warm lamps."""
    half, end = random.uniform(2.6, 3.6), random.uniform(6, 8)
    scenery = Scenery(random, (random.uniform(-0.8, 0.8), 0, 1.35), random.uniform(-0.15, 0.15), 0.0)
    wall = Paint((1, 1, 1), texture(random, "bricks", "planks", "plaster"), 1.8)
    floor = Paint((0.9, 0.85, 0.8), texture(random, "planks", "tiles", "parquet"), 1.5)
    props.hall(scenery, half, end, 3.0, wall, floor, Paint((0.30, 0.26, 0.23)))
    evening = random.uniform(0.15, 1)
    scenery.above, scenery.below = np.array([0.28, 0.23, 0.18]) * evening, np.array([0.22, 0.15, 0.1]) * evening
    scenery.box(0.4, end - 1.0, 0, (half * 1.3, 0.5, 1.1), wood(random))
    scenery.box(0.4, end - 1.0, 1.1, (half * 1.35, 0.6, 0.05), Paint((0.85, 0.8, 0.75)))
    props.clutter(scenery, random, 0.4, end - 1.0, 1.15, half * 0.6, 0.15, 14)
    props.shelves(scenery, random, 0.4, end - 0.3, half * 1.2, 2.3, 5, "tins")
    props.person(scenery, random, random.uniform(-0.5, 1.2), end - 0.65)
    board = wood(random)
    for k in range(int(random.integers(4, 7))):
        side, y = (-1) ** k, 2.4 + 0.75 * k
        x = side * random.uniform(0.7, half - 0.5)
        scenery.cylinder(x, y, 0.70, 0.36, 0.04, board)
        scenery.cylinder(x, y, 0, 0.04, 0.7, Paint((0.08, 0.08, 0.08)))
        props.clutter(scenery, random, x, y, 0.74, 0.2, 0.2, 4)
        scenery.ball(x, y, 0.80, (0.035, 0.035, 0.05), Paint((1, 0.6, 0.25), glow=18))
        for seat in (-0.6, 0.6):
            props.chair(scenery, x + seat, y, board, -np.sign(seat) * np.pi / 2)
            if random.uniform() < 0.5:
                props.person(scenery, random, x + seat, y, sitting=True)
    for _ in range(9):
        x, y = random.uniform(-half + 0.4, half - 0.4), random.uniform(2.5, end - 0.8)
        props.pendant(
            scenery, random, x, y, random.uniform(1.9, 2.4), tone(random, 0.6, 0.25), random.uniform(0.3, 0.8)
        )
    if random.uniform() < 0.5:
        props.window(scenery, random, -half * 0.6, end - 0.05, 0.9, 1.2, 1.6, 0.6 + 4 * evening)
    return scenery.photograph(random.uniform(5, 9), 0.2)


@background
def shop(random: Random) -> np.ndarray:
    """An aisle of a supermarket: coloured goods to both sides, light strips above, shoppers."""
    half, end = random.uniform(1.5, 2.1), random.uniform(12, 18)
    scenery = Scenery(random, (random.uniform(-0.3, 0.3), 0, 1.5), random.uniform(-0.12, 0.12), -0.02)
    floor = Paint((0.92, 0.92, 0.9), texture(random, "terrazzo", "marble"), 1.6)
    props.hall(scenery, half + 0.4, end, 3.4, Paint((0.85, 0.85, 0.82)), floor, Paint((0.72, 0.74, 0.76)))
    scenery.above, scenery.below = np.ones(3) * 0.75, np.ones(3) * 0.45
    for side in (-1, 1):
        for k in range(5):
            y = 2.2 + 2.5 * k
            props.shelves(scenery, random, side * (half + 0.05), y, 2.4, 2.1, 5, "tins", -side * np.pi / 2)
        for y in np.arange(1.5, end, 3.0):
            scenery.box(side * half * 0.4, y, 3.2, (0.16, 1.6, 0.05), Paint(DAY, glow=10))
            sign = Paint(hsv(random.uniform(), 0.75, 0.85), glow=0.4)
            scenery.box(side * half * 0.75, y + 1, 2.45, (0.5, 0.03, 0.3), sign)
    props.shelves(scenery, random, 0, end - 0.5, 2 * half, 2.2, 4, "tins")
    for _ in range(int(random.integers(1, 4))):
        x, y = random.uniform(-0.7, 0.7) * half * 0.7, random.uniform(4, 10)
        props.person(scenery, random, x, y)
        scenery.box(x + 0.1, y - 0.6, 0.45, (0.45, 0.6, 0.4), Paint((0.6, 0.62, 0.65)))
    return scenery.photograph(random.uniform(4, 8), 0.3)
