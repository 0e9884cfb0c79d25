"""Backgrounds without people: mountains, sea, meadow, desert, forest."""

import numpy as np
from scipy import ndimage

from bl30k_gen.builtin.backgrounds.canvas import (
    HALF,
    SKIES,
    Random,
    finish,
    grid,
    ridge,
    sample,
    sky,
)
from bl30k_gen.builtin.backgrounds.land import Land, at, band, clump, ridged
from bl30k_gen.builtin.backgrounds.lens import defocus
from bl30k_gen.builtin.families import background
from bl30k_gen.builtin.patterns import cells, fractal, hsv, jitter, mix, smoothstep
from bl30k_gen.builtin.textures import TEXTURES
from bl30k_gen.library.formats.mesh import linear

BLUR = (2.5, 6.0)  # pixels


def _photograph(random: Random, image: np.ndarray) -> np.ndarray:
    """Defocus an image of half size, and scale it to full size."""
    image = defocus(image, random.uniform(*BLUR) / 2)
    return finish(random, ndimage.zoom(image, (2, 2, 1), order=1, mode="nearest", grid_mode=True))


@background
def mountains(random: Random) -> np.ndarray:
    """Ridges and snow beyond wooded slopes, in haze, mostly behind a lake; firs on the near shore."""
    weather = int(random.choice([0, 0, 1, 2, 3, 4, 4]))
    lake = random.uniform() < 0.65
    tall, side, start = random.uniform(1900, 2700), random.uniform(11000, 15000), random.uniform(900, 1800)
    peaks, hills, x0, y0 = ridged(random), band(random, 256, 4), random.uniform(0, 9000), random.uniform(0, 9000)
    knolls, shore = band(random, 128, 6), random.uniform(260, 700)

    def height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        beyond = smoothstep(start, start + 5200, y + 0.35 * np.abs(x))
        slopes = smoothstep(shore, shore + 900, y + 0.3 * np.abs(x)) * (60 + 55 * at(hills, x + x0, y + y0, 3000))
        valley = smoothstep(shore - 150, shore + 80, y + 60 * at(hills, x + x0, y, 900)) * 10 - 4
        near = 4 + 3 * at(knolls, x, y + y0, 400)
        crags = at(peaks, x + x0, y + y0, side) ** 1.25 + 0.11 * at(peaks, y + y0, x, side / 7)
        return tall * beyond * crags + slopes + (valley if lake else near)

    land = Land(
        random,
        height,
        weather,
        eye=random.uniform(14, 24),
        horizon=random.uniform(0.58, 0.68),
        focal=random.uniform(0.95, 1.3),
        reach=(18, 17000),
        sight=random.uniform(12000, 22000),
        cover=random.uniform(0.2, 0.6),
    )
    mottled = at(hills, land.x, land.y, 700) + 0.6 * at(knolls, land.x, land.y, 90)
    rock = linear(hsv(random.uniform(0.03, 0.1), random.uniform(0.05, 0.2), random.uniform(0.42, 0.56)))
    wood = linear(hsv(random.uniform(0.22, 0.36), random.uniform(0.35, 0.5), random.uniform(0.24, 0.34)))
    grass = linear(hsv(random.uniform(0.18, 0.25), random.uniform(0.38, 0.5), random.uniform(0.38, 0.52)))
    timber = random.uniform(0.20, 0.32) * tall + 90 * mottled
    trees = smoothstep(timber + 60, timber - 60, land.z) * smoothstep(1.5, 1.0, land.steep)
    trees = trees * smoothstep(-0.3, 0.2, mottled + land.z / 120) * smoothstep(250, 700, land.y)
    green = smoothstep(1.25, 0.75, land.steep + 0.5 * (land.z - timber) / tall)
    strata = 1 + 0.12 * np.sin(land.z / 17 + 2 * mottled)[..., None]
    ground = mix(mix(rock * strata, grass, green), wood, trees)
    snow = random.uniform(0.28, 0.52) * tall + 70 * mottled
    white = smoothstep(snow - 60, snow + 160, land.z) * smoothstep(2.3, 1.3, land.steep)
    ground = mix(ground, np.array([0.82, 0.85, 0.90]), white)
    needles = fractal(random, HALF, 0.35)
    wooded = land.pixels(trees)
    land.paint(ground, np.clip(1 + (0.18 + 0.22 * wooded) * (needles - np.roll(needles, land.side, 1)), 0.3, 2))
    firs = [clump(random, "fir") for _ in range(4)]
    places = [(random.uniform(0.1, 1) ** 1.5 * 900 + 120, random.uniform(-0.6, 0.6)) for _ in range(260)]
    for y, across in sorted(places, reverse=True):
        x = across * y
        z = float(height(np.array([x]), np.array([y]))[0])
        if z > 0.5 and at(knolls, np.array([x]), np.array([y]), 500)[0] > -0.2:
            land.plant(firs[random.integers(4)], x, y, z, random.uniform(9, 22), wood * random.uniform(0.7, 1.2))
    if lake:
        land.reflect(np.array([0.02, 0.05, 0.06]))
    return _photograph(random, land.develop())


@background
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


@background
def meadow(random: Random) -> np.ndarray:
    """Rolling hills with fields, hedges and woods, grass and flowers in the foreground."""
    weather = int(random.choice([0, 0, 0, 3, 4, 1]))
    rolls, hills, fine = band(random, 256, 4), band(random, 256, 3), band(random, 256, 20)
    high, far = random.uniform(6, 11), random.uniform(50, 130)

    def height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        near = smoothstep(5, 160, y) * high * at(rolls, x, y, 900)
        return 30 + near + smoothstep(400, 3500, y) * far * (1 + at(hills, x, y, 7000))

    land = Land(
        random,
        height,
        weather,
        eye=30 + random.uniform(2.2, 6),
        horizon=random.uniform(0.42, 0.55),
        focal=random.uniform(0.85, 1.1),
        reach=(2, 9000),
        sight=random.uniform(3500, 8000),
        cover=random.uniform(0.3, 0.65),
    )
    side = 1500.0
    field, _, border = cells(random, 256, 64)
    bend = at(hills, land.x, land.y, 700)
    u, v = land.x + 25 * bend, land.y + 25 * at(rolls, land.x, land.y, 500)
    of = ndimage.map_coordinates(field, [v * 256 / side, u * 256 / side], order=0, mode="grid-wrap")
    hue = random.choice([0.13, 0.16, 0.20, 0.23, 0.25, 0.27], 64)
    crop = np.stack([linear(hsv(h, random.uniform(0.4, 0.62), random.uniform(0.40, 0.62))) for h in hue])
    turn = random.uniform(0, np.pi, 64)
    row = np.sin((land.x * np.cos(turn[of]) + land.y * np.sin(turn[of])) * 2 * np.pi / 4) * (turn[of] > 1.3)
    furrow = 0.14 * row * smoothstep(500, 60, land.y)
    wild = linear(hsv(random.uniform(0.19, 0.25), random.uniform(0.45, 0.6), random.uniform(0.36, 0.5)))
    ground = mix(wild, crop[of] * (1 + furrow)[..., None], smoothstep(60, 130, land.y + 25 * bend))
    mottled = 0.6 * at(fine, land.x, land.y, 120) + 0.5 * at(fine, land.x, land.y, 9) * smoothstep(60, 15, land.y)
    ground = ground * np.clip(1 + 0.14 * mottled, 0.4, 1.6)[..., None]
    dots, cover = np.zeros((256, 256, 3)), np.zeros((256, 256))
    for _ in range(int(random.choice([0, 300, 900]))):
        i, j = random.integers(1, 255, 2)
        dots[i - 1 : i + 1, j - 1 : j + 1] = hsv(
            random.choice([0.14, 0.15, 0.0, 0.6, 0.97]), random.uniform(0, 0.8), 0.95
        )
        cover[i - 1 : i + 1, j - 1 : j + 1] = 1
    at_near = [(land.y * 256 / 7) % 256, (land.x * 256 / 7) % 256]
    i, j = (np.minimum(c.astype(int), 255) for c in at_near)
    blooms = cover[i, j] * smoothstep(70, 12, land.y) * smoothstep(0.0, 0.8, at(fine, land.x, land.y, 260))
    ground = mix(ground, linear(dots)[i, j], blooms)
    blades = fractal(random, HALF, 0.45, (2.2, 1))
    land.paint(ground, np.clip(1 + 0.16 * blades * np.clip(30 / land.depth, 0.25, 1), 0.3, 2))
    sprites = [clump(random, "tree") for _ in range(5)] + [clump(random, "bush") for _ in range(4)]
    leaf = linear(hsv(random.uniform(0.2, 0.29), random.uniform(0.45, 0.6), random.uniform(0.34, 0.46)))
    count = 2600
    y = np.sort(np.exp(random.uniform(np.log(70), np.log(4000), count)))[::-1]
    x = random.uniform(-0.7, 0.7, count) * y
    bend = at(hills, x, y, 700)
    u, v = x + 25 * bend, y + 25 * at(rolls, x, y, 500)
    edge = at(border, u, v, side) * side / 256
    wood = (at(rolls, x, y, 2300) > 0.9) & (y > 220)
    z = height(x, y)
    for k in np.flatnonzero((edge < 7) | wood):
        tree = wood[k] or random.uniform() < 0.35
        sprite = sprites[random.integers(5) if tree else 5 + random.integers(4)]
        high = random.uniform(8, 17) if tree else random.uniform(2.5, 4.5)
        land.plant(sprite, x[k], y[k], z[k], high, leaf * random.uniform(0.7, 1.35))
    return _photograph(random, land.develop())


@background
def desert(random: Random) -> np.ndarray:
    """Dunes with sharp winding crests and rippled sand, rocks and dry shrubs, far table mountains."""
    weather = int(random.choice([0, 0, 1, 4, 4, 2]))
    warp, hills, fine = band(random, 256, 3), band(random, 256, 3), band(random, 256, 24)
    across, along = (int(n) for n in random.permutation([(1, 4), (2, 3), (-2, 3), (-1, 4)])[0])
    side, high, mesa = random.uniform(420, 680), random.uniform(11, 18), random.uniform(0, 1)

    def dunes(x: np.ndarray, y: np.ndarray, side: float) -> np.ndarray:
        """Heights 0..1: a gentle slope on the windward side of a dune, a steep one behind its crest."""
        phase = (across * x + along * y) / side + 0.33 * at(warp, x, y, side) + 0.05 * at(warp, y, x, side / 3)
        part = phase - np.floor(phase)
        foot = smoothstep(-0.25, 0.7, np.float32(0))
        return np.where(part < 0.7, smoothstep(-0.25, 0.7, part), foot + (1 - foot) * (1 - part) / 0.3)

    def height(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        grown = np.clip(0.6 + 0.4 * at(hills, x, y, 1.7 * side), 0.1, None) * smoothstep(0, 90, y)
        sand = high * (grown * dunes(x, y, side) + 0.07 * dunes(y + 31, x, side / 4.3) * smoothstep(2, 60, y))
        table = np.clip(at(hills, x + 999, y, 9000) - 0.5, 0, 0.35) * 900 * mesa
        return 5 + sand + table * smoothstep(3500, 4500, y)

    land = Land(
        random,
        height,
        weather,
        eye=5 + random.uniform(7, 12),
        horizon=random.uniform(0.36, 0.48),
        focal=random.uniform(0.9, 1.2),
        reach=(6, 9000),
        sight=random.uniform(2500, 6000),
        cover=random.uniform(0.05, 0.35),
    )
    sand = linear(hsv(random.uniform(0.065, 0.105), random.uniform(0.38, 0.58), random.uniform(0.68, 0.82)))
    stone = linear(hsv(random.uniform(0.03, 0.07), 0.4, 0.5))
    phase = land.y * 2.1 + 0.5 * land.x + 0.9 * at(fine, land.x, land.y, 300)
    ripple = 0.13 * np.sin(2 * np.pi * phase / 1.6) * smoothstep(110, 15, land.y) * smoothstep(0.55, 0.3, land.steep)
    mottled = 0.05 * at(fine, land.x, land.y, 300) + 0.04 * at(fine, land.x, land.y, 40)
    ground = mix(sand, stone, smoothstep(40, 60, land.z) * smoothstep(3000, 3500, land.y))
    land.paint(ground * (1 + ripple + mottled)[..., None], 1 + 0.03 * fractal(random, HALF, 0.3))
    sprites = [clump(random, shape) for shape in ("bush", "bush", "bush", "rock", "rock")]
    count = int(random.choice([60, 200, 420]))
    y = np.sort(np.exp(random.uniform(np.log(16), np.log(1200), count)))[::-1]
    x = random.uniform(-0.7, 0.7, count) * y
    z, group = height(x, y), at(hills, x, y, 300)
    dry = linear(hsv(random.uniform(0.11, 0.2), random.uniform(0.3, 0.45), random.uniform(0.3, 0.45)))
    for k in np.flatnonzero((group > 0.2) & (dunes(x, y, side) < 0.55)):
        kind = random.integers(5)
        land.plant(
            sprites[kind],
            x[k],
            y[k],
            z[k],
            random.uniform(0.4, 1.5),
            (dry if kind < 3 else stone) * random.uniform(0.7, 1.3),
        )
    return _photograph(random, land.develop())


@background
def forest(random: Random) -> np.ndarray:
    """Trunks behind each other in mist, light from above, a floor of leaves."""
    y, x = grid(HALF)
    season = random.uniform(0.10, 0.29)
    mist = hsv(season + 0.02, 0.10, random.uniform(0.7, 0.92))
    leaf = hsv(season, random.uniform(0.42, 0.6), random.uniform(0.35, 0.55))
    glow = np.exp(-(((x - random.uniform(0.2, 1.1)) / 0.5) ** 2 + ((y - 0.28) / 0.4) ** 2))
    crowns = fractal(random, HALF, 1.05)
    image = mix(mist * 0.75, np.minimum(mist * 1.15, 1), np.clip(glow + 0.08 * crowns, 0, 1))
    floor_line = random.uniform(0.62, 0.7)
    away = np.clip(y - floor_line - 0.006 * crowns, 1e-3, None)
    ground = sample(TEXTURES["leaves"](random, 256) / 255, (x - 0.67) / away * 0.25 + 7, 0.18 / away)
    ground = mix(mist, ground * np.clip(0.75 + 0.25 * crowns, 0.3, 1.3)[..., None], smoothstep(0.0, 0.18, away))
    image = mix(image, ground, smoothstep(0.001, 0.015, away))
    for layer in range(6):
        near = (layer + 1) / 6
        fade = 0.25 + 0.75 * near**1.4
        foot = floor_line + 0.30 * near**2.2
        tree, shade = np.zeros(HALF, np.float32), np.zeros(HALF, np.float32)
        for _ in range(int(18 / (1 + 1.6 * layer)) + 2):
            centre, width = random.uniform(-0.05, 1.4), (0.006 + 0.05 * near**2) * random.uniform(0.6, 1.4)
            lean, bottom = random.normal(0, 0.05), foot + random.uniform(-0.03, 0.03)
            reach = 3 * width + abs(lean) + 0.02
            strip = np.s_[:, max(int((centre - reach) * HALF[0]), 0) : max(int((centre + reach) * HALF[0]), 0)]
            axis = centre + lean * (y[strip] - foot) + 0.008 * np.sin(5 * y[strip] + random.uniform(0, 6))
            roots = np.exp(-np.clip(bottom - y[strip], 0, 1) / (0.05 + 0.05 * near))
            across = (x[strip] - axis) / (width * (1 + 0.9 * roots + 0.15 * (y[strip] - 0.5)))
            inside = smoothstep(1.0, 0.92, np.abs(across))
            inside = inside * smoothstep(0.004, -0.004, y[strip] - bottom - 0.02 * (1 - across**2))
            shade[strip] = np.where(inside > tree[strip], across, shade[strip])
            tree[strip] = np.maximum(tree[strip], inside)
        bark = fractal(random, HALF, 0.9, (5, 1))
        trunk = np.array([0.22, 0.17, 0.13]) * np.clip(1.1 + 0.30 * bark - 0.55 * shade, 0.2, 2)[..., None]
        image = mix(image, mix(mist, trunk, fade + 0 * y), tree)
        bunch = fractal(random, HALF, 0.95)
        hang = smoothstep(0.1, 0.35, bunch * 0.35 + 0.52 - 0.25 * near - y - 0.10 * np.sin(5 * x + layer))
        green = jitter(random, leaf, 0.12) * np.clip(1 + 0.30 * fractal(random, HALF, 0.55), 0.3, 2)[..., None]
        image = mix(image, mix(mist, green, fade + 0 * y), 0.85 * hang)
    rays = smoothstep(0.55, 1.6, fractal(random, (1, HALF[1]), 1.2)[0])
    slant = (np.arange(HALF[1])[None] - 0.5 * np.arange(HALF[0])[:, None]).astype(int) % HALF[1]
    image = image + 0.16 * (rays[slant] * np.clip(0.9 - y, 0, 1))[..., None] * mist
    return _photograph(random, image)
