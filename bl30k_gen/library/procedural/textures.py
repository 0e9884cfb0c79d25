"""Texture families: functions of a random stream that paint a square (size, size, 3) uint8 image which tiles."""

import numpy as np
from scipy import ndimage

from bl30k_gen.library.procedural.patterns import (
    cells,
    fractal,
    hsv,
    jitter,
    mix,
    ramp,
    relief,
    smoothstep,
    to_pixels,
    unit,
)

SIZE = 512
Random = np.random.Generator


def _axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column coordinates in 0..1."""
    return np.mgrid[:size, :size] / size


def _pick(random: Random, *choices: str) -> np.ndarray:
    """One of several colours written as six hexadecimal digits, sRGB."""
    text = choices[random.integers(len(choices))]
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def planks(random: Random, size: int = SIZE) -> np.ndarray:
    """Wooden boards: long grain, growth rings that bend about knots, gaps."""
    y, x = _axes(size)
    boards = int(random.integers(3, 8))
    row = np.floor(y * boards).astype(int)
    grain = fractal(random, (size, size), 1.1, (1, 24))
    warp = fractal(random, (size, size), 2.2, (1.5, 5))
    shift = random.uniform(0, 1, boards)[row]
    tone = random.normal(0, 0.13, boards)[row]
    rings = (y * random.uniform(16, 30) + warp * random.uniform(0.5, 1.1) + shift * 40) % 1
    dark = np.exp(-rings * 3.5) * 0.6 + smoothstep(0.92, 1, rings) * 0.6
    light = _pick(random, "c99a64", "a8703d", "d9b98a", "8a5a35", "b98a5e", "7a4a2c")
    wood = mix(light * 1.08, light * 0.52, np.clip(dark * 0.7 + 0.10 * grain, 0, 1)) * (1 + tone)[..., None]
    edge = np.abs(y * boards - np.round(y * boards)) / boards
    ends = np.abs((x + shift + 0.5) % 1 - 0.5)
    gap = np.minimum(smoothstep(0, 0.006, edge), smoothstep(0, 0.004, ends))
    return to_pixels(wood * (0.22 + 0.78 * gap)[..., None])


def marble(random: Random, size: int = SIZE) -> np.ndarray:
    """Polished stone with veins of several widths."""
    clouds = fractal(random, (size, size), 1.7)
    base = _pick(random, "efece6", "2e3134", "d8c7ae", "39564a", "a35c4d", "c9ced3", "5b6b83")
    vein = _pick(random, "8a8580", "f3efe6", "6d5a43", "c9a04e") if base.mean() > 0.4 else np.array([0.93, 0.9, 0.84])
    image = mix(base * 0.88, np.clip(base * 1.1, 0, 1), unit(clouds))
    for width, slope in ((0.05, 2.1), (0.03, 1.8), (0.09, 2.3)):
        line = np.exp(-((fractal(random, (size, size), slope) / width) ** 2))
        strength = unit(fractal(random, (size, size), 2.0)) ** 1.5
        image = mix(image, vein, 0.75 * line * strength)
    return to_pixels(image)


def bricks(random: Random, size: int = SIZE) -> np.ndarray:
    """A wall in running bond, each brick with a colour of its own."""
    y, x = _axes(size)
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
    base = _pick(random, "a24a35", "8c3f31", "b56a48", "c9b79a", "7d7f84", "6d4637", "d4cfc6")
    tones = np.array([jitter(random, base, 0.16) for _ in range(rows * columns)])
    stain = 0.10 * fractal(random, (size, size), 1.8)[..., None]
    image = mix(np.array([0.66, 0.63, 0.58]), tones[row * columns + column] + stain, brick)
    height = brick * 5 + 0.5 * rough
    return to_pixels((image + 0.035 * rough[..., None]) * relief(height, 0.10))


def weave(random: Random, size: int = SIZE) -> np.ndarray:
    """Plain-woven cloth, its threads in coloured bands."""
    y, x = _axes(size)
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


def pebbles(random: Random, size: int = SIZE) -> np.ndarray:
    """Rounded stones, seen from above, with shade between them."""
    cell, nearest, border = cells(random, size, int(random.integers(60, 220)))
    base = [_pick(random, "8d8a84", "b9a58a", "6f7478", "a8917a", "d2cbbf", "75655a") for _ in range(3)]
    tones = np.array([jitter(random, base[random.integers(3)], 0.2) for _ in range(cell.max() + 1)])
    rough = fractal(random, (size, size), 1.0)
    height = 14 * np.sqrt(np.clip(border / (border + nearest + 1e-6), 0, 1))
    height = ndimage.gaussian_filter(height, 2, mode="wrap")
    shade = smoothstep(0.5, 5, border)
    image = mix(np.array([0.10, 0.09, 0.08]), tones[cell] * (1 + 0.07 * rough[..., None]), shade)
    return to_pixels(image * relief(height, 0.16))


def metal(random: Random, size: int = SIZE) -> np.ndarray:
    """Brushed metal: fine strokes, a broad sheen, riveted seams."""
    y, x = _axes(size)
    base = _pick(random, "b8bcc0", "c9a85c", "b87a55", "8f99a5", "6f7277")
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
    colours = [_pick(random, text) for text in palettes[random.integers(len(palettes))]]
    image = np.broadcast_to(colours[0], (size, size, 3))
    for colour in colours[1:]:
        patch = fractal(random, (size, size), random.uniform(1.5, 2.2), (1.3, 1))
        image = mix(image, colour, smoothstep(0.42, 0.47, patch))
    cloth = 1 + 0.05 * fractal(random, (size, size), 0.3)
    return to_pixels(image * cloth[..., None])


def stripes(random: Random, size: int = SIZE) -> np.ndarray:
    """Painted stripes or checks, worn off in places down to the ground."""
    y, x = _axes(size)
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


def leaves(random: Random, size: int = SIZE) -> np.ndarray:
    """A floor of fallen or a wall of living leaves, one over the other."""
    autumn = random.uniform() < 0.5
    image = np.broadcast_to(np.array([0.09, 0.10, 0.05]), (size, size, 3)).copy()
    for order in range(260):
        length = size * random.uniform(0.06, 0.13)
        reach = int(length) + 1
        v, u = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        angle = random.uniform(0, 2 * np.pi)
        along = (u * np.cos(angle) + v * np.sin(angle)) / length
        across = (v * np.cos(angle) - u * np.sin(angle)) / length
        half = 0.42 * np.sqrt(np.clip(1 - along**2, 0, 1)) * (1 - 0.45 * along)
        inside = smoothstep(0, 0.06, half - np.abs(across))
        hue = random.uniform(0.02, 0.14) if autumn else random.uniform(0.20, 0.36)
        colour = hsv(hue, random.uniform(0.4, 0.72), random.uniform(0.35, 0.8) * (0.6 + 0.4 * order / 260))
        veins = np.abs((along * 5 - np.abs(across) * 6) % 1 - 0.5) < 0.07
        rib = np.exp(-((across / 0.03) ** 2)) + 0.5 * veins
        shade = (0.85 + 0.35 * np.sign(across) * np.abs(across)) * (1 - 0.25 * rib)
        rows, columns = (random.integers(size, size=2)[:, None] + np.arange(-reach, reach + 1)) % size
        patch = np.ix_(rows, columns)
        shadow = np.ix_((rows + 4) % size, (columns + 4) % size)
        image[shadow] *= 1 - 0.45 * inside[..., None]
        image[patch] = mix(image[patch], colour * shade[..., None], inside)
    return to_pixels(image)


def tiles(random: Random, size: int = SIZE) -> np.ndarray:
    """Glazed tiles with an ornament, grout between them."""
    count = int(random.choice([2, 3, 4, 6]))
    v, u = (axis * count % 1 - 0.5 for axis in _axes(size))
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
    ground = _pick(random, "e9e4da", "cfd4d4", "3b3f45", "e3c9b4", "b7c4b1")
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


def leather(random: Random, size: int = SIZE) -> np.ndarray:
    """Grained leather with stitched seams."""
    _, nearest, border = cells(random, size, int(random.integers(1500, 3500)))
    base = _pick(random, "6b3f26", "2b2622", "8a4b2a", "a3743f", "5a1f22", "3d4a3a", "27364d")
    height = ndimage.gaussian_filter(np.sqrt(np.clip(border, 0, 6)) * 3, 0.8, mode="wrap")
    tone = 1 + 0.10 * fractal(random, (size, size), 1.9)
    y, x = _axes(size)
    seams = int(random.integers(1, 3))
    offset = (x * seams % 1 - 0.5) / seams * size
    fold = -6 * np.exp(-((offset / 5) ** 2))
    stitch = (np.abs(np.abs(offset) - 9) < 1.8) & (y * 32 % 1 < 0.62)
    image = base * tone[..., None] * relief(height + fold, 0.11)
    thread = np.clip(base * 0.4 + np.array([0.45, 0.40, 0.30]), 0, 1)
    return to_pixels(mix(image, thread, ndimage.gaussian_filter(stitch.astype(float), 0.6, mode="wrap")))


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


def knit(random: Random, size: int = SIZE) -> np.ndarray:
    """Stocking stitch with a pattern in two colours."""
    columns = int(random.choice([20, 28, 36]))
    rows = columns * 5 // 4
    y, x = _axes(size)
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


def bark(random: Random, size: int = SIZE) -> np.ndarray:
    """Furrowed bark, with moss on some."""
    ridges = fractal(random, (size, size), 1.25, (4.5, 1))
    plates = 1 - np.abs(ridges)
    fine = fractal(random, (size, size), 0.7, (2, 1))
    base = _pick(random, "6b5844", "7f6a55", "4d4036", "93897b", "5b4a3f")
    image = mix(base * 0.35, np.clip(base * 1.3, 0, 1), np.clip(0.45 + 0.35 * plates + 0.08 * fine, 0, 1))
    moss = smoothstep(0.4, 1.2, fractal(random, (size, size), 1.6)) * random.choice([0, 0.7])
    image = mix(image, np.array([0.36, 0.43, 0.17]) * (1 + 0.2 * fine[..., None]), moss)
    return to_pixels(image * relief(4 * plates + fine, 0.05))


TEXTURES = {
    painter.__name__: painter
    for painter in (
        bark,
        bricks,
        camouflage,
        knit,
        leather,
        leaves,
        marble,
        metal,
        pebbles,
        planks,
        rust,
        stripes,
        tartan,
        terrazzo,
        tiles,
        weave,
    )
}
