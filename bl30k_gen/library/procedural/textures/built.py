"""Textures of walls, floors and machines."""

import numpy as np

from bl30k_gen.library.procedural.patterns import (
    SIZE,
    Random,
    axes,
    cells,
    fractal,
    hsv,
    jitter,
    mix,
    pick,
    ramp,
    relief,
    smoothstep,
    to_pixels,
    unit,
)


def bricks(random: Random, size: int = SIZE) -> np.ndarray:
    """A wall in running bond, each brick with a colour of its own."""
    y, x = axes(size)
    rows, columns = int(random.integers(4, 8)) * 2, int(random.integers(3, 6))
    row = np.floor(y * rows).astype(int)
    across = x * columns + 0.5 * (row % 2)
    column = np.floor(across).astype(int) % columns
    rough = fractal(random, (size, size), 0.9)
    wobble = 0.015 * fractal(random, (size, size), 1.5)
    distance = (
        np.minimum((0.5 - np.abs(across % 1 - 0.5)) / columns, (0.5 - np.abs(y * rows % 1 - 0.5)) / rows)
        + wobble / rows
    )
    brick = smoothstep(0.004, 0.010, distance)
    base = pick(random, "a24a35", "8c3f31", "b56a48", "c9b79a", "7d7f84", "6d4637", "d4cfc6")
    tones = np.array([jitter(random, base, 0.16) for _ in range(rows * columns)])
    stain = 0.10 * fractal(random, (size, size), 1.8)[..., None]
    image = mix(np.array([0.66, 0.63, 0.58]), tones[row * columns + column] + stain, brick)
    height = brick * 5 + 0.5 * rough
    return to_pixels((image + 0.035 * rough[..., None]) * relief(height, 0.10))


def marble(random: Random, size: int = SIZE) -> np.ndarray:
    """Polished stone with veins of several widths."""
    clouds = fractal(random, (size, size), 1.7)
    base = pick(random, "efece6", "2e3134", "d8c7ae", "39564a", "a35c4d", "c9ced3", "5b6b83")
    vein = pick(random, "8a8580", "f3efe6", "6d5a43", "c9a04e") if base.mean() > 0.4 else np.array([0.93, 0.9, 0.84])
    image = mix(base * 0.88, np.clip(base * 1.1, 0, 1), unit(clouds))
    for width, slope in ((0.05, 2.1), (0.03, 1.8), (0.09, 2.3)):
        line = np.exp(-((fractal(random, (size, size), slope) / width) ** 2))
        strength = unit(fractal(random, (size, size), 2.0)) ** 1.5
        image = mix(image, vein, 0.75 * line * strength)
    return to_pixels(image)


def metal(random: Random, size: int = SIZE) -> np.ndarray:
    """Brushed metal: fine strokes, a broad sheen, riveted seams."""
    y, x = axes(size)
    base = pick(random, "b8bcc0", "c9a85c", "b87a55", "8f99a5", "6f7277")
    strokes = fractal(random, (size, size), 0.35, (1, 60))
    sheen = 0.13 * np.sin(2 * np.pi * (y * random.integers(1, 3) + random.uniform())) + 0.04 * fractal(
        random, (size, size), 2
    )
    panels = int(random.integers(2, 5))
    edge = np.minimum(np.abs(x * panels - np.round(x * panels)), np.abs(y * panels - np.round(y * panels))) / panels
    seam = smoothstep(0.001, 0.006, edge)
    fx, fy = (x * panels * 4 % 1 - 0.5) / panels / 4, (y * panels * 4 % 1 - 0.5) / panels / 4
    near_seam = (edge < 0.05) & (edge > 0.015)
    rivet = np.where(near_seam, np.sqrt(np.clip(0.012**2 - fx**2 - fy**2, 0, None)) * size, 0)
    scratch = np.abs(fractal(random, (size, size), 1.3, (1, 4))) < 0.012
    image = base * (1 + sheen + 0.07 * strokes + 0.12 * scratch)[..., None]
    return to_pixels(image * (0.45 + 0.55 * seam)[..., None] * relief(rivet, 0.12))


def planks(random: Random, size: int = SIZE) -> np.ndarray:
    """Wooden boards: long grain, growth rings that bend about knots, gaps."""
    y, x = axes(size)
    boards = int(random.integers(3, 8))
    row = np.floor(y * boards).astype(int)
    grain = fractal(random, (size, size), 1.1, (1, 24))
    warp = fractal(random, (size, size), 2.2, (1.5, 5))
    shift = random.uniform(0, 1, boards)[row]
    tone = random.normal(0, 0.13, boards)[row]
    rings = (y * random.uniform(16, 30) + warp * random.uniform(0.5, 1.1) + shift * 40) % 1
    dark = np.exp(-rings * 3.5) * 0.6 + smoothstep(0.92, 1, rings) * 0.6
    light = pick(random, "c99a64", "a8703d", "d9b98a", "8a5a35", "b98a5e", "7a4a2c")
    wood = mix(light * 1.08, light * 0.52, np.clip(dark * 0.7 + 0.10 * grain, 0, 1)) * (1 + tone)[..., None]
    edge = np.abs(y * boards - np.round(y * boards)) / boards
    ends = np.abs((x + shift + 0.5) % 1 - 0.5)
    gap = np.minimum(smoothstep(0, 0.006, edge), smoothstep(0, 0.004, ends))
    return to_pixels(wood * (0.22 + 0.78 * gap)[..., None])


def rust(random: Random, size: int = SIZE) -> np.ndarray:
    """Old paint that flakes off rusting steel."""
    paint = hsv(random.uniform(), random.uniform(0.25, 0.6), random.uniform(0.35, 0.75))
    where = fractal(random, (size, size), 1.5) + 0.25 * fractal(random, (size, size), 0.7)
    flakes = smoothstep(0.25, 0.32, where)
    iron = ramp(
        unit(fractal(random, (size, size), 1.0)),
        [(0.16, 0.08, 0.05), (0.42, 0.19, 0.08), (0.66, 0.34, 0.13), (0.35, 0.18, 0.12)],
    )
    halo = smoothstep(-0.25, 0.3, where)[..., None]
    drips = 1 + 0.05 * fractal(random, (size, size), 1.2, (14, 1))
    painted = paint * drips[..., None] * (1 - 0.3 * halo) + np.array([0.10, 0.04, 0.0]) * halo
    return to_pixels(mix(painted, iron, flakes) * relief(-3 * flakes + 0.3 * where, 0.12))


def terrazzo(random: Random, size: int = SIZE) -> np.ndarray:
    """Chips of coloured stone in a polished ground."""
    ground = pick(random, "e9e4da", "cfd4d4", "3b3f45", "e3c9b4", "b7c4b1")
    hue = random.uniform()
    chips = [
        hsv(hue + random.uniform(-0.15, 0.6), random.uniform(0.1, 0.6), random.uniform(0.3, 0.95)) for _ in range(5)
    ]
    image = np.broadcast_to(ground, (size, size, 3)) * (1 + 0.02 * fractal(random, (size, size), 0.8))[..., None]
    for count, gap in ((900, 3.5), (220, 5.5)):
        cell, _, border = cells(random, size, count)
        tones = np.array([jitter(random, chips[random.integers(5)], 0.1) for _ in range(cell.max() + 1)])
        kept = random.uniform(size=cell.max() + 1) < 0.45
        edge = border + 1.2 * fractal(random, (size, size), 1.1)
        image = mix(image, tones[cell], kept[cell] * smoothstep(gap - 0.8, gap + 0.8, edge))
    return to_pixels(image)


def tiles(random: Random, size: int = SIZE) -> np.ndarray:
    """Glazed tiles with an ornament, grout between them."""
    count = int(random.choice([2, 3, 4, 6]))
    v, u = (axis * count % 1 - 0.5 for axis in axes(size))
    hue = random.uniform()
    one = hsv(hue, random.uniform(0.5, 0.9), random.uniform(0.25, 0.7))
    two = hsv(hue + random.uniform(-0.1, 0.5), random.uniform(0.3, 0.8), random.uniform(0.5, 0.9))
    ground = np.array([0.93, 0.91, 0.86])
    radius, angle = np.hypot(u, v), np.arctan2(v, u)
    petals = 0.20 + random.uniform(0.06, 0.14) * np.cos(angle * int(random.choice([4, 6, 8])))
    corner = np.hypot(np.abs(u) - 0.5, np.abs(v) - 0.5)
    image = mix(ground, one, smoothstep(0.008, -0.008, radius - petals))
    image = mix(image, two, smoothstep(0.008, -0.008, np.abs(corner - random.uniform(0.25, 0.4)) - 0.035))
    image = mix(image, two, smoothstep(0.008, -0.008, radius - 0.09))
    image = mix(image, one, smoothstep(0.008, -0.008, corner - 0.14))
    edge = 0.5 - np.maximum(np.abs(u), np.abs(v))
    body = smoothstep(0.008 * count / 2, 0.02 * count / 2, edge)
    glaze = 1 + 0.04 * fractal(random, (size, size), 1.8) + 0.02 * fractal(random, (size, size), 0.7)
    image = mix(np.array([0.48, 0.46, 0.43]), image * glaze[..., None], body)
    return to_pixels(image * relief(body * 4, 0.08))
