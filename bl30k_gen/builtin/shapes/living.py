"""Shapes of furniture and other things in rooms. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.builtin.shapes.household import FABRICS
from bl30k_gen.library.formats.mesh import RawMesh

WOODS = ("planks", "parquet", "planks")


@shape
def bed(random: Random) -> RawMesh:
    work, wood, cloth = f.Sculpture(), m.textured(random, *WOODS), m.textured(random, *FABRICS, "floral", "stripes")
    wide, long, head = random.uniform(0.9, 1.6), random.uniform(1.8, 2.1), random.uniform(0.7, 1.15)
    work.add(wood, f.box(wide, long, 0.18).moved(z=0.22))
    for y, high in ((long / 2, head), (-long / 2, random.uniform(0.35, 0.6))):
        board = f.smooth(
            [(-wide / 2, 0.2), (-wide / 2, high), (0, high + 0.12), (wide / 2, high), (wide / 2, 0.2)], 24
        )
        work.add(wood, f.extrude(board, 0.07, 0.015).moved(y=y))
        for x in (-1, 1):
            work.add(
                wood,
                f.cylinder(0.05, high + 0.08).moved(x * wide / 2, y),
                f.sphere(0.07, 14).moved(x * wide / 2, y, high + 0.12),
            )
    work.add(m.cream(), f.box(wide * 0.96, long * 0.95, 0.22, 0.06).moved(z=0.38))
    work.add(cloth, f.box(wide * 1.02, long * 0.68, 0.16, 0.06).moved(y=-long * 0.14, z=0.48))
    pillows = 1 if wide < 1.1 else 2
    for k in range(pillows):
        x = (k - (pillows - 1) / 2) * wide * 0.46
        work.add(m.cream(), f.box(wide * 0.4, 0.38, 0.2, 0.09).turned("x", 0.3).moved(x, long * 0.33, 0.6))
    return work.mesh()


@shape
def sofa(random: Random) -> RawMesh:
    work, cloth = f.Sculpture(), m.textured(random, *FABRICS, "denim", "carpet", roughness=0.8)
    seats, back, arm = int(random.integers(2, 4)), random.uniform(0.35, 0.6), random.uniform(0.16, 0.28)
    wide = seats * 0.62
    work.add(cloth, f.box(wide + 2 * arm, 0.85, 0.28, 0.05).moved(z=0.14))
    for k in range(seats):
        x = (k - (seats - 1) / 2) * 0.62
        work.add(cloth, f.box(0.6, 0.72, 0.2, 0.07).moved(x, -0.06, 0.40))
        work.add(cloth, f.box(0.6, 0.24, back, 0.09).turned("x", -0.18).moved(x, 0.26, 0.52))
    work.add(cloth, f.box(wide + 2 * arm, 0.18, back + 0.34, 0.07).moved(y=0.42, z=0.14))
    for x in (-1, 1):
        at = x * (wide + arm) / 2
        if random.random() < 0.5:
            work.add(cloth, f.cylinder(arm * 0.55, 0.85, bevel=0.04).turned("x", np.pi / 2).moved(at, 0.42, 0.62))
        work.add(cloth, f.box(arm, 0.85, 0.52, 0.06).moved(at, 0, 0.14))
        work.add(m.paint(random), f.box(0.34, 0.16, 0.34, 0.07).turned("x", -0.3).moved(x * wide * 0.32, 0.02, 0.6))
        for y in (-0.34, 0.36):
            work.add(m.rgb("4a3020"), f.cylinder(0.03, 0.15, 0.045).moved(at, y))
    return work.mesh()


@shape
def dresser(random: Random) -> RawMesh:
    work, wood = f.Sculpture(), m.textured(random, *WOODS, roughness=0.4)
    front = wood if random.random() < 0.5 else m.paint(random)
    wide, deep, rows = random.uniform(0.8, 1.3), random.uniform(0.4, 0.55), int(random.integers(2, 6))
    columns, step = (1 if wide < 1 else 2), random.uniform(0.2, 0.3)
    high = rows * step
    work.add(
        wood, f.box(wide, deep, high + 0.08).moved(z=0.18), f.box(wide + 0.1, deep + 0.1, 0.05).moved(z=high + 0.26)
    )
    knob = m.gold() if random.random() < 0.5 else m.black()
    for row in range(rows):
        for column in range(columns):
            size = wide / columns
            x, z = (column - (columns - 1) / 2) * size, 0.22 + row * step
            pull = random.choice([0.0, 0.0, 0.0, 0.14])
            work.add(front, f.box(size - 0.06, 0.04 + pull, step - 0.04, 0.012).moved(x, -deep / 2 - pull / 2, z))
            for k in (-0.22, 0.22):
                work.add(knob, f.sphere(0.035, 12).moved(x + k * size, -deep / 2 - pull - 0.05, z + step / 2))
    for x in (-1, 1):
        for y in (-1, 1):
            work.add(wood, f.cylinder(0.03, 0.2, 0.05).moved(x * (wide / 2 - 0.07), y * (deep / 2 - 0.07)))
    return work.mesh()


@shape
def clock(random: Random) -> RawMesh:
    """A longcase clock with dial, hands and pendulum."""
    work, wood = f.Sculpture(), m.textured(random, *WOODS, roughness=0.3)
    high, wide = random.uniform(1.5, 1.9), random.uniform(0.38, 0.48)
    work.add(wood, f.box(wide * 1.25, 0.36, 0.4).moved(z=0.0), f.box(wide, 0.28, high - 0.75).moved(z=0.38))
    work.add(
        wood, f.box(wide * 1.3, 0.36, 0.52).moved(z=high - 0.42), f.box(wide * 1.45, 0.42, 0.06).moved(z=high + 0.1)
    )
    arch = f.smooth([(-wide * 0.65, 0), (-wide * 0.3, 0.12), (0, 0.24), (wide * 0.3, 0.12), (wide * 0.65, 0)], 24)
    work.add(wood, f.extrude(arch, 0.3, 0.02).moved(z=high + 0.15))
    dial = f.cylinder(wide * 0.5, 0.03, bevel=0.01).turned("x", np.pi / 2).moved(y=-0.165, z=high - 0.15)
    work.add(m.cream(), dial)
    for k in range(12):
        mark = f.box(0.02, 0.015, 0.05, 0.003).moved(z=wide * 0.36).turned("y", k * np.pi / 6)
        work.add(m.black(), mark.moved(y=-0.20, z=high - 0.15))
    for long, turn in ((0.3, random.uniform(0, 6.28)), (0.42, random.uniform(0, 6.28))):
        hand = f.box(0.025, 0.015, long * wide, 0.004).turned("y", turn)
        work.add(m.black(), hand.moved(y=-0.205, z=high - 0.15))
    work.add(m.glass(), f.box(wide * 0.6, 0.02, high - 1.05, 0.005).moved(y=-0.14, z=0.48))
    swing = random.uniform(-0.12, 0.12)
    work.add(m.gold(), f.box(0.025, 0.02, high - 1.2).turned("y", swing).moved(y=-0.155, z=0.62))
    bob = f.cylinder(0.09, 0.03).turned("x", np.pi / 2).moved(y=-0.145, z=0.62)
    work.add(m.gold(), bob, f.sphere(0.06, 16).moved(z=high + 0.42))
    return work.mesh()


@shape
def bench(random: Random) -> RawMesh:
    """A park bench: slats on cast iron."""
    work, wood = f.Sculpture(), m.textured(random, *WOODS, "bark")
    iron, long = m.black() if random.random() < 0.6 else m.paint(random), random.uniform(1.3, 1.9)
    for k in range(4):
        work.add(wood, f.box(long, 0.1, 0.04, 0.01).moved(y=-0.2 + 0.13 * k, z=0.45))
    for k in range(3):
        work.add(wood, f.box(long, 0.04, 0.11, 0.01).turned("x", -0.2).moved(y=0.26 + 0.035 * k, z=0.56 + 0.15 * k))
    for x in (-long * 0.42, long * 0.42):
        side = f.smooth([(0, -0.3, 0), (0, -0.24, 0.25), (0, -0.26, 0.43), (0, 0.2, 0.43), (0, 0.38, 1.0)], 26) + (
            x,
            0,
            0,
        )
        back = f.smooth([(0, 0.2, 0.43), (0, 0.22, 0.2), (0, 0.34, 0)], 14) + (x, 0, 0)
        arm = f.smooth([(0, -0.24, 0.43), (0, -0.28, 0.68), (0, 0.0, 0.72), (0, 0.3, 0.7)], 22) + (x, 0, 0)
        work.add(iron, *(f.tube(path, 0.028, 10) for path in (side, back, arm)))
    return work.mesh()


@shape
def ladder(random: Random) -> RawMesh:
    """A stepladder, opened."""
    work, high, rungs = f.Sculpture(), random.uniform(1.3, 2.0), int(random.integers(4, 8))
    rail = m.textured(random, *WOODS) if random.random() < 0.5 else m.steel()
    spread, foot, top = random.uniform(0.4, 0.65), random.uniform(0.34, 0.44), 0.24
    for y in (-1, 1):
        for x in (-1, 1):
            ends = np.array([(x * foot, y * spread, 0), (x * top, y * 0.06, high)])
            work.add(rail, f.tube(np.linspace(ends[0], ends[1], 4), 0.032, 8))
    for k in range(rungs):
        t = (k + 0.7) / rungs
        work.add(
            rail,
            f.box(2 * (foot + (top - foot) * t), 0.12, 0.03, 0.008).moved(
                y=-(spread + (0.06 - spread) * t), z=high * t
            ),
        )
        if k % 2 == 0:
            width = 2 * (foot + (top - foot) * t)
            work.add(rail, f.box(width, 0.03, 0.04, 0.008).moved(y=spread + (0.06 - spread) * t, z=high * t))
    work.add(m.paint(random), f.box(2 * top + 0.1, 0.3, 0.05).moved(z=high))
    return work.mesh()


@shape
def candelabra(random: Random) -> RawMesh:
    work, metal = f.Sculpture(), (m.gold(), m.steel(), m.black())[random.integers(3)]
    arms, high, reach = int(random.choice([3, 4, 5, 6])), random.uniform(0.9, 1.3), random.uniform(0.4, 0.6)
    stem = f.smooth(
        [(0.32, 0), (0.28, 0.06), (0.06, 0.14), (0.09, high * 0.4), (0.045, high * 0.6), (0.06, high)], 36
    )
    work.add(metal, f.lathe(np.concatenate([[(0, 0)], stem, [(0, high)]]), 28))
    cup = f.lathe([(0, 0), (0.05, 0), (0.11, 0.06), (0.10, 0.07), (0.045, 0.03), (0, 0.03)], 20)
    wax, flame = m.cream() if random.random() < 0.6 else m.paint(random), m.rgb("ffcf5a", 0.3)
    places = [(0.0, 0.0, high)]
    for k in range(arms):
        a = 2 * np.pi * k / arms
        path = [
            (0.04, 0, high * 0.55),
            (reach * 0.6, 0, high * 0.45),
            (reach, 0, high * 0.62),
            (reach, 0, high * 0.82),
        ]
        work.add(metal, f.tube(f.smooth(path, 22), 0.028, 10).turned("z", a))
        places.append((reach * np.cos(a), reach * np.sin(a), high * 0.82))
    for place in places:
        long = random.uniform(0.2, 0.42)
        work.add(metal, cup.moved(*place))
        work.add(wax, f.cylinder(0.045, long, segments=16).moved(*place))
        tip = f.lathe([(0, 0), (0.025, 0.035), (0.016, 0.08), (0, 0.14)], 12)
        work.add(flame, tip.moved(place[0], place[1], place[2] + long))
    return work.mesh()
