"""Shapes of vehicles and a house. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh


def _wheel(radius: float, width: float) -> tuple[f.Form, f.Form]:
    """(tyre, rim), the axle along x."""
    r, w = radius, width / 2
    tyre = f.lathe([(r * 0.6, -w), (r * 0.9, -w), (r, -w * 0.7), (r, w * 0.7), (r * 0.9, w), (r * 0.6, w)], 32)
    rim = f.lathe(
        [
            (0, -w * 0.9),
            (r * 0.16, -w * 0.9),
            (r * 0.2, -w * 0.5),
            (r * 0.55, -w * 0.6),
            (r * 0.62, -w),
            (r * 0.62, w),
            (r * 0.55, w * 0.6),
            (r * 0.2, w * 0.5),
            (r * 0.16, w * 0.9),
            (0, w * 0.9),
        ],
        24,
    )
    return tyre.turned("y", np.pi / 2), rim.turned("y", np.pi / 2)


@shape
def car(random: Random) -> RawMesh:
    length, width, roof = random.uniform(2.0, 2.5), random.uniform(0.85, 1.0), random.uniform(0.72, 1.0)
    nose, front, back = random.uniform((0.38, 0.30, 0.1), (0.48, 0.42, 0.32))
    h = length / 2
    side = f.smooth(
        [
            (-h, 0.24),
            (-h, nose),
            (-h * front - 0.25, nose + 0.12),
            (-h * front + 0.18, roof),
            (h * back, roof),
            (h * back + 0.42, nose + 0.14),
            (h, nose + 0.06),
            (h, 0.24),
        ],
        40,
    )
    cabin = [
        (-h * front - 0.16, nose + 0.13),
        (-h * front + 0.17, roof - 0.06),
        (h * back, roof - 0.06),
        (h * back + 0.33, nose + 0.15),
    ]
    body = m.either(random, "stripes", "camouflage", "rust", "metal", probability=0.6)
    work = f.Sculpture()
    work.add(body, f.extrude(side, width, 0.06).turned("z", np.pi / 2))
    work.add(m.glass(), f.extrude(cabin, width + 0.012, 0.01).turned("z", np.pi / 2))
    screen = [
        (-width * 0.42, 0, 0),
        (width * 0.42, 0, 0),
        (width * 0.36, 0.30, 0.9 * (roof - nose - 0.18)),
        (-width * 0.36, 0.30, 0.9 * (roof - nose - 0.18)),
    ]
    pane = np.array(screen)
    work.add(
        m.glass(),
        f.hull(np.concatenate([pane, pane + (0, 0.02, 0.02), pane + (0, 0.06, -0.01)])).moved(
            y=-h * front - 0.21, z=nose + 0.15
        ),
    )
    for x in (-1, 1):
        for y in (-h * 0.62, h * 0.6):
            tyre, rim = _wheel(0.24, 0.18)
            work.add(m.black(), tyre.moved(x * (width / 2 - 0.04), y, 0.22))
            work.add(m.steel(), rim.moved(x * (width / 2 - 0.04), y, 0.22))
        work.add(
            m.rgb("fff6d6", 0.2),
            f.sphere(0.07, 16).scaled(1.3, 0.5, 1).moved(x * width * 0.33, -h - 0.0, nose - 0.06),
        )
        work.add(m.rgb("b3201c", 0.3), f.box(0.18, 0.04, 0.09).moved(x * width * 0.33, h - 0.01, nose - 0.06))
    work.add(
        m.steel(),
        f.box(width * 0.96, 0.08, 0.09).moved(y=-h - 0.01, z=0.24),
        f.box(width * 0.96, 0.08, 0.09).moved(y=h, z=0.24),
    )
    return work.mesh()


@shape
def airplane(random: Random) -> RawMesh:
    length, radius, span = random.uniform((2.0, 0.17, 1.0), (2.6, 0.26, 1.4))
    profile = f.smooth(
        [(0.005, 0), (radius * 0.8, 0.2), (radius, 0.7), (radius * 0.9, length * 0.6), (0.06, length)], 44
    )
    work = f.Sculpture()
    skin = m.either(random, "stripes", "metal", "camouflage", "rust", probability=0.8)
    work.add(skin, f.lathe(profile).turned("x", -np.pi / 2))
    accent = m.paint(random)
    sweep = random.uniform(0.05, 0.5)
    wing = [(0, 0.75), (span, 0.75 + sweep), (span, 1.0 + sweep), (0, 1.35)]
    tail = [(0, length * 0.84), (span * 0.38, length * 0.9), (span * 0.38, length * 0.98), (0, length * 0.99)]
    for outline, thick in ((wing, 0.06), (tail, 0.04)):
        half = f.extrude(np.array(outline), thick, thick * 0.3).turned("x", -np.pi / 2)
        work.add(accent, half, half.scaled(-1, 1, 1))
    fin = f.extrude(
        np.array([(length * 0.8, 0.03), (length * 0.95, 0.5), (length * 1.02, 0.5), (length, 0.03)]), 0.04, 0.01
    )
    work.add(accent, fin.turned("z", np.pi / 2))
    work.add(m.glass(), f.sphere(1, 24).scaled(radius * 0.62, 0.26, radius * 0.6).moved(y=0.45, z=radius * 0.62))
    for x in (-1, 1):
        pod = f.lathe(f.smooth([(0, 0), (0.1, 0.06), (0.1, 0.3), (0, 0.5)], 20).clip(0), 20).turned("x", -np.pi / 2)
        work.add(m.steel(), pod.moved(x * span * 0.45, 0.78 + sweep * 0.3, -0.12))
    if random.uniform() < 0.5:
        for angle in range(3):
            blade = f.box(0.07, 0.02, 0.42).turned("y", angle * 2 * np.pi / 3)
            work.add(m.black(), blade.moved(y=-0.03))
        work.add(m.gold(), f.sphere(0.07, 16))
    return work.mesh()


@shape
def rocket(random: Random) -> RawMesh:
    radius, height, fins = random.uniform(0.22, 0.34), random.uniform(1.5, 2.1), int(random.integers(3, 6))
    belly = random.uniform(1.0, 1.35)
    profile = f.smooth([(radius * 0.75, 0.15), (radius * belly, height * 0.4), (radius, height * 0.68)], 24)
    nose = f.smooth([(radius, height * 0.68), (radius * 0.68, height * 0.87), (0.0, height * 1.05)], 20)
    nose[:, 0] = np.maximum(nose[:, 0], 0)
    work = f.Sculpture()
    work.add(m.either(random, "stripes", "metal", "tiles", "rust", probability=0.8), f.lathe(profile))
    accent = m.paint(random)
    work.add(accent, f.lathe(nose))
    work.add(m.black(), f.lathe([(0, 0.05), (radius * 0.6, 0.0), (radius * 0.5, 0.16), (radius * 0.8, 0.2)]))
    out = random.uniform(0.3, 0.55)
    fin = f.smooth(
        [
            (radius * 0.6, 0.75),
            (radius + out * 0.6, 0.4),
            (radius + out, -0.12),
            (radius + out * 0.5, 0.1),
            (radius * 0.6, 0.2),
        ],
        24,
    )
    for k in range(fins):
        work.add(accent, f.extrude(fin, 0.05, 0.012).turned("z", 2 * np.pi * k / fins + np.pi / 6))
    for z in np.linspace(0.42, 0.66, int(random.integers(1, 4))):
        level = np.interp(z * height, profile[:, 1], profile[:, 0])
        window = f.sphere(radius * 0.32, 20).scaled(1, 0.4, 1).moved(y=-level, z=z * height)
        around = np.linspace(0, 2 * np.pi, 33)
        ring = np.stack([np.cos(around), around * 0, np.sin(around)], axis=1) * radius * 0.34
        ring[-1] = ring[0]
        work.add(m.glass(), window)
        work.add(m.gold(), f.tube(ring + (0, -level - 0.01, z * height), 0.03, 10, closed=True))
    return work.mesh()


@shape
def sailboat(random: Random) -> RawMesh:
    length, beam, depth = random.uniform(1.5, 1.9), random.uniform(0.25, 0.34), random.uniform(0.25, 0.38)
    s = np.linspace(-1, 1, 30)[:, None]
    a = np.linspace(-np.pi / 2, np.pi / 2, 15)[None]
    width = beam * (1 - np.clip(s, 0, 1) ** 2.2) * (1 - 0.25 * np.clip(-s, 0, 1) ** 3) + 0.004
    keel = depth * (1 - 0.9 * np.abs(s) ** 3)
    points = np.stack([width * np.sin(a), -s * length / 2 + 0 * a, -keel * np.cos(a) ** 0.7 + 0.10 * s**2], axis=-1)
    work = f.Sculpture()
    work.add(m.either(random, "planks", "stripes", "rust", probability=0.8), f.surface(points[:, ::-1]))
    deck = np.stack([points[:, 0], points[:, -1]], axis=1)
    work.add(m.textured(random, "planks"), f.surface(deck))
    work.add(
        m.paint(random), f.surface(np.stack([points[0], np.broadcast_to(points[0].mean(axis=0), points[0].shape)]))
    )
    mast = random.uniform(1.5, 1.9)
    work.add(
        m.rgb("8a6238"), f.cylinder(0.03, mast, 0.018), f.tube(np.array([(0, 0.02, 0.25), (0, 0.72, 0.28)]), 0.02)
    )
    for foot, reach, base in ((0.03, 0.68, 0.3), (-0.06, -length * 0.42, 0.12)):
        t = np.linspace(0, 1, 16)[:, None]
        w = np.linspace(0, 1, 10)[None]
        y = foot + (reach - foot) * w * (1 - t)
        x = 0.16 * np.sin(np.pi * w) * (1 - t) * np.sin(np.pi * (0.15 + 0.85 * t))
        sail = np.stack([x, y, base + (mast * 0.95 - base) * t + 0 * w], axis=-1)
        sail = sail if reach > foot else sail[:, ::-1]
        cloth = m.either(random, "stripes", "tartan", "weave", "camouflage", probability=0.7)
        work.add(cloth, f.surface(sail), f.surface(sail[:, ::-1] + (0.008, 0, 0)))
    work.add(m.paint(random), f.box(beam * 0.9, 0.42, 0.16).moved(y=0.3, z=0.02))
    return work.mesh()


@shape
def house(random: Random) -> RawMesh:
    width, depth, height, ridge = random.uniform((0.9, 0.9, 0.6, 0.35), (1.3, 1.4, 1.0, 0.75))
    w, over = width / 2, 0.12
    work = f.Sculpture()
    gable = f.extrude([(-w, 0), (w, 0), (w, height), (0, height + ridge), (-w, height)], depth)
    work.add(m.textured(random, "bricks", "planks", "pebbles", "bricks"), gable)
    slope = np.hypot(w + over, ridge * (w + over) / w)
    angle = np.arctan2(ridge, w)
    tiles = m.textured(random, "rust", "bark", "bricks", "planks")
    roof = f.box(slope, depth + 2 * over, 0.07, 0.01).moved(x=slope / 2).turned("y", angle)
    work.add(tiles, *(roof.scaled(x, 1, 1).moved(z=height + ridge) for x in (-1, 1)))
    frame, floors = m.rgb("f2eee4"), 1 if height < 0.8 else 2
    for side, count, span in ((0, 2, width), (1, int(random.integers(2, 4)), depth)):
        for face in (-1, 1):
            for floor in range(floors):
                for k in range(count):
                    at = (k + 0.5) / count * span - span / 2
                    z = height * ((floor + 0.5) / floors) - 0.12
                    pane, border = f.box(0.17, 0.02, 0.24, 0.004), f.box(0.22, 0.015, 0.29, 0.004).moved(z=-0.025)
                    turn = 0 if side == 0 else np.pi / 2
                    for material, form, out in ((frame, border, 0.004), (m.glass(), pane, 0.012)):
                        placed = form.moved(x=at, y=face * ((depth if side == 0 else width) / 2 + out), z=z)
                        if side == 0 and face < 0 and floor == 0 and count == 2 and k == 0:
                            continue
                        work.add(material, placed.turned("z", turn))
    work.add(m.paint(random), f.box(0.24, 0.03, 0.42).moved(x=-width / 4, y=-depth / 2 - 0.01))
    work.add(m.textured(random, "bricks"), f.box(0.16, 0.16, 0.55).moved(w * 0.45, depth * 0.2, height + ridge * 0.4))
    work.add(m.textured(random, "pebbles"), f.box(width + 0.3, depth + 0.3, 0.06).moved(z=-0.05))
    return work.mesh()
