"""Props of sceneries: people, cars, trees, furniture, shelves, lamps. Metres; ``x, y`` is the point on the ground."""

import numpy as np

from bl30k_gen.builtin.backgrounds.canvas import SKIES, sky
from bl30k_gen.builtin.backgrounds.scenery import Paint, Scenery
from bl30k_gen.builtin.patterns import Colour, Random, hsv
from bl30k_gen.builtin.textures import TEXTURES

WARM, DAY, NEON = (1.0, 0.82, 0.58), (1.0, 0.98, 0.95), (0.88, 0.95, 1.0)
GREENS = (0.16, 0.34)  # hues of foliage in summer
WOODS = ((0.52, 0.36, 0.22), (0.36, 0.23, 0.14), (0.68, 0.52, 0.34), (0.24, 0.16, 0.11), (0.82, 0.76, 0.68))


def daylight(scenery: Scenery, random: Random, which: int, horizon: float = 0.55) -> None:
    """Add sky ``which`` of SKIES, its light, and a sun unless it is overcast."""
    colours = [np.array(c) for c in SKIES[which]]
    scenery.sky = sky(random, list(SKIES[which]), horizon, random.uniform(0.2, 0.8))
    scenery.sky_power = 1.5
    scenery.above = 0.25 + 0.55 * colours[1]
    scenery.below = np.array([0.28, 0.26, 0.22])
    scenery.haze = tuple(colours[-1] * 0.9), random.uniform(90, 260)
    if which != 3:
        warm = np.array([1.0, 0.92, 0.78]) if which == 0 else np.array([1.0, 0.72, 0.45])
        low = random.uniform(0.6, 1.1) if which == 0 else 0.35
        direction = np.array([random.choice([-1, 1]) * random.uniform(0.4, 1.0), random.uniform(-0.3, 0.9), -low])
        scenery.sun = direction, warm * (2.6 if which == 0 else 1.8)


def tone(random: Random, saturation: float = 0.5, value: float = 0.6) -> np.ndarray:
    """A colour of a man-made thing: mostly muted, more often warm or blue than green or purple."""
    hues = (random.uniform(-0.02, 0.14), random.uniform(0.52, 0.66), random.uniform(0.2, 0.45), random.uniform())
    hue = hues[int(np.searchsorted([0.5, 0.78, 0.92], random.uniform()))]
    return hsv(hue, min(saturation * random.uniform(0.1, 1.2), 0.85), value * random.uniform(0.4, 1.35))


def wood(random: Random) -> Paint:
    shade = np.array(WOODS[random.integers(len(WOODS))]) * 1.6
    return Paint(tuple(shade.clip(0, 1)), texture(random, "planks"), 1.1)


def texture(random: Random, *families: str) -> np.ndarray:
    """A small texture of one of the families."""
    return TEXTURES[families[random.integers(len(families))]](random, 256)


def hall(scenery: Scenery, half: float, end: float, high: float, wall: Paint, floor: Paint, ceiling: Paint) -> None:
    """Add a room: floor, ceiling and three walls; the camera is at the fourth."""
    scenery.box(0, end / 2, -0.1, (2 * half + 1, end + 20, 0.1), floor)
    scenery.box(0, end / 2, high, (2 * half + 1, end + 20, 0.1), ceiling)
    for side in (-1, 1):
        scenery.box(side * (half + 0.1), end / 2, 0, (0.2, end + 20, high), wall)
        scenery.box(side * half, end / 2, 0, (0.03, end + 20, 0.1), Paint((0.85, 0.84, 0.8)))
    scenery.box(0, end + 0.1, 0, (2 * half, 0.2, high), wall)
    scenery.box(0, end, 0, (2 * half, 0.03, 0.1), Paint((0.85, 0.84, 0.8)))


def window(
    scenery: Scenery, random: Random, x: float, y: float, z: float, wide: float, high: float, glow: float
) -> None:
    """A bright window in a wall across the view: panes that differ a little, a frame, light into the room."""
    for i in range(2):
        for j in range(3):
            part = hsv(random.uniform(0.5, 0.62), random.uniform(0.02, 0.2), 1) if j else hsv(0.3, 0.35, 0.65)
            at = x + (i - 0.5) * wide / 2, y, z + j * high / 3
            scenery.box(
                *at, (wide / 2 - 0.05, 0.02, high / 3 - 0.04), Paint(part, glow=glow * random.uniform(0.7, 1))
            )
    scenery.box(x, y + 0.02, z - 0.06, (wide + 0.14, 0.05, high + 0.12), Paint((0.92, 0.91, 0.88)))
    scenery.box(x, y - 0.08, z - 0.08, (wide + 0.2, 0.2, 0.05), Paint((0.9, 0.89, 0.86)))
    scenery.lamp(x, y - 0.5, z + high / 2, DAY, glow * 0.5, 2.2)


def pendant(
    scenery: Scenery, random: Random, x: float, y: float, z: float, shade: Colour, power: float = 1.0
) -> None:
    """A lamp that hangs from the ceiling, its shade at ``z``."""
    scenery.cylinder(x, y, z + 0.1, 0.01, 3, Paint((0.1, 0.1, 0.1)))
    scenery.cylinder(x, y, z, 0.17, 0.16, Paint(shade))
    scenery.ball(x, y, z - 0.01, (0.09, 0.09, 0.08), Paint(WARM, glow=16 * power))
    scenery.lamp(x, y, z - 0.15, WARM, 1.1 * power, 1.6)


def person(scenery: Scenery, random: Random, x: float, y: float, tall: float = 1.7, sitting: bool = False) -> None:
    skin = hsv(random.uniform(0.04, 0.09), random.uniform(0.3, 0.6), random.uniform(0.35, 0.9))
    hair = hsv(0.08, random.uniform(0.1, 0.6), random.uniform(0.05, 0.5))
    top, below = Paint(tone(random, 0.6)), Paint(tone(random, 0.35, 0.35))
    k, drop = tall / 1.7, 0.42 if sitting else 0.0
    turn = random.choice([-1, 1]) * random.uniform(0.0, 0.12)
    for side in (-1, 1):
        stride = side * random.uniform(0.02, 0.2)
        if not sitting:
            scenery.cylinder(x + side * 0.09 * k, y + stride, 0, 0.075 * k, 0.85 * k, below)
            scenery.ball(x + side * 0.09 * k, y + stride - 0.06, 0.05, (0.06, 0.14, 0.05), Paint((0.1, 0.09, 0.08)))
        scenery.ball(x + side * 0.25 * k, y - 0.02, 1.15 * k - drop, (0.06, 0.09, 0.30 * k), top)
        scenery.ball(x + side * 0.25 * k, y - 0.05, 0.85 * k - drop, (0.05, 0.06, 0.08), Paint(skin))
    scenery.ball(x, y, 1.16 * k - drop, (0.22 * k, 0.14 * k, 0.34 * k), top)
    scenery.ball(x, y, 0.88 * k - drop, (0.18 * k, 0.14 * k, 0.15 * k), below)
    scenery.cylinder(x, y, 1.40 * k - drop, 0.055, 0.12, Paint(skin))
    scenery.ball(x + turn * 0.3, y, 1.60 * k - drop, (0.085, 0.10, 0.12), Paint(skin))
    scenery.ball(x - turn * 0.1, y + 0.03, 1.64 * k - drop, (0.095, 0.10, 0.105), Paint(hair))


def car(scenery: Scenery, random: Random, x: float, y: float, yaw: float = 0.0, lights: float = 0.0) -> None:
    """Add a car; with ``yaw`` 0 it is seen from behind. ``lights``: brightness of its lamps."""
    body = Paint(hsv(random.uniform(), random.choice([0.0, 0.1, 0.7]), random.choice([0.1, 0.4, 0.7, 0.9])))
    glass, dark = Paint((0.10, 0.13, 0.16)), Paint((0.05, 0.05, 0.05))
    c, s = np.cos(yaw), np.sin(yaw)

    def at(right: float, ahead: float) -> tuple[float, float]:
        return x + c * right - s * ahead, y + s * right + c * ahead

    scenery.box(x, y, 0.32, (1.74, 4.2, 0.42), body, yaw)
    scenery.box(*at(0, 0.05), 0.70, (1.66, 3.7, 0.16), body, yaw)
    scenery.box(*at(0, -0.35), 0.84, (1.52, 2.3, 0.34), glass, yaw)
    scenery.box(*at(0, -0.35), 1.16, (1.40, 1.9, 0.28), glass, yaw)
    scenery.box(*at(0, -0.35), 1.40, (1.34, 1.7, 0.08), body, yaw)
    for right in (-0.78, 0.78):
        for ahead in (-1.3, 1.35):
            scenery.cylinder(*at(right, ahead), 0.33, 0.33, 0.22, dark, 0, yaw)
        scenery.box(
            *at(right * 0.8, -2.1), 0.58, (0.3, 0.06, 0.14), Paint((0.85, 0.08, 0.05), glow=1 + 14 * lights), yaw
        )
        scenery.box(*at(right * 0.8, 2.1), 0.55, (0.3, 0.06, 0.15), Paint((1, 0.95, 0.8), glow=1 + 40 * lights), yaw)
    scenery.box(*at(0, -2.11), 0.45, (0.5, 0.03, 0.12), Paint((0.9, 0.9, 0.85)), yaw)


def tree(
    scenery: Scenery,
    random: Random,
    x: float,
    y: float,
    tall: float,
    hues: tuple[float, float] = GREENS,
    bare: float = 0,
) -> None:
    """A leafy tree; ``bare`` 0..1 says how thin its crown is."""
    trunk = Paint((0.24, 0.19, 0.15))
    scenery.cylinder(x, y, 0, 0.03 * tall + 0.04, 0.55 * tall, trunk)
    hue, lightness = random.uniform(*hues), random.uniform(0.28, 0.5)
    for _ in range(9):
        out, turn, up = (
            0.24 * tall * np.sqrt(random.uniform()),
            random.uniform(0, 2 * np.pi),
            random.uniform(0.45, 0.95),
        )
        size = tall * random.uniform(0.10, 0.17)
        green = hsv(hue + random.normal(0, 0.015), random.uniform(0.45, 0.7), lightness * random.uniform(0.8, 1.2))
        place = x + out * np.cos(turn), y + out * np.sin(turn), up * tall
        scenery.ball(*place, (size, size, size * 0.8), Paint(green), 0.45 + 0.4 * bare)


def bush(
    scenery: Scenery, random: Random, x: float, y: float, size: float, hues: tuple[float, float] = GREENS
) -> None:
    for _ in range(3):
        green = hsv(random.uniform(*hues), random.uniform(0.4, 0.7), random.uniform(0.22, 0.45))
        dx, dy = random.uniform(-0.4, 0.4, 2) * size
        scenery.ball(x + dx, y + dy, size * 0.4, (size * 0.6, size * 0.6, size * 0.6), Paint(green), 0.4)


def chair(scenery: Scenery, x: float, y: float, paint: Paint, yaw: float = 0.0) -> None:
    c, s = np.cos(yaw), np.sin(yaw)
    scenery.box(x, y, 0.43, (0.42, 0.42, 0.05), paint, yaw)
    scenery.box(x - s * 0.2, y + c * 0.2, 0.48, (0.40, 0.04, 0.42), paint, yaw)
    for i in (-0.18, 0.18):
        for j in (-0.18, 0.18):
            scenery.cylinder(x + c * i - s * j, y + s * i + c * j, 0, 0.02, 0.44, paint)


def table(scenery: Scenery, random: Random, x: float, y: float, wide: float, deep: float, paint: Paint) -> None:
    """Add a table with clutter on it."""
    scenery.box(x, y, 0.70, (wide, deep, 0.05), paint)
    for i in (-1, 1):
        for j in (-1, 1):
            scenery.box(x + i * (wide / 2 - 0.06), y + j * (deep / 2 - 0.06), 0, (0.06, 0.06, 0.7), paint)
    clutter(scenery, random, x, y, 0.75, wide * 0.4, deep * 0.4, int(3 + 4 * wide))


def clutter(
    scenery: Scenery, random: Random, x: float, y: float, z: float, half_x: float, half_y: float, count: int
) -> None:
    """Add small things on a surface: bottles, boxes, bowls, books."""
    for _ in range(count):
        dx, dy = random.uniform(-half_x, half_x), random.uniform(-half_y, half_y)
        paint, size, kind = Paint(tone(random, 0.8, 0.7)), random.uniform(0.05, 0.13), random.integers(4)
        if kind == 0:
            scenery.cylinder(x + dx, y + dy, z, size * 0.4, size * 2.2, paint)
            scenery.cylinder(x + dx, y + dy, z + size * 2.2, size * 0.15, size * 0.8, paint)
        elif kind == 1:
            scenery.box(
                x + dx,
                y + dy,
                z,
                (size * 1.6, size * 1.2, size * random.uniform(0.4, 2)),
                paint,
                random.uniform(0, 3),
            )
        elif kind == 2:
            scenery.ball(x + dx, y + dy, z + size * 0.6, (size * 0.8, size * 0.8, size * 0.6), paint)
        else:
            scenery.cylinder(x + dx, y + dy, z, size * 0.7, size, paint)


def shelves(
    scenery: Scenery,
    random: Random,
    x: float,
    y: float,
    long: float,
    high: float,
    levels: int,
    goods: str,
    yaw: float = 0,
) -> None:
    """A rack of shelves whose front looks along -y (``yaw`` 0); goods: books, tins or crates."""
    frame = wood(random) if goods == "books" else Paint(tone(random, 0.4, 0.6))
    deep, narrowest, widest = {"books": (0.28, 0.2, 0.7), "tins": (0.4, 0.2, 0.5), "crates": (0.9, 0.5, 1.1)}[goods]
    front = {"books": _spines, "tins": _packs, "crates": _cartons}[goods](random)
    c, s = np.cos(yaw), np.sin(yaw)

    def at(along: float, back: float) -> tuple[float, float]:
        return x + c * along - s * back, y + s * along + c * back

    scenery.box(*at(0, deep / 2 + 0.02), 0, (long, 0.03, high), Paint(np.asarray(frame.colour) * 0.4), yaw)
    for side in (-0.5, 0.5):
        scenery.box(*at(side * long, 0), 0, (0.05, deep, high), frame, yaw)
    step = high / levels
    for level in range(levels + 1):
        scenery.box(*at(0, 0), level * step + 0.05 * (level == 0), (long, deep, 0.035), frame, yaw)
    for level in range(levels):
        along = -long / 2 + 0.05
        while along < long / 2 - 0.1:
            wide = min(random.uniform(narrowest, widest), long / 2 - along)
            if random.uniform() > 0.07:
                colour = (1, 1, 1) if goods == "books" else tone(random, 0.9, 0.75)
                if goods == "crates":
                    colour = hsv(random.uniform(0.06, 0.11), random.uniform(0.2, 0.6), random.uniform(0.4, 0.8))
                paint = Paint(colour, front, 1.0, random.uniform())
                size = wide - 0.015, deep * random.uniform(0.7, 0.95), step * random.uniform(0.6, 0.88)
                scenery.box(*at(along + wide / 2, -0.02), level * step + 0.04, size, paint, yaw)
            along += wide


def _bands(random: Random, low: int, high: int) -> np.ndarray:
    """(256,) number of each column's band; bands are ``low`` to ``high`` - 1 columns wide."""
    edges = np.cumsum(random.integers(low, high, 256))
    return np.searchsorted(edges, np.arange(256), side="right")


def _spines(random: Random) -> np.ndarray:
    """Texture of book spines, one metre wide: colours, titles, dark gaps."""
    band = _bands(random, 5, 14)
    colours = np.array([tone(random, 0.8, 0.55) for _ in range(band[-1] + 1)])
    image = np.broadcast_to(colours[band][None], (256, 256, 3)).copy()
    row = np.arange(256)[:, None]
    title = np.abs(row % 64 - random.integers(20, 44, band[-1] + 1)[band]) < 5
    image = np.where(title[..., None], 0.5 * image + 0.4, image)
    image[:, np.flatnonzero(np.diff(band))] *= 0.25
    return (image.clip(0, 1) * 255).astype(np.uint8)


def _packs(random: Random) -> np.ndarray:
    """Texture of packets side by side: a label, a dark line, shading towards the edge."""
    column = np.arange(256) % 26
    row = np.arange(256)[:, None] % 52
    light = 0.95 - 0.5 * (np.abs(column - 12.5) / 13) ** 4
    label = (np.abs(row - random.integers(18, 34)) < 9) & (np.abs(column - 12.5) < 9)
    image = np.broadcast_to(light, (256, 256)) * np.where(label, 1.0, 0.75) * np.where(column < 1, 0.2, 1)
    return np.repeat((image * 255).astype(np.uint8)[..., None], 3, axis=2)


def _cartons(random: Random) -> np.ndarray:
    """Texture of cardboard with tape and a label."""
    y, x = np.mgrid[:256, :256]
    image = 0.85 + 0.03 * random.standard_normal((256, 256))
    image = np.where(np.abs(y % 128 - 64) < 4, 1.0, image)
    image = np.where((np.abs(x % 128 - 90) < 16) & (np.abs(y % 128 - 30) < 12), 1.15, image)
    return np.repeat((image.clip(0, 1) * 255).astype(np.uint8)[..., None], 3, axis=2)
