"""Textures of walls, floors and machines."""

import numpy as np
from scipy import ndimage

from bl30k_gen.builtin.families import texture
from bl30k_gen.builtin.patterns import (
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


@texture
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


@texture
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


@texture
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


@texture
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


@texture
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


@texture
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


@texture
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


@texture
def corrugated(random: Random, size: int = SIZE) -> np.ndarray:
    """Sheets of corrugated iron, rust along the edges and under the screws."""
    y, x = axes(size)
    waves = int(random.choice([8, 10, 12]))
    ridge = np.cos(2 * np.pi * x * waves)
    base = (
        pick(random, "9aa3a8", "8c9298", "7d8a8f")
        if random.uniform() < 0.5
        else hsv(random.uniform(), random.uniform(0.2, 0.6), random.uniform(0.35, 0.7))
    )
    lap = np.exp(-((y + 0.25) % 0.5) / 0.05)
    where = fractal(random, (size, size), 1.3, (2, 1)) + 1.1 * lap
    rusty = smoothstep(0.9, 1.8, where)
    screw = np.hypot((x * waves / 2 % 1 - 0.5) / waves * 2, (y * 4 % 1 - 0.5) / 4)
    run = (
        np.exp(-((np.abs((x * waves / 2) % 1 - 0.5) / 0.09) ** 2)) * np.clip(1 - (y * 4 - 0.5) % 1 * 1.6, 0, 1) * 0.5
    )
    iron = ramp(unit(fractal(random, (size, size), 1.0)), [(0.24, 0.12, 0.07), (0.50, 0.25, 0.11), (0.36, 0.2, 0.13)])
    sheet = base * (1 + 0.05 * fractal(random, (size, size), 1.4, (9, 1)))[..., None]
    image = mix(sheet, iron, np.clip(rusty + run * random.uniform(0, 1), 0, 1))
    head = smoothstep(0.011, 0.008, screw)
    light = 0.78 + 0.30 * np.sin(2 * np.pi * x * waves + 0.7) - 0.35 * np.exp(-((y + 0.25) % 0.5) / 0.008)
    return to_pixels(mix(image * light[..., None], base * 0.55, head) * relief(1.5 * ridge + 2 * head, 0.03))


@texture
def cork(random: Random, size: int = SIZE) -> np.ndarray:
    """Pressed granules of cork."""
    cell, _, border = cells(random, size, int(random.integers(1500, 3200)))
    tones = np.array(
        [jitter(random, pick(random, "c89b64", "b5854d", "d6b07c", "9a6a3c"), 0.10) for _ in range(cell.max() + 1)]
    )
    pores = smoothstep(1.7, 2.3, fractal(random, (size, size), 0.7))
    image = tones[cell] * (0.78 + 0.22 * smoothstep(0.2, 2.0, border) - 0.4 * pores)[..., None]
    return to_pixels(image * (1 + 0.05 * fractal(random, (size, size), 0.5))[..., None])


@texture
def paper(random: Random, size: int = SIZE) -> np.ndarray:
    """Crumpled wrapping paper: facets between creases."""
    base = pick(random, "c8a878", "e8e2d4", "b99364", "d8d2c6", "a9b5a0")
    height = np.zeros((size, size))
    for count, tall in ((25, 11.0), (90, 5.0), (320, 2.2)):
        cell, nearest, border = cells(random, size, count)
        height += tall * random.normal(0, 1, cell.max() + 1)[cell] * np.clip(border / (border + nearest + 1), 0, 1)
    height = ndimage.gaussian_filter(height, 1.4, mode="wrap")
    fibre = 1 + 0.018 * fractal(random, (size, size), 0.4) + 0.03 * fractal(random, (size, size), 1.6)
    return to_pixels(base * fibre[..., None] * relief(height, 0.18))


@texture
def parquet(random: Random, size: int = SIZE) -> np.ndarray:
    """Oak blocks in squares that turn from one to the next, waxed."""
    y, x = axes(size)
    squares, strips = int(random.choice([2, 4, 4])), int(random.integers(4, 7))
    v, u = y * squares, x * squares
    turned = (np.floor(v) + np.floor(u)).astype(int) % 2 == 1
    across, along = np.where(turned, u, v), np.where(turned, v, u)
    strip = np.floor(across % 1 * strips).astype(int)
    number = (np.floor(v).astype(int) * squares + np.floor(u).astype(int)) * strips + strip
    base = pick(random, "b98a55", "96683c", "d0a872", "7a5030", "c29a6b")
    tones = np.array([jitter(random, base, 0.11) for _ in range(squares * squares * strips)])
    grains = fractal(random, (size, size), 0.95, (1, 22)), fractal(random, (size, size), 0.95, (22, 1))
    grain = np.where(turned, grains[1], grains[0])
    edge = np.minimum(0.5 - np.abs(across * strips % 1 - 0.5), strips * (0.5 - np.abs(along % 1 - 0.5)))
    gap = smoothstep(0.0, 0.05, edge)
    wax = 1 + 0.05 * fractal(random, (size, size), 2.0)
    image = tones[number] * (1 + 0.10 * grain)[..., None] * wax[..., None]
    return to_pixels(image * (0.35 + 0.65 * gap)[..., None])


@texture
def shingles(random: Random, size: int = SIZE) -> np.ndarray:
    """Roof tiles with rounded ends, row over row, lichen on some."""
    y, x = axes(size)
    rows, columns = int(random.choice([6, 8, 10])), int(random.choice([6, 8]))
    base = pick(random, "a5533a", "8c4430", "6b6f76", "7a6a5a", "b5764a", "55606a")
    round_end = random.choice([0.0, 0.45])
    image, height = np.zeros((size, size, 3)), np.zeros((size, size))
    tones = np.array([jitter(random, base, 0.14) for _ in range(2 * rows * columns)])
    rough = fractal(random, (size, size), 0.9)
    for back in (1, 0):  # a row's ends hang over the row below it
        down = y * rows + back
        row = np.floor(down).astype(int)
        across = x * columns + 0.5 * (row % 2)
        column = np.floor(across).astype(int) % columns
        side = 2 * np.abs(across % 1 - 0.5)
        reach = 0.62 + round_end * (np.sqrt(np.clip(1 - side**2, 0, 1)) - 1) + 0.02 * rough
        inside = (down % 1 < reach) if back == 0 else np.ones((size, size), bool)
        at = down % 1 if back == 0 else down % 1 + 1
        tile = tones[(row % rows) * columns + column] * (0.8 + 0.2 * at)[..., None]
        tile = tile * (smoothstep(1.0, 0.955, side) * 0.6 + 0.4)[..., None]
        shade = 1 if back == 0 else 1 - 0.6 * np.exp(-np.clip(y * rows % 1 - 0.55, 0, 1) / 0.12)
        image = np.where(inside[..., None], tile * np.asarray(shade)[..., None], image)
        height = np.where(inside, at * 4 + 3 * (1 - back), height)
    lichen = smoothstep(1.3, 1.5, fractal(random, (size, size), 1.1)) * random.uniform(0, 0.8)
    image = mix(image, np.array([0.66, 0.66, 0.50]), lichen)
    return to_pixels(image * (1 + 0.06 * rough)[..., None] * relief(height, 0.045))


@texture
def treadplate(random: Random, size: int = SIZE) -> np.ndarray:
    """Steel plate with raised bars that cross, scuffed bright."""
    y, x = axes(size)
    count = int(random.choice([8, 10, 14]))
    v, u = y * count % 1 - 0.5, x * count % 1 - 0.5
    flip = (np.floor(y * count) + np.floor(x * count)).astype(int) % 2 == 1
    along, across = np.where(flip, (u + v), (u - v)) / np.sqrt(2), np.where(flip, (u - v), (u + v)) / np.sqrt(2)
    bar = np.clip(1 - (along / 0.46) ** 2 - (across / 0.13) ** 2, 0, 1) ** 0.5
    base = pick(random, "8e9296", "75797d", "a3a7aa", "6a665f")
    grain = 0.05 * fractal(random, (size, size), 0.4) + 0.05 * fractal(random, (size, size), 1.7)
    dirt = 0.35 * unit(fractal(random, (size, size), 1.5)) * (1 - bar)
    scratch = 0.12 * (np.abs(fractal(random, (size, size), 1.2, (1, 5))) < 0.02)
    image = base * (1 + grain + 0.22 * bar + scratch - dirt)[..., None]
    return to_pixels(image * relief(6 * bar, 0.10))
