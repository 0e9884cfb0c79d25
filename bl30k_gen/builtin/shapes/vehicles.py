"""Shapes of further vehicles; others are in ``outdoors``. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh


def _tyre(radius: float, width: float, inner: float = 0.6) -> f.Form:
    """The axle along x."""
    r, w = radius, width / 2
    profile = [
        (r * inner, -w),
        (r * 0.92, -w),
        (r, -w * 0.6),
        (r, w * 0.6),
        (r * 0.92, w),
        (r * inner, w),
        (r * inner, -w),
    ]
    return f.lathe(profile, 28).turned("y", np.pi / 2)


def _rod(*points: tuple[float, float, float], radius: float = 0.03, sides: int = 8) -> f.Form:
    return f.tube(np.array(points, dtype=float), radius, sides)


@shape
def bicycle(random: Random) -> RawMesh:
    work, frame = f.Sculpture(), m.paint(random, 0.2)
    r, base, seat = random.uniform(0.36, 0.42), random.uniform(0.98, 1.15), random.uniform(0.8, 0.98)
    for y in (-base / 2, base / 2):
        t = np.linspace(0, 2 * np.pi, 49)
        ring = np.stack([0 * t, np.cos(t), np.sin(t)], axis=1)
        ring[-1] = ring[0]
        work.add(m.black(), f.tube(ring * r + (0, y, r), 0.028, 8, closed=True))
        work.add(m.steel(), f.tube(ring * (r - 0.04) + (0, y, r), 0.012, 6, closed=True))
        for k in range(12):
            a = k * np.pi / 6
            work.add(
                m.steel(),
                _rod((0, y, r), (0, y + (r - 0.04) * np.cos(a), r + (r - 0.04) * np.sin(a)), radius=0.005, sides=4),
            )
        work.add(m.steel(), f.cylinder(0.03, 0.12, segments=12).moved(z=-0.06).turned("y", np.pi / 2).moved(0, y, r))
    front, rear, crank = (0, -base / 2, r), (0, base / 2, r), (0, 0.06, r - 0.06)
    head, saddle = (0, -base / 2 + 0.16, seat - 0.03), (0, 0.22, seat)
    bars = [(crank, head), (crank, saddle), (head, (0, 0.18, seat - 0.1)), (front, head)]
    work.add(frame, *(_rod(*ends, radius=0.026) for ends in bars))
    for x in (-0.05, 0.05):
        work.add(frame, *(_rod((x, *rear[1:]), end, radius=0.015) for end in (crank, (0, 0.18, seat - 0.1))))
    grip = f.smooth(
        [(-0.3, 0.08, 0.14), (-0.22, -0.02, 0.16), (0, 0, 0.12), (0.22, -0.02, 0.16), (0.3, 0.08, 0.14)], 24
    )
    work.add(m.steel(), f.tube(grip + head, 0.02, 8), _rod(head, (0, head[1], head[2] + 0.12), radius=0.02))
    work.add(m.textured(random, "leather"), f.sphere(1, 16).scaled(0.09, 0.16, 0.045).moved(0, 0.24, seat + 0.04))
    wheel = f.cylinder(0.1, 0.02, bevel=0.005).moved(z=-0.01).turned("y", np.pi / 2)
    work.add(m.steel(), wheel.moved(0.05, *crank[1:]))
    for side in (-1, 1):
        foot = (side * 0.1, crank[1] + side * 0.12, crank[2] - side * 0.1)
        work.add(m.steel(), _rod((side * 0.06, *crank[1:]), foot, radius=0.014))
        work.add(m.black(), f.box(0.09, 0.08, 0.025, 0.005).moved(foot[0] + side * 0.05, *foot[1:]))
    if random.random() < 0.5:
        work.add(m.textured(random, "wicker"), f.box(0.32, 0.24, 0.22, 0.03).moved(0, -base / 2 - 0.02, seat - 0.12))
    return work.mesh()


@shape
def truck(random: Random) -> RawMesh:
    work, cab = f.Sculpture(), m.paint(random, 0.25)
    long, wide, high = random.uniform(1.3, 2.0), random.uniform(0.75, 0.85), random.uniform(0.75, 1.0)
    nose = f.smooth([(-0.42, 0.25), (-0.45, 0.55), (-0.3, 0.62), (-0.14, 0.98), (0.3, 1.02), (0.32, 0.25)], 30)
    work.add(cab, f.extrude(nose, wide, 0.04).turned("z", np.pi / 2).moved(y=-long / 2 - 0.15))
    pane = [(-0.24, 0.64), (-0.13, 0.92), (0.22, 0.94), (0.22, 0.64)]
    work.add(m.glass(), f.extrude(pane, wide + 0.012, 0.01).turned("z", np.pi / 2).moved(y=-long / 2 - 0.15))
    screen = f.box(wide * 0.86, 0.02, 0.3, 0.01).turned("x", -0.46).moved(0, -long / 2 - 0.42, 0.66)
    work.add(m.glass(), screen)
    work.add(m.black(), f.box(0.5, long + 0.7, 0.12).moved(0, 0.1, 0.2))
    style = random.integers(3)
    if style == 0:
        load = m.either(random, "corrugated", "stripes", "metal", "camouflage", probability=0.8)
        work.add(load, f.box(wide + 0.06, long, high, 0.03).moved(0, 0.25, 0.33))
    elif style == 1:
        tank = f.cylinder(0.4, long, bevel=0.1).turned("x", -np.pi / 2).moved(0, 0.25 - long / 2, 0.74)
        work.add(m.textured(random, "metal", "rust", "stripes", roughness=0.3), tank)
    else:
        wood = m.textured(random, "planks", "rust")
        work.add(wood, f.box(wide + 0.06, long, 0.06).moved(0, 0.25, 0.33))
        for x in (-1, 1):
            work.add(wood, f.box(0.04, long, 0.3).moved(x * (wide / 2 + 0.02), 0.25, 0.36))
        logs = m.textured(random, "bark")
        for k in range(5):
            pole = f.cylinder(0.13, long * 0.98, segments=18).turned("x", -np.pi / 2)
            work.add(logs, pole.moved((k % 3 - 1 + (k > 2) * 0.5) * 0.26, 0.25 - long / 2, 0.52 + 0.22 * (k > 2)))
    for y in (-long / 2 - 0.2, long * 0.28, long * 0.28 + 0.48):
        for x in (-1, 1):
            work.add(m.black(), _tyre(0.22, 0.16).moved(x * (wide / 2 - 0.06), y, 0.2))
            rim = f.cylinder(0.14, 0.14, segments=18).moved(z=-0.07).turned("y", np.pi / 2)
            work.add(m.steel(), rim.moved(x * (wide / 2 - 0.06), y, 0.2))
    for x in (-1, 1):
        work.add(m.rgb("fff3c4", 0.2), f.sphere(0.06, 14).moved(x * wide * 0.36, -long / 2 - 0.58, 0.42))
        work.add(
            m.steel(),
            _rod((x * (wide / 2 + 0.02), -long / 2 + 0.1, 0.4), (x * (wide / 2 + 0.02), -long / 2 + 0.1, 1.25)),
        )
    work.add(m.steel(), f.box(wide, 0.08, 0.12).moved(0, -long / 2 - 0.58, 0.22))
    return work.mesh()


@shape
def helicopter(random: Random) -> RawMesh:
    work, skin = f.Sculpture(), m.either(random, "stripes", "camouflage", "metal", probability=0.7)
    long, rotor = random.uniform(1.1, 1.5), random.uniform(1.1, 1.4)
    body = f.sphere(1, 30).scaled(0.38, 0.62, 0.42)
    work.add(skin, body.moved(z=0.55))
    work.add(m.glass(), f.sphere(1, 26).scaled(0.34, 0.42, 0.33).moved(0, -0.25, 0.6))
    path = f.smooth([(0, 0.35, 0.65), (0, 0.8, 0.72), (0, 0.4 + long, 0.85)], 18)
    work.add(skin, f.tube(path, np.linspace(0.2, 0.05, 18), 14))
    tail = 0.4 + long
    fin = f.extrude(
        f.smooth([(tail - 0.15, 0.75), (tail + 0.1, 1.25), (tail + 0.2, 1.22), (tail + 0.1, 0.7)], 20, True)[:-1],
        0.04,
        0.01,
    )
    work.add(m.paint(random), fin.turned("z", np.pi / 2), f.box(0.6, 0.16, 0.03).moved(0, tail - 0.1, 0.8))
    turn = random.uniform(0, np.pi)
    blades = int(random.choice([2, 3, 4, 5]))
    for k in range(blades):
        blade = f.box(rotor, 0.1, 0.025, 0.008).moved(rotor / 2).turned("z", turn + 2 * np.pi * k / blades)
        work.add(m.black(), blade.moved(z=1.16))
        small = f.box(0.03, 0.05, 0.24, 0.006).turned("x", turn + 2 * np.pi * k / blades)
        work.add(m.black(), small.moved(0.07, tail + 0.1, 1.05))
    work.add(m.steel(), f.cylinder(0.05, 0.3, segments=14).moved(z=0.9), f.cylinder(0.1, 0.06).moved(z=1.14))
    work.add(skin, f.sphere(1, 20).scaled(0.22, 0.34, 0.16).moved(0, 0.08, 0.95))
    for x in (-1, 1):
        skid = f.smooth([(x * 0.34, -0.62, 0.12), (x * 0.34, -0.5, 0.02), (x * 0.34, 0.5, 0.02)], 16)
        work.add(m.steel(), f.tube(skid, 0.025, 8))
        work.add(m.steel(), *(_rod((x * 0.34, y, 0.02), (x * 0.2, y, 0.3), radius=0.02) for y in (-0.25, 0.28)))
    return work.mesh()


@shape
def tractor(random: Random) -> RawMesh:
    work, paint = f.Sculpture(), m.either(random, "rust", "metal", probability=0.3)
    big, small, long = random.uniform(0.48, 0.6), random.uniform(0.24, 0.34), random.uniform(0.75, 0.95)
    work.add(paint, f.box(0.42, long, 0.36, 0.06).moved(0, -long * 0.5, 0.48))
    work.add(
        m.black(),
        f.box(0.36, 0.03, 0.26, 0.01).moved(0, -long - 0.01, 0.52),
        f.box(0.3, long + 0.5, 0.2).moved(0, -0.25, 0.3),
    )
    work.add(m.black(), f.cylinder(0.035, 0.5, segments=12).moved(0.1, -long * 0.55, 0.8))
    work.add(paint, f.box(0.66, 0.6, 0.08).moved(0, 0.3, 0.5), f.box(0.72, 0.7, 0.07, 0.03).moved(0, 0.25, 1.36))
    for x in (-0.3, 0.3):
        for y in (-0.05, 0.55):
            work.add(paint, f.box(0.05, 0.05, 0.84, 0.01).moved(x, y, 0.55))
    work.add(
        m.glass(),
        f.box(0.56, 0.02, 0.6, 0.01).moved(0, -0.06, 0.74),
        f.box(0.56, 0.02, 0.5, 0.01).moved(0, 0.56, 0.82),
    )
    work.add(
        m.textured(random, "leather"),
        f.box(0.3, 0.28, 0.12, 0.04).moved(0, 0.3, 0.6),
        f.box(0.3, 0.08, 0.3, 0.03).moved(0, 0.44, 0.66),
    )
    hub = m.rgb(("e0b030", "d9d4c8", "c23a2b")[random.integers(3)], 0.3)
    for x in (-1, 1):
        work.add(
            m.black(),
            _tyre(big, 0.24).moved(x * 0.46, 0.3, big),
            _tyre(small, 0.15).moved(x * 0.36, -long * 0.8, small),
        )
        for k in range(18):
            lug = (
                f.box(0.25, 0.06, 0.06, 0.01).moved(z=big - 0.03).turned("x", k * np.pi / 9).moved(x * 0.46, 0.3, big)
            )
            work.add(m.black(), lug)
        for r, w, y, z, out in ((big * 0.6, 0.16, 0.3, big, 0.46), (small * 0.6, 0.12, -long * 0.8, small, 0.36)):
            work.add(hub, f.cylinder(r, w, segments=22).moved(z=-w / 2).turned("y", np.pi / 2).moved(x * out, y, z))
        guard = [(0.3 + (big + 0.06) * np.cos(a), big + (big + 0.06) * np.sin(a)) for a in np.linspace(0.5, 2.5, 12)]
        inner = [(0.3 + (big + 0.02) * np.cos(a), big + (big + 0.02) * np.sin(a)) for a in np.linspace(2.5, 0.5, 12)]
        work.add(paint, f.extrude(np.array(guard + inner), 0.26).turned("z", np.pi / 2).moved(x * 0.46))
        work.add(m.rgb("fff3c4", 0.2), f.sphere(0.06, 14).moved(x * 0.15, -long, 0.78))
    return work.mesh()


@shape
def balloon(random: Random) -> RawMesh:
    """A hot-air balloon with its basket."""
    work, wide, tall = f.Sculpture(), random.uniform(0.8, 1.0), random.uniform(1.5, 2.0)
    profile = f.smooth(
        [(0.2, 0.75), (0.42, 1.0), (wide, 0.75 + tall * 0.6), (wide * 0.65, 0.75 + tall * 0.93), (0, 0.75 + tall)], 34
    ).clip(0)
    cloth = [m.textured(random, "stripes", "tartan", "weave", "camouflage", "floral"), m.paint(random)]
    gores = 16
    t = np.linspace(0, 1, 7)
    for k in range(gores):
        a = 2 * np.pi * (k + t) / gores
        bulge = 1 + 0.05 * np.sin(np.pi * t)[:, None]
        points = np.stack(
            [
                np.cos(a)[:, None] * profile[:, 0] * bulge,
                np.sin(a)[:, None] * profile[:, 0] * bulge,
                np.tile(profile[:, 1], (7, 1)),
            ],
            axis=-1,
        )
        work.add(cloth[k % 2], f.surface(points))
    work.add(m.textured(random, "wicker"), f.box(0.42, 0.42, 0.32, 0.05))
    work.add(m.textured(random, "leather"), f.box(0.46, 0.46, 0.05, 0.02).moved(z=0.3))
    for x in (-1, 1):
        for y in (-1, 1):
            work.add(
                m.rgb("d8cdb4"), _rod((x * 0.2, y * 0.2, 0.32), (x * 0.13, y * 0.13, 0.8), radius=0.014, sides=6)
            )
    work.add(m.steel(), f.cylinder(0.07, 0.14, 0.05, segments=14).moved(z=0.56))
    return work.mesh()
