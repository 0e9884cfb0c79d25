"""Shared parts of backgrounds: size, skies, skylines, perspective sampling, vignetting and grain."""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from bl30k_gen.builtin.patterns import Colour, Random, fractal, mix, ramp, smoothstep, to_pixels

HEIGHT, WIDTH = 768, 1024
HALF = HEIGHT // 2, WIDTH // 2  # sufficient resolution for defocused images

# From the zenith to the horizon, sRGB.
SKIES = (
    [(0.20, 0.42, 0.72), (0.45, 0.66, 0.88), (0.82, 0.90, 0.95)],  # noon
    [(0.20, 0.28, 0.46), (0.50, 0.46, 0.54), (0.92, 0.64, 0.46), (1.0, 0.83, 0.58)],  # sunset
    [(0.05, 0.07, 0.20), (0.14, 0.20, 0.42), (0.45, 0.45, 0.62), (0.85, 0.62, 0.55)],  # dusk
    [(0.48, 0.56, 0.66), (0.66, 0.72, 0.78), (0.84, 0.86, 0.86)],  # overcast
    [(0.30, 0.50, 0.72), (0.72, 0.74, 0.76), (0.98, 0.84, 0.64)],  # morning
)


def grid(size: tuple[int, int] = (HEIGHT, WIDTH)) -> tuple[np.ndarray, np.ndarray]:
    """Row (0 at the top) and column coordinates in units of the height."""
    y, x = (np.mgrid[: size[0], : size[1]] / size[0]).astype(np.float32)
    return y, x


def sky(
    random: Random,
    colours: Sequence[Colour],
    horizon: float,
    cover: float = 0.5,
    size: tuple[int, int] = (HEIGHT, WIDTH),
) -> np.ndarray:
    """A sky above row ``horizon``, with clouds in perspective, lit from above; ``cover`` 0..1."""
    y, _ = grid(size)
    up = np.clip(1 - y / horizon, 0, 1)
    image = ramp(1 - up, colours)
    warm = np.asarray(colours[-1])
    hills = fractal(random, size, 1.45, (1, 1.7))
    # Rows near the horizon show the clouds further away, so they lie closer together.
    rows = np.clip(size[0] * 0.98 * (1 - 1 / (1 + 2.4 * up)) / (1 - 1 / 3.4), 0, size[0] - 1)
    hills = ndimage.map_coordinates(hills, [rows, np.broadcast_to(np.arange(size[1]), rows.shape)], order=1)
    edge = 0.95 - 1.6 * cover
    body = smoothstep(edge, edge + 0.55, hills) * smoothstep(0, 0.10, up)
    # Thick clouds shade what is below them: tops and rims are bright, undersides grey.
    thick = np.clip(hills - edge, 0, 2)
    reach = size[0] / 30
    above = ndimage.shift(ndimage.gaussian_filter(thick, (reach, 1.3 * reach)), (reach, 0), order=0, mode="nearest")
    tone = np.clip(1.02 - 0.55 * above + 0.30 * (thick - above), 0.1, 1)
    white = np.clip(0.45 * warm + 0.55, 0, 1)
    return mix(image, mix(np.asarray(colours[len(colours) // 2]) * 0.72 + 0.1, white, tone), 0.93 * body)


def ridge(random: Random, rough: float) -> np.ndarray:
    """A random line over the columns, mean 0 and standard deviation 1; smaller ``rough`` is smoother."""
    return fractal(random, (1, WIDTH), 2.1 - rough)[0]


def finish(random: Random, image: np.ndarray) -> np.ndarray:
    """Add a camera's vignetting and grain; returns (H, W, 3) uint8."""
    y, x = grid()
    corner = 1 - 0.22 * ((y - 0.5) ** 2 + (x - WIDTH / HEIGHT / 2) ** 2)
    grain = 0.012 * random.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32)
    return to_pixels(image * corner[..., None] + grain)


def sample(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Sample a tileable texture at coordinates in repeats, by the nearest texel."""
    size = len(texture)
    return texture[(v * size).astype(int) % size, (u * size).astype(int) % size]
