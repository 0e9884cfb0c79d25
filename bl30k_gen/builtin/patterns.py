"""Building blocks of textures and backgrounds: noise, cells, relief, colour. All noise is tileable.

Images are (H, W, 3) float sRGB in 0..1 and masks (H, W) in 0..1, until ``to_pixels``.
"""

import colorsys
from collections.abc import Sequence

import numpy as np
from scipy import fft
from scipy.spatial import cKDTree

Colour = tuple[float, float, float] | np.ndarray
Random = np.random.Generator

SIZE = 512  # pixels, of a texture


def axes(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row and column coordinates in 0..1."""
    y, x = np.mgrid[:size, :size] / size
    return y, x


def pick(random: Random, *choices: str) -> np.ndarray:
    """Draw one of several sRGB colours, given as six hexadecimal digits."""
    text = choices[random.integers(len(choices))]
    return np.array([int(text[i : i + 2], 16) for i in (0, 2, 4)]) / 255


def fractal(
    random: Random, shape: tuple[int, int], slope: float = 1.6, stretch: tuple[float, float] = (1, 1)
) -> np.ndarray:
    """Fractal noise, float32, mean 0, standard deviation 1; its amplitude falls as frequency ** -slope.

    Args:
        stretch: factors along (y, x).
    """
    spectrum = fft.rfft2(random.standard_normal(shape, dtype=np.float32))
    fy = fft.fftfreq(shape[0], 1 / (shape[0] * stretch[0]))[:, None].astype(np.float32)
    fx = fft.rfftfreq(shape[1], 1 / (shape[1] * stretch[1]))[None].astype(np.float32)
    square = np.maximum(fy * fy + fx * fx, 1)
    square[0, 0] = np.inf  # no constant part
    hills = fft.irfft2(spectrum * square ** (-slope / 2), s=shape)
    return hills / hills.std()


def cells(random: Random, size: int, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tileable Voronoi cells: (cell number, distance to its seed, distance to the border), in pixels."""
    side = int(np.ceil(np.sqrt(count)))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2)
    seeds = (grid + random.uniform(0.05, 0.95, grid.shape)) * (size / side) % size
    y, x = np.mgrid[:size, :size]
    tree = cKDTree(seeds, boxsize=np.array([size, size]))
    distance, cell = map(np.asarray, tree.query(np.stack([x, y], axis=-1).reshape(-1, 2) + 0.5, k=2))
    nearest, second = distance.reshape(size, size, 2).transpose(2, 0, 1)
    return cell.reshape(size, size, 2)[..., 0], nearest, (second - nearest) / 2


def smoothstep(low: float | np.ndarray, high: float | np.ndarray, value: np.ndarray | np.floating) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, smooth between them; decreasing if ``high < low``."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def unit(hills: np.ndarray) -> np.ndarray:
    """Map values with mean 0 and standard deviation 1 to 0..1."""
    return np.clip(0.5 + 0.2 * hills, 0, 1)


def relief(height: np.ndarray, strength: float) -> np.ndarray:
    """(H, W, 1) shading factor around 1 of a height field in pixels, lit from the upper left."""
    slope = (np.roll(height, 1, 0) - np.roll(height, -1, 0)) + (np.roll(height, 1, 1) - np.roll(height, -1, 1))
    return np.clip(1 - strength * slope, 0.35, 1.7)[..., None]


def mix(one: Colour, other: Colour, share: np.ndarray) -> np.ndarray:
    """Blend ``one`` (share 0) with ``other`` (share 1), colours or images, by a mask (H, W)."""
    share = np.asarray(share)[..., None]
    return np.asarray(one) * (1 - share) + np.asarray(other) * share


def ramp(value: np.ndarray, colours: Sequence[Colour]) -> np.ndarray:
    """Map values 0..1 to a gradient of evenly spaced colours, (H, W) -> (H, W, 3)."""
    stops = np.linspace(0, 1, len(colours))
    table = np.asarray(colours, dtype=np.float64)
    return np.stack([np.interp(value, stops, table[:, channel]) for channel in range(3)], axis=-1)


def hsv(hue: float, saturation: float, value: float) -> np.ndarray:
    return np.array(colorsys.hsv_to_rgb(hue % 1, min(max(saturation, 0), 1), min(max(value, 0), 1)))


def jitter(random: Random, colour: Colour, amount: float) -> np.ndarray:
    """Vary a colour's brightness, and slightly its hue."""
    return np.clip(np.asarray(colour) * (1 + random.normal(0, amount)) + random.normal(0, amount / 10, 3), 0, 1)


def to_pixels(image: np.ndarray) -> np.ndarray:
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
