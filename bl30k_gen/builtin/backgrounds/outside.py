"""Outdoor backgrounds of towns: streets by day and night, a market, a park."""

import numpy as np

from bl30k_gen.builtin.backgrounds import props
from bl30k_gen.builtin.backgrounds.canvas import SKIES, sky
from bl30k_gen.builtin.backgrounds.props import WARM, texture, tone
from bl30k_gen.builtin.backgrounds.scenery import Paint, Scenery
from bl30k_gen.builtin.families import background
from bl30k_gen.builtin.patterns import Random, hsv

DAYS = (0, 0, 3, 3, 4)  # indices into SKIES, from which a day's sky is drawn
DARK, STONE = Paint((0.10, 0.10, 0.11)), Paint((0.62, 0.60, 0.56))


class _Houses:
    """Builds houses that share a few textures of walls and awnings."""

    def __init__(self, scenery: Scenery, random: Random, lit: float):
        self.scenery, self.random, self.lit = scenery, random, lit
        self.coats = [texture(random, "bricks", "plaster", "concrete", "drystone") for _ in range(3)]
        self.awnings = [texture(random, "stripes") for _ in range(2)]

    def facade(self, side: int, x: float, y: float, deep: float, tall: float) -> None:
        """A house beside the street, its front at ``x``: storeys of windows, a shop with an awning, a cornice."""
        scenery, random, lit = self.scenery, self.random, self.lit
        coat = self.coats[random.integers(3)]
        wall = Paint(hsv(random.uniform(0.02, 0.16), random.uniform(0.05, 0.35), random.uniform(0.7, 1.0)), coat, 2.2)
        scenery.box(x + side * 4, y, 0, (8, deep, tall), wall)
        scenery.box(x + side * 3.9, y, tall - 0.3, (8.2, deep + 0.1, 0.35), STONE)
        scenery.box(x + side * 3.95, y, 3.0, (8, deep, 0.2), STONE)
        shop = Paint(hsv(random.uniform(0.07, 0.14), 0.4, 0.9) if lit > 0.3 else (0.16, 0.18, 0.2), glow=2.5 * lit)
        scenery.box(x + side * 3.96, y, 0.5, (8, deep * 0.8, 2.0), shop)
        scenery.box(x - side * 0.02, y, 2.5, (0.12, deep * 0.84, 0.5), Paint(tone(random, 0.8, 0.6), glow=0.5 * lit))
        if random.uniform() < 0.6:
            awning = Paint(tone(random, 0.9, 0.7), self.awnings[random.integers(2)], 1.2)
            scenery.box(x - side * 0.5, y, 2.45, (1.1, deep * 0.8, 0.12), awning)
        wide = deep / max(int(deep / 2.1), 1)
        for z in np.arange(3.9, tall - 1.6, 2.9) if y < 50 else ():  # invisible further away
            for k in np.arange(-deep / 2 + wide / 2, deep / 2, wide):
                on = random.uniform() < lit * 0.7
                glass = Paint((1.0, 0.80, 0.5), glow=random.uniform(1, 3.5)) if on else Paint((0.12, 0.15, 0.19))
                scenery.box(x + side * 3.97, y + k, z, (8, wide * 0.45, 1.5), glass)
                scenery.box(x + side * 3.9, y + k, z - 0.12, (8.1, wide * 0.55, 0.1), STONE)


def _street(random: Random, scenery: Scenery, lit: float) -> float:
    """Road, pavements, houses, parked cars, lamp posts, trees, walkers; returns half the street's width."""
    half, houses = random.uniform(5.5, 7.5), _Houses(scenery, random, lit)
    pavement = texture(random, "cobbles", "concrete")
    scenery.box(0, 100, -0.25, (60, 260, 0.25), Paint((0.75, 0.75, 0.77), texture(random, "asphalt"), 2.0))
    for side in (-1, 1):
        scenery.box(side * (half - 1.2), 60, 0, (2.4, 130, 0.12), Paint((0.75, 0.74, 0.72), pavement, 1.5))
        y = 1.0
        while y < 75:
            deep = random.uniform(6, 12)
            houses.facade(side, side * half, y + deep / 2, deep, random.uniform(8, 17))
            y += deep
        for y in range(5 + side, 60, 13):
            post = side * (half - 2.1)
            scenery.cylinder(post, y, 0, 0.07, 4.6, DARK)
            scenery.box(post - side * 0.5, y, 4.6, (1.1, 0.1, 0.08), DARK)
            scenery.ball(post - side * 1.0, y, 4.5, (0.18, 0.18, 0.12), Paint(WARM, glow=1 + 45 * lit))
            if lit > 0.3:
                scenery.lamp(post - side * 1.0, y, 4.3, WARM, 2.2, 2.6)
            if random.uniform() < 0.6:
                props.tree(scenery, random, post, y + 6, random.uniform(3.5, 5.5))
        for y in np.arange(6, 50, 6.2):
            if random.uniform() < 0.6:
                props.car(
                    scenery, random, side * (half - 3.5), y, 0.0 if side > 0 else np.pi, lit * random.integers(2)
                )
        for _ in range(int(random.integers(2, 6))):
            props.person(scenery, random, side * random.uniform(half - 2, half - 0.4), random.uniform(4, 25))
    for y in range(2, 70, 4):
        scenery.box(0, y, 0, (0.14, 1.8, 0.005), Paint((0.9, 0.9, 0.88)))
    return half


@background
def street(random: Random) -> np.ndarray:
    """A street by day: houses, shops, awnings, parked cars, trees and walkers."""
    scenery = Scenery(random, (random.uniform(-2.5, 2.5), 0, 1.7), random.uniform(-0.2, 0.2), 0.06)
    props.daylight(scenery, random, DAYS[random.integers(5)], 0.6)
    _street(random, scenery, 0.0)
    return scenery.photograph(random.uniform(3.5, 7))


@background
def night(random: Random) -> np.ndarray:
    """A wet street at night: lit windows and shops, headlamps, signs, all of it mirrored in the road."""
    scenery = Scenery(random, (random.uniform(-1.5, 1.5), 0, 1.5), random.uniform(-0.2, 0.2), 0.06)
    scenery.sky = hsv(random.uniform(0.58, 0.72), 0.7, random.uniform(0.08, 0.25))
    scenery.above, scenery.below = np.array([0.05, 0.06, 0.10]), np.array([0.08, 0.06, 0.04])
    half = _street(random, scenery, random.uniform(0.6, 1.0))
    for _ in range(int(random.integers(8, 16))):
        side, glow = random.choice([-1, 1]), hsv(random.choice([0.0, 0.05, 0.12, 0.35, 0.5, 0.6, 0.85]), 0.85, 1.0)
        sign = Paint(glow, glow=random.uniform(3, 9))
        y, z = random.uniform(4, 45), random.uniform(2.6, 6)
        scenery.box(side * (half - 0.5), y, z, (0.7, 0.1, random.uniform(0.3, 1.6)), sign)
        scenery.lamp(side * (half - 1.2), y, z, glow, 0.7, 1.5)
    for k in range(int(random.integers(2, 6))):
        props.car(scenery, random, random.choice([-1.6, 1.6]), 9 + 8 * k, random.choice([0.0, np.pi]), 1.0)
    return scenery.photograph(random.uniform(7, 14), 0.5, 0.8)


@background
def market(random: Random) -> np.ndarray:
    """Stalls under awnings with crates of fruit, strings of lamps, a crowd."""
    scenery = Scenery(random, (random.uniform(-0.6, 0.6), 0, 1.6), random.uniform(-0.15, 0.15), 0.03)
    evening = random.uniform() < 0.5
    if evening:
        scenery.sky, scenery.sky_power = sky(random, list(SKIES[2]), 0.6, 0.5), 0.5
        scenery.above, scenery.below = np.array([0.13, 0.14, 0.22]), np.array([0.12, 0.09, 0.06])
    else:
        props.daylight(scenery, random, DAYS[random.integers(4)], 0.6)
    scenery.box(0, 40, -0.2, (60, 120, 0.2), Paint((0.8, 0.78, 0.74), texture(random, "cobbles"), 1.6))
    houses = _Houses(scenery, random, 0.6 * evening)
    cloths = [texture(random, "stripes", "weave") for _ in range(3)]
    for side in (-1, 1):
        for y in range(8, 60, 9):
            houses.facade(side, side * 7.5, y, 9, random.uniform(7, 12))
        for y in np.arange(3.0, 22, 2.9):
            x = side * random.uniform(2.7, 3.2)
            cloth = Paint(tone(random, 1.0, 0.9), cloths[random.integers(3)], 1.1)
            scenery.box(x, y, 2.15, (2.1, 2.5, 0.07), cloth)
            scenery.box(x - side * 1.05, y, 1.93, (0.04, 2.5, 0.25), cloth)
            scenery.box(x, y, 0.55, (1.3, 2.3, 0.2), Paint((0.55, 0.40, 0.25)))
            for i in (-1, 1):
                scenery.cylinder(x - side * 0.95, y + i * 1.15, 0, 0.035, 2.2, STONE)
                for j in (-0.35, 0.1):
                    fruit = Paint(
                        hsv(random.choice([0.0, 0.04, 0.08, 0.14, 0.25, 0.33]), 0.8, random.uniform(0.45, 0.9))
                    )
                    scenery.box(x - side * 0.3, y + i * 0.6 + j, 0.75, (0.6, 0.4, 0.12), Paint((0.5, 0.38, 0.24)))
                    for _ in range(3):
                        dx, dy = random.uniform(-0.2, 0.2), random.uniform(-0.14, 0.14)
                        scenery.ball(x - side * 0.3 + dx, y + i * 0.6 + j + dy, 0.9, (0.1, 0.1, 0.08), fruit)
            bulb = Paint(WARM, glow=28 if evening else 4)
            scenery.ball(x - side * 0.7, y, 1.98, (0.06, 0.06, 0.07), bulb)
            if evening:
                scenery.lamp(x - side * 0.6, y, 1.8, WARM, 1.3, 1.2)
            props.person(scenery, random, x + side * 0.9, y)
    if evening:
        for y in range(2, 25, 2):
            for x in np.linspace(-2, 2, 9):
                lamp = hsv(random.choice([0.1, 0.1, 0.0, 0.35, 0.58]), random.uniform(0.3, 0.8), 1)
                scenery.ball(x, y, 2.6 + 0.09 * x * x, (0.035, 0.035, 0.04), Paint(lamp, glow=22))
    for _ in range(int(random.integers(6, 14))):
        props.person(scenery, random, random.uniform(-1.5, 1.5), random.uniform(3.5, 16), random.uniform(1.3, 1.85))
    return scenery.photograph(random.uniform(6, 12), 0.1 if evening else 0.0)


@background
def park(random: Random) -> np.ndarray:
    """A path through lawns under trees, benches, lamp posts, bushes, a pond, walkers."""
    scenery = Scenery(random, (0, 0, 1.6), random.uniform(-0.2, 0.2), 0.06)
    props.daylight(scenery, random, DAYS[random.integers(5)], 0.55)
    autumn = random.uniform() < 0.3
    hues = (0.03, 0.14) if autumn else props.GREENS
    lawn = hsv(random.uniform(0.2, 0.28), 0.4, 0.9)
    scenery.box(0, 100, -0.3, (300, 300, 0.3), Paint(lawn, texture(random, "grass"), 1.6))
    bend = random.uniform(-0.02, 0.02)
    gravel = Paint((0.9, 0.85, 0.75), texture(random, "gravel", "sand"), 1.3)
    for y in np.arange(0, 50, 2.0):
        scenery.box(bend * y * y * 0.5, y, 0, (2.6, 2.1, 0.01 + 0.0001 * y), gravel, -np.arctan(bend * y))
    for _ in range(34):
        y = random.uniform(5, 60)
        x = random.choice([-1, 1]) * random.uniform(2.6, 4 + 0.5 * y) + bend * y * y * 0.5
        props.tree(scenery, random, x, y, random.uniform(4, 8), hues)
    for _ in range(26):
        y = random.uniform(4, 30)
        x = random.choice([-1, 1]) * random.uniform(2.0, 3 + 0.4 * y) + bend * y * y * 0.5
        props.bush(scenery, random, x, y, random.uniform(0.4, 1.2), hues if random.uniform() < 0.4 else props.GREENS)
        if random.uniform() < 0.6:
            flower = Paint(hsv(random.choice([0.95, 0.0, 0.12, 0.8]), random.uniform(0.3, 0.8), 0.95))
            for _ in range(5):
                dx, dy = random.uniform(-0.9, 0.9, 2)
                scenery.ball(x + dx, y + dy - 0.5, random.uniform(0.1, 0.5), (0.06, 0.06, 0.05), flower)
    for y in (5.5, 12, 19):
        side = random.choice([-1, 1])
        x = side * 1.9 + bend * y * y * 0.5
        for k in range(3):
            scenery.box(x + side * 0.14 * k, y, 0.42, (0.11, 1.6, 0.04), Paint((0.45, 0.30, 0.18)))
            scenery.box(x + side * 0.42, y, 0.52 + 0.14 * k, (0.04, 1.6, 0.1), Paint((0.45, 0.30, 0.18)))
        for k in (-0.65, 0.65):
            scenery.box(x + side * 0.15, y + k, 0, (0.4, 0.06, 0.44), DARK)
        scenery.cylinder(-x, y + 3, 0, 0.05, 2.9, DARK)
        scenery.ball(-x, y + 3, 3.0, (0.16, 0.16, 0.2), Paint((0.95, 0.95, 0.9), glow=0.4))
        if random.uniform() < 0.5:
            props.person(scenery, random, x, y, sitting=True)
    for _ in range(int(random.integers(1, 5))):
        y = random.uniform(6, 22)
        props.person(scenery, random, bend * y * y * 0.5 + random.uniform(-0.9, 0.9), y)
    return scenery.photograph(random.uniform(5, 10))
