"""Background families: functions of a random stream that paint a (768, 1024, 3) uint8 image."""

import numpy as np
from scipy import ndimage

from bl30k_gen.library.procedural.patterns import (
    Colour,
    fractal,
    hsv,
    jitter,
    mix,
    ramp,
    smoothstep,
    to_pixels,
    unit,
)
from bl30k_gen.library.procedural.textures import TEXTURES

HEIGHT, WIDTH = 768, 1024
Random = np.random.Generator

# From the zenith to the horizon, sRGB.
SKIES = (
    [(0.20, 0.42, 0.72), (0.45, 0.66, 0.88), (0.82, 0.90, 0.95)],  # noon
    [(0.10, 0.12, 0.30), (0.45, 0.28, 0.45), (0.95, 0.52, 0.32), (1.0, 0.80, 0.50)],  # sunset
    [(0.05, 0.07, 0.20), (0.14, 0.20, 0.42), (0.45, 0.45, 0.62), (0.85, 0.62, 0.55)],  # dusk
    [(0.48, 0.56, 0.66), (0.66, 0.72, 0.78), (0.84, 0.86, 0.86)],  # overcast
    [(0.30, 0.50, 0.72), (0.72, 0.74, 0.76), (0.98, 0.84, 0.64)],  # morning
)


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Row (0 at the top) and column coordinates in units of the height."""
    return np.mgrid[:HEIGHT, :WIDTH] / HEIGHT


def _sky(random: Random, colours: list[Colour], horizon: float, cover: float = 0.5) -> np.ndarray:
    """A sky above row ``horizon``, with clouds seen in perspective and lit from one side; ``cover`` 0..1."""
    y, _ = _grid()
    up = np.clip(1 - y / horizon, 0, 1)
    image = ramp(1 - up, colours)
    warm = np.asarray(colours[-1])
    hills = fractal(random, (HEIGHT, WIDTH), 1.5, (2.6, 1))
    # Rows near the horizon show the clouds further away, so they lie closer together.
    rows = np.clip(HEIGHT * 0.98 * (1 - 1 / (1 + 2.4 * up)) / (1 - 1 / 3.4), 0, HEIGHT - 1)
    hills = ndimage.map_coordinates(hills, [rows, np.broadcast_to(np.arange(WIDTH), rows.shape)], order=1)
    lit = hills - ndimage.shift(hills, (10, 6), order=0, mode="nearest")
    body = smoothstep(0.9 - 1.6 * cover, 2.2 - 1.6 * cover, hills) * smoothstep(0, 0.12, up)
    white = np.clip(0.55 * warm + 0.45, 0, 1)
    tone = np.clip(0.62 + 0.35 * lit, 0, 1)
    return mix(image, mix(np.asarray(colours[len(colours) // 2]) * 0.75 + 0.1, white, tone), 0.9 * body)


def _ridge(random: Random, rough: float) -> np.ndarray:
    """A random line over the columns, mean 0 and standard deviation 1; smaller ``rough`` is smoother."""
    return fractal(random, (1, WIDTH), 2.1 - rough)[0]


def _finish(random: Random, image: np.ndarray, blur: float = 0.0) -> np.ndarray:
    """What a camera adds: a little unsharpness, darker corners, grain."""
    if blur:
        image = ndimage.gaussian_filter(image, (blur, blur, 0))
    y, x = _grid()
    corner = 1 - 0.22 * ((y - 0.5) ** 2 + (x - WIDTH / HEIGHT / 2) ** 2)
    grain = random.normal(0, 0.012, (HEIGHT, WIDTH, 1))
    return to_pixels(image * corner[..., None] + grain)


def mountains(random: Random) -> np.ndarray:
    """Ranges behind each other in haze, the near ones wooded, often with a lake."""
    y, _ = _grid()
    colours = SKIES[random.integers(len(SKIES))]
    horizon = random.uniform(0.55, 0.66)
    image = _sky(random, colours, horizon + 0.1, random.uniform(0.2, 0.75))
    haze = np.asarray(colours[-1]) * 0.75 + np.asarray(colours[0]) * 0.25
    rock = (np.array([0.42, 0.38, 0.36]), np.array([0.50, 0.42, 0.34]), np.array([0.30, 0.34, 0.40]))[random.integers(3)]
    wood = hsv(random.uniform(0.22, 0.36), random.uniform(0.3, 0.5), random.uniform(0.18, 0.34))
    layers = int(random.integers(4, 7))
    snow_line = random.uniform(0.05, 0.2)
    for layer in range(layers):
        near = layer / (layers - 1)
        crest = horizon - (0.24 - 0.20 * near) - (0.085 - 0.05 * near) * _ridge(random, 0.55 - 0.35 * near)
        depth = y - crest[None]
        folds = fractal(random, (HEIGHT, WIDTH), 1.25, (0.8, 1.3))
        light = np.clip(0.62 + 0.22 * (folds - np.roll(folds, 5, axis=1)) * 6 / (1 + layer), 0.25, 1.25)
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
        wave = fractal(random, (HEIGHT, WIDTH), 1.1, (9, 1))[line:]
        away = np.linspace(0, 1, HEIGHT - line)[:, None]
        columns = np.clip(np.arange(WIDTH) + wave * 8 * away, 0, WIDTH - 1)
        source = [np.broadcast_to(rows[:, None] + 3 * wave * away, columns.shape), columns]
        mirror = np.stack([ndimage.map_coordinates(image[..., c], source, order=1, mode="nearest") for c in range(3)], -1)
        water = mix(mirror * 0.82, np.asarray(colours[0]) * 0.55, 0.15 + 0.4 * away + 0.06 * wave)
        image = np.concatenate([image[:line], water])
    return _finish(random, image, 0.6)


def city(random: Random) -> np.ndarray:
    """A skyline at dusk or night, its windows lit, mirrored in a river."""
    y, x = _grid()
    colours = SKIES[int(random.choice([1, 2, 2]))]
    shore = random.uniform(0.74, 0.84)
    image = _sky(random, colours, shore, random.uniform(0.2, 0.7))
    column = np.arange(WIDTH)
    for layer in range(4):
        near = layer / 3
        edges = np.cumsum(random.integers(26 + 14 * layer, 70 + 34 * layer, 60))
        block = np.searchsorted(edges, column + random.integers(0, 40), side="right")
        tall = random.beta(1.6, 2.6, 61) * (0.62 - 0.25 * near) + 0.10
        top = shore - tall[block] - 0.012 * (random.integers(0, 3, 61)[block])
        setback = ((column - np.concatenate([[0], edges])[block]) % 97 < 14) & (random.uniform(size=61)[block] < 0.5)
        top = top + 0.035 * setback
        wall_tone = np.array([jitter(random, np.array([0.13, 0.14, 0.20]) * (1.5 - 0.75 * near), 0.25) for _ in range(61)])
        wall = np.broadcast_to(wall_tone[block][None], (HEIGHT, WIDTH, 3))
        wall = wall * (0.8 + 0.5 * np.clip((y - top[None]) / 0.5, 0, 1))[..., None]
        step_x, step_y = int(5 + 3 * layer), int(7 + 4 * layer)
        u, v = column // step_x, np.arange(HEIGHT) // step_y
        share = random.uniform(0.15, 0.6, 61)[block]
        chance = random.uniform(size=(v.max() + 1, u.max() + 1))[v[:, None], u[None]]
        pane = (column % step_x > step_x * 0.35)[None] & (np.arange(HEIGHT) % step_y > step_y * 0.45)[:, None]
        lamp = ramp(random.uniform(size=(v.max() + 1, u.max() + 1)), [(1.0, 0.66, 0.28), (1.0, 0.85, 0.55), (0.85, 0.93, 1.0)])
        lit = pane & (chance < share[None]) & (y > top[None] + 0.012)
        dark = pane & ~lit & (y > top[None] + 0.012)
        glow = lamp[v[:, None], u[None]] * (0.55 + 0.45 * near)
        wall = np.where(lit[..., None], glow, np.where(dark[..., None], wall * 0.62 + np.asarray(colours[-2]) * 0.06, wall))
        haze = np.asarray(colours[-2]) * 0.55
        wall = mix(haze, wall, 0.42 + 0.58 * near + 0 * y)
        image = mix(image, wall, smoothstep(-0.0008, 0.0008, y - top[None]))
    bloom = ndimage.gaussian_filter(np.clip(image - 0.55, 0, 1), (9, 9, 0))
    image = image + 0.8 * bloom
    line = int(shore * HEIGHT)
    wave = fractal(random, (HEIGHT, WIDTH), 0.9, (7, 1))[line:]
    away = np.linspace(0.1, 1, HEIGHT - line)[:, None]
    rows = np.clip(2 * line - np.arange(line, HEIGHT)[:, None] * 1.0 + 16 * wave * away, 0, line - 1)
    columns = np.clip(column + 5 * wave * away, 0, WIDTH - 1)
    streaks = ndimage.gaussian_filter(image, (7, 0.8, 0))
    mirror = np.stack([ndimage.map_coordinates(streaks[..., c], [rows, columns], order=1) for c in range(3)], axis=-1)
    image = np.concatenate([image[:line], mirror * (0.72 + 0.10 * wave)[..., None] + 0.01])
    image[line - 3 : line + 2] *= 0.3
    return _finish(random, image, 0.5)


def forest(random: Random) -> np.ndarray:
    """Trunks behind each other in mist, light from above, a floor of leaves."""
    y, x = _grid()
    season = random.uniform(0.10, 0.36)
    mist = hsv(season + 0.04, 0.14, random.uniform(0.7, 0.92))
    leaf = hsv(season, 0.6, random.uniform(0.4, 0.6))
    glow = np.exp(-(((x - random.uniform(0.2, 1.1)) / 0.5) ** 2 + ((y - 0.28) / 0.4) ** 2))
    crowns = fractal(random, (HEIGHT, WIDTH), 1.05)
    image = mix(mist * 0.75, np.minimum(mist * 1.15, 1), np.clip(glow + 0.08 * crowns, 0, 1))
    floor_line = random.uniform(0.62, 0.7)
    floor = TEXTURES["leaves"](random, 512) / 255
    for layer in range(6):
        near = (layer + 1) / 6
        fade = 0.25 + 0.75 * near**1.4
        foot = floor_line + 0.30 * near**2.2
        tree = np.zeros((HEIGHT, WIDTH))
        shade = np.zeros((HEIGHT, WIDTH))
        for _ in range(int(18 / (1 + 1.6 * layer)) + 2):
            centre, width = random.uniform(-0.05, 1.4), (0.006 + 0.05 * near**2) * random.uniform(0.6, 1.4)
            lean, sway = random.normal(0, 0.05), random.uniform(0, 6)
            axis = centre + lean * (y - foot) + 0.008 * np.sin(5 * y + sway)
            bottom = foot + random.uniform(-0.03, 0.03)
            flare = 1 + 0.9 * np.exp(-np.clip(bottom - y, 0, 1) / (0.05 + 0.05 * near)) + 0.15 * (y - 0.5)
            across = (x - axis) / (width * flare)
            inside = smoothstep(1.0, 0.92, np.abs(across)) * smoothstep(0.004, -0.004, y - bottom - 0.02 * (1 - across**2))
            shade = np.where(inside > tree, across, shade)
            tree = np.maximum(tree, inside)
        bark = fractal(random, (HEIGHT, WIDTH), 1.0, (0.25, 2.2))
        trunk = np.array([0.22, 0.17, 0.13]) * np.clip(1 + 0.25 * bark - 0.55 * shade, 0.25, 2)[..., None]
        image = mix(image, mix(mist, trunk, fade + 0 * y), tree)
        bunch = fractal(random, (HEIGHT, WIDTH), 0.95)
        hang = smoothstep(0.1, 0.35, bunch * 0.35 + 0.52 - 0.25 * near - y - 0.10 * np.sin(5 * x + layer))
        green = jitter(random, leaf, 0.12) * np.clip(1 + 0.30 * fractal(random, (HEIGHT, WIDTH), 0.55), 0.3, 2)[..., None]
        image = mix(image, mix(mist, green, fade + 0 * y), 0.85 * hang)
        if layer < 5:
            band = floor_line + 0.30 * (layer / 6) ** 2.2 - 0.01
            away = np.clip(y - floor_line, 1e-3, None)
            ground = _sample(floor, (x - 0.67) / away * 0.25 + 7, 0.18 / away)
            lit = np.clip(0.75 + 0.25 * crowns, 0.3, 1.3)[..., None]
            ground = mix(mist, ground * lit, smoothstep(0.0, 0.18, away))
            image = mix(image, ground, smoothstep(band, band + 0.015, y + 0.006 * bunch)) if layer == 0 else image
    rays = smoothstep(0.55, 1.6, fractal(random, (1, WIDTH), 1.2)[0])
    slant = np.clip((np.arange(WIDTH)[None] - 0.5 * np.arange(HEIGHT)[:, None]).astype(int) % WIDTH, 0, WIDTH - 1)
    image = image + 0.16 * (rays[slant] * np.clip(0.9 - y, 0, 1))[..., None] * mist
    return _finish(random, image, 0.6)


def _sample(texture: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """A tiling texture at coordinates in repeats, the nearest texel."""
    size = len(texture)
    return texture[(v * size).astype(int) % size, (u * size).astype(int) % size]


def _shrunk(texture: np.ndarray, times: int) -> np.ndarray:
    """A texture of which more repeats fit into the same square, averaged."""
    size = len(texture) // times
    small = texture[: size * times, : size * times].reshape(size, times, size, times, 3).mean(axis=(1, 3))
    return np.tile(small, (times, times, 1))


class _Corridor:
    """What each pixel sees in a long box: which side, where on it, how far away. Lengths in metres."""

    def __init__(self, random: Random, half_width: float, floor: float, ceiling: float, end: float):
        y, x = _grid()
        shift, tilt = random.uniform(-0.25, 0.25), random.uniform(-0.04, 0.08)
        right, up = (x - WIDTH / HEIGHT / 2 - shift) / 0.85, -(y - 0.5 + tilt) / 0.85
        with np.errstate(divide="ignore"):
            to_side = half_width / np.abs(right)
            to_level = np.where(up < 0, floor / -up, ceiling / up)
        self.depth = np.minimum(np.minimum(to_side, to_level), end)
        self.across, self.up = right * self.depth, up * self.depth
        self.back = self.depth >= end
        self.side = (to_side <= to_level) & ~self.back
        self.floor = (up < 0) & ~self.side & ~self.back
        self.ceiling = (up >= 0) & ~self.side & ~self.back
        self.left = right < 0


def room(random: Random) -> np.ndarray:
    """A room: floor, papered walls, a window or pictures, furniture against the wall."""
    half, high, end = random.uniform(1.9, 2.6), random.uniform(1.1, 1.4), random.uniform(3.0, 4.5)
    view = _Corridor(random, half, 1.25, high, end)
    floor = TEXTURES[str(random.choice(["planks", "planks", "tiles", "terrazzo", "tartan", "marble"]))](random) / 255
    hue = random.uniform()
    wall = hsv(hue, random.uniform(0.05, 0.35), random.uniform(0.62, 0.9))
    pattern = random.integers(3)
    along = np.where(view.back, view.across, view.depth)
    if pattern == 0:
        paper = 1 + 0.05 * np.sign(np.sin(along * 2 * np.pi / 0.28))
    elif pattern == 1:
        paper = 1 + 0.07 * (np.sin(along * 24) * np.sin(view.up * 24) > 0.55)
    else:
        paper = 1 + 0.02 * fractal(random, (HEIGHT, WIDTH), 1.4)
    image = wall * paper[..., None]
    skirting = view.up < -1.25 + 0.14
    image = np.where(skirting[..., None], np.array([0.88, 0.86, 0.82]), image)
    image = np.where(view.floor[..., None], _sample(floor, view.across / 1.6, view.depth / 1.6), image)
    image = np.where(view.ceiling[..., None], np.array([0.92, 0.91, 0.88]), image)
    rug = view.floor & (np.abs(view.across) < half * 0.55) & (np.abs(view.depth - end * 0.68) < end * 0.2)
    cloth = TEXTURES[str(random.choice(["tartan", "knit", "weave", "tiles"]))](random) / 255
    image = np.where(rug[..., None], _sample(cloth, view.across / 1.1, view.depth / 1.1) * 0.95, image)

    centre, sill, lintel, width = random.uniform(-0.5, 0.5) * half, -0.35, high - 0.25, random.uniform(0.55, 0.85)
    u, v = (view.across - centre) / width, (view.up - sill) / (lintel - sill)
    outside = np.asarray(mountains(random) if random.uniform() < 0.5 else meadow(random)) / 255
    seen = outside[np.clip(((1 - v) * 700).astype(int), 0, 767), np.clip(((u + 1) * 480 + 30).astype(int), 0, 1023)]
    glass = view.back & (np.abs(u) < 1) & (v > 0) & (v < 1)
    bars = (np.abs(np.abs(u) - 0.5) > 0.46) | (np.abs(u) < 0.04) | (np.abs(v - 0.5) > 0.475) | (np.abs(v - 0.55) < 0.018)
    image = np.where(glass[..., None], np.where(bars[..., None], 0.93, np.minimum(seen * 1.15 + 0.05, 1)), image)
    cloth = hsv(hue + 0.4, random.uniform(0.2, 0.6), random.uniform(0.4, 0.8))
    folds = 0.75 + 0.25 * np.sin(view.across * 55 + 2 * np.sin(view.up * 3))
    curtain = view.back & (np.abs(np.abs(u) - 1.18) < 0.24) & (view.up < lintel + 0.12) & (view.up > -1.1)
    image = np.where(curtain[..., None], cloth * folds[..., None], image)
    for left in (True, False):  # pictures on the side walls
        for k in range(int(random.integers(1, 3))):
            at, w, h = end * (0.45 + 0.3 * k), random.uniform(0.22, 0.4), random.uniform(0.22, 0.4)
            u, v = (view.depth - at) / w, (view.up - 0.15) / h
            here = view.side & (view.left == left) & (np.abs(u) < 1) & (np.abs(v) < 1)
            art = TEXTURES[str(random.choice(["camouflage", "marble", "leaves", "stripes", "terrazzo"]))](random, 256) / 255
            inner = (np.abs(u) < 0.84) & (np.abs(v) < 0.84)
            shown = np.where(inner[..., None], _sample(art, u / 2 + 0.5, v / 2 + 0.5), np.array([0.30, 0.21, 0.13]))
            image = np.where(here[..., None], shown, image)
    for left, texture in ((True, "planks"), (False, "leather")):  # a chest, a bench
        if random.uniform() < 0.75:
            wood = TEXTURES[texture](random, 256) / 255
            tall, start, stop = random.uniform(0.5, 0.95), end * random.uniform(0.25, 0.4), end * random.uniform(0.75, 0.95)
            front = view.side & (view.left == left) & (view.depth > start) & (view.depth < stop) & (view.up < tall - 1.25)
            groove = (np.abs((view.up + 1.25) / tall * 3 % 1 - 0.5) > 0.47) | (np.abs(view.depth / 0.6 % 1 - 0.5) > 0.48)
            chest = _sample(wood, view.depth, view.up) * np.where(groove, 0.45, 0.9)[..., None]
            image = np.where(front[..., None], chest, image)

    dim = 1.0 / (1 + 0.02 * (end - view.depth) ** 2)
    near_corner = np.minimum(np.abs(half - np.abs(view.across)), np.minimum(view.up + 1.25, high - view.up))
    near_corner = np.where(view.back, near_corner, np.minimum(near_corner + 0 * dim, end - view.depth + 0.05))
    edge = np.minimum(near_corner, 0.6) / 0.6
    light = dim * (0.72 + 0.28 * np.sqrt(np.clip(edge, 0, 1)))
    spot = np.exp(-(((view.across - centre - 0.3) / 0.9) ** 2 + ((view.depth - end * 0.7) / (end * 0.3)) ** 2))
    light = light + 0.35 * spot * view.floor
    light = np.where(glass & ~bars, 1.0, light * np.where(view.side & ~view.left, 0.86, 1.0) * np.where(view.ceiling, 0.9, 1.0))
    tint = np.array([1.0, 0.97, 0.92])
    return _finish(random, image * light[..., None] * tint, 0.8)


def street(random: Random) -> np.ndarray:
    """A street between houses, seen along it, under an open sky."""
    half, end = random.uniform(5, 8), random.uniform(60, 110)
    view = _Corridor(random, half, 1.6, 400.0, end)
    colours = SKIES[random.integers(len(SKIES))]
    sky = _sky(random, colours, 0.62, random.uniform(0.2, 0.7))
    haze = np.asarray(colours[-1])
    night = np.mean(colours[0]) < 0.25
    plot = np.where(view.left, 0, 40) + np.floor(view.depth / 9).astype(int).clip(0, 39)
    facade = [TEXTURES[str(name)](random, 512) / 255 for name in random.choice(["bricks", "bricks", "planks", "marble", "rust"], 3)]
    plain = np.array([jitter(random, hsv(random.uniform(0, 0.16), random.uniform(0.1, 0.5), random.uniform(0.5, 0.9)), 0.1) for _ in range(80)])
    image = plain[plot] * (1 + 0.04 * fractal(random, (HEIGHT, WIDTH), 1.2))[..., None]
    coat = random.integers(0, 6, 80)[plot]
    for k, texture in enumerate(facade):
        image = np.where((coat == k)[..., None], _sample(_shrunk(texture, 2), view.depth / 4, view.up / 4), image)
    storey, bay = 3.1, random.uniform(1.6, 2.4, 80)[plot]
    level, inside = (view.up + 1.6) / storey, view.depth % 9
    u, v = inside / bay % 1 - 0.5, level % 1 - 0.5
    roofline = random.uniform(2.2, 5.2, 80)[plot]
    window = (np.abs(u) < 0.27) & (np.abs(v) < 0.30) & (level > 1) & (inside > 0.4) & (inside < 8.6)
    frame = (np.abs(u) < 0.33) & (np.abs(v) < 0.36) & (level > 1) & (inside > 0.4) & (inside < 8.6)
    pane = np.floor(inside / bay).astype(int) + 7 * np.floor(level).astype(int) + 31 * plot
    lit = random.uniform(size=5000)[pane % 5000] < (0.55 if night else 0.08)
    glass = np.where(lit[..., None], np.array([1.0, 0.82, 0.50]), np.asarray(colours[0]) * 0.45 + 0.12 * (v + 0.5)[..., None])
    cross = (np.abs(u) < 0.02) | (np.abs(v - 0.05) < 0.02)
    image = np.where(frame[..., None], 0.85 * plain[(plot + 17) % 80] + 0.12, image)
    image = np.where((window & ~cross)[..., None], glass, image)
    shop = (level < 0.88) & (level > 0.08) & (np.abs(inside % 3 - 1.5) < 1.2)
    goods = ramp(unit(fractal(random, (HEIGHT, WIDTH), 0.8)), [(0.15, 0.12, 0.10), (0.85, 0.66, 0.40), (0.95, 0.9, 0.8)])
    image = np.where(shop[..., None], goods * (0.95 if night else 0.6), image)
    awning = (level > 0.84) & (level < 1.02) & (inside > 0.4) & (inside < 8.6)
    stripe = np.sin(inside * 14) > 0
    image = np.where(awning[..., None], np.where(stripe[..., None], plain[(plot + 40) % 80] * 0.8, 0.92), image)
    cornice = np.abs(level - roofline) < 0.07
    image = np.where(cornice[..., None], 0.7, image)
    image = np.where((inside < 0.12)[..., None], image * 0.55, image)

    asphalt = 0.24 + 0.02 * fractal(random, (HEIGHT, WIDTH), 0.5) + 0.03 * fractal(random, (HEIGHT, WIDTH), 1.6)
    road = asphalt[..., None] * np.array([1.0, 1.0, 1.04])
    kerb = half - 2.2
    mark = (np.abs(view.across) < 0.09) & (view.depth % 5 < 3)
    road = np.where(mark[..., None], 0.85, road)
    paving = _sample(_shrunk(TEXTURES["pebbles"](random, 512) / 255, 2), view.across / 3, view.depth / 3)
    road = np.where((np.abs(view.across) > kerb)[..., None], paving * 0.4 + 0.38, road)
    road = np.where((np.abs(np.abs(view.across) - kerb) < 0.12)[..., None], 0.55, road)
    image = np.where(view.floor[..., None], road, image)
    shadow = np.where(view.left, 0.62, 1.0) if random.uniform() < 0.5 else np.where(view.left, 1.0, 0.62)
    light = np.where(view.side, shadow, 0.9) * (0.55 if night else 1.0)
    light = np.where((window & lit | shop) & night & view.side, 1.0, light)
    image = image * light[..., None]
    image = mix(image, haze * (0.5 if night else 0.9), 1 - np.exp(-view.depth / 75))
    open_air = view.back | view.ceiling | (view.side & (level > roofline))
    image = np.where(open_air[..., None], sky, image)
    image = np.where((view.back & (view.up < 4 + 3 * _ridge(random, 0.9)[None]))[..., None], haze * 0.6, image)
    for k in range(int(random.integers(3, 7))):  # cars at the kerb
        left = random.uniform() < 0.5
        image = _parked_car(random, image, view, (-1 if left else 1) * (kerb - 1.1), 9 + 8.5 * k + random.uniform(0, 3))
    return _finish(random, image, 0.7)


def _parked_car(random: Random, image: np.ndarray, view: _Corridor, across: float, depth: float) -> np.ndarray:
    """A car seen from behind: body, rear window, lamps, wheels and a shadow, scaled by its distance."""
    middle = view.across / view.depth * depth - across
    up = view.up / view.depth * depth + 1.6
    paint = hsv(random.uniform(), random.uniform(0, 0.7), random.uniform(0.25, 0.85))
    roof = smoothstep(0.72, 0.66, np.abs(middle) + 0.25 * np.clip(up - 0.95, 0, 1)) * smoothstep(1.5, 1.46, up)
    belly = smoothstep(0.88, 0.84, np.abs(middle)) * smoothstep(1.0, 0.96, up)
    body = np.maximum(roof, belly) * smoothstep(0.26, 0.30, up)
    wheels = smoothstep(0.14, 0.11, np.abs(np.abs(middle) - 0.68)) * smoothstep(0.4, 0.36, up) * smoothstep(-0.02, 0.02, up)
    ground = smoothstep(1.1, 0.8, np.abs(middle)) * smoothstep(0.14, 0.0, np.abs(up - 0.02))
    image = image * (1 - 0.7 * ground)[..., None]
    image = mix(image, np.array([0.05, 0.05, 0.06]), wheels)
    image = mix(image, paint * np.clip(0.55 + 0.4 * up, 0, 1.1)[..., None], body)
    window = smoothstep(0.62, 0.58, np.abs(middle)) * smoothstep(1.0, 1.04, up) * smoothstep(1.42, 1.38, up)
    image = mix(image, np.array([0.16, 0.20, 0.25]), window)
    lamps = smoothstep(0.13, 0.10, np.abs(np.abs(middle) - 0.7)) * smoothstep(0.09, 0.07, np.abs(up - 0.82))
    plate = smoothstep(0.26, 0.24, np.abs(middle)) * smoothstep(0.07, 0.06, np.abs(up - 0.6))
    return mix(mix(image, np.array([0.85, 0.10, 0.08]), lamps), np.array([0.85, 0.85, 0.8]), plate)


def market(random: Random) -> np.ndarray:
    """Stalls and lights far out of focus: discs of colour over soft shapes."""
    y, x = _grid()
    night = random.uniform() < 0.6
    hue = random.uniform()
    ground = mix(hsv(hue, 0.5, 0.14 if night else 0.45), hsv(hue + 0.1, 0.5, 0.32 if night else 0.75), smoothstep(1, 0, y))
    image = ground * (1 + 0.15 * fractal(random, (HEIGHT, WIDTH), 1.9))[..., None]
    for _ in range(int(random.integers(10, 18))):  # awnings, crates, people
        cx, cy, w, h = random.uniform((0, 0.25, 0.03, 0.06), (1.33, 0.95, 0.16, 0.22))
        soft = 0.03
        inside = smoothstep(w + soft, w - soft, np.abs(x - cx)) * smoothstep(h + soft, h - soft, np.abs(y - cy))
        tone = hsv(random.uniform(), random.uniform(0.2, 0.75), random.uniform(0.12, 0.5 if night else 0.85))
        stripe = np.sin((x - cx) * random.uniform(40, 90)) if random.uniform() < 0.4 else 0 * x
        image = mix(image, tone, inside * (0.85 + 0.15 * stripe))
    image = ndimage.gaussian_filter(image, (10, 10, 0))
    warm = [(1.0, 0.72, 0.35), (1.0, 0.55, 0.25), (1.0, 0.88, 0.65), (0.6, 0.8, 1.0), (1.0, 0.35, 0.3), (0.5, 0.95, 0.6)]
    blade = random.integers(5, 9)
    for _ in range(int(random.integers(70, 130))):
        cx, cy = random.uniform(0, WIDTH / HEIGHT), random.beta(2, 2.6) * 0.95
        radius = random.uniform(0.012, 0.055)
        low, left = int((cy - radius * 1.3) * HEIGHT), int((cx - radius * 1.3) * HEIGHT)
        part = np.s_[max(low, 0) : int((cy + radius * 1.3) * HEIGHT), max(left, 0) : int((cx + radius * 1.3) * HEIGHT)]
        dx, dy = x[part] - cx, y[part] - cy
        if not dx.size:
            continue
        r = np.hypot(dx, dy) * (1 + 0.035 * np.cos(blade * np.arctan2(dy, dx))) / radius
        disc = smoothstep(1.04, 0.96, r) * (0.7 + 0.3 * smoothstep(0.7, 0.97, r))
        strength = random.uniform(0.12, 0.6) * (1 if night else 0.5)
        image[part] = image[part] + disc[..., None] * np.asarray(warm[random.integers(6)]) * strength
    return _finish(random, image)


def sea(random: Random) -> np.ndarray:
    """Open water with waves, the sun over it, sometimes an island."""
    y, x = _grid()
    colours = SKIES[random.integers(len(SKIES))]
    horizon = random.uniform(0.38, 0.56)
    image = _sky(random, colours, horizon, random.uniform(0.2, 0.7))
    sun_x, sun_y = random.uniform(0.2, 1.1), horizon - random.uniform(0.03, 0.2)
    distance = np.hypot(x - sun_x, y - sun_y)
    sunny = len(colours) == 4 or random.uniform() < 0.5
    if sunny:
        image = image + np.exp(-distance / 0.16)[..., None] * np.array([0.5, 0.34, 0.16])
        image = mix(image, np.array([1.0, 0.96, 0.82]), smoothstep(0.036, 0.030, distance))
    for _ in range(int(random.integers(0, 4))):
        centre, width, height = random.uniform((0, 0.1, 0.02), (1.33, 0.35, 0.1))
        crest = horizon - height * np.exp(-(((x[0] - centre) / width) ** 2)) * (1 + 0.12 * _ridge(random, 0.8)) + 0.004
        haze = np.asarray(colours[-1]) * 0.5 + np.array([0.12, 0.14, 0.20])
        image = mix(image, haze * 0.75, smoothstep(-0.001, 0.001, y - crest[None]) * (y < horizon + 0.005))
    away = np.clip(y - horizon, 1e-3, None)
    size = 1024
    swell = fractal(random, (size, size), 1.25, (2.2, 1)) + 0.5 * fractal(random, (size, size), 0.8, (1.6, 1))
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
    return _finish(random, mix(image, water, smoothstep(-0.001, 0.001, y - horizon)), 0.6)


def meadow(random: Random) -> np.ndarray:
    """Rolling hills with fields, hedges, flowers in the foreground."""
    y, x = _grid()
    colours = SKIES[int(random.choice([0, 0, 3, 4, 1]))]
    horizon = random.uniform(0.45, 0.58)
    image = _sky(random, colours, horizon, random.uniform(0.3, 0.8))
    haze = np.asarray(colours[-1])
    for layer in range(5):
        near = layer / 4
        crest = horizon - 0.05 + 0.36 * near**1.5 - (0.03 + 0.025 * near) * _ridge(random, -0.2)
        depth = y - crest[None]
        field = hsv(random.uniform(0.12, 0.33), random.uniform(0.4, 0.65), random.uniform(0.42, 0.72))
        tufts = fractal(random, (HEIGHT, WIDTH), 0.55, (0.7, 1)) * (0.3 + near)
        furrow = np.sin((x * 1.0 + 0.6 * depth) / (0.004 + 0.01 * near) ) * (random.uniform() < 0.4) * 0.06
        ground = field * np.clip(0.92 + 0.13 * tufts + furrow - 0.5 * depth, 0.2, 1.3)[..., None]
        blot = smoothstep(1.1, 1.5, fractal(random, (HEIGHT, WIDTH), 1.5, (1.8, 1)))
        ground = mix(ground, field * 0.6, 0.5 * blot)
        ground = mix(ground, haze, 0.55 * (1 - near) ** 1.5 + 0 * y)
        image = mix(image, ground, smoothstep(-0.001, 0.002, depth))
        hedge = crest - (0.010 + 0.035 * near) * np.clip(_ridge(random, 1.3) * 0.6 + 0.1, 0, None)
        if layer < 4:
            leaf = field * np.array([0.5, 0.6, 0.5]) * np.clip(0.9 + 0.25 * tufts, 0.3, 1.5)[..., None]
            leaf = mix(leaf, haze, 0.5 * (1 - near) ** 1.5 + 0 * y)
            image = mix(image, leaf, smoothstep(-0.002, 0.002, y - hedge[None]) * (depth < 0.004))
    for _ in range(int(random.choice([0, 260, 420]))):
        cy = horizon + 0.28 + 0.28 * random.beta(2, 1)
        size = 0.004 + 0.016 * (cy - horizon) ** 1.5
        cx, petals = random.uniform(0, WIDTH / HEIGHT), random.integers(5, 8)
        reach = size * 1.4
        part = np.s_[int((cy - reach) * HEIGHT) : int((cy + reach) * HEIGHT) + 1,
                     max(0, int((cx - reach) * HEIGHT)) : int((cx + reach) * HEIGHT) + 1]
        dy, dx = (y[part] - cy) * 1.6, x[part] - cx
        if not dx.size:
            continue
        r = np.hypot(dx, dy) / size
        bloom = smoothstep(1.0, 0.85, r / (0.75 + 0.25 * np.cos(petals * np.arctan2(dy, dx))))
        tone = hsv(random.choice([0.98, 0.13, 0.78, 0.6, 0.05]), random.uniform(0.3, 0.8), 0.95)
        image[part] = mix(mix(image[part], tone, bloom), np.array([0.95, 0.80, 0.25]), smoothstep(0.32, 0.25, r))
    return _finish(random, image, 0.6)


def shelf(random: Random) -> np.ndarray:
    """A bookcase seen from the front, filled with books and a few vessels."""
    y, x = _grid()
    wood = TEXTURES["planks"](random) / 255
    rows = int(random.integers(3, 6))
    tall = 1 / rows
    image = _sample(wood, x * 0.8, y * 0.3) * 0.30
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
            if kind < 0.10:
                left = _paint_vessel(random, image, left, base, height)
                continue
            lean = random.normal(0, 0.09) if random.uniform() < 0.15 else 0.0
            width_on_shelf = width + abs(lean) * height
            part = np.s_[max(int((base - height) * HEIGHT) - 2, 0) : int(base * HEIGHT) + 1,
                         max(int(left * HEIGHT) - 2, 0) : int((left + width_on_shelf) * HEIGHT) + 3]
            up, middle = (base - y[part]) / height, left + width_on_shelf / 2
            across = (x[part] - middle + lean * (up - 0.5) * height) / (width / 2)
            inside = smoothstep(1.05, 0.95, np.abs(across)) * (up <= 1) * (up >= 0)
            tone = hsv(random.uniform(), random.beta(2, 2), random.beta(2.5, 2) * 0.85 + 0.08)
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
        face = _sample(wood, x * 0.7, y * 0.5 + row * 0.37) * (0.75 + 0.5 * smoothstep(base + board, base, y))[..., None]
        image = np.where(plank[..., None], face, image)
    for post in np.arange(random.uniform(0.1, 0.5), WIDTH / HEIGHT, 0.62):
        upright = np.abs(x - post) < 0.012
        image = np.where(upright[..., None], _sample(wood, y * 0.7, x * 0.5 + post) * 0.9, image)
    glow = np.exp(-(((x - random.uniform(0.2, 1.1)) / 0.7) ** 2 + ((y - 0.3) / 0.6) ** 2))
    return _finish(random, image * (0.65 + 0.5 * glow)[..., None] * np.array([1.0, 0.96, 0.88]), 0.8)


def _paint_vessel(random: Random, image: np.ndarray, left: float, base: float, height: float) -> float:
    """Paint a vase into ``image`` in place; returns where the next thing may stand."""
    y, x = _grid()
    half = height * random.uniform(0.22, 0.36)
    part = np.s_[max(int((base - height) * HEIGHT), 0) : int(base * HEIGHT), int(left * HEIGHT) : int((left + 2 * half) * HEIGHT)]
    up = (base - y[part]) / height
    radius = half * (0.55 + 0.42 * np.sin(up * random.uniform(3, 5) + random.uniform(0, 1.2)))
    across = (x[part] - left - half) / radius
    light = 0.35 + 0.75 * np.sqrt(np.clip(1 - (across + 0.3) ** 2, 0, 1))
    tone = hsv(random.uniform(), random.uniform(0.1, 0.7), random.uniform(0.4, 0.9))
    ring = 1 + 0.15 * np.sign(np.sin(up * random.uniform(12, 40)))
    image[part] = mix(image[part], tone * (light * ring)[..., None], smoothstep(1.03, 0.97, np.abs(across)))
    return left + 2 * half + 0.01


def desert(random: Random) -> np.ndarray:
    """Dunes with sharp crests, rippled sand, a low sun."""
    y, x = _grid()
    colours = SKIES[int(random.choice([0, 1, 4, 2]))]
    horizon = random.uniform(0.42, 0.55)
    image = _sky(random, colours, horizon, random.uniform(0.05, 0.35))
    sand = hsv(random.uniform(0.055, 0.105), random.uniform(0.4, 0.65), random.uniform(0.72, 0.92))
    shade = sand * 0.45 + np.asarray(colours[0]) * 0.15
    haze = np.asarray(colours[-1])
    layers = int(random.integers(4, 7))
    for layer in range(layers):
        near = layer / (layers - 1)
        line = _ridge(random, -0.25)
        crest = horizon - 0.06 + 0.34 * near**1.3 - (0.035 + 0.05 * near) * line
        depth = y - crest[None]
        # The lee side begins at a line that winds down from each summit.
        slip = 0.5 * (0.12 + 0.2 * near) * (1 + np.tanh(2 * np.gradient(line) * 60))[None]
        winding = 0.02 * fractal(random, (HEIGHT, WIDTH), 2.0)
        lit = smoothstep(-0.006, 0.010, depth - slip - winding)
        pitch = (0.0035 + 0.010 * near) * (1 + 3 * np.clip(depth, 0, 1))
        ripple = np.sin((depth + 0.02 * x + 0.5 * winding) / pitch * 2) * smoothstep(0.2, 0.7, near)
        light = mix(shade, sand, 0.15 + 0.85 * lit) * (1 + 0.05 * ripple + 0.03 * fractal(random, (HEIGHT, WIDTH), 0.5))[..., None]
        light = mix(light, haze, 0.6 * (1 - near) ** 1.5 + 0 * y)
        image = mix(image, light, smoothstep(-0.001, 0.001, depth))
    return _finish(random, image, 0.5)


BACKGROUNDS = {
    painter.__name__: painter
    for painter in (city, desert, forest, market, meadow, mountains, room, sea, shelf, street)
}
