"""Backgrounds where people live: city, room, street, market, bookshelf."""

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
    shrunk,
    sky,
)
from bl30k_gen.library.procedural.patterns import fractal, hsv, jitter, mix, ramp, smoothstep
from bl30k_gen.library.procedural.textures import TEXTURES


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
        chance = random.uniform(size=(v.max() + 1, u.max() + 1))[v[:, None], u[None]]
        pane = (column % step_x > step_x * 0.35)[None] & (np.arange(HEIGHT) % step_y > step_y * 0.45)[:, None]
        lamp = ramp(
            random.uniform(size=(v.max() + 1, u.max() + 1)), [(1.0, 0.66, 0.28), (1.0, 0.85, 0.55), (0.85, 0.93, 1.0)]
        )
        lit = pane & (chance < share[None]) & (y > top[None] + 0.012)
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
    return finish(random, image, 0.5)


class _Corridor:
    """What each pixel sees in a long box: which side, where on it, how far away. Lengths in metres."""

    def __init__(self, random: Random, half_width: float, floor: float, ceiling: float, end: float):
        y, x = grid()
        shift, tilt = random.uniform(-0.25, 0.25), random.uniform(-0.04, 0.08)
        right, up = (x - WIDTH / HEIGHT / 2 - shift) / 0.85, -(y - 0.5 + tilt) / 0.85
        self.right, self.up_slope = right, up  # metres a metre of depth
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


def _garden(random: Random) -> np.ndarray:
    """What a window shows: sky, a far hill, hedges."""
    y, _ = grid()
    colours = SKIES[random.integers(len(SKIES))]
    image = sky(random, colours, 0.75, random.uniform(0.2, 0.8))
    for level, tone in ((0.55, 0.55), (0.68, 0.4)):
        green = mix(hsv(random.uniform(0.2, 0.35), 0.4, tone), colours[-1], 0.8 - tone + 0 * y)
        leaves = np.clip(1 + 0.2 * fractal(random, (HEIGHT, WIDTH), 0.6), 0.4, 1.6)[..., None]
        image = mix(image, green * leaves, smoothstep(-0.002, 0.002, y - level - 0.04 * ridge(random, 0.5)[None]))
    return image


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
    image = np.where(view.floor[..., None], sample(floor, view.across / 1.6, view.depth / 1.6), image)
    image = np.where(view.ceiling[..., None], np.array([0.92, 0.91, 0.88]), image)
    rug = view.floor & (np.abs(view.across) < half * 0.55) & (np.abs(view.depth - end * 0.68) < end * 0.2)
    cloth = TEXTURES[str(random.choice(["tartan", "knit", "weave", "tiles"]))](random) / 255
    image = np.where(rug[..., None], sample(cloth, view.across / 1.1, view.depth / 1.1) * 0.95, image)

    centre, sill, lintel, width = random.uniform(-0.5, 0.5) * half, -0.35, high - 0.25, random.uniform(0.55, 0.85)
    u, v = (view.across - centre) / width, (view.up - sill) / (lintel - sill)
    outside = _garden(random)
    seen = outside[np.clip(((1 - v) * 700).astype(int), 0, 767), np.clip(((u + 1) * 480 + 30).astype(int), 0, 1023)]
    glass = view.back & (np.abs(u) < 1) & (v > 0) & (v < 1)
    bars = (
        (np.abs(np.abs(u) - 0.5) > 0.46) | (np.abs(u) < 0.04) | (np.abs(v - 0.5) > 0.475) | (np.abs(v - 0.55) < 0.018)
    )
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
            art = (
                TEXTURES[str(random.choice(["camouflage", "marble", "leaves", "stripes", "terrazzo"]))](random, 256)
                / 255
            )
            inner = (np.abs(u) < 0.84) & (np.abs(v) < 0.84)
            shown = np.where(inner[..., None], sample(art, u / 2 + 0.5, v / 2 + 0.5), np.array([0.30, 0.21, 0.13]))
            image = np.where(here[..., None], shown, image)
    for left, texture in ((True, "planks"), (False, "leather")):  # a chest, a bench
        if random.uniform() < 0.75:
            wood = TEXTURES[texture](random, 256) / 255
            tall, start, stop = (
                random.uniform(0.5, 0.95),
                end * random.uniform(0.25, 0.4),
                end * random.uniform(0.75, 0.95),
            )
            front = (
                view.side & (view.left == left) & (view.depth > start) & (view.depth < stop) & (view.up < tall - 1.25)
            )
            groove = (np.abs((view.up + 1.25) / tall * 3 % 1 - 0.5) > 0.47) | (
                np.abs(view.depth / 0.6 % 1 - 0.5) > 0.48
            )
            chest = sample(wood, view.depth, view.up) * np.where(groove, 0.45, 0.9)[..., None]
            image = np.where(front[..., None], chest, image)

    dim = 1.0 / (1 + 0.02 * (end - view.depth) ** 2)
    near_corner = np.minimum(np.abs(half - np.abs(view.across)), np.minimum(view.up + 1.25, high - view.up))
    near_corner = np.where(view.back, near_corner, np.minimum(near_corner + 0 * dim, end - view.depth + 0.05))
    edge = np.minimum(near_corner, 0.6) / 0.6
    light = dim * (0.72 + 0.28 * np.sqrt(np.clip(edge, 0, 1)))
    spot = np.exp(-(((view.across - centre - 0.3) / 0.9) ** 2 + ((view.depth - end * 0.7) / (end * 0.3)) ** 2))
    light = light + 0.35 * spot * view.floor
    light = np.where(
        glass & ~bars, 1.0, light * np.where(view.side & ~view.left, 0.86, 1.0) * np.where(view.ceiling, 0.9, 1.0)
    )
    tint = np.array([1.0, 0.97, 0.92])
    return finish(random, image * light[..., None] * tint, 0.8)


def street(random: Random) -> np.ndarray:
    """A street between houses, seen along it, under an open sky."""
    half, end = random.uniform(5, 8), random.uniform(60, 110)
    view = _Corridor(random, half, 1.6, 400.0, end)
    colours = SKIES[random.integers(len(SKIES))]
    heaven = sky(random, colours, 0.62, random.uniform(0.2, 0.7))
    haze = np.asarray(colours[-1])
    night = np.mean(colours[0]) < 0.25
    plot = np.where(view.left, 0, 40) + np.floor(view.depth / 9).astype(int).clip(0, 39)
    facade = [
        TEXTURES[str(name)](random, 512) / 255
        for name in random.choice(["bricks", "bricks", "planks", "marble", "rust"], 3)
    ]
    plain = np.array(
        [
            jitter(random, hsv(random.uniform(0, 0.16), random.uniform(0.1, 0.5), random.uniform(0.5, 0.9)), 0.1)
            for _ in range(80)
        ]
    )
    image = plain[plot] * (1 + 0.04 * fractal(random, (HEIGHT, WIDTH), 1.2))[..., None]
    coat = random.integers(0, 6, 80)[plot]
    for k, texture in enumerate(facade):
        image = np.where((coat == k)[..., None], sample(shrunk(texture, 2), view.depth / 4, view.up / 4), image)
    storey, bay = 3.1, random.uniform(1.6, 2.4, 80)[plot]
    level, inside = (view.up + 1.6) / storey, view.depth % 9
    u, v = inside / bay % 1 - 0.5, level % 1 - 0.5
    roofline = random.uniform(2.2, 5.2, 80)[plot]
    window = (np.abs(u) < 0.27) & (np.abs(v) < 0.30) & (level > 1) & (inside > 0.4) & (inside < 8.6)
    frame = (np.abs(u) < 0.33) & (np.abs(v) < 0.36) & (level > 1) & (inside > 0.4) & (inside < 8.6)
    pane = np.floor(inside / bay).astype(int) + 7 * np.floor(level).astype(int) + 31 * plot
    lit = random.uniform(size=5000)[pane % 5000] < (0.55 if night else 0.08)
    glass = np.where(
        lit[..., None], np.array([1.0, 0.82, 0.50]), np.asarray(colours[0]) * 0.45 + 0.12 * (v + 0.5)[..., None]
    )
    cross = (np.abs(u) < 0.02) | (np.abs(v - 0.05) < 0.02)
    image = np.where(frame[..., None], 0.85 * plain[(plot + 17) % 80] + 0.12, image)
    image = np.where((window & ~cross)[..., None], glass, image)
    shop = (level < 0.88) & (level > 0.08) & (np.abs(inside % 3 - 1.5) < 1.2)
    wares = np.array([hsv(random.uniform(), random.uniform(0.1, 0.5), random.uniform(0.05, 0.5)) for _ in range(997)])
    slot = np.floor(inside / 0.2).astype(int) + 53 * np.floor(level * 6).astype(int) + 401 * plot
    goods = wares[slot % 997] * (0.35 + 0.65 * (np.abs(level * 6 % 1 - 0.45) < 0.3))[..., None]
    inner = np.array([1.0, 0.85, 0.6]) * np.clip(0.3 + 0.7 * level, 0, 1)[..., None]
    goods = goods * 0.6 + inner * (0.4 if night else 0.15)
    image = np.where(shop[..., None], goods, image)
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
    paving = sample(shrunk(TEXTURES["pebbles"](random, 512) / 255, 2), view.across / 3, view.depth / 3)
    road = np.where((np.abs(view.across) > kerb)[..., None], paving * 0.4 + 0.38, road)
    road = np.where((np.abs(np.abs(view.across) - kerb) < 0.12)[..., None], 0.55, road)
    image = np.where(view.floor[..., None], road, image)
    shadow = np.where(view.left, 0.62, 1.0) if random.uniform() < 0.5 else np.where(view.left, 1.0, 0.62)
    light = np.where(view.side, shadow, 0.9) * (0.55 if night else 1.0)
    light = np.where((window & lit | shop) & night & view.side, 1.0, light)
    image = image * light[..., None]
    image = mix(image, haze * (0.5 if night else 0.9), 1 - np.exp(-view.depth / 75))
    open_air = view.back | view.ceiling | (view.side & (level > roofline))
    image = np.where(open_air[..., None], heaven, image)
    image = np.where((view.back & (view.up < 4 + 3 * ridge(random, 0.9)[None]))[..., None], haze * 0.6, image)
    for k in reversed(range(int(random.integers(3, 7)))):  # cars at the kerb, the furthest first
        across = (kerb - 1.1) * random.choice([-1, 1])
        _park_car(random, image, view, across, 9 + 8.5 * k + random.uniform(0, 3))
    return finish(random, image, 0.7)


def _park_car(random: Random, image: np.ndarray, view: _Corridor, across: float, depth: float) -> None:
    """Paint into ``image`` a car seen from behind: body, rear window, lamps, wheels, a shadow."""
    near = np.abs(view.right[0] * depth - across) < 1.2, np.abs(view.up_slope[:, 0] * depth + 0.8) < 1.2
    part = np.ix_(near[1], near[0])
    middle, up = view.right[part] * depth - across, view.up_slope[part] * depth + 1.6
    paint = hsv(random.uniform(), random.uniform(0, 0.7), random.uniform(0.25, 0.85))
    roof = smoothstep(0.72, 0.66, np.abs(middle) + 0.25 * np.clip(up - 0.95, 0, 1)) * smoothstep(1.5, 1.46, up)
    belly = smoothstep(0.88, 0.84, np.abs(middle)) * smoothstep(1.0, 0.96, up)
    body = np.maximum(roof, belly) * smoothstep(0.26, 0.30, up)
    wheels = (
        smoothstep(0.14, 0.11, np.abs(np.abs(middle) - 0.68))
        * smoothstep(0.4, 0.36, up)
        * smoothstep(-0.02, 0.02, up)
    )
    ground = smoothstep(1.1, 0.8, np.abs(middle)) * smoothstep(0.14, 0.0, np.abs(up - 0.02))
    patch = image[part] * (1 - 0.7 * ground)[..., None]
    patch = mix(patch, np.array([0.05, 0.05, 0.06]), wheels)
    patch = mix(patch, paint * np.clip(0.55 + 0.4 * up, 0, 1.1)[..., None], body)
    window = smoothstep(0.62, 0.58, np.abs(middle)) * smoothstep(1.0, 1.04, up) * smoothstep(1.42, 1.38, up)
    patch = mix(patch, np.array([0.16, 0.20, 0.25]), window)
    lamps = smoothstep(0.13, 0.10, np.abs(np.abs(middle) - 0.7)) * smoothstep(0.09, 0.07, np.abs(up - 0.82))
    plate = smoothstep(0.26, 0.24, np.abs(middle)) * smoothstep(0.07, 0.06, np.abs(up - 0.6))
    image[part] = mix(mix(patch, np.array([0.85, 0.10, 0.08]), lamps), np.array([0.85, 0.85, 0.8]), plate)


def market(random: Random) -> np.ndarray:
    """Stalls and lights far out of focus: discs of colour over soft shapes."""
    y, x = grid()
    night = random.uniform() < 0.6
    hue = random.uniform()
    ground = mix(
        hsv(hue, 0.35, 0.14 if night else 0.45), hsv(hue + 0.1, 0.25, 0.32 if night else 0.78), smoothstep(1, 0, y)
    )
    image = ground * (1 + 0.15 * fractal(random, (HEIGHT, WIDTH), 1.9))[..., None]
    for _ in range(int(random.integers(10, 18))):  # awnings, crates, people
        cx, cy, w, h = random.uniform((0, 0.25, 0.03, 0.06), (1.33, 0.95, 0.16, 0.22))
        soft = 0.03
        inside = smoothstep(w + soft, w - soft, np.abs(x - cx)) * smoothstep(h + soft, h - soft, np.abs(y - cy))
        tone = hsv(random.uniform(), random.uniform(0.1, 0.6), random.uniform(0.12, 0.5 if night else 0.85))
        stripe = np.sin((x - cx) * random.uniform(40, 90)) if random.uniform() < 0.4 else 0 * x
        image = mix(image, tone, inside * (0.85 + 0.15 * stripe))
    image = ndimage.gaussian_filter(image, (10, 10, 0))
    warm = [
        (1.0, 0.72, 0.35),
        (1.0, 0.55, 0.25),
        (1.0, 0.88, 0.65),
        (0.6, 0.8, 1.0),
        (1.0, 0.35, 0.3),
        (0.5, 0.95, 0.6),
    ]
    blade = random.integers(5, 9)
    for _ in range(int(random.integers(70, 130))):
        cx, cy = random.uniform(0, WIDTH / HEIGHT), random.beta(2, 2.6) * 0.95
        radius = random.uniform(0.012, 0.055)
        low, left = int((cy - radius * 1.3) * HEIGHT), int((cx - radius * 1.3) * HEIGHT)
        part = np.s_[
            max(low, 0) : int((cy + radius * 1.3) * HEIGHT), max(left, 0) : int((cx + radius * 1.3) * HEIGHT)
        ]
        dx, dy = x[part] - cx, y[part] - cy
        if not dx.size:
            continue
        r = np.hypot(dx, dy) * (1 + 0.035 * np.cos(blade * np.arctan2(dy, dx))) / radius
        disc = smoothstep(1.04, 0.96, r) * (0.7 + 0.3 * smoothstep(0.7, 0.97, r))
        strength = random.uniform(0.12, 0.6) * (1 if night else 0.5)
        image[part] = image[part] + disc[..., None] * np.asarray(warm[random.integers(6)]) * strength
    return finish(random, image)


CLOTH_HUES = (0.99, 0.02, 0.05, 0.08, 0.11, 0.13, 0.30, 0.40, 0.55, 0.60, 0.63, 0.92)  # of bookbinders


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
    return finish(random, image * (0.65 + 0.5 * glow)[..., None] * np.array([1.0, 0.96, 0.88]), 0.8)


def _paint_vessel(random: Random, image: np.ndarray, left: float, base: float, height: float) -> float:
    """Paint a vase into ``image`` in place; returns where the next thing may stand."""
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
