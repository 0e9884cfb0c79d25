"""Textures of cloth, leather, fur and the like."""

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
    relief,
    smoothstep,
    to_pixels,
    unit,
)


@texture
def camouflage(random: Random, size: int = SIZE) -> np.ndarray:
    """Overlapping patches of a few related colours."""
    palettes = (
        ("4b5320", "78866b", "2f3321", "a39a6b"),
        ("c2b280", "8f7a4f", "d9cda7", "6b5537"),
        ("5a6b7b", "98a8b5", "2d3a48", "dfe5ea"),
        ("7b3f61", "d77a9c", "3a1f3d", "f0b8a8"),
        ("1f6f6b", "63b5a4", "123f4f", "e5d9a8"),
        ("c4572b", "e8a33d", "5a2a20", "f1dfb4"),
    )
    colours = [pick(random, text) for text in palettes[random.integers(len(palettes))]]
    image = np.broadcast_to(colours[0], (size, size, 3))
    for colour in colours[1:]:
        patch = fractal(random, (size, size), random.uniform(1.5, 2.2), (1.3, 1))
        image = mix(image, colour, smoothstep(0.42, 0.47, patch))
    cloth = 1 + 0.05 * fractal(random, (size, size), 0.3)
    return to_pixels(image * cloth[..., None])


@texture
def knit(random: Random, size: int = SIZE) -> np.ndarray:
    """Stocking stitch with a pattern in two colours."""
    columns = int(random.choice([20, 28, 36]))
    rows = columns * 5 // 4
    y, x = axes(size)
    u = x * columns % 1 - 0.5
    lifted = y * rows - 0.9 * np.abs(u)
    row, column = np.floor(lifted).astype(int) % rows, np.floor(x * columns).astype(int)
    across = lifted % 1 - 0.5
    yarn = np.sqrt(np.clip(1 - (2 * across) ** 2, 0, 1)) * np.sqrt(np.clip(1 - (np.abs(u) * 4 - 1) ** 2, 0, 1))
    hue = random.uniform()
    ground = hsv(hue, random.uniform(0.3, 0.7), random.uniform(0.4, 0.85))
    other = hsv(hue + random.choice([0.0, 0.1, 0.5]), random.uniform(0.05, 0.4), random.uniform(0.8, 0.95))
    period = int(random.choice([4, 6, 8]))
    motif = random.uniform(size=(period, period // 2 + 1)) < 0.4
    motif = np.concatenate([motif, motif[:, ::-1][:, 1:]], axis=1)[:, :period]
    marked = motif[row % period, column % period] & (row // period % 2 == 0)
    image = np.where(marked[..., None], other, ground)
    fuzz = 0.07 * fractal(random, (size, size), 0.3)
    return to_pixels(image * (0.30 + 0.75 * yarn + fuzz)[..., None])


@texture
def leather(random: Random, size: int = SIZE) -> np.ndarray:
    """Grained leather with stitched seams."""
    _, nearest, border = cells(random, size, int(random.integers(1500, 3500)))
    base = pick(random, "6b3f26", "2b2622", "8a4b2a", "a3743f", "5a1f22", "3d4a3a", "27364d")
    height = ndimage.gaussian_filter(np.sqrt(np.clip(border, 0, 6)) * 3, 0.8, mode="wrap")
    tone = 1 + 0.10 * fractal(random, (size, size), 1.9)
    y, x = axes(size)
    seams = int(random.integers(1, 3))
    offset = (x * seams % 1 - 0.5) / seams * size
    fold = -6 * np.exp(-((offset / 5) ** 2))
    stitch = (np.abs(np.abs(offset) - 9) < 1.8) & (y * 32 % 1 < 0.62)
    image = base * tone[..., None] * relief(height + fold, 0.11)
    thread = np.clip(base * 0.4 + np.array([0.45, 0.40, 0.30]), 0, 1)
    return to_pixels(mix(image, thread, ndimage.gaussian_filter(stitch.astype(float), 0.6, mode="wrap")))


@texture
def stripes(random: Random, size: int = SIZE) -> np.ndarray:
    """Painted stripes or checks, worn off in places down to the ground."""
    y, x = axes(size)
    count = int(random.integers(3, 9))
    slant = int(random.choice([0, 0, count]))
    first = np.sin(2 * np.pi * (x * count + y * slant))
    second = np.sin(2 * np.pi * (y * count - x * slant))
    pattern = first * second if random.uniform() < 0.5 else first
    hue = random.uniform()
    one = hsv(hue, random.uniform(0.35, 0.75), random.uniform(0.35, 0.8))
    two = hsv(hue + random.choice([0.5, 0.08, 0.33]), random.uniform(0.03, 0.3), random.uniform(0.8, 0.95))
    image = mix(one, two, smoothstep(-0.08, 0.08, pattern))
    worn = smoothstep(0.9, 1.3, fractal(random, (size, size), 1.2) + 0.6 * fractal(random, (size, size), 0.6))
    ground = np.array([0.55, 0.52, 0.48]) * (1 + 0.12 * fractal(random, (size, size), 0.8))[..., None]
    dirt = 1 + 0.07 * fractal(random, (size, size), 1.7)
    return to_pixels(mix(image * dirt[..., None], ground, worn * random.uniform(0.4, 1)))


@texture
def tartan(random: Random, size: int = SIZE) -> np.ndarray:
    """Twill in crossing bands of one sett."""
    hue = random.uniform()
    palette = np.array(
        [hsv(hue, 0.75, 0.45), hsv(hue + 0.35, 0.6, 0.25), (0.9, 0.88, 0.82), hsv(hue + 0.15, 0.8, 0.8), (0.08,) * 3]
    )
    half = np.repeat(random.choice([0, 0, 1, 1, 2, 3, 4], 10), random.integers(1, 9, 10))
    sett = np.concatenate([half, half[::-1]])
    column = np.arange(size) * len(sett) * int(random.integers(1, 3)) // size % len(sett)
    bands = palette[sett[column]]
    y, x = np.mgrid[:size, :size]
    twill = ((x + y) // 2 % 4) < 2
    image = np.where(twill[..., None], bands[None, :], bands[:, None])
    image = ndimage.gaussian_filter(image, (0.6, 0.6, 0), mode="wrap")
    wool = 1 + 0.06 * fractal(random, (size, size), 0.3) + 0.04 * fractal(random, (size, size), 1.5)
    return to_pixels(image * wool[..., None])


@texture
def weave(random: Random, size: int = SIZE) -> np.ndarray:
    """Plain-woven cloth, its threads in coloured bands."""
    y, x = axes(size)
    threads = int(random.choice([32, 48, 64]))
    row, column = np.floor(y * threads).astype(int), np.floor(x * threads).astype(int)
    over = (row + column) % 2 == 0
    round_y, round_x = np.sin(np.pi * (y * threads % 1)), np.sin(np.pi * (x * threads % 1))
    height = np.where(over, round_y * (0.55 + 0.45 * round_x), round_x * (0.55 + 0.45 * round_y))
    hue = random.uniform()
    palette = np.array(
        [hsv(hue + d, random.uniform(0.3, 0.75), random.uniform(0.3, 0.9)) for d in (0, 0.06, 0.5, 0.12)]
    )
    band = int(random.choice([4, 8, 16]))
    warp = palette[random.integers(0, 4, threads // band)].repeat(band, axis=0)[:threads]
    weft = palette[random.integers(0, 4, threads // band)].repeat(band, axis=0)[:threads]
    image = np.where(over[..., None], weft[row], warp[column])
    fibre = 0.05 * fractal(random, (size, size), 0.4) + 0.05 * fractal(random, (size, size), 2)
    return to_pixels(image * (0.45 + 0.65 * height + fibre)[..., None])


@texture
def carpet(random: Random, size: int = SIZE) -> np.ndarray:
    """Cut pile: tufts, the marks of feet in it, a faint pattern."""
    cell, nearest, _ = cells(random, size, 12000)
    hue, y, x = random.uniform(), *axes(size)
    base = hsv(hue, random.uniform(0.1, 0.6), random.uniform(0.3, 0.75))
    other = hsv(hue + random.uniform(-0.1, 0.1), random.uniform(0.1, 0.5), random.uniform(0.3, 0.8))
    count = int(random.choice([2, 3, 4]))
    figure = np.sin(2 * np.pi * count * x) * np.sin(2 * np.pi * count * y) + 0.25 * np.cos(
        4 * np.pi * count * (x + y)
    )
    image = mix(base, other, smoothstep(0.1, 0.2, figure) * random.choice([0, 0.7, 1]))
    tuft = random.normal(1, 0.13, cell.max() + 1)[cell] * (1.1 - 0.16 * nearest)
    brushed = 1 + 0.09 * smoothstep(-0.2, 0.2, fractal(random, (size, size), 2.0, (1, 2)))
    return to_pixels(image * (tuft * brushed)[..., None])


@texture
def denim(random: Random, size: int = SIZE) -> np.ndarray:
    """Blue twill, faded along its folds, with a seam in double thread."""
    y, x = np.mgrid[:size, :size]
    rib = ((x + 2 * y) % 8) / 8
    thread = fractal(random, (size, size), 0.5, (9, 1))
    warp = hsv(random.uniform(0.58, 0.63), random.uniform(0.45, 0.7), random.uniform(0.28, 0.55))
    weft = np.array([0.72, 0.75, 0.80])
    worn = unit(1.3 * fractal(random, (size, size), 1.8, (2.5, 1)) + 0.3 * thread)
    cloth = mix(warp, weft, 0.10 + 0.22 * (rib > 0.72) + 0.30 * worn**2 + 0.05 * thread)
    offset = np.abs((x - size // 2) / size) * 512
    seam = np.exp(-(((offset - 10) / 5) ** 2))
    stitch = ((np.abs(offset - 16) < 1.6) | (np.abs(offset - 26) < 1.6)) & (y * 36 // size * size // 36 + 10 > y)
    image = cloth * (0.8 + 0.25 * np.sin(np.pi * rib))[..., None] * relief(4 * seam, 0.08)
    return to_pixels(mix(image, np.array([0.78, 0.52, 0.20]), 0.9 * stitch))


@texture
def floral(random: Random, size: int = SIZE) -> np.ndarray:
    """A print of blossoms, buds and leaves."""
    hue = random.uniform()
    dark = random.uniform() < 0.4
    ground = hsv(hue, random.uniform(0.2, 0.5), 0.22) if dark else hsv(hue, random.uniform(0.02, 0.2), 0.93)
    image = np.broadcast_to(ground, (size, size, 3)).copy()
    blossoms = [hsv(hue + d, random.uniform(0.35, 0.8), random.uniform(0.6, 0.95)) for d in (0.45, 0.55, 0.08)]
    green = hsv(random.uniform(0.22, 0.42), 0.5, 0.45)

    def print_on(radius: float, colour: np.ndarray, petals: int, deep: float, inner: np.ndarray) -> None:
        reach = int(radius * 1.2) + 1
        v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        r, a = np.hypot(u, v) / radius, np.arctan2(v, u) + random.uniform(0, 6)
        edge = 1 - deep * (0.5 - 0.5 * np.cos(a * petals)) ** 1.5
        inside = smoothstep(0.04, -0.04, r - edge)
        shade = (0.75 + 0.35 * r) * (1 - 0.25 * np.abs(np.sin(a * petals * 1.5)) * (r > 0.3))
        rows, columns = (random.integers(size, size=2)[:, None] + np.arange(-reach, reach + 1)) % size
        part = np.ix_(rows, columns)
        flower = mix(colour * shade[..., None], inner, smoothstep(0.30, 0.24, r))
        image[part] = mix(image[part], flower.clip(0, 1), inside)

    scale = size / 512
    for _ in range(70):
        print_on(random.uniform(14, 30) * scale, green * random.uniform(0.7, 1.3), 2, 0.85, green)
    for radius, count in ((46, 10), (28, 16), (13, 34)):
        for _ in range(count):
            colour = blossoms[random.integers(3)]
            print_on(random.uniform(0.8, 1.2) * radius * scale, colour, 5, 0.5, np.array([0.95, 0.8, 0.3]))
    return to_pixels(image * (1 + 0.035 * fractal(random, (size, size), 0.3))[..., None])


@texture
def fur(random: Random, size: int = SIZE) -> np.ndarray:
    """A pelt: strands that lie along a flow, spots or stripes on some."""
    angle = 0.7 * fractal(random, (size, size), 2.3)
    noise = random.standard_normal((size, size))
    y, x = np.mgrid[:size, :size]
    strands = np.zeros((size, size))
    for step in range(-9, 10):  # noise is drawn out along the flow
        rows, columns = (y + step * np.cos(angle)).astype(int) % size, (x + step * np.sin(angle)).astype(int) % size
        strands += noise[rows, columns]
    strands /= strands.std()
    base = pick(random, "a8753f", "8a8580", "d8c4a0", "4a3a30", "b5854f", "e6e0d6")
    hills = fractal(random, (size, size), 1.5, (1, 1)) + 0.12 * strands
    kind = random.integers(3)
    mark = (
        0 * hills,
        smoothstep(0.55, 0.75, hills),
        smoothstep(0.25, 0.4, np.sin(3.2 * hills + 9 * y / size * np.pi * 2)),
    )[kind]
    image = mix(base, base * 0.22, mark)
    return to_pixels(image * (1 + 0.20 * strands + 0.08 * fractal(random, (size, size), 1.8))[..., None])


@texture
def wicker(random: Random, size: int = SIZE) -> np.ndarray:
    """Rods woven round stakes, as in a basket."""
    y, x = axes(size)
    stakes = int(random.choice([10, 12, 16]))
    rows = stakes * 3
    row = np.floor(y * rows).astype(int)
    wave = np.cos(np.pi * (x * stakes + row))
    across = y * rows % 1 - 0.5
    rod = np.sqrt(np.clip(1 - (2.1 * across) ** 2, 0, 1))
    base = pick(random, "b98a52", "8f6236", "d0ad78", "6b4526", "c9b79a")
    tones = np.array([jitter(random, base, 0.12) for _ in range(rows)])
    grain = fractal(random, (size, size), 0.7, (1, 14))
    height = rod * (0.62 + 0.38 * wave)
    image = tones[row % rows] * (0.22 + 0.85 * height * (1 + 0.10 * grain))[..., None]
    return to_pixels(image * relief(5 * height, 0.05))
