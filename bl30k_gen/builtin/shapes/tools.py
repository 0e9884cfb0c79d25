"""Shapes from a workshop, a garden shed and a kitchen drawer. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import Material, RawMesh


def _iron(random: Random) -> Material:
    return m.textured(random, "metal", "rust", "metal", roughness=0.4, metallic=0.4)


def _grip(random: Random) -> Material:
    return m.textured(random, "planks", "bark", "leather") if random.random() < 0.7 else m.paint(random)


@shape
def hammer(random: Random) -> RawMesh:
    work, iron, long = f.Sculpture(), _iron(random), random.uniform(1.2, 1.6)
    shaft = f.smooth([(0.055, 0), (0.075, 0.1), (0.06, 0.4), (0.045, long * 0.7), (0.05, long)], 24)
    work.add(_grip(random), f.lathe(np.concatenate([[(0, 0)], shaft, [(0, long)]]), 20).scaled(1.2, 0.8, 1))
    work.add(iron, f.box(0.26, 0.2, 0.22, 0.03).moved(z=long - 0.13))
    face = f.lathe([(0, 0), (0.08, 0), (0.08, 0.12), (0.13, 0.16), (0.13, 0.28), (0.1, 0.31), (0, 0.31)], 24)
    work.add(iron, face.turned("y", np.pi / 2).moved(0.1, 0, long - 0.02))
    for side in (-1, 1):  # the claw
        claw = f.smooth([(-0.1, 0.09), (-0.3, 0.12), (-0.55, -0.12), (-0.3, -0.02), (-0.1, -0.09)], 24)
        work.add(iron, f.extrude(claw, 0.065, 0.012).moved(0, side * 0.05, long - 0.02))
    return work.mesh()


@shape
def axe(random: Random) -> RawMesh:
    work, long, wide = f.Sculpture(), random.uniform(1.3, 1.7), random.uniform(0.3, 0.5)
    bend = random.uniform(0.0, 0.12)
    path = f.smooth([(bend, 0, 0), (0, 0, 0.25), (-bend / 2, 0, long * 0.6), (0, 0, long)], 24)
    work.add(_grip(random), f.tube(path, np.linspace(0.06, 0.045, 24), 12).scaled(1.2, 0.7, 1))
    blade = f.smooth([(-0.1, -0.1), (-0.1, 0.1), (0.15, 0.09), (0.42, wide * 0.8)], 14)
    edge = f.smooth([(0.42, wide * 0.8), (0.52, 0), (0.42, -wide)], 10)
    under = f.smooth([(0.42, -wide), (0.15, -0.09), (-0.1, -0.1)], 10)
    outline = np.concatenate([blade[:-1], edge[:-1], under[:-1]])
    head = f.extrude(outline, 0.15, 0.02)
    thin = 1 - 0.85 * np.clip(head.vertices[:, :1] / 0.5, 0, 1)  # towards the edge
    points = head.vertices * np.concatenate([thin * 0 + 1, thin, thin * 0 + 1], axis=1)
    work.add(_iron(random), f.Form(points, head.faces, head.uv).moved(z=long - 0.14))
    return work.mesh()


@shape
def saw(random: Random) -> RawMesh:
    work, long, teeth = f.Sculpture(), random.uniform(1.2, 1.6), int(random.integers(18, 30))
    x = np.linspace(0.25, long, 2 * teeth + 1)
    low = np.where(np.arange(len(x)) % 2, -0.26, -0.2)
    blade = np.concatenate([np.stack([x, low], 1), [(long, -0.06), (0.2, random.uniform(0.1, 0.2)), (0.2, -0.2)]])
    work.add(_iron(random), f.extrude(blade, 0.02))
    outer = f.smooth(
        [(0.3, 0.18), (0.32, -0.02), (0.26, -0.24), (0.0, -0.3), (-0.1, -0.2), (0.0, 0), (-0.1, 0.2)], 30, True
    )
    ring = np.stack([outer[:, 0], 0 * outer[:, 0], outer[:, 1]], axis=1)
    ring[-1] = ring[0]
    grip = f.tube(ring, 0.055, 10, closed=True).scaled(1, 0.9, 1)
    work.add(_grip(random), grip)
    for x in (0.27, 0.31):
        work.add(m.gold(), f.sphere(0.03, 12).moved(x, -0.05, -0.05 + 3 * (x - 0.29)))
    return work.mesh()


@shape
def wrench(random: Random) -> RawMesh:
    """A spanner: open at one end, a ring at the other."""
    work, long = f.Sculpture(), random.uniform(1.1, 1.5)
    size, narrow = random.uniform(0.2, 0.28), random.uniform(0.08, 0.12)
    iron = _iron(random) if random.random() < 0.6 else m.steel()
    a = np.linspace(0.55, 2 * np.pi - 0.55, 24)
    jaw = np.stack([long + size * np.cos(a), size * np.sin(a)], axis=1)
    mouth = [(long + size * 0.1, -size * 0.45), (long + size * 0.1, size * 0.45)]
    work.add(iron, f.extrude(np.concatenate([jaw, mouth]), 0.14, 0.025))
    work.add(iron, f.box(long - size * 0.7, 0.09, 2 * narrow, 0.03).moved(long / 2 + size * 0.1, 0, -narrow))
    b = np.linspace(0, 2 * np.pi, 37)
    ring = np.stack([np.cos(b), 0 * b, np.sin(b)], axis=1) * size * 0.75
    ring[-1] = ring[0]
    work.add(iron, f.tube(ring, 0.07, 12, closed=True))
    return work.mesh()


@shape
def scissors(random: Random) -> RawMesh:
    work, turn, long = f.Sculpture(), random.uniform(0.12, 0.4), random.uniform(0.8, 1.15)
    grip = m.paint(random) if random.random() < 0.8 else m.black()
    for side in (-1, 1):
        blade = f.extrude([(-0.09, -0.05), (0.07, -0.05), (0.06, 0.3), (-0.02, long), (-0.07, 0.5)], 0.035, 0.008)
        ring = f.smooth([(-0.05, -0.45), (0.18, -0.6), (0.2, -0.95), (-0.06, -1.05), (-0.16, -0.75)], 36, True)
        path = np.stack([ring[:, 0], 0 * ring[:, 0], ring[:, 1]], 1)
        path[-1] = path[0]
        arm = f.tube(np.array([(0, 0, 0), (0.02, 0, -0.25), (-0.03, 0, -0.48)]), np.array([0.055, 0.05, 0.06]), 10)
        for material, form in ((m.steel(), blade), (grip, f.tube(path, 0.055, 10, closed=True)), (grip, arm)):
            work.add(material, form.turned("y", turn).scaled(side, 1, 1).moved(y=side * 0.025))
    work.add(m.gold(), f.cylinder(0.05, 0.12, bevel=0.02).turned("x", np.pi / 2).moved(y=0.06))
    return work.mesh()


@shape
def key(random: Random) -> RawMesh:
    """An old door key."""
    work, long = f.Sculpture(), random.uniform(1.0, 1.5)
    metal = m.gold() if random.random() < 0.4 else _iron(random)
    t = np.linspace(0, 2 * np.pi, 61)
    lobes = int(random.choice([1, 3, 4]))
    bow = 0.26 * (1 + 0.22 * np.cos(lobes * t)) if lobes > 1 else 0.26 * (1 + 0.2 * np.sin(t) ** 2)
    path = np.stack([bow * np.cos(t) - 0.28, 0 * t, bow * np.sin(t)], 1)
    path[-1] = path[0]
    work.add(metal, f.tube(path, 0.05, 12, closed=True))
    work.add(metal, f.tube(np.array([(-0.02, 0, 0), (long, 0, 0)]), 0.055, 14))
    for x, size in ((0.02, 0.09), (0.12, 0.08), (long, 0.075)):
        work.add(metal, f.sphere(size, 16).scaled(0.6, 1, 1).moved(x))
    for x in np.arange(long - 0.34, long - 0.03, 0.1):
        work.add(metal, f.box(0.075, 0.05, random.uniform(0.16, 0.32), 0.01).moved(x, 0, -0.34).moved(z=0.0))
    work.add(metal, f.box(0.36, 0.05, 0.16, 0.01).moved(long - 0.18, 0, -0.18))
    return work.mesh()


@shape
def anvil(random: Random) -> RawMesh:
    work, iron = f.Sculpture(), _iron(random)
    long, waist = random.uniform(1.0, 1.4), random.uniform(0.16, 0.26)
    side = f.smooth([(-0.42, 0), (-0.38, 0.12), (-waist, 0.3), (-waist, 0.42), (-0.4, 0.6)], 16)
    outline = np.concatenate([side, [(-0.45, 0.82), (0.42, 0.82)], (side * (-1, 1))[::-1]])
    work.add(iron, f.extrude(outline, 0.42, 0.03))
    horn = f.lathe(f.smooth([(0.19, 0), (0.17, 0.2), (0.11, long * 0.4), (0.0, long * 0.62)], 18).clip(0), 20)
    work.add(iron, horn.turned("y", np.pi / 2).moved(0.4, 0, 0.64))
    work.add(iron, f.box(0.42, 0.36, 0.16, 0.03).moved(-0.55, 0, 0.66))
    log = f.cylinder(0.62, random.uniform(0.3, 0.6), bevel=0.03, segments=28)
    work.add(m.textured(random, "bark"), log.moved(z=-0.6))
    return work.mesh()


@shape
def wheelbarrow(random: Random) -> RawMesh:
    work, body = f.Sculpture(), m.either(random, "rust", "corrugated", "planks", probability=0.6)
    deep, wide = random.uniform(0.28, 0.42), random.uniform(0.32, 0.42)
    low = np.array([(x, y, 0.42) for x in (-0.55 * wide, 0.55 * wide) for y in (-0.3, 0.2)])
    high = np.array([(x, y, 0.42 + deep) for x in (-wide, wide) for y in (-0.62, 0.42)])
    work.add(body, f.hull(np.concatenate([low, high])))
    load = m.textured(random, "gravel", "mud", "leaves", "pebbles", "logs")
    work.add(load, f.sphere(1, 24).scaled(wide * 0.85, 0.45, 0.22).moved(0, -0.1, 0.42 + deep))
    frame = m.black() if random.random() < 0.5 else m.steel()
    for x in (-1, 1):
        rail = [(x * 0.07, -0.95, 0.2), (x * 0.22, -0.3, 0.4), (x * 0.36, 0.5, 0.5), (x * 0.36, 1.0, 0.62)]
        work.add(frame, f.tube(f.smooth(rail, 20), 0.03, 8))
        work.add(frame, f.tube(np.array([(x * 0.3, 0.25, 0.45), (x * 0.34, 0.4, 0.0)]), 0.028, 8))
        work.add(m.rgb("b5322a"), f.tube(np.array([(x * 0.36, 0.85, 0.58), (x * 0.36, 1.1, 0.645)]), 0.045, 10))
    tyre = f.lathe([(0.12, -0.07), (0.2, -0.08), (0.22, 0), (0.2, 0.08), (0.12, 0.07), (0.12, -0.07)], 28)
    work.add(m.black(), tyre.turned("y", np.pi / 2).moved(0, -0.95, 0.2))
    work.add(m.steel(), f.cylinder(0.13, 0.1).moved(z=-0.05).turned("y", np.pi / 2).moved(0, -0.95, 0.2))
    return work.mesh()


@shape
def pan(random: Random) -> RawMesh:
    """A frying pan with eggs in it."""
    work, radius, deep = f.Sculpture(), random.uniform(0.5, 0.65), random.uniform(0.1, 0.2)
    metal = m.black() if random.random() < 0.5 else m.textured(random, "metal", roughness=0.3, metallic=0.5)
    out = [(0, 0), (radius * 0.82, 0), (radius, deep), (radius + 0.03, deep + 0.01), (radius - 0.03, deep - 0.01)]
    work.add(metal, f.lathe([*out, (radius * 0.8, 0.035), (0, 0.035)], 40))
    long = random.uniform(0.7, 1.0)
    path = f.smooth(
        [(radius - 0.02, 0, deep - 0.03), (radius + long * 0.4, 0, deep + 0.12), (radius + long, 0, deep + 0.1)], 20
    )
    work.add(_grip(random), f.tube(path, np.interp(np.linspace(0, 1, 20), [0, 0.4, 1], [0.03, 0.05, 0.06]), 10))
    for k in range(int(random.integers(1, 4))):
        a, out = 2.1 * k + random.uniform(0, 1), radius * 0.42 * (k > 0)
        x, y = out * np.cos(a), out * np.sin(a)
        work.add(m.cream(), f.sphere(1, 20).scaled(0.2, 0.23, 0.03).moved(x, y, 0.045))
        work.add(m.rgb("e8a21c", 0.2), f.sphere(0.08, 16).scaled(1, 1, 0.6).moved(x, y, 0.07))
    return work.mesh()


@shape
def whisk(random: Random) -> RawMesh:
    work, loops, wide = f.Sculpture(), int(random.integers(4, 8)), random.uniform(0.22, 0.34)
    for k in range(loops):
        path = f.smooth(
            [
                (0.03, 0, 0.7),
                (wide, 0, 1.15),
                (wide * 0.8, 0, 1.5),
                (0, 0, 1.65),
                (-wide * 0.8, 0, 1.5),
                (-wide, 0, 1.15),
                (-0.03, 0, 0.7),
            ],
            40,
        )
        work.add(m.steel(), f.tube(path, 0.016, 6).turned("z", np.pi * k / loops))
    handle = f.smooth([(0.05, 0), (0.085, 0.15), (0.06, 0.45), (0.075, 0.72)], 20)
    work.add(_grip(random), f.lathe(np.concatenate([[(0, 0)], handle, [(0, 0.74)]]), 20))
    work.add(m.steel(), f.sphere(0.06, 14).moved(z=-0.02))
    return work.mesh()


@shape
def fork(random: Random) -> RawMesh:
    """Fork and spoon, crossed on a plate's edge."""
    work, turn, long = f.Sculpture(), random.uniform(0.25, 0.6), random.uniform(1.2, 1.5)
    metal = m.steel() if random.random() < 0.5 else (m.gold() if random.random() < 0.5 else _iron(random))
    shaft = f.smooth([(-0.07, 0), (-0.05, 0.1), (-0.03, 0.5), (-0.035, long * 0.62)], 14)
    outline = np.concatenate([shaft, (shaft * (-1, 1))[::-1]])
    tines = [
        f.tube(f.smooth([(x * 0.3, 0, long * 0.6), (x, 0.03, long * 0.72), (x, -0.03, long)], 14), 0.022, 8)
        for x in (-0.11, -0.037, 0.037, 0.11)
    ]
    bowl = f.sphere(1, 22).scaled(0.17, 0.05, 0.27).moved(z=long * 0.78)
    work.add(metal, *(form.turned("y", turn) for form in (f.extrude(outline, 0.035, 0.01), *tines)))
    work.add(metal, *(form.turned("y", -turn).moved(y=-0.06) for form in (f.extrude(outline, 0.035, 0.01), bowl)))
    return work.mesh()
