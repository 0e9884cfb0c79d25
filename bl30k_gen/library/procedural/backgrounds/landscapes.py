"""Backgrounds without people: mountains, sea, meadow, desert, forest."""

import numpy as np
from scipy import ndimage

from bl30k_gen.library.procedural.backgrounds.canvas import (
    HEIGHT,
    SKIES,
    WIDTH,
    Random,
    finish,
    grid,
    ridge,
    sample,
    sky,
)
from bl30k_gen.library.procedural.backgrounds.lens import defocus
from bl30k_gen.library.procedural.patterns import fractal, hsv, jitter, mix, smoothstep
from bl30k_gen.library.procedural.textures import TEXTURES

BLUR = (2.5, 6.0)  # pixels


def mountains(random: Random) -> np.ndarray:
    """Ranges behind each other in haze, the near ones wooded, often with a lake."""
    y, _ = grid()
    colours = SKIES[random.integers(len(SKIES))]
    horizon = random.uniform(0.55, 0.66)
    image = sky(random, colours, horizon + 0.1, random.uniform(0.2, 0.75))
    haze = np.asarray(colours[-1]) * 0.75 + np.asarray(colours[0]) * 0.25
    rock = (np.array([0.42, 0.38, 0.36]), np.array([0.50, 0.42, 0.34]), np.array([0.30, 0.34, 0.40]))[
        random.integers(3)
    ]
    wood = hsv(random.uniform(0.20, 0.34), random.uniform(0.22, 0.40), random.uniform(0.20, 0.34))
    layers = int(random.integers(4, 7))
    snow_line = random.uniform(0.05, 0.2)
    for layer in range(layers):
        near = layer / (layers - 1)
        crest = horizon - (0.24 - 0.20 * near) - (0.085 - 0.05 * near) * ridge(random, 0.55 - 0.35 * near)
        depth = y - crest[None]
        folds = fractal(random, (HEIGHT, WIDTH), 1.5 - 0.35 * near, (0.8, 1.3))
        cliffs = 1.3 * (1 - near) ** 2 * (folds - np.roll(folds, 5, axis=1))
        woods = 0.14 * fractal(random, (HEIGHT, WIDTH), 0.5, (0.7, 1)) + 0.12 * fractal(random, (HEIGHT, WIDTH), 2.0)
        light = np.clip(0.72 + cliffs + (0.25 + 0.75 * near) * woods, 0.25, 1.3)
        ground = mix(rock, wood, smoothstep(0.35, 0.75, near + 0.10 * folds))
        if near < 0.55:
            snow = smoothstep(snow_line + 0.05, snow_line - 0.05, depth + 0.035 * folds) * (1 - near)
            ground = mix(ground, np.array([0.93, 0.95, 0.98]), snow)
        ground = mix(haze, ground * light[..., None], 0.30 + 0.70 * near**0.8 + 0 * folds)
        ground = mix(ground, haze, 0.45 * (1 - near) * smoothstep(0.0, 0.25, depth))
        image = mix(image, ground, smoothstep(-0.0012, 0.0012, depth))
    if random.uniform() < 0.65:
        shore = horizon + random.uniform(0.10, 0.16)
        line = int(shore * HEIGHT)
        rows = np.clip(2 * line - np.arange(line, HEIGHT), 0, HEIGHT - 1)
        wave = fractal(random, (HEIGHT, WIDTH), 1.1, (1, 9))[line:]
        away = np.linspace(0, 1, HEIGHT - line)[:, None]
        columns = np.clip(np.arange(WIDTH) + wave * 8 * away, 0, WIDTH - 1)
        source = [np.broadcast_to(rows[:, None] + 3 * wave * away, columns.shape), columns]
        mirror = np.stack(
            [ndimage.map_coordinates(image[..., c], source, order=1, mode="nearest") for c in range(3)], -1
        )
        water = mix(mirror * 0.82, np.asarray(colours[0]) * 0.55, 0.15 + 0.4 * away + 0.06 * wave)
        image = np.concatenate([image[:line], water])
    return finish(random, defocus(image, random.uniform(*BLUR)))


def sea(random: Random) -> np.ndarray:
    """Open water with waves, the sun over it, sometimes an island."""
    y, x = grid()
    colours = SKIES[random.integers(len(SKIES))]
    horizon = random.uniform(0.38, 0.56)
    image = sky(random, colours, horizon, random.uniform(0.2, 0.7))
    sun_x, sun_y = random.uniform(0.2, 1.1), horizon - random.uniform(0.03, 0.2)
    distance = np.hypot(x - sun_x, y - sun_y)
    sunny = len(colours) == 4 or random.uniform() < 0.5
    if sunny:
        image = image + np.exp(-distance / 0.16)[..., None] * np.array([0.5, 0.34, 0.16])
        image = mix(image, np.array([1.0, 0.96, 0.82]), smoothstep(0.036, 0.030, distance))
    for _ in range(int(random.integers(0, 4))):
        centre, width, height = random.uniform((0, 0.1, 0.02), (1.33, 0.35, 0.1))
        crest = horizon - height * np.exp(-(((x[0] - centre) / width) ** 2)) * (1 + 0.12 * ridge(random, 0.8)) + 0.004
        haze = np.asarray(colours[-1]) * 0.5 + np.array([0.12, 0.14, 0.20])
        image = mix(image, haze * 0.75, smoothstep(-0.001, 0.001, y - crest[None]) * (y < horizon + 0.005))
    away = np.clip(y - horizon, 1e-3, None)
    size = 1024
    swell = fractal(random, (size, size), 1.25, (1, 2.2)) + 0.5 * fractal(random, (size, size), 0.9, (1, 2.5))
    v, u = 0.10 / away * size, (x - 0.67) / away * 0.16 * size
    wave = ndimage.map_coordinates(swell, [v % size, u % size], order=1, mode="grid-wrap")
    calm = smoothstep(0.0, 0.10, away)
    deep = np.asarray(colours[0]) * 0.42 + np.array([0.0, 0.07, 0.08])
    mirror = np.asarray(colours[-1]) * 0.72
    facing = np.clip(0.55 - 0.75 * away + 0.24 * wave * calm, 0, 1)
    water = mix(deep, mirror, facing)
    foam = smoothstep(1.75, 2.5, wave) * smoothstep(0.12, 0.35, away)
    water = mix(water, np.array([0.92, 0.95, 0.96]), foam)
    if sunny:
        path = np.exp(-(((x - sun_x) / (0.05 + 0.45 * away)) ** 2)) * smoothstep(-0.1, 1.2, wave + 0.5 * (1 - calm))
        water = water + path[..., None] * np.array([0.95, 0.72, 0.42]) * 0.85
    return finish(random, defocus(mix(image, water, smoothstep(-0.001, 0.001, y - horizon)), random.uniform(*BLUR)))


def meadow(random: Random) -> np.ndarray:
    """Rolling hills with fields, hedges, flowers in the foreground."""
    y, x = grid()
    colours = SKIES[int(random.choice([0, 0, 3, 4, 1]))]
    horizon = random.uniform(0.45, 0.58)
    image = sky(random, colours, horizon, random.uniform(0.3, 0.8))
    haze = np.asarray(colours[-1])
    for layer in range(5):
        near = layer / 4
        crest = horizon - 0.05 + 0.36 * near**1.5 - (0.03 + 0.025 * near) * ridge(random, -0.2)
        depth = y - crest[None]
        field = hsv(random.uniform(0.13, 0.28), random.uniform(0.32, 0.52), random.uniform(0.34, 0.62))
        tufts = fractal(random, (HEIGHT, WIDTH), 0.55, (0.7, 1)) * (0.3 + near)
        furrow = np.sin((x * 1.0 + 0.6 * depth) / (0.004 + 0.01 * near)) * (random.uniform() < 0.4) * 0.06
        ground = field * np.clip(0.92 + 0.13 * tufts + furrow - 0.5 * depth, 0.2, 1.3)[..., None]
        blot = smoothstep(1.1, 1.5, fractal(random, (HEIGHT, WIDTH), 1.5, (1, 1.8)))
        ground = mix(ground, field * 0.6, 0.5 * blot)
        ground = mix(ground, haze, 0.55 * (1 - near) ** 1.5 + 0 * y)
        image = mix(image, ground, smoothstep(-0.001, 0.002, depth))
        hedge = crest - (0.010 + 0.035 * near) * np.clip(ridge(random, 1.3) * 0.6 + 0.1, 0, None)
        if layer < 4:
            leaf = field * np.array([0.5, 0.6, 0.5]) * np.clip(0.9 + 0.25 * tufts, 0.3, 1.5)[..., None]
            leaf = mix(leaf, haze, 0.5 * (1 - near) ** 1.5 + 0 * y)
            image = mix(
                image,
                leaf,
                smoothstep(-0.002, 0.002, y - hedge[None])
                * (depth < 0.004)
                * smoothstep(0, 0.004, crest - hedge)[None],
            )
    for _ in range(int(random.choice([0, 260, 420]))):
        cy = horizon + 0.28 + 0.28 * random.beta(2, 1)
        size = 0.004 + 0.016 * (cy - horizon) ** 1.5
        cx, petals = random.uniform(0, WIDTH / HEIGHT), random.integers(5, 8)
        reach = size * 1.4
        part = np.s_[
            int((cy - reach) * HEIGHT) : int((cy + reach) * HEIGHT) + 1,
            max(0, int((cx - reach) * HEIGHT)) : int((cx + reach) * HEIGHT) + 1,
        ]
        dy, dx = (y[part] - cy) * 1.6, x[part] - cx
        if not dx.size:
            continue
        r = np.hypot(dx, dy) / size
        bloom = smoothstep(1.0, 0.85, r / (0.75 + 0.25 * np.cos(petals * np.arctan2(dy, dx))))
        tone = hsv(random.choice([0.98, 0.13, 0.78, 0.6, 0.05]), random.uniform(0.3, 0.8), 0.95)
        image[part] = mix(mix(image[part], tone, bloom), np.array([0.95, 0.80, 0.25]), smoothstep(0.32, 0.25, r))
    return finish(random, defocus(image, random.uniform(*BLUR)))


def desert(random: Random) -> np.ndarray:
    """Dunes with sharp crests, rippled sand, a low sun."""
    y, x = grid()
    colours = SKIES[int(random.choice([0, 1, 4, 2]))]
    horizon = random.uniform(0.42, 0.55)
    image = sky(random, colours, horizon, random.uniform(0.05, 0.35))
    sand = hsv(random.uniform(0.055, 0.105), random.uniform(0.4, 0.65), random.uniform(0.72, 0.92))
    shade = sand * 0.45 + np.asarray(colours[0]) * 0.15
    haze = np.asarray(colours[-1])
    layers = int(random.integers(4, 7))
    for layer in range(layers):
        near = layer / (layers - 1)
        line = ridge(random, -0.25)
        crest = horizon - 0.06 + 0.34 * near**1.3 - (0.035 + 0.05 * near) * line
        depth = y - crest[None]
        # The lee side begins at a line that winds down from each summit.
        slip = 0.5 * (0.12 + 0.2 * near) * (1 + np.tanh(120 * np.gradient(ndimage.gaussian_filter1d(line, 22))))[None]
        winding = 0.022 * fractal(random, (HEIGHT, WIDTH), 2.6)
        lit = smoothstep(-0.006, 0.010, depth - slip - winding)
        pitch = (0.0035 + 0.010 * near) * (1 + 3 * np.clip(depth, 0, 1))
        ripple = np.sin((depth + 0.02 * x + 0.5 * winding) / pitch * 2) * smoothstep(0.2, 0.7, near)
        light = (
            mix(shade, sand, 0.15 + 0.85 * lit)
            * (1 + 0.05 * ripple + 0.03 * fractal(random, (HEIGHT, WIDTH), 0.5))[..., None]
        )
        light = mix(light, haze, 0.6 * (1 - near) ** 1.5 + 0 * y)
        image = mix(image, light, smoothstep(-0.001, 0.001, depth))
    return finish(random, defocus(image, random.uniform(*BLUR)))


def forest(random: Random) -> np.ndarray:
    """Trunks behind each other in mist, light from above, a floor of leaves."""
    y, x = grid()
    season = random.uniform(0.10, 0.29)
    mist = hsv(season + 0.02, 0.10, random.uniform(0.7, 0.92))
    leaf = hsv(season, random.uniform(0.42, 0.6), random.uniform(0.35, 0.55))
    glow = np.exp(-(((x - random.uniform(0.2, 1.1)) / 0.5) ** 2 + ((y - 0.28) / 0.4) ** 2))
    crowns = fractal(random, (HEIGHT, WIDTH), 1.05)
    image = mix(mist * 0.75, np.minimum(mist * 1.15, 1), np.clip(glow + 0.08 * crowns, 0, 1))
    floor_line = random.uniform(0.62, 0.7)
    away = np.clip(y - floor_line - 0.006 * crowns, 1e-3, None)
    ground = sample(TEXTURES["leaves"](random) / 255, (x - 0.67) / away * 0.25 + 7, 0.18 / away)
    ground = mix(mist, ground * np.clip(0.75 + 0.25 * crowns, 0.3, 1.3)[..., None], smoothstep(0.0, 0.18, away))
    image = mix(image, ground, smoothstep(0.001, 0.015, away))
    for layer in range(6):
        near = (layer + 1) / 6
        fade = 0.25 + 0.75 * near**1.4
        foot = floor_line + 0.30 * near**2.2
        tree, shade = np.zeros((HEIGHT, WIDTH), np.float32), np.zeros((HEIGHT, WIDTH), np.float32)
        for _ in range(int(18 / (1 + 1.6 * layer)) + 2):
            centre, width = random.uniform(-0.05, 1.4), (0.006 + 0.05 * near**2) * random.uniform(0.6, 1.4)
            lean, bottom = random.normal(0, 0.05), foot + random.uniform(-0.03, 0.03)
            reach = 3 * width + abs(lean) + 0.02
            strip = np.s_[:, max(int((centre - reach) * HEIGHT), 0) : max(int((centre + reach) * HEIGHT), 0)]
            axis = centre + lean * (y[strip] - foot) + 0.008 * np.sin(5 * y[strip] + random.uniform(0, 6))
            roots = np.exp(-np.clip(bottom - y[strip], 0, 1) / (0.05 + 0.05 * near))
            across = (x[strip] - axis) / (width * (1 + 0.9 * roots + 0.15 * (y[strip] - 0.5)))
            inside = smoothstep(1.0, 0.92, np.abs(across))
            inside = inside * smoothstep(0.004, -0.004, y[strip] - bottom - 0.02 * (1 - across**2))
            shade[strip] = np.where(inside > tree[strip], across, shade[strip])
            tree[strip] = np.maximum(tree[strip], inside)
        bark = fractal(random, (HEIGHT, WIDTH), 0.9, (5, 1))
        trunk = np.array([0.22, 0.17, 0.13]) * np.clip(1.1 + 0.30 * bark - 0.55 * shade, 0.2, 2)[..., None]
        image = mix(image, mix(mist, trunk, fade + 0 * y), tree)
        bunch = fractal(random, (HEIGHT, WIDTH), 0.95)
        hang = smoothstep(0.1, 0.35, bunch * 0.35 + 0.52 - 0.25 * near - y - 0.10 * np.sin(5 * x + layer))
        green = (
            jitter(random, leaf, 0.12) * np.clip(1 + 0.30 * fractal(random, (HEIGHT, WIDTH), 0.55), 0.3, 2)[..., None]
        )
        image = mix(image, mix(mist, green, fade + 0 * y), 0.85 * hang)
    rays = smoothstep(0.55, 1.6, fractal(random, (1, WIDTH), 1.2)[0])
    slant = np.clip((np.arange(WIDTH)[None] - 0.5 * np.arange(HEIGHT)[:, None]).astype(int) % WIDTH, 0, WIDTH - 1)
    image = image + 0.16 * (rays[slant] * np.clip(0.9 - y, 0, 1))[..., None] * mist
    return finish(random, defocus(image, random.uniform(*BLUR)))
