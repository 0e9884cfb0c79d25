"""Textures of grounds, plants and animals' skins."""

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

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
def bark(random: Random, size: int = SIZE) -> np.ndarray:
    """Furrowed bark, with moss on some."""
    ridges = fractal(random, (size, size), 1.25, (4.5, 1))
    plates = 1 - np.abs(ridges)
    fine = fractal(random, (size, size), 0.7, (2, 1))
    base = pick(random, "6b5844", "7f6a55", "4d4036", "93897b", "5b4a3f")
    image = mix(base * 0.35, np.clip(base * 1.3, 0, 1), np.clip(0.45 + 0.35 * plates + 0.08 * fine, 0, 1))
    moss = smoothstep(0.4, 1.2, fractal(random, (size, size), 1.6)) * random.choice([0, 0.7])
    image = mix(image, np.array([0.36, 0.43, 0.17]) * (1 + 0.2 * fine[..., None]), moss)
    return to_pixels(image * relief(4 * plates + fine, 0.05))


@texture
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


@texture
def pebbles(random: Random, size: int = SIZE) -> np.ndarray:
    """Rounded stones, seen from above, with shade between them."""
    cell, nearest, border = cells(random, size, int(random.integers(60, 220)))
    base = [pick(random, "8d8a84", "b9a58a", "6f7478", "a8917a", "d2cbbf", "75655a") for _ in range(3)]
    tones = np.array([jitter(random, base[random.integers(3)], 0.2) for _ in range(cell.max() + 1)])
    rough = fractal(random, (size, size), 1.0)
    height = 14 * np.sqrt(np.clip(border / (border + nearest + 1e-6), 0, 1))
    height = ndimage.gaussian_filter(height, 2, mode="wrap")
    shade = smoothstep(0.5, 5, border)
    image = mix(np.array([0.10, 0.09, 0.08]), tones[cell] * (1 + 0.07 * rough[..., None]), shade)
    return to_pixels(image * relief(height, 0.16))


@texture
def grass(random: Random, size: int = SIZE) -> np.ndarray:
    """A lawn from above: blades, dry ones among them, clover, bare spots."""
    hue = random.uniform(0.19, 0.29)
    image = np.broadcast_to(hsv(0.1, 0.45, 0.20), (size, size, 3)).copy()
    flow = 2 * np.pi * unit(fractal(random, (size, size), 2.0))
    for layer in range(5):
        count = size * size // 60
        at, length = random.uniform(0, size, (count, 2)), random.uniform(0.012, 0.035, count) * size
        angle = flow[at[:, 0].astype(int), at[:, 1].astype(int)] * 0.4 + random.uniform(0, 2 * np.pi, count)
        dry = random.uniform(size=count) < 0.10
        tone = np.where(dry, 0.62, random.uniform(0.22, 0.50, count) + 0.07 * layer)
        blade = np.stack(
            [
                hsv(0.13, 0.45, v) if d else hsv(hue + random.normal(0, 0.02), 0.62, v)
                for d, v in zip(dry, tone, strict=True)
            ]
        )
        for t in np.linspace(0, 1, 12):
            rows = (at[:, 0] + t * length * np.sin(angle)).astype(int) % size
            columns = (at[:, 1] + t * length * np.cos(angle)).astype(int) % size
            image[rows, columns] = blade * (0.55 + 0.6 * t)
    patches = 1 + 0.10 * fractal(random, (size, size), 1.7)
    return to_pixels(ndimage.gaussian_filter(image, (0.5, 0.5, 0), mode="wrap") * patches[..., None])


@texture
def logs(random: Random, size: int = SIZE) -> np.ndarray:
    """Sawn ends of stacked firewood: rings, cracks, bark, the dark between them."""
    columns = int(random.integers(5, 9))
    rows = 2 * round(columns / np.sqrt(3))
    row, column = np.mgrid[:rows, :columns]
    centres = np.stack([(column + 0.5 * (row % 2)) / columns, row / rows], axis=-1).reshape(-1, 2)
    centres = (centres + random.normal(0, 0.05 / columns, centres.shape)) % 1
    count = len(centres)
    y, x = axes(size)
    tree = cKDTree(centres, boxsize=np.array([1, 1]))
    distance, near = map(np.asarray, tree.query(np.stack([x, y], axis=-1).reshape(-1, 2), k=2))
    radius = random.uniform(0.44, 0.55, count) / columns
    away = distance / radius[near]
    log = near[np.arange(size * size), away.argmin(axis=1)].reshape(size, size)
    away = away.min(axis=1).reshape(size, size) + 0.04 * fractal(random, (size, size), 2.0)
    palette = [pick(random, "d9b583", "c79a63", "b5804a", "e0c9a0") for _ in range(3)]
    tones = np.array([jitter(random, palette[random.integers(3)], 0.1) for _ in range(count)])
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * away * random.uniform(6, 11, count)[log])
    rough = fractal(random, (size, size), 0.7)
    split = smoothstep(0.12, 0.03, np.abs(fractal(random, (size, size), 1.9))) * smoothstep(0.9, 0.5, away)
    wood = tones[log] * (0.82 + 0.18 * rings + 0.05 * rough - 0.2 * np.exp(-away * 9) - 0.3 * split)[..., None]
    bark = pick(random, "4a3a2c", "5f4c3b", "3d332b") * (1 + 0.25 * rough)[..., None]
    image = mix(wood, bark, smoothstep(0.86, 0.90, away))
    behind = np.array([0.05, 0.04, 0.035])
    image = mix(image, behind, smoothstep(1.0, 1.08, away + 0.02 * rough))
    return to_pixels(image * relief(-8 * smoothstep(0.9, 1.15, away), 0.06))


@texture
def scales(random: Random, size: int = SIZE) -> np.ndarray:
    """Skin of a fish or a snake: scales that overlap in rows, a pattern over them."""
    columns = int(random.choice([14, 18, 24]))
    rows = columns * 2
    y, x = axes(size)
    hue = random.uniform(0.05, 0.6)
    one = hsv(hue, random.uniform(0.2, 0.55), random.uniform(0.3, 0.6))
    two = hsv(hue + random.uniform(-0.12, 0.12), random.uniform(0.1, 0.45), random.uniform(0.6, 0.9))
    field = smoothstep(-0.3, 0.5, fractal(random, (rows, columns), 1.4)).ravel()
    tones = random.normal(1, 0.09, rows * columns)
    image, height = np.zeros((size, size, 3)), np.zeros((size, size))
    for back in (2, 1, 0):  # the ends of a row lie on the two rows below it
        row = np.floor(y * rows).astype(int) - back
        across = x * columns + 0.5 * (row % 2)
        side, along = 2 * np.abs(across % 1 - 0.5), y * rows % 1 + back
        number = (row % rows) * columns + np.floor(across).astype(int) % columns
        inside = along < 1.0 + 1.35 * np.sqrt(np.clip(1 - side**2, 0, 1))
        dome = np.clip(1 - side**2, 0, 1) * (0.35 + 0.3 * along)
        skin = mix(one, two, field[number]) * (tones[number] * (0.55 + 0.45 * dome))[..., None]
        rim = np.exp(-((along - 0.85 - 1.35 * np.sqrt(np.clip(1 - side**2, 0, 1))) ** 2) / 0.02)
        image = np.where(inside[..., None], skin * (1 - 0.45 * rim[..., None]), image)
        height = np.where(inside, dome, height)
    return to_pixels(image * relief(9 * height, 0.06) * (1 + 0.04 * fractal(random, (size, size), 0.6))[..., None])


@texture
def thatch(random: Random, size: int = SIZE) -> np.ndarray:
    """Straw in layers, as on a roof."""
    y, _ = axes(size)
    layers = int(random.integers(2, 5))
    ragged = y * layers + 0.12 * fractal(random, (1, size), 0.6)[0]
    straw = fractal(random, (size, size), 0.45, (22, 1))
    stalks = fractal(random, (size, size), 0.9, (9, 1))
    base = pick(random, "b99a5f", "a0803f", "8c7a5a", "c9b078", "7a6a50")
    image = mix(base * 0.45, np.clip(base * 1.2, 0, 1), np.clip(0.5 + 0.22 * straw + 0.16 * stalks, 0, 1))
    fall = ragged % 1
    light = 1 - 0.65 * np.exp(-fall / 0.07) + 0.10 * smoothstep(0.7, 1.0, fall)
    return to_pixels(image * light[..., None] * relief(stalks, 0.04))
