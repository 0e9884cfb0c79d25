"""Textures of what lies or grows outdoors."""

import numpy as np
from scipy import ndimage

from bl30k_gen.library.procedural.patterns import (
    SIZE,
    Random,
    cells,
    fractal,
    hsv,
    jitter,
    mix,
    pick,
    relief,
    smoothstep,
    to_pixels,
)


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
