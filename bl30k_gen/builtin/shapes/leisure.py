"""Shapes of things for leisure: to carry, wear, ride and look through. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh


@shape
def camera(random: Random) -> RawMesh:
    work, wide, high = f.Sculpture(), random.uniform(1.0, 1.3), random.uniform(0.6, 0.75)
    skin, trim = (
        m.textured(random, "leather", "scales", roughness=0.8),
        m.steel() if random.random() < 0.6 else m.black(),
    )
    work.add(skin, f.box(wide, 0.36, high, 0.06))
    work.add(trim, f.box(wide + 0.02, 0.38, 0.14, 0.05).moved(z=high - 0.08))
    prism = f.extrude([(-0.24, 0), (0.24, 0), (0.14, 0.2), (-0.14, 0.2)], 0.3, 0.03)
    work.add(trim, prism.moved(z=high + 0.04))
    long = random.uniform(0.25, 0.8)
    barrel = [
        (0.0, 0),
        (0.3, 0),
        (0.3, long * 0.4),
        (0.27, long * 0.42),
        (0.27, long),
        (0.23, long),
        (0.22, long - 0.06),
        (0, long - 0.06),
    ]
    lens = f.lathe(barrel, 36).turned("x", np.pi / 2).moved(0, -0.16, high * 0.46)
    work.add(m.black(), lens)
    work.add(m.glass(), f.sphere(1, 22).scaled(0.22, 0.05, 0.22).moved(0, -0.13 - long, high * 0.46))
    ring = f.lathe([(0.31, 0), (0.32, 0.03), (0.31, 0.06)], 36).turned("x", np.pi / 2)
    work.add(trim, ring.moved(0, -0.2 - long * 0.2, high * 0.46))
    for x, r in ((-wide * 0.36, 0.12), (wide * 0.36, 0.1)):
        work.add(trim, f.cylinder(r, 0.1, segments=22).moved(x, 0, high + 0.04))
    work.add(m.rgb("b3281f"), f.cylinder(0.05, 0.07, segments=14).moved(wide * 0.36, 0, high + 0.12))
    strap = f.smooth(
        [
            (-wide / 2, 0, high * 0.8),
            (-wide * 0.75, 0.1, 0.3),
            (-wide * 0.3, 0.45, -0.1),
            (wide * 0.4, 0.4, -0.1),
            (wide * 0.8, 0.1, 0.3),
            (wide / 2, 0, high * 0.8),
        ],
        50,
    )
    work.add(m.textured(random, "leather", "denim", "tartan"), f.tube(strap, 0.035, 8))
    return work.mesh()


@shape
def headphones(random: Random) -> RawMesh:
    work, wide, high = f.Sculpture(), random.uniform(0.6, 0.72), random.uniform(0.75, 0.95)
    shell = m.paint(random, 0.25) if random.random() < 0.6 else m.textured(random, "metal", "leather", "planks")
    a = np.linspace(0, np.pi, 40)
    band = np.stack([wide * np.cos(a), 0 * a, high * np.sin(a) + 0.1], axis=1)
    work.add(shell, f.tube(band, 0.05 + 0.03 * np.sin(a) ** 2, 12).scaled(1, 1.5, 1))
    pad = m.textured(random, "leather", "knit", "weave", roughness=0.8)
    for side in (-1, 1):
        cup = f.lathe([(0, 0), (0.26, 0), (0.3, 0.05), (0.3, 0.16), (0.2, 0.22), (0, 0.24)], 30).turned(
            "y", side * np.pi / 2
        )
        cushion = f.lathe(f.smooth([(0.14, 0.0), (0.22, -0.1), (0.3, -0.05), (0.28, 0.02)], 16), 30).turned(
            "y", side * np.pi / 2
        )
        work.add(shell, cup.scaled(1, 0.9, 1.1).moved(side * (wide - 0.04), 0, 0))
        work.add(pad, cushion.scaled(1, 0.9, 1.1).moved(side * (wide - 0.04), 0, 0))
        work.add(
            m.steel(), f.cylinder(0.09, 0.03, segments=20).turned("y", side * np.pi / 2).moved(side * (wide + 0.19))
        )
    if random.random() < 0.5:
        arm = f.smooth([(-wide - 0.1, -0.1, -0.1), (-wide + 0.05, -0.5, -0.35), (-0.15, -0.62, -0.4)], 16)
        work.add(m.black(), f.tube(arm, 0.022, 8), f.sphere(0.06, 14).moved(*arm[-1]))
    return work.mesh()


@shape
def boot(random: Random) -> RawMesh:
    work, hide = f.Sculpture(), m.textured(random, "leather", "denim", "scales", "camouflage", roughness=0.7)
    tall, long = random.uniform(0.55, 1.0), random.uniform(0.85, 1.05)
    shaft = f.tube(f.smooth([(0, 0.24, 0.18), (0, 0.2, 0.4), (0, 0.22, tall)], 18), np.linspace(0.27, 0.3, 18), 20)
    work.add(hide, shaft.scaled(0.85, 1, 1))
    foot = f.tube(
        f.smooth([(0, 0.42, 0.2), (0, 0.1, 0.22), (0, -0.3, 0.17), (0, 0.42 - long, 0.13)], 24),
        np.interp(np.linspace(0, 1, 24), [0, 0.12, 0.45, 0.8, 1], [0.12, 0.26, 0.26, 0.21, 0.08]),
        20,
    )
    work.add(hide, foot.scaled(0.9, 1, 0.9))
    sole = f.smooth(
        [(0.24, 0.44), (0.2, 0.0), (0.26, -0.3), (0.0, 0.30 - long), (-0.26, -0.3), (-0.2, 0.0), (-0.24, 0.44)],
        40,
        True,
    )[:-1]
    rubber = m.black() if random.random() < 0.6 else m.rgb("c9b79a")
    work.add(rubber, f.extrude(sole, 0.08, 0.015).turned("x", -np.pi / 2).scaled(1, -1, 1).moved(z=0.0))
    work.add(rubber, f.box(0.44, 0.3, 0.14, 0.03).moved(0, 0.3, -0.12))
    lace = m.cream() if random.random() < 0.5 else m.paint(random)
    for k in range(5):
        z, y = 0.36 + k * (tall - 0.4) / 5, -0.08 + 0.045 * min(k, 2)
        for side in (-1, 1):
            ends = np.array([(side * 0.12, y - 0.02, z), (0, y - 0.06, z + 0.04), (-side * 0.12, y - 0.02, z + 0.09)])
            work.add(lace, f.tube(f.smooth([tuple(e) for e in ends], 8), 0.018, 6))
    cuff = f.lathe(
        [(0.28, tall - 0.05), (0.33, tall - 0.03), (0.33, tall + 0.04), (0.27, tall + 0.05), (0.25, tall - 0.1)], 26
    )
    work.add(m.textured(random, "fur", "knit", "leather"), cuff.scaled(0.9, 1, 1).moved(0, 0.22, 0))
    return work.mesh()


@shape
def skateboard(random: Random) -> RawMesh:
    work, long, wide = f.Sculpture(), random.uniform(1.5, 1.9), random.uniform(0.38, 0.48)
    lift = random.uniform(0.15, 0.25)

    def curved(form: f.Form) -> f.Form:
        y = np.abs(form.vertices[:, 1]) / (long / 2)
        rise = lift * np.clip((y - 0.62) / 0.38, 0, 1) ** 1.6
        return f.Form(form.vertices + np.stack([0 * y, 0 * y, rise], 1), form.faces, form.uv)

    def sheet(depth: float, z: float) -> f.Form:
        """Strips across the board, so that it can be bent."""
        rows = np.linspace(-long / 2, long / 2, 33)
        half = wide / 2 * np.clip(1 - np.abs(2 * rows / long) ** 5, 0.0, 1) ** 0.5
        ring = np.stack(
            [
                np.stack([x * half, rows, np.full(33, z + dz)], 1)
                for x, dz in ((1, 0), (1, depth), (-1, depth), (-1, 0), (1, 0))
            ]
        )
        return curved(f.surface(ring[::-1]))

    work.add(m.textured(random, "planks", "stripes", "camouflage", "floral"), sheet(0.035, 0.0))
    work.add(m.textured(random, "asphalt"), sheet(0.008, 0.036))
    tyre = m.paint(random, 0.3)
    for y in (-long * 0.28, long * 0.28):
        work.add(m.steel(), f.box(0.14, 0.2, 0.1, 0.02).moved(0, y, -0.1))
        work.add(
            m.steel(),
            f.cylinder(0.025, wide * 0.9, segments=12)
            .moved(z=-wide * 0.45)
            .turned("y", np.pi / 2)
            .moved(0, y, -0.13),
        )
        for x in (-1, 1):
            wheel = f.cylinder(0.1, 0.11, bevel=0.03, segments=24).moved(z=-0.055).turned("y", np.pi / 2)
            work.add(tyre, wheel.moved(x * wide * 0.38, y, -0.13))
            work.add(
                m.steel(),
                f.cylinder(0.035, 0.13, segments=12)
                .moved(z=-0.065)
                .turned("y", np.pi / 2)
                .moved(x * wide * 0.38, y, -0.13),
            )
    return work.mesh()


@shape
def anchor(random: Random) -> RawMesh:
    work, iron = f.Sculpture(), m.textured(random, "rust", "metal", "rust", metallic=0.3)
    high, reach = random.uniform(1.2, 1.5), random.uniform(0.55, 0.75)
    work.add(iron, f.tube(np.linspace((0, 0, 0.0), (0, 0, high), 8), np.linspace(0.1, 0.07, 8), 14))
    arms = f.smooth(
        [(-reach, 0, 0.48), (-reach * 0.7, 0, 0.12), (0, 0, -0.06), (reach * 0.7, 0, 0.12), (reach, 0, 0.48)], 30
    )
    work.add(iron, f.tube(arms, 0.06 + 0.05 * np.sin(np.pi * np.linspace(0, 1, 30)), 14))
    for side in (-1, 1):
        fluke = f.extrude([(0, 0.22), (0.17, -0.06), (0.06, -0.12), (-0.06, -0.12), (-0.17, -0.06)], 0.06, 0.015)
        work.add(iron, fluke.turned("z", np.pi / 2).turned("y", side * 0.35).moved(side * (reach - 0.02), 0, 0.42))
    bar = random.uniform(0.4, 0.55)
    stock = f.tube(np.linspace((0, -bar, 0), (0, bar, 0), 8), 0.045, 12).turned("z", random.choice([0.0, np.pi / 2]))
    work.add(iron, stock.moved(z=high - 0.16))
    t = np.linspace(0, 2 * np.pi, 33)
    ring = np.stack([np.cos(t), 0 * t, np.sin(t)], 1) * 0.14
    ring[-1] = ring[0]
    work.add(iron, f.tube(ring + (0, 0, high + 0.12), 0.035, 10, closed=True))
    s = np.linspace(0, 1, 60)
    rope = np.stack(
        [0.12 * np.cos(11 * s) * (1 - 0.2 * s), 0.14 * np.sin(11 * s), high + 0.05 - (high - 0.25) * s], axis=1
    )
    work.add(m.textured(random, "thatch", "wicker"), f.tube(rope, 0.032, 8))
    return work.mesh()


@shape
def hourglass(random: Random) -> RawMesh:
    work, wood = f.Sculpture(), m.textured(random, "planks", "marble", "parquet", roughness=0.3)
    high, wide = random.uniform(1.1, 1.5), random.uniform(0.36, 0.5)
    half, posts = high / 2, int(random.choice([3, 4, 5]))
    curve = f.smooth([(wide * 0.78, 0.04), (wide * 0.85, half * 0.35), (wide * 0.4, half * 0.8), (0.045, half)], 20)
    glass = np.concatenate([[(0, 0.04)], curve, (curve[:-1] * (1, -1) + (0, high))[::-1], [(0, high - 0.04)]])
    work.add(m.glass(), f.lathe(glass, 32))
    plate = [(0, -0.08), (wide * 1.2, -0.08), (wide * 1.28, -0.04), (wide * 1.2, 0.0), (wide, 0.04), (0, 0.04)]
    disc = f.lathe(plate, 32)
    work.add(wood, disc, disc.turned("x", np.pi).moved(z=high))
    turned = f.smooth([(0.035, 0), (0.065, half * 0.3), (0.035, half * 0.7), (0.06, half)], 16)
    rod = f.lathe(np.concatenate([turned, (turned[:-1] * (1, -1) + (0, high))[::-1]]), 12)
    for k in range(posts):
        a = 2 * np.pi * (k + 0.25) / posts
        work.add(m.gold() if posts == 4 else wood, rod.moved(wide * 1.08 * np.cos(a), wide * 1.08 * np.sin(a)))
    return work.mesh()


@shape
def telescope(random: Random) -> RawMesh:
    """On a tripod."""
    work, tube = f.Sculpture(), m.textured(random, "leather", "metal", "planks", roughness=0.3)
    brass, long = m.gold() if random.random() < 0.7 else m.steel(), random.uniform(1.2, 1.6)
    tilt, thick = random.uniform(0.2, 0.8), random.uniform(0.1, 0.14)
    parts = [
        (tube, f.cylinder(thick, long * 0.5, bevel=0.01).moved(z=0.0)),
        (brass, f.cylinder(thick * 1.12, 0.1).moved(z=long * 0.46)),
        (brass, f.cylinder(thick * 1.12, 0.08).moved(z=-0.02)),
        (tube, f.cylinder(thick * 0.75, long * 0.28).moved(z=-long * 0.26)),
        (brass, f.cylinder(thick * 0.82, 0.06).moved(z=-long * 0.27)),
        (brass, f.cylinder(thick * 0.5, 0.2).moved(z=-long * 0.38)),
        (m.glass(), f.sphere(thick, 20).scaled(1, 1, 0.3).moved(z=long * 0.56)),
    ]
    for material, form in parts:
        work.add(material, form.moved(z=-long * 0.1).turned("x", np.pi / 2 - tilt).moved(z=1.15))
    work.add(brass, f.cylinder(0.07, 0.22).moved(z=0.9), f.sphere(0.09, 18).moved(z=1.08))
    wood = m.textured(random, "planks", "bark")
    for k in range(3):
        foot = np.array([0.62 * np.cos(2.1 * k + 0.5), 0.62 * np.sin(2.1 * k + 0.5), 0])
        top = foot * (0.1, 0.1, 0) + (0, 0, 0.96)
        work.add(wood, f.tube(np.linspace(foot, top, 5), np.linspace(0.028, 0.045, 5), 8))
        middle = (foot + top) / 2 * (1, 1, 0) + (0, 0, 0.42)
        work.add(brass, f.tube(np.array([(0, 0, 0.4), middle]), 0.014, 6), f.sphere(0.04, 12).moved(*foot))
    return work.mesh()


@shape
def wineglass(random: Random) -> RawMesh:
    """Full, with a cork beside it."""
    work, high = f.Sculpture(), random.uniform(0.9, 1.3)
    bowl, mouth = random.uniform(0.26, 0.42), random.uniform(0.2, 0.4)
    stem = [(0.33, 0.0), (0.3, 0.02), (0.06, 0.06), (0.032, 0.2), (0.035, high * 0.45), (0.1, high * 0.5)]
    cup = f.smooth([(0.1, high * 0.5), (bowl, high * 0.68), (mouth, high)], 22)
    inside = (cup[::-1] - (0.018, 0))[:-2].clip(0)
    profile = np.concatenate([[(0, 0)], stem, cup[1:], inside, [(0, high * 0.55)]])
    work.add(m.rgb("b9c9cf", 0.08), f.lathe(profile, 36))
    full = random.uniform(0.68, 0.85) * high
    inner = cup[cup[:, 1] < full] - (0.022, -0.012)
    wine = m.rgb(("5a0f1c", "d9c26a", "c9707a")[random.integers(3)], 0.1)
    work.add(wine, f.lathe(np.concatenate([[(0, inner[0, 1])], inner, [(0, inner[-1, 1])]]).clip(0), 34))
    cork = f.cylinder(0.09, 0.26, 0.08, segments=18).turned("x", np.pi / 2).turned("z", random.uniform(0, 3))
    work.add(m.textured(random, "cork"), cork.moved(0.5, -0.05, 0.09))
    work.add(m.textured(random, "weave", "cork", "wicker"), f.cylinder(0.62, 0.03, segments=32).moved(0.1, 0, -0.03))
    return work.mesh()
