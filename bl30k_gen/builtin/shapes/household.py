"""Shapes from a house: vessels, furniture, lamps, an umbrella, a guitar. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh

GLAZES = ("marble", "tiles", "stripes", "terrazzo")
FABRICS = ("weave", "tartan", "knit", "leather")


def _shell(outside: np.ndarray, wall: float) -> f.Form:
    """A vessel: the profile turned, with an inside at a distance ``wall`` and a rounded lip."""
    inside = outside[::-1] - (wall, 0)
    inside = inside[inside[:, 1] > outside[0, 1] + wall]
    lip = (outside[-1] + inside[0]) / 2 + (0, wall * 0.6)
    floor = (0, inside[-1, 1])
    inside = np.maximum(inside, (0.02, -np.inf))
    return f.lathe(np.concatenate([[(0, outside[0, 1])], outside, [lip], inside, [floor]]))


@shape
def vase(random: Random) -> RawMesh:
    foot, belly, neck, lip = random.uniform((0.18, 0.35, 0.10, 0.14), (0.32, 0.62, 0.2, 0.4))
    at, height = random.uniform(0.3, 0.65), random.uniform(1.2, 1.8)
    profile = f.smooth(
        [(foot, 0), (foot * 1.05, 0.05), (belly, height * at), (neck, height * 0.86), (lip, height)], 44
    )
    work = f.Sculpture()
    work.add(m.either(random, *GLAZES, probability=0.75), _shell(profile, 0.03))
    ring = f.lathe([(0, -0.02), (foot + 0.05, -0.02), (foot + 0.05, 0.05), (foot, 0.08)])
    work.add(m.gold() if random.uniform() < 0.5 else m.paint(random), ring)
    if random.uniform() < 0.4:
        path = f.smooth(
            [(neck, 0, height * 0.84), (belly + 0.2, 0, height * 0.86), (belly * 0.93, 0, height * at)], 24
        )
        handle = f.tube(path, 0.045)
        work.add(m.paint(random), handle, handle.turned("z", np.pi))
    return work.mesh()


@shape
def mug(random: Random) -> RawMesh:
    radius, height, waist = random.uniform(0.38, 0.5), random.uniform(0.8, 1.15), random.uniform(-0.08, 0.08)
    profile = f.smooth([(radius * 0.85, 0), (radius, 0.08), (radius + waist, height / 2), (radius, height)], 30)
    work = f.Sculpture()
    work.add(m.either(random, *GLAZES, "camouflage", probability=0.7), _shell(profile, 0.05))
    reach = random.uniform(0.28, 0.42)
    path = f.smooth(
        [
            (radius - 0.02, 0, height * 0.82),
            (radius + reach, 0, height * 0.78),
            (radius + reach * 0.9, 0, height * 0.35),
            (radius - 0.02, 0, height * 0.2),
        ],
        28,
    )
    work.add(m.paint(random), f.tube(path, 0.06).turned("z", random.uniform(-0.6, 0.2)))
    work.add(m.rgb("3a2114", 0.2), f.cylinder(radius - 0.05, 0.02).moved(z=height * 0.86))
    return work.mesh()


@shape
def bowl(random: Random) -> RawMesh:
    depth, flare = random.uniform(0.35, 0.7), random.uniform(0.6, 1.1)
    t = np.linspace(0, 1, 24)
    profile = np.stack([0.22 + 0.6 * t**flare, depth * t ** (1 / flare + 0.5)], axis=1)
    work = f.Sculpture()
    work.add(m.either(random, *GLAZES, "planks", probability=0.8), _shell(profile, 0.04))
    work.add(m.paint(random), f.lathe([(0, -0.08), (0.24, -0.08), (0.22, 0.02)]))
    for _ in range(int(random.integers(4, 9))):  # fruit
        size, angle, out = random.uniform(0.15, 0.24), random.uniform(0, 2 * np.pi), random.uniform(0, 0.36)
        fruit = f.sphere(size, 20).scaled(1, 1, random.uniform(0.85, 1.15))
        colour = ("c8402b", "e39a2d", "8fae3a", "d9c53b", "7d2b45")[random.integers(5)]
        work.add(
            m.rgb(colour, 0.35), fruit.moved(out * np.cos(angle), out * np.sin(angle), depth * 0.75 + size * 0.3)
        )
    return work.mesh()


@shape
def bottle(random: Random) -> RawMesh:
    radius, height, neck = random.uniform(0.24, 0.36), random.uniform(1.3, 1.8), random.uniform(0.08, 0.12)
    shoulder = random.uniform(0.5, 0.68) * height
    profile = f.smooth(
        [
            (radius * 0.9, 0),
            (radius, 0.06),
            (radius, shoulder * 0.5),
            (radius, shoulder),
            (neck * 1.3, shoulder * 1.3),
            (neck, height * 0.93),
            (neck, height),
        ],
        50,
    )
    work = f.Sculpture()
    work.add(
        m.rgb(("1f4d2e", "5a2d14", "27476b", "7a1f2a", "c9d6d2")[random.integers(5)], 0.1),
        f.lathe(np.concatenate([[(0, 0)], profile, [(0, height)]])),
    )
    label = f.lathe([(radius + 0.006, shoulder * 0.2), (radius + 0.006, shoulder * random.uniform(0.7, 0.9))])
    work.add(m.textured(random, "tiles", "stripes", "tartan", "camouflage", "terrazzo"), label)
    work.add(
        m.gold() if random.uniform() < 0.5 else m.rgb("8a6a45"), f.cylinder(neck * 1.2, 0.14).moved(z=height - 0.04)
    )
    return work.mesh()


@shape
def teapot(random: Random) -> RawMesh:
    width, squash = random.uniform(0.55, 0.7), random.uniform(0.72, 1.0)
    body = f.smooth([(0.28, 0), (width * 0.92, 0.22), (width, 0.42), (width * 0.72, 0.72), (0.27, 0.86)], 36)
    body[:, 1] *= squash
    top = body[-1, 1]
    glaze = m.either(random, *GLAZES, "camouflage", probability=0.75)
    work = f.Sculpture()
    work.add(glaze, f.lathe(np.concatenate([[(0, 0)], body, [(0, top)]])))
    spout = f.smooth(
        [(width * 0.8, 0, 0.28 * squash), (width + 0.25, 0, 0.42 * squash), (width + 0.42, 0, top * 1.02)], 24
    )
    work.add(glaze, f.tube(spout, np.linspace(0.15, 0.06, 24)))
    handle = f.smooth(
        [
            (-width * 0.62, 0, top * 0.9),
            (-width - 0.32, 0, top * 0.95),
            (-width - 0.35, 0, top * 0.5),
            (-width * 0.9, 0, top * 0.32),
        ],
        28,
    )
    accent = m.paint(random)
    work.add(accent, f.tube(handle, 0.06))
    work.add(accent, f.lathe(f.smooth([(0.31, top - 0.02), (0.27, top + 0.06), (0.05, top + 0.12)], 14)))
    work.add(m.gold(), f.sphere(0.075, 18).moved(z=top + 0.17))
    return work.mesh()


@shape
def chair(random: Random) -> RawMesh:
    wood = m.textured(random, "planks", "bark", "rust") if random.uniform() < 0.7 else m.paint(random)
    seat = m.either(random, *FABRICS, probability=0.8)
    width, depth, height, back = random.uniform((0.75, 0.7, 0.65, 0.75), (1.0, 0.95, 0.95, 1.25))
    work = f.Sculpture()
    work.add(wood, f.box(width, depth, 0.08).moved(z=height))
    work.add(seat, f.box(width * 0.94, depth * 0.94, 0.12, 0.05).moved(z=height + 0.07))
    splay = random.uniform(0, 0.12)
    for x in (-1, 1):
        for y in (-1, 1):
            top = np.array([x * (width / 2 - 0.07), y * (depth / 2 - 0.07), height + 0.04])
            foot = top * (1 + splay, 1 + splay, 0)
            work.add(wood, f.tube(np.linspace(foot, top, 6), np.linspace(0.035, 0.055, 6), 10))
        post = [
            (x * (width / 2 - 0.06), depth / 2 - 0.05, height),
            (x * (width / 2 - 0.06), depth / 2 + 0.12, height + back),
        ]
        work.add(wood, f.tube(np.linspace(post[0], post[1], 6), 0.05, 10))
    style = random.integers(3)
    if style == 0:
        for level in np.linspace(0.35, 0.95, 4):
            work.add(
                wood,
                f.box(width - 0.1, 0.05, 0.13).moved(
                    y=depth / 2 - 0.05 + 0.17 * level, z=height + back * level - 0.07
                ),
            )
    elif style == 1:
        for x in np.linspace(-0.5, 0.5, 6)[1:-1]:
            slat = [(x * width, depth / 2 - 0.03, height + 0.05), (x * width, depth / 2 + 0.11, height + back * 0.9)]
            work.add(wood, f.tube(np.linspace(slat[0], slat[1], 5), 0.028, 8))
        work.add(wood, f.box(width, 0.08, 0.16).moved(y=depth / 2 + 0.1, z=height + back * 0.88))
    else:
        pad = f.box(width - 0.14, 0.12, back * 0.7, 0.05).turned("x", -0.15)
        work.add(seat, pad.moved(y=depth / 2, z=height + back * 0.25))
    if random.uniform() < 0.4:
        for x in (-1, 1):
            work.add(wood, f.box(0.09, depth, 0.06).moved(x=x * (width / 2 - 0.02), z=height + 0.36))
            work.add(wood, f.box(0.07, 0.07, 0.36).moved(x=x * (width / 2 - 0.02), y=-depth / 2 + 0.08, z=height))
    return work.mesh()


@shape
def table(random: Random) -> RawMesh:
    wood, top = (
        m.either(random, "planks", "metal", probability=0.7),
        m.textured(random, "planks", "marble", "tiles", "terrazzo"),
    )
    length, width, height = random.uniform((1.2, 0.75, 0.6), (1.8, 1.1, 0.95))
    work = f.Sculpture()
    if random.uniform() < 0.45:  # round, on a pedestal
        radius = width * 0.75
        work.add(top, f.cylinder(radius, 0.08).moved(z=height))
        stem = f.smooth([(0.12, 0.06), (0.07, height * 0.3), (0.14, height * 0.55), (0.08, height)], 24)
        work.add(wood, f.lathe(np.concatenate([[(0, 0), (0.4, 0), (0.4, 0.05)], stem])))
    else:
        work.add(top, f.box(length, width, 0.08).moved(z=height))
        work.add(wood, f.box(length * 0.9, width * 0.85, 0.14).moved(z=height - 0.14))
        for x in (-1, 1):
            for y in (-1, 1):
                leg = f.smooth([(0.05, 0), (0.035, height * 0.2), (0.07, height * 0.6), (0.06, height)], 16)
                leg = f.lathe(np.concatenate([[(0, 0)], leg]), 16)
                work.add(wood, leg.moved(x * length * 0.41, y * width * 0.37))
    jug = f.lathe([(0, 0), (0.1, 0), (0.16, 0.14), (0.1, 0.3), (0.13, 0.36), (0, 0.3)], 24)
    x, y = random.uniform(-0.2, 0.2), random.uniform(-0.1, 0.1)
    work.add(m.either(random, *GLAZES), jug.moved(x, y, height + 0.08))
    return work.mesh()


@shape
def stool(random: Random) -> RawMesh:
    legs, height, radius = int(random.integers(3, 6)), random.uniform(0.8, 1.4), random.uniform(0.36, 0.46)
    frame = m.steel() if random.uniform() < 0.4 else m.either(random, "planks", probability=0.7)
    work = f.Sculpture()
    work.add(
        m.either(random, *FABRICS, "planks", probability=0.9), f.cylinder(radius, 0.14, bevel=0.06).moved(z=height)
    )
    ring = []
    for angle in np.linspace(0, 2 * np.pi, legs, endpoint=False):
        direction = np.array([np.cos(angle), np.sin(angle), 0])
        foot, top = direction * (radius + 0.16), direction * radius * 0.7 + (0, 0, height)
        work.add(frame, f.tube(np.linspace(foot, top, 5), 0.04, 10))
        ring.append(foot * 0.62 + top * 0.38)
    around = np.linspace(0, 2 * np.pi, 41)
    hoop = np.stack([np.cos(around), np.sin(around), around * 0], axis=1) * np.linalg.norm(ring[0][:2])
    hoop[-1] = hoop[0]
    work.add(frame, f.tube(hoop + (0, 0, ring[0][2]), 0.025, 10, closed=True))
    return work.mesh()


@shape
def lamp(random: Random) -> RawMesh:
    height, low, high = random.uniform(0.9, 1.5), random.uniform(0.38, 0.55), random.uniform(0.16, 0.36)
    work = f.Sculpture()
    waves = random.integers(1, 5)
    t = np.linspace(0, 1, 40)
    stem = np.stack(
        [0.10 + 0.09 * np.sin(np.pi * t) * (1 + 0.5 * np.sin(2 * np.pi * waves * t)), 0.06 + t * height], axis=1
    )
    work.add(m.either(random, *GLAZES, "metal", probability=0.7), f.lathe(stem))
    work.add(m.gold(), f.cylinder(0.3, 0.07), f.cylinder(0.03, 0.3).moved(z=height))
    shade = [(low, height), (high, height + 0.55), (high - 0.02, height + 0.55), (low - 0.02, height), (low, height)]
    work.add(m.textured(random, *FABRICS[:3], "stripes"), f.lathe(shade))
    work.add(m.rgb("fff0c9", 0.4), f.sphere(0.11, 18).moved(z=height + 0.32))
    return work.mesh()


@shape
def umbrella(random: Random) -> RawMesh:
    ribs = int(random.integers(6, 11))
    angle = np.linspace(0, 2 * np.pi, ribs * 6 + 1)
    angle[-1] = 0
    out = np.linspace(0.0, 1.0, 18)[None]
    sag = 0.10 * np.abs(np.sin(angle * ribs / 2))[:, None]
    reach = 0.95 * out * (1 - sag * out)
    height = random.uniform(0.35, 0.6) * np.cos(out * np.pi / 2 * 0.98) + sag * out**2 * 0.4
    points = np.stack([reach * np.cos(angle)[:, None], reach * np.sin(angle)[:, None], height + 1.2], axis=-1)
    canopy = f.surface(points[::-1], repeats=(float(ribs // 2), 1.0))
    below = f.surface(points - (0, 0, 0.012), repeats=(float(ribs // 2), 1.0))
    work = f.Sculpture()
    work.add(m.textured(random, "stripes", "tartan", "camouflage", "weave"), canopy)
    work.add(m.paint(random), below)
    hook = f.smooth(
        [(0, 0, 1.6), (0, 0, 0.9), (0, 0, 0.15), (0.03, 0, 0.02), (0.12, 0, -0.06), (0.21, 0, 0.02), (0.22, 0, 0.1)],
        50,
    )
    work.add(m.steel(), f.tube(hook[:26], 0.022, 10))
    work.add(m.textured(random, "planks", "leather"), f.tube(hook[25:], 0.04, 12))
    return work.mesh()


@shape
def guitar(random: Random) -> RawMesh:
    upper, waist, lower = random.uniform(0.30, 0.36), random.uniform(0.2, 0.25), random.uniform(0.42, 0.5)
    right = [(0.08, 0.02), (lower * 0.7, 0.06), (lower, 0.35), (waist, 0.72), (upper, 1.0), (0.2, 1.2), (0.07, 1.22)]
    half = f.smooth(right, 40)
    outline = np.concatenate([half, (half * (-1, 1))[::-1]])
    work = f.Sculpture()
    work.add(m.textured(random, "planks", "camouflage", "marble", roughness=0.25), f.extrude(outline, 0.22, 0.02))
    work.add(m.black(), f.cylinder(0.13, 0.01).turned("x", np.pi / 2).moved(y=-0.105, z=0.78))
    work.add(
        m.gold(),
        f.lathe([(0.13, 0), (0.15, 0.006), (0.15, 0.012), (0.13, 0.012)])
        .turned("x", np.pi / 2)
        .moved(y=-0.105, z=0.78),
    )
    work.add(
        m.rgb("4a2d1c"),
        f.box(0.09, 0.05, 1.3, 0.01).moved(y=-0.12, z=0.92),
        f.box(0.28, 0.04, 0.06).moved(y=-0.12, z=0.3),
    )
    head = f.extrude(
        [(-0.06, 2.2), (0.06, 2.2), (0.11, 2.34), (0.09, 2.58), (-0.09, 2.58), (-0.11, 2.34)], 0.05, 0.01
    )
    work.add(m.rgb("2d1a10"), head.moved(y=-0.1))
    for string in np.linspace(-0.03, 0.03, 6):
        work.add(
            m.steel(),
            f.tube(np.array([(string, -0.155, 0.33), (string, -0.15, 1.3), (string, -0.14, 2.4)]), 0.004, 4),
        )
    for z in (2.35, 2.43, 2.51):
        work.add(m.cream(), *(f.sphere(0.03, 10).moved(x, -0.1, z) for x in (-0.14, 0.14)))
    return work.mesh()


@shape
def book(random: Random) -> RawMesh:
    work, z = f.Sculpture(), 0.0
    for _ in range(int(random.integers(3, 7))):
        width, depth, thick = random.uniform((0.7, 0.9, 0.1), (0.95, 1.25, 0.26))
        cover = m.either(random, "leather", "tartan", "marble", "stripes", "weave", probability=0.5)
        angle, pages = (
            random.normal(0, 0.22),
            f.box(width - 0.06, depth - 0.08, thick - 0.06, 0.004).moved(x=0.01, z=0.03),
        )
        boards = (f.box(width, depth, 0.03, 0.008), f.box(width, depth, 0.03, 0.008).moved(z=thick - 0.03))
        spine = f.tube(
            np.array([(-width / 2, -depth / 2, thick / 2), (-width / 2, depth / 2, thick / 2)]), thick / 2, 16
        )
        work.add(cover, *(form.turned("z", angle).moved(z=z) for form in (*boards, spine)))
        work.add(m.cream(), pages.turned("z", angle).moved(z=z))
        z += thick
    return work.mesh()
