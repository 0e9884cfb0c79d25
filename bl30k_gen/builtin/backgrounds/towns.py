"""Backgrounds that are painted in two dimensions: a skyline, a bookshelf."""

import numpy as np
from scipy import ndimage

from bl30k_gen.builtin.backgrounds.canvas import (
    HEIGHT,
    SKIES,
    WIDTH,
    Random,
    finish,
    grid,
    sample,
    sky,
)
from bl30k_gen.builtin.backgrounds.lens import defocus
from bl30k_gen.builtin.families import background
from bl30k_gen.builtin.patterns import fractal, hsv, jitter, mix, ramp, smoothstep
from bl30k_gen.builtin.textures import TEXTURES

BLUR = (3.0, 7.0)  # pixels


@background
def city(random: Random) -> np.ndarray:
    """A skyline at dusk or night, its windows lit, mirrored in a river."""
    y, x = grid()
    colours = SKIES[int(random.choice([1, 2, 2]))]
    shore = random.uniform(0.74, 0.84)
    image = sky(random, colours, shore, random.uniform(0.2, 0.7))
    column = np.arange(WIDTH)
    for layer in range(4):
        near = layer / 3
        edges = np.cumsum(random.integers(26 + 14 * layer, 70 + 34 * layer, 60))
        block = np.searchsorted(edges, column + random.integers(0, 40), side="right")
        tall = random.beta(1.6, 2.6, 61) * (0.62 - 0.25 * near) + 0.10
        top = shore - tall[block] - 0.012 * (random.integers(0, 3, 61)[block])
        setback = ((column - np.concatenate([[0], edges])[block]) % 97 < 14) & (random.uniform(size=61)[block] < 0.5)
        top = top + 0.035 * setback
        wall_tone = np.array(
            [jitter(random, np.array([0.13, 0.14, 0.20]) * (1.5 - 0.75 * near), 0.25) for _ in range(61)]
        )
        wall = np.broadcast_to(wall_tone[block][None], (HEIGHT, WIDTH, 3))
        wall = wall * (0.8 + 0.5 * np.clip((y - top[None]) / 0.5, 0, 1))[..., None]
        step_x, step_y = int(5 + 3 * layer), int(7 + 4 * layer)
        u, v = column // step_x, np.arange(HEIGHT) // step_y
        share = random.uniform(0.15, 0.6, 61)[block]
        drawn = random.uniform(size=(v.max() + 1, u.max() + 1))[v[:, None], u[None]]
        pane = (column % step_x > step_x * 0.35)[None] & (np.arange(HEIGHT) % step_y > step_y * 0.45)[:, None]
        lamp = ramp(
            random.uniform(size=(v.max() + 1, u.max() + 1)), [(1.0, 0.66, 0.28), (1.0, 0.85, 0.55), (0.85, 0.93, 1.0)]
        )
        lit = pane & (drawn < share[None]) & (y > top[None] + 0.012)
        dark = pane & ~lit & (y > top[None] + 0.012)
        glow = lamp[v[:, None], u[None]] * (0.55 + 0.45 * near)
        wall = np.where(
            lit[..., None], glow, np.where(dark[..., None], wall * 0.62 + np.asarray(colours[-2]) * 0.06, wall)
        )
        haze = np.asarray(colours[-2]) * 0.55
        wall = mix(haze, wall, 0.42 + 0.58 * near + 0 * y)
        image = mix(image, wall, smoothstep(-0.0008, 0.0008, y - top[None]))
    bloom = ndimage.gaussian_filter(np.clip(image - 0.55, 0, 1), (9, 9, 0))
    image = image + 0.8 * bloom
    line = int(shore * HEIGHT)
    wave = fractal(random, (HEIGHT, WIDTH), 0.9, (1, 7))[line:]
    away = np.linspace(0.1, 1, HEIGHT - line)[:, None]
    rows = np.clip(2 * line - np.arange(line, HEIGHT)[:, None] * 1.0 + 16 * wave * away, 0, line - 1)
    columns = np.clip(column + 5 * wave * away, 0, WIDTH - 1)
    streaks = ndimage.gaussian_filter(image, (7, 0.8, 0))
    mirror = np.stack([ndimage.map_coordinates(streaks[..., c], [rows, columns], order=1) for c in range(3)], axis=-1)
    image = np.concatenate([image[:line], mirror * (0.72 + 0.10 * wave)[..., None] + 0.01])
    image[line - 3 : line + 2] *= 0.3
    return finish(random, defocus(image, random.uniform(*BLUR), sparkle=1.2))


CLOTH_HUES = (0.99, 0.02, 0.05, 0.08, 0.11, 0.13, 0.30, 0.40, 0.55, 0.60, 0.63, 0.92)  # of bookbinders


@background
def shelf(random: Random) -> np.ndarray:
    """A bookcase seen from the front, filled with books and a few vessels."""
    y, x = grid()
    wood = TEXTURES["planks"](random) / 255
    rows = int(random.integers(3, 6))
    tall = 1 / rows
    image = sample(wood, x * 0.8, y * 0.3) * 0.30
    board = 0.022
    for row in range(rows):
        base = (row + 1) * tall - board
        left = random.uniform(0, 0.03)
        while left < WIDTH / HEIGHT:
            kind = random.uniform()
            width = random.uniform(0.018, 0.05)
            height = (tall - board) * random.uniform(0.6, 0.93)
            if kind < 0.05:
                left += random.uniform(0.04, 0.12)
                continue
            if kind < 0.075:
                left = _paint_vessel(random, image, left, base, height)
                continue
            lean = random.normal(0, 0.09) if random.uniform() < 0.15 else 0.0
            width_on_shelf = width + abs(lean) * height
            part = np.s_[
                max(int((base - height) * HEIGHT) - 2, 0) : int(base * HEIGHT) + 1,
                max(int(left * HEIGHT) - 2, 0) : int((left + width_on_shelf) * HEIGHT) + 3,
            ]
            up, middle = (base - y[part]) / height, left + width_on_shelf / 2
            across = (x[part] - middle + lean * (up - 0.5) * height) / (width / 2)
            inside = smoothstep(1.05, 0.95, np.abs(across)) * (up <= 1) * (up >= 0)
            tone = hsv(random.choice(CLOTH_HUES), random.beta(2, 2.2) * 0.85, random.beta(2.2, 2) * 0.8 + 0.08)
            round_light = 0.62 + 0.42 * np.sqrt(np.clip(1 - (across - 0.2) ** 2, 0, 1))
            spine = tone * round_light[..., None]
            band = (np.abs(up - random.uniform(0.72, 0.88)) < 0.03) | (np.abs(up - random.uniform(0.1, 0.2)) < 0.015)
            text = (np.abs(across) < 0.35) & (np.abs(up - 0.5) < 0.18) & (np.sin(up * random.uniform(90, 160)) > 0.1)
            ink = hsv(0.12, random.uniform(0, 0.6), 0.9 if tone.mean() < 0.55 else 0.2)
            spine = np.where((band | text)[..., None], 0.75 * ink + 0.25 * spine, spine)
            image[part] = mix(image[part], spine, inside)
            left += width_on_shelf + 0.001
        shade = smoothstep(0.10, 0.0, y - row * tall) * (y > row * tall) * (y < base)
        image = image * (1 - 0.55 * shade)[..., None]
        plank = (y >= base) & (y < base + board)
        face = (
            sample(wood, x * 0.7, y * 0.5 + row * 0.37) * (0.75 + 0.5 * smoothstep(base + board, base, y))[..., None]
        )
        image = np.where(plank[..., None], face, image)
    for post in np.arange(random.uniform(0.1, 0.5), WIDTH / HEIGHT, 0.62):
        upright = np.abs(x - post) < 0.012
        image = np.where(upright[..., None], sample(wood, y * 0.7, x * 0.5 + post) * 0.9, image)
    glow = np.exp(-(((x - random.uniform(0.2, 1.1)) / 0.7) ** 2 + ((y - 0.3) / 0.6) ** 2))
    return finish(
        random, defocus(image * (0.65 + 0.5 * glow)[..., None] * np.array([1.0, 0.96, 0.88]), random.uniform(*BLUR))
    )


def _paint_vessel(random: Random, image: np.ndarray, left: float, base: float, height: float) -> float:
    """Paint a vase into ``image`` in place; returns the left edge of free space beside it."""
    y, x = grid()
    half = height * random.uniform(0.22, 0.36)
    part = np.s_[
        max(int((base - height) * HEIGHT), 0) : int(base * HEIGHT),
        int(left * HEIGHT) : int((left + 2 * half) * HEIGHT),
    ]
    up = (base - y[part]) / height
    radius = half * (0.55 + 0.42 * np.sin(up * random.uniform(3, 5) + random.uniform(0, 1.2)))
    across = (x[part] - left - half) / radius
    light = 0.35 + 0.75 * np.sqrt(np.clip(1 - (across + 0.3) ** 2, 0, 1))
    tone = hsv(random.choice(CLOTH_HUES), random.uniform(0.05, 0.55), random.uniform(0.4, 0.9))
    ring = 1 + 0.15 * np.sign(np.sin(up * random.uniform(12, 40)))
    image[part] = mix(image[part], tone * (light * ring)[..., None], smoothstep(1.03, 0.97, np.abs(across)))
    return left + 2 * half + 0.01
