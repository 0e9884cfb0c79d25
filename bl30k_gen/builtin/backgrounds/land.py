"""Landscapes: a height field in perspective with sunlight, shadows, haze, plants and water.

Light is linear. Images are computed at half the size of a background, since all of them are out of focus.
"""

from collections.abc import Callable

import numpy as np
from scipy import fft, ndimage

from bl30k_gen.builtin.backgrounds.canvas import HALF, SKIES, sky
from bl30k_gen.builtin.backgrounds.lens import encode
from bl30k_gen.builtin.patterns import Colour, Random, fractal, mix, smoothstep
from bl30k_gen.library.formats.mesh import linear

STEPS = 512  # distances at which the land is sampled, in a geometric sequence
MARGIN = 64  # columns beside the image, which cast shadows into it
SHADOW = np.repeat(0.6 * np.clip(1 - np.hypot(*(np.mgrid[:12, :12] / 5.5 - 1)), 0, 1)[..., None], 2, axis=-1)
# For each of SKIES: tangent of the sun's elevation, colour of its light.
SUNS = (
    (0.65, (1.60, 1.48, 1.25)),
    (0.20, (1.75, 1.00, 0.52)),
    (0.16, (0.60, 0.36, 0.32)),
    (1.20, (0.40, 0.40, 0.38)),
    (0.36, (1.65, 1.28, 0.86)),
)


def band(random: Random, size: int, frequency: float) -> np.ndarray:
    """(size, size) tileable noise in a band of about an octave around ``frequency``; standard deviation 1."""
    fy, fx = fft.fftfreq(size, 1 / size)[:, None], np.arange(size // 2 + 1)[None]
    square = np.maximum(fy * fy + fx * fx, 1e-3).astype(np.float32)
    strength = np.exp(-0.5 * np.log2(square / np.float32(frequency**2)) ** 2)
    spectrum = strength * np.exp(2j * np.pi * random.random(square.shape, dtype=np.float32))
    hills = fft.irfft2(spectrum.astype(np.complex64), s=(size, size))
    return hills / hills.std()


def ridged(random: Random, size: int = 512, octaves: int = 6) -> np.ndarray:
    """(size, size) heights 0..1 of eroded mountains: sharp crests, side ridges, smooth valley floors.

    A ridged multifractal (Musgrave, in Texturing and Modeling, chapter 16): each octave is weighted by the previous.
    """
    total, weight = np.zeros((size, size), np.float32), 1.0
    for octave in range(octaves):
        crest = np.clip(1 - np.abs(band(random, size, 2 * 2**octave)) / 1.8, 0, 1) ** 1.4 * weight
        weight = np.clip(1.5 * crest + 0.05, 0, 1)
        total += crest * 0.45**octave
    return total / total.max()


def at(tile: np.ndarray, x: np.ndarray, y: np.ndarray, side: float) -> np.ndarray:
    """Sample a tile that covers ``side`` x ``side`` metres and is repeated."""
    scale = len(tile) / side
    return ndimage.map_coordinates(tile, [y * scale, x * scale], order=1, mode="grid-wrap")


class Land:
    """A landscape seen from ``eye`` metres above (0, 0, 0), looking along y.

    Arrays of the land are (STEPS, columns): ``x``, ``y``, ``z`` in metres, and (..., 3) ``light`` that reaches it.

    Args:
        height: function of (x, y), metres; negative values are under water.
        weather: index into SKIES.
        eye: height of the camera, metres.
        horizon: row of the horizon, relative to the image's height.
        focal: focal length, relative to the image's width.
        reach: the nearest and the furthest distance, metres.
        sight: metres after which haze leaves a third of the contrast.
        cover: of the sky by clouds, 0..1.
    """

    def __init__(
        self,
        random: Random,
        height: Callable[[np.ndarray, np.ndarray], np.ndarray],
        weather: int,
        eye: float,
        horizon: float,
        focal: float,
        reach: tuple[float, float],
        sight: float,
        cover: float,
    ):
        self.random, self.eye, self.sight = random, eye, sight
        rows, columns = HALF
        self.focal, self.horizon = focal * columns, horizon * rows
        self.side = random.choice([-1, 1])  # of the sun: left or right
        slope, sunlight = SUNS[weather]
        self.warm = np.array(sunlight)
        self.image = linear(sky(random, list(SKIES[weather]), horizon + 0.02, cover, HALF))
        colours = linear(np.asarray(SKIES[weather], np.float64))
        self.haze, self.ambient = 0.8 * colours[-1] + 0.2 * colours[0], 0.16 + 0.5 * colours[len(colours) // 2]

        self.y = np.geomspace(*reach, STEPS, dtype=np.float32)[:, None]
        across = ((np.arange(-MARGIN, columns + MARGIN, dtype=np.float32) - columns / 2) / self.focal)[None]
        self.x, self.y = across * self.y, np.broadcast_to(self.y, (STEPS, across.size))
        bed = height(self.x, self.y).astype(np.float32)
        self.z, self.wet = np.maximum(bed, 0), bed < 0
        along = np.gradient(self.z, axis=1) / (self.y / self.focal)
        away = np.gradient(self.z, axis=0) / np.gradient(self.y, axis=0) - across * along
        self.steep = np.hypot(along, away)
        sun = np.array([self.side * 0.9, random.uniform(-0.75, 0.45), slope])
        facing = (sun[2] - along * sun[0] - away * sun[1]) / np.sqrt(1 + self.steep**2) / np.linalg.norm(sun)
        # Shadows fall along x.
        line = (self.z - slope / np.abs(sun[0]) * self.side * self.x)[:, :: -self.side]
        blocked = np.maximum.accumulate(line, axis=1)[:, :: -self.side] - line[:, :: -self.side]
        lit = np.clip(facing, 0, 1) * smoothstep(1.0, 0.0, blocked / (0.01 * self.y + 0.2))
        clouds = at(band(random, 128, 3), self.x, self.y, 1.2 * reach[1])
        lit = lit * (1 - 0.65 * min(2 * cover, 1) * smoothstep(0.1, 0.9, clouds))
        up = 0.55 + 0.45 / np.sqrt(1 + self.steep**2)
        self.light = lit[..., None] * self.warm + up[..., None] * self.ambient
        self._see()

    def _see(self) -> None:
        """For each pixel, find the two steps of the land between which its visible point lies."""
        rows, columns = HALF
        inner = np.s_[:, MARGIN:-MARGIN]
        row = self.horizon + self.focal * (self.eye - self.z[inner]) / self.y[inner]
        first = np.clip(np.ceil(np.minimum.accumulate(row, axis=0)), 0, rows).astype(int)
        flat = first * columns + np.arange(columns)
        above = np.bincount(flat.ravel(), minlength=(rows + 1) * columns).reshape(rows + 1, columns)
        step = np.cumsum(above[::-1], axis=0)[::-1][1:]  # number of steps that end below each pixel
        self.seen = step < STEPS
        self.far = np.clip(step, 1, STEPS - 1), np.broadcast_to(np.arange(columns), step.shape)
        near = row[self.far[0] - 1, self.far[1]]
        share = (near - np.arange(rows)[:, None]) / np.maximum(near - row[self.far], 1e-3)
        self.share = np.clip(share, 0, 1)
        self.depth = np.where(self.seen, self.pixels(self.y), np.inf)
        self.water = self.seen & (self.pixels(self.wet.astype(np.float32)) > 0.5)

    def pixels(self, values: np.ndarray) -> np.ndarray:
        """Interpolate values of the land at the visible point of each pixel."""
        inner = values[:, MARGIN:-MARGIN]
        share = self.share if values.ndim == 2 else self.share[..., None]
        return inner[self.far[0] - 1, self.far[1]] * (1 - share) + inner[self.far] * share

    def hazy(self, light: np.ndarray, distance: np.ndarray | float) -> np.ndarray:
        """Blend light with haze by distance."""
        return mix(self.haze, light, np.exp(-np.asarray(distance) / self.sight))

    def paint(self, colour: np.ndarray, grain: np.ndarray | float = 1.0) -> None:
        """Paint the land over the sky: linear colours (STEPS, columns, 3), times a factor ``grain`` per pixel."""
        light = self.pixels(colour * self.light) * np.asarray(grain)[..., None]
        self.image = np.where(self.seen[..., None], self.hazy(light, np.where(self.seen, self.depth, 0)), self.image)

    def reflect(self, colour: Colour) -> None:
        """Paint water, which reflects everything painted so far."""
        rows, columns = HALF
        wave = fractal(self.random, HALF, 1.0, (1, 8))
        sink = np.clip((np.arange(rows)[:, None] - self.horizon) / rows, 0, 1)
        source = np.clip(
            2 * self.horizon - np.arange(rows)[:, None] - 60 * sink * (0.12 + 0.10 * np.abs(wave)), 0, rows - 1
        )
        beside = np.clip(np.arange(columns) + 5 * wave * sink, 0, columns - 1)
        mirror = self.image[source.astype(int), beside.astype(int)]
        share = np.clip(0.25 + 0.65 * np.exp(-2.2 * sink) + 0.07 * wave, 0, 0.95)
        deep = np.asarray(colour) * (self.ambient + 0.4 * self.warm)
        self.image = np.where(self.water[..., None], mix(deep, mirror * 0.92, share), self.image)

    def plant(self, sprite: np.ndarray, x: float, y: float, z: float, high: float, colour: Colour) -> None:
        """Paint a sprite (H, W, 2) of cover and light, ``high`` metres high, upright on the land, with its shadow."""
        scale = self.focal / y
        foot, column = self.horizon + (self.eye - z) * scale, HALF[1] / 2 + x * scale
        tall, wide = high * scale, high * scale * sprite.shape[1] / sprite.shape[0]
        self._paste(SHADOW, foot + 0.12 * wide, column - self.side * 0.35 * wide, 0.3 * wide, 1.5 * wide, y, None)
        self._paste(sprite, foot, column, tall, wide, y, np.asarray(colour))

    def _paste(
        self,
        sprite: np.ndarray,
        foot: float,
        column: float,
        tall: float,
        wide: float,
        y: float,
        colour: Colour | None,
    ) -> None:
        rows = np.arange(max(int(foot - tall), 0), min(int(foot) + 1, HALF[0]))
        columns = np.arange(max(int(column - wide / 2), 0), min(int(column + wide / 2) + 1, HALF[1]))
        if not (rows.size and columns.size):
            return
        i = np.clip((rows - foot + tall) / tall * len(sprite), 0, len(sprite) - 1).astype(int)
        j = np.clip((columns - column + wide / 2) / wide * sprite.shape[1], 0, sprite.shape[1] - 1).astype(int)
        cover, light = np.moveaxis(sprite[i[:, None], j[:: self.side]], -1, 0)
        part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        cover = cover * (self.depth[part] > 0.94 * y) * min(1, 0.5 * tall + 0.1)
        if colour is None:
            self.image[part] = mix(self.image[part], self.image[part] * 0.35, cover)
        else:
            lit = light[..., None] * self.warm * 0.85 + (0.35 + 0.4 * light[..., None]) * self.ambient
            self.image[part] = mix(self.image[part], self.hazy(colour * lit, y), cover)

    def develop(self) -> np.ndarray:
        """The image, sRGB, at half size."""
        return encode(self.image)


def clump(random: Random, shape: str) -> np.ndarray:
    """(H, W, 2) cover and light of a random "tree", "fir", "bush" or "rock", lit from the upper right."""
    rows, columns = {"tree": (96, 80), "fir": (96, 44), "bush": (64, 96), "rock": (56, 96)}[shape]
    y, x = np.mgrid[:rows, :columns] / np.array([rows, columns]).reshape(2, 1, 1)
    leaves = fractal(random, (rows, columns), 0.55 if shape != "rock" else 1.4)
    cover, light = np.zeros((rows, columns)), np.zeros((rows, columns))
    aspect = rows / columns
    if shape in ("tree", "fir"):
        trunk = np.abs(x - 0.5 - 0.02 * np.sin(9 * y)) < (0.035 if shape == "tree" else 0.05)
        cover[trunk & (y > 0.4)], light[trunk & (y > 0.4)] = 1, 0.12
    for k in range({"tree": 26, "fir": 40, "bush": 16, "rock": 4}[shape]):
        if shape == "fir":
            down = 0.06 + 0.86 * k / 39
            middle, r = (0.5 + random.normal(0, 0.15) * down, down), 0.04 + 0.17 * down * random.uniform(0.7, 1.2)
        elif shape == "tree":
            angle, away = random.uniform(0, 2 * np.pi), np.sqrt(random.uniform())
            middle = 0.5 + 0.33 * away * np.cos(angle), 0.38 + 0.27 * away * np.sin(angle)
            r = random.uniform(0.09, 0.17)
        else:
            middle = 0.5 + random.normal(0, 0.15), random.uniform(0.55, 0.85)
            r = random.uniform(0.14, 0.24)
        dx, dy = (x - middle[0]) / r, (y - middle[1]) / r * aspect
        if shape == "fir":
            dy = dy * 2.2 - 0.6 * np.abs(dx)
        inside = smoothstep(1.05, 0.9, np.hypot(dx, dy) + 0.16 * leaves)
        bulge = np.sqrt(np.clip(1 - dx * dx - dy * dy, 0, 1))
        tone = np.clip(
            0.42 + 0.42 * (dx - 1.1 * dy) * 0.7 + 0.12 * bulge + 0.13 * leaves - 0.35 * (middle[1] - 0.4), 0.04, 1
        )
        cover, light = np.maximum(cover, inside), light * (1 - inside) + tone * inside
    return np.stack([cover, light], axis=-1)
