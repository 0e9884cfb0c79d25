"""Textures of stone, earth, concrete and plaster."""

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
def asphalt(random: Random, size: int = SIZE) -> np.ndarray:
    """A road: light and dark chips in tar, cracks, a patch."""
    cell, _, border = cells(random, size, 9000)
    chips = random.normal(0, 0.16, cell.max() + 1)[cell] * smoothstep(0.2, 1.4, border)
    tar = pick(random, "3c3c3f", "4a4a4b", "57544f", "2f3033")
    patch = smoothstep(0.55, 0.6, fractal(random, (size, size), 2.2))
    crack = smoothstep(0.016, 0.004, np.abs(fractal(random, (size, size), 1.7)))
    crack = crack * smoothstep(0.2, 0.9, fractal(random, (size, size), 2.0))
    tone = (1 + chips) * (1 - 0.22 * patch) * (1 + 0.05 * fractal(random, (size, size), 1.6)) * (1 - 0.7 * crack)
    return to_pixels(tar * tone[..., None])


@texture
def cobbles(random: Random, size: int = SIZE) -> np.ndarray:
    """Setts of a street in staggered rows, worn round, sand in the joints."""
    y, x = axes(size)
    rows = int(random.choice([8, 10, 12]))
    columns = rows * 3 // 4
    sway = 0.10 * np.sin(2 * np.pi * (x * 2 + random.uniform())) + 0.03 * fractal(random, (size, size), 2.0)
    down = y * rows + sway
    row = np.floor(down).astype(int)
    across = x * columns + 0.5 * (row % 2) + 0.08 * fractal(random, (size, size), 2.0)
    column = np.floor(across).astype(int) % columns
    inset = np.minimum(0.5 - np.abs(down % 1 - 0.5), 1.2 * (0.5 - np.abs(across % 1 - 0.5)))
    rough = fractal(random, (size, size), 0.9)
    dome = np.clip((inset - 0.05 + 0.012 * rough) / 0.3, 0, 1) ** 0.5
    base = pick(random, "7b7873", "8c7f70", "5f6369", "94887c", "6e5f55")
    tones = np.array([jitter(random, base, 0.13) for _ in range(rows * columns)])
    stone = tones[(row % rows) * columns + column] * (1 + 0.08 * rough[..., None])
    image = mix(np.array([0.30, 0.27, 0.22]) * (1 + 0.15 * rough[..., None]), stone, smoothstep(0.0, 0.35, dome))
    return to_pixels(image * relief(9 * dome + 0.35 * rough, 0.10))


@texture
def concrete(random: Random, size: int = SIZE) -> np.ndarray:
    """Cast concrete: formwork panels, bubbles, stains that run down."""
    y, x = axes(size)
    base = pick(random, "a5a49f", "8f908e", "b8b3a8", "7d7e7f")
    panels = int(random.choice([1, 2, 2]))
    stain = 0.05 * fractal(random, (size, size), 1.8) + 0.04 * fractal(random, (size, size), 1.6, (7, 1))
    grain = 0.035 * fractal(random, (size, size), 0.4)
    image = base * (1 + stain + grain)[..., None]
    _, nearest, _ = cells(random, size, 420)
    holes = smoothstep(1.8, 0.8, nearest - 1.2 * fractal(random, (size, size), 1.0)) * 0.55
    edge = np.minimum(np.abs(x * panels - np.round(x * panels)), np.abs(y * panels - np.round(y * panels))) / panels
    seam = smoothstep(0.004, 0.001, edge)
    ties = np.hypot(*(np.abs((axis * panels * 2) % 1 - 0.5) for axis in (y, x))) / panels / 2
    tie = smoothstep(0.014, 0.010, ties)
    return to_pixels(
        image * (1 - 0.5 * holes - 0.35 * seam - 0.5 * tie)[..., None] * relief(-3 * tie - 2 * holes, 0.08)
    )


@texture
def drystone(random: Random, size: int = SIZE) -> np.ndarray:
    """A wall of flat stones laid without mortar."""
    courses = int(random.integers(11, 16))
    edges = np.cumsum(random.uniform(0.6, 1.4, courses))
    edges = np.concatenate([[0], edges / edges[-1]])
    y, x = axes(size)
    down = (y + 0.006 * fractal(random, (size, size), 2.0)) % 1
    course = np.searchsorted(edges, down, side="right").clip(1, courses) - 1
    counts = random.integers(3, 8, courses)
    across = x * counts[course] + random.uniform(0, 1, courses)[course] + 0.07 * fractal(random, (size, size), 1.9)
    stone = np.floor(across).astype(int) % counts[course] + course * 8
    tall = np.diff(edges)[course]
    border = np.minimum((across % 1) / counts[course], (1 - across % 1) / counts[course])
    border = np.minimum(border, np.minimum(down - edges[course], edges[course] + tall - down)) * size
    border = border + 0.9 * fractal(random, (size, size), 1.0)
    rough = fractal(random, (size, size), 1.1, (1.6, 1))
    base = [pick(random, "8a8378", "6f6a63", "a3937c", "7d7f7a", "94806a") for _ in range(3)]
    tones = np.array([jitter(random, base[random.integers(3)], 0.17) for _ in range(courses * 8)])
    image = tones[stone] * (1 + 0.09 * rough[..., None])
    moss = smoothstep(0.8, 1.6, fractal(random, (size, size), 1.3)) * random.uniform(0, 0.8)
    image = mix(image, np.array([0.40, 0.44, 0.24]) * (1 + 0.15 * rough[..., None]), moss)
    body = smoothstep(0.3, 4.5, border)
    return to_pixels(mix(np.array([0.07, 0.06, 0.05]), image, body) * relief(7 * body + 0.8 * rough, 0.09))


@texture
def granite(random: Random, size: int = SIZE) -> np.ndarray:
    """Polished grains of feldspar, quartz and mica."""
    feldspar = pick(random, "c9a596", "b9b6b1", "8f8c8a", "d3cfc8", "a5786a", "6d7a78")
    minerals = np.array([feldspar, feldspar * 1.15, feldspar * 0.72, (0.84, 0.83, 0.80), (0.12, 0.12, 0.13)]).clip(
        0, 1
    )
    image = np.zeros((size, size, 3))
    for count, share in ((5200, 1.0), (1900, 0.4)):
        cell, _, border = cells(random, size, count)
        grain = minerals[random.choice(5, cell.max() + 1, p=[0.32, 0.2, 0.16, 0.14, 0.18])]
        kept = random.uniform(size=cell.max() + 1) < share
        image = mix(image, grain[cell], kept[cell] * smoothstep(-0.5, 0.8, border + 0.5))
    haze = 1 + 0.06 * fractal(random, (size, size), 0.5) + 0.05 * fractal(random, (size, size), 1.9)
    return to_pixels(ndimage.gaussian_filter(image, (0.7, 0.7, 0), mode="wrap") * haze[..., None])


@texture
def gravel(random: Random, size: int = SIZE) -> np.ndarray:
    """Broken stone in several sizes, the large ones on top."""
    base = [pick(random, "8f8b84", "a79a88", "6c6a68", "b5aea3", "7c6f64") for _ in range(3)]
    image = np.full((size, size, 3), 0.16)
    height = np.zeros((size, size))
    for count, share, tall in ((9000, 1.0, 2.0), (2600, 0.55, 4.0), (800, 0.4, 8.0)):
        cell, nearest, border = cells(random, size, count)
        tones = np.array([jitter(random, base[random.integers(3)], 0.2) for _ in range(cell.max() + 1)])
        kept = (random.uniform(size=cell.max() + 1) < share)[cell]
        tilt = random.normal(0, 0.35, (cell.max() + 1, 1))[cell][..., 0]
        body = kept * smoothstep(0.3, 0.2 * tall + 0.6, border)
        top = tall * np.sqrt(np.clip(border / (border + nearest + 1e-6), 0, 1)) * (1 + tilt)
        height = np.where(body > 0.3, height * 0.3 + top, height)
        shadow = 1 - 0.55 * np.roll(body, (3, 3), (0, 1))
        image = mix(image * shadow[..., None], tones[cell], body)
    rough = fractal(random, (size, size), 0.7)
    return to_pixels(image * (1 + 0.06 * rough[..., None]) * relief(height, 0.13))


@texture
def mud(random: Random, size: int = SIZE) -> np.ndarray:
    """Earth that dried and cracked into plates with curled rims."""
    bend = 3.0 * fractal(random, (size, size), 1.8)
    cell, _, border = cells(random, size, int(random.integers(30, 90)))
    _, _, fine = cells(random, size, int(random.integers(300, 500)))
    border = np.clip(border + bend * 0.5, 0, None)
    base = pick(random, "9c7f5f", "b3936c", "7b6450", "a58f7c", "8a5f44")
    tone = random.normal(1, 0.06, cell.max() + 1)[cell] * (1 + 0.05 * fractal(random, (size, size), 1.4))
    grain = fractal(random, (size, size), 0.6)
    crack = smoothstep(3.6, 1.2, border)
    hair = smoothstep(1.2, 0.3, fine + 0.4 * grain) * 0.35 * smoothstep(0.3, 1.2, fractal(random, (size, size), 1.6))
    rim = np.exp(-(((border - 6) / 4) ** 2))
    image = base * (tone + 0.03 * grain + 0.10 * rim - hair)[..., None]
    return to_pixels(mix(image, base * 0.16, crack) * relief(4 * rim - 6 * crack + 0.4 * grain, 0.06))


@texture
def plaster(random: Random, size: int = SIZE) -> np.ndarray:
    """Painted plaster, trowelled, with cracks and places where it came off."""
    paint = hsv(
        random.choice([0.02, 0.08, 0.12, 0.14, 0.3, 0.56]), random.uniform(0.05, 0.35), random.uniform(0.65, 0.92)
    )
    strokes = sum(fractal(random, (size, size), 1.3, stretch) for stretch in ((1, 4), (4, 1), (2, 2))) / 1.7
    image = paint * (1 + 0.03 * strokes + 0.05 * fractal(random, (size, size), 2.0))[..., None]
    where = fractal(random, (size, size), 1.7) + 0.12 * fractal(random, (size, size), 0.8)
    gone = smoothstep(1.35, 1.42, where)
    under = np.array([0.62, 0.55, 0.47]) * (1 + 0.10 * fractal(random, (size, size), 0.9))[..., None]
    crack = smoothstep(0.014, 0.003, np.abs(fractal(random, (size, size), 1.9)))
    crack = crack * smoothstep(0.3, 1.0, fractal(random, (size, size), 1.8)) * 0.6
    image = mix(image * (1 - crack)[..., None], under, gone)
    return to_pixels(image * relief(0.8 * strokes - 5 * gone - 2 * crack, 0.06))


@texture
def sand(random: Random, size: int = SIZE) -> np.ndarray:
    """Wind ripples that fork and fade, grains in several colours."""
    y, x = axes(size)
    count, slant = int(random.integers(8, 15)), int(random.choice([-2, -1, 1, 2]))
    phase = 2 * np.pi * (y * count + x * slant) + 1.6 * fractal(random, (size, size), 2.1, (1, 2))
    ripple = np.sin(phase) + 0.3 * np.sin(2 * phase + 0.8)
    ripple = ripple * (0.65 + 0.35 * unit(fractal(random, (size, size), 1.9)))
    base = pick(random, "d2b48a", "c2a070", "e0cfae", "b98f63", "8f8478")
    grain = fractal(random, (size, size), 0.15)
    spots = (random.uniform(size=(size, size)) < 0.012) * random.uniform(-0.5, 0.2, (size, size))
    tone = 1 + 0.055 * grain + spots + 0.05 * fractal(random, (size, size), 1.7)
    return to_pixels(base * tone[..., None] * relief(5 * ripple, 0.07))
