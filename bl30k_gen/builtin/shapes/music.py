"""Musical instruments. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh


@shape
def piano(random: Random) -> RawMesh:
    """A grand piano, its lid raised, and a stool."""
    work, long, wide = f.Sculpture(), random.uniform(1.0, 1.5), 0.75
    wood = m.black() if random.random() < 0.5 else m.textured(random, "planks", "parquet", "marble", roughness=0.15)
    bend = [
        (wide, -0.2),
        (wide, long * 0.2),
        (wide * 0.2, long * 0.55),
        (-wide * 0.2, long),
        (-wide * 0.8, long * 1.02),
        (-wide, long * 0.8),
    ]
    outline = np.concatenate([[(-wide, -0.2)], f.smooth(bend, 26)])
    flat = f.extrude(outline, 0.26, 0.02).turned("x", -np.pi / 2).scaled(1, -1, 1)
    work.add(wood, flat.moved(z=0.78))
    lid = f.extrude(outline, 0.035, 0.008).turned("x", -np.pi / 2).scaled(1, -1, 1)
    work.add(wood, lid.moved(wide).turned("y", -random.uniform(0.35, 0.6)).moved(-wide, 0, 0.93))
    work.add(
        wood,
        f.box(2 * wide, 0.42, 0.1).moved(0, -0.4, 0.64),
        f.box(0.12, 0.42, 0.2).moved(-wide + 0.06, -0.4, 0.7),
        f.box(0.12, 0.42, 0.2).moved(wide - 0.06, -0.4, 0.7),
    )
    work.add(m.cream(), f.box(2 * wide - 0.26, 0.28, 0.05, 0.005).moved(0, -0.46, 0.74))
    for k in range(24):
        if k % 7 not in (2, 6):
            work.add(m.black(), f.box(0.026, 0.16, 0.03, 0.004).moved((k - 11.5) * 0.052, -0.40, 0.785))
    for x, y in ((-wide + 0.12, -0.3), (wide - 0.12, -0.3), (-wide * 0.5, long * 0.85)):
        work.add(wood, f.cylinder(0.04, 0.66, 0.07).moved(x, y))
        work.add(m.gold(), f.sphere(0.05, 12).moved(x, y, 0.04))
    work.add(m.textured(random, "leather", "weave"), f.box(0.6, 0.32, 0.1, 0.04).moved(0, -0.95, 0.46))
    for x in (-0.24, 0.24):
        for y in (-1.05, -0.85):
            work.add(wood, f.cylinder(0.025, 0.46, 0.035, segments=12).moved(x, y))
    return work.mesh()


@shape
def trumpet(random: Random) -> RawMesh:
    work, metal = f.Sculpture(), (m.gold(), m.gold(), m.steel(), m.rgb("b87444", 0.3, 0.6))[random.integers(4)]
    long, bell = random.uniform(0.85, 1.1), random.uniform(0.22, 0.34)
    flare = f.smooth([(0.045, -long * 0.1), (0.05, long * 0.4), (0.1, long * 0.75), (bell, long)], 26)
    shell = np.concatenate([flare, [(bell - 0.01, long + 0.012)], (flare - (0.012, 0))[::-1]])
    work.add(metal, f.lathe(shell, 32).turned("y", np.pi / 2).moved(z=0.12))
    loop = [
        (-0.1, 0, 0.12),
        (-0.42, 0, 0.12),
        (-0.6, 0, 0.02),
        (-0.6, 0, -0.18),
        (-0.42, 0, -0.26),
        (0.3, 0, -0.26),
        (0.52, 0, -0.2),
        (0.52, 0, 0.0),
        (0.3, 0.07, 0.08),
        (-0.4, 0.1, 0.09),
        (-long, 0.1, 0.09),
    ]
    work.add(metal, f.tube(f.smooth(loop, 90), 0.04, 10))
    cup = f.lathe([(0, 0), (0.03, 0), (0.035, 0.08), (0.075, 0.14), (0.07, 0.15), (0.03, 0.1), (0, 0.1)], 18)
    work.add(m.steel(), cup.turned("y", -np.pi / 2).moved(-long, 0.1, 0.09))
    for x in (-0.2, -0.06, 0.08):
        work.add(metal, f.cylinder(0.055, 0.42, segments=18).moved(x, 0.03, -0.28))
        work.add(m.steel(), f.cylinder(0.02, 0.12, segments=10).moved(x, 0.03, 0.12))
        work.add(m.cream(), f.cylinder(0.042, 0.03, segments=14).moved(x, 0.03, 0.23))
    return work.mesh()


@shape
def harp(random: Random) -> RawMesh:
    work, wood = f.Sculpture(), m.textured(random, "planks", "parquet", "marble", roughness=0.3)
    high, wide = random.uniform(1.5, 1.9), random.uniform(0.75, 0.95)
    pillar = np.array([(-wide / 2, 0, 0.1), (-wide / 2, 0, high)])
    work.add(
        m.gold() if random.random() < 0.6 else wood,
        f.tube(np.linspace(pillar[0], pillar[1], 12), 0.06 + 0.015 * (np.arange(12) % 2), 14),
    )
    neck = f.smooth(
        [
            (-wide / 2, 0, high),
            (-wide * 0.2, 0, high + 0.02),
            (wide * 0.12, 0, high * 0.8),
            (wide / 2, 0, high * 0.86),
        ],
        26,
    )
    work.add(wood, f.tube(neck, np.linspace(0.09, 0.07, 26), 12))
    chest = np.array([(-wide * 0.42, 0, 0.12), (wide / 2, 0, high * 0.86)])
    work.add(wood, f.tube(np.linspace(chest[0], chest[1], 14), np.linspace(0.2, 0.08, 14), 16).scaled(1, 0.9, 1))
    for k in range(16):
        t = (k + 1) / 17
        top, low = neck[int(25 * (0.06 + 0.9 * t))], chest[0] + (chest[1] - chest[0]) * (0.1 + 0.85 * t)
        work.add(m.steel() if k % 7 else m.rgb("b3281f"), f.tube(np.array([low, top]), 0.007, 5))
    work.add(wood, f.box(0.5, 0.45, 0.1).moved(-wide * 0.42), f.sphere(0.1, 18).moved(-wide / 2, 0, high + 0.06))
    return work.mesh()


@shape
def bell(random: Random) -> RawMesh:
    """A bell that swings in a yoke between two posts."""
    work, lip, high = f.Sculpture(), random.uniform(0.42, 0.55), random.uniform(0.65, 0.9)
    bronze = m.textured(random, "metal", "rust", roughness=0.4, metallic=0.4) if random.random() < 0.5 else m.gold()
    outside = f.smooth(
        [(lip, 0), (lip * 0.8, high * 0.18), (lip * 0.56, high * 0.55), (lip * 0.46, high * 0.88), (0.0, high)], 30
    ).clip(0)
    profile = np.concatenate([(outside * (0.88, 0.94))[::-1], outside])
    swing = random.uniform(-0.5, 0.5)
    clapper = f.tube(np.array([(0, 0, high * 0.8), (0, 0, 0.0)]), 0.025, 8)
    for material, form in (
        (bronze, f.lathe(profile, 36)),
        (m.black(), clapper),
        (m.black(), f.sphere(0.1, 18).moved(z=-0.02)),
    ):
        work.add(material, form.moved(z=-high - 0.08).turned("y", swing).moved(z=1.35))
    wood = m.textured(random, "planks", "bark", "rust")
    work.add(wood, f.box(1.5, 0.14, 0.16).moved(z=1.32))
    for x in (-0.72, 0.72):
        work.add(wood, f.box(0.14, 0.16, 1.34).moved(x), f.box(0.2, 0.8, 0.1).moved(x))
        for y in (-1, 1):
            strut = np.array([(x, y * 0.36, 0.06), (x, y * 0.06, 0.7)])
            work.add(wood, f.tube(strut, 0.05, 8))
    return work.mesh()


@shape
def xylophone(random: Random) -> RawMesh:
    work, bars, long = f.Sculpture(), int(random.integers(8, 14)), random.uniform(1.3, 1.7)
    wood = m.textured(random, "planks", "parquet")
    colours = [m.paint(random, 0.25) for _ in range(4)] if random.random() < 0.6 else [wood, m.steel()]
    for k in range(bars):
        t = k / (bars - 1)
        work.add(
            colours[k % len(colours)],
            f.box(long / bars * 0.8, 0.75 - 0.4 * t, 0.05, 0.015).moved((t - 0.5) * long, 0, 0.3),
        )
        pipe = f.cylinder(long / bars * 0.3, 0.28 * (1 - 0.7 * t) + 0.05, segments=14)
        work.add(m.steel(), pipe.moved((t - 0.5) * long, 0, 0.24 - 0.28 * (1 - 0.7 * t)))
    for y in (-1, 1):
        rail = np.array([(-long * 0.55, y * 0.3, 0.27), (long * 0.55, y * 0.12, 0.27)])
        work.add(wood, f.tube(np.linspace(rail[0], rail[1], 6), 0.04, 8))
        for x, out in ((-long * 0.55, 0.3), (long * 0.55, 0.12)):
            work.add(wood, f.box(0.07, 0.07, 0.75).moved(x, y * out, -0.48))
    for turn in (0.4, -0.3):
        stick = f.tube(np.array([(-0.5, 0, 0.12), (0.3, 0, 0.02)]), 0.018, 8)
        work.add(wood, stick.turned("z", turn).moved(z=0.4))
        work.add(m.rgb("b3281f"), f.sphere(0.06, 14).moved(0.32, 0, 0.02).turned("z", turn).moved(z=0.4))
    return work.mesh()
