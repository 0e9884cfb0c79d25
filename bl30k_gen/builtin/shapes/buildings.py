"""Shapes of buildings. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh

WALLS = ("bricks", "drystone", "plaster", "pebbles", "cobbles")


def _window(work: f.Sculpture, radius: float, z: float, turn: float, size: float = 0.12) -> None:
    """A framed pane in a round or square wall, whose surface is ``radius`` from the axis."""
    for material, wide, out in ((m.cream(), size * 1.35, 0.0), (m.glass(), size, 0.012)):
        pane = f.box(wide, 0.05, wide * 1.5, 0.006).moved(0, -radius - out, z - wide * 0.75)
        work.add(material, pane.turned("z", turn))


@shape
def windmill(random: Random) -> RawMesh:
    work, high, low = f.Sculpture(), random.uniform(1.2, 1.6), random.uniform(0.42, 0.55)
    wall = m.textured(random, *WALLS, "shingles")
    work.add(wall, f.lathe([(0, 0), (low, 0), (low * 0.62, high), (0, high)], 28))
    cap = f.smooth(
        [(low * 0.7, high), (low * 0.68, high + 0.16), (low * 0.3, high + 0.36), (0, high + 0.42)], 18
    ).clip(0)
    roof = m.textured(random, "shingles", "thatch", "planks")
    work.add(roof, f.lathe(np.concatenate([[(0, high - 0.02), (low * 0.7, high - 0.02)], cap]), 28))
    hub = np.array([0, -low * 0.62 - 0.18, high + 0.1])
    work.add(
        m.textured(random, "planks"),
        f.cylinder(0.06, 0.34, segments=14).turned("x", np.pi / 2).moved(0, hub[1] + 0.3, hub[2]),
    )
    reach, turn, cloth = random.uniform(0.95, 1.2), random.uniform(0, np.pi / 2), m.either(random, "weave", "stripes")
    wood = m.rgb("6b4a2f")
    for k in range(4):
        parts = [
            (wood, f.box(0.05, 0.04, reach, 0.01)),
            (cloth, f.box(0.24, 0.015, reach * 0.76, 0.004).moved(0.13, 0, reach * 0.22)),
        ]
        parts += [
            (wood, f.box(0.26, 0.025, 0.02, 0.004).moved(0.13, -0.012, reach * t)) for t in np.linspace(0.22, 0.97, 7)
        ]
        for material, form in parts:
            work.add(material, form.turned("y", turn + k * np.pi / 2).moved(*hub))
    work.add(m.rgb("6b3a24"), f.box(0.2, 0.06, 0.36).moved(0, -low + 0.02, 0))
    for turn, z in ((0.9, 0.35), (-0.9, 0.75), (0.1, 0.8)):
        _window(work, low * (1 - 0.38 * z / high), z * high, turn, 0.1)
    work.add(
        m.textured(random, "planks"),
        f.lathe(
            [(low * 0.8, 0.5 * high), (low * 1.15, 0.5 * high), (low * 1.15, 0.53 * high), (low * 0.8, 0.53 * high)],
            28,
        ),
    )
    return work.mesh()


@shape
def lighthouse(random: Random) -> RawMesh:
    work, high, low = f.Sculpture(), random.uniform(1.5, 2.1), random.uniform(0.28, 0.4)
    top, bands = low * random.uniform(0.5, 0.65), int(random.integers(3, 7))
    colours = (m.paint(random), m.cream()) if random.random() < 0.7 else (m.textured(random, *WALLS),) * 2
    z, r = np.linspace(0, high, bands + 1), np.linspace(low, top, bands + 1)
    for k in range(bands):
        ends = [(0, z[0])] if k == 0 else []
        work.add(colours[k % 2], f.lathe([*ends, (r[k], z[k]), (r[k + 1], z[k + 1])], 30))
    work.add(m.black(), f.lathe([(0, high), (top * 1.45, high), (top * 1.45, high + 0.05), (0, high + 0.05)], 30))
    for k in range(12):
        a = k * np.pi / 6
        post = f.cylinder(0.012, 0.16, segments=6).moved(top * 1.38 * np.cos(a), top * 1.38 * np.sin(a), high + 0.04)
        work.add(m.steel(), post)
    t = np.linspace(0, 2 * np.pi, 33)
    rail = np.stack([np.cos(t), np.sin(t), 0 * t], 1) * top * 1.38
    rail[-1] = rail[0]
    work.add(m.steel(), f.tube(rail + (0, 0, high + 0.2), 0.014, 6, closed=True))
    work.add(m.rgb("ffe9a8", 0.1), f.cylinder(top * 0.7, 0.3).moved(z=high + 0.05))
    work.add(
        m.black(),
        *(
            f.box(0.02, 0.02, 0.3, 0.004).moved(top * 0.72 * np.cos(a), top * 0.72 * np.sin(a), high + 0.05)
            for a in t[::4]
        ),
    )
    roof = f.smooth([(top * 0.95, high + 0.35), (top * 0.5, high + 0.5), (0, high + 0.62)], 12).clip(0)
    work.add(
        colours[0], f.lathe(np.concatenate([[(0, high + 0.34)], roof]), 28), f.sphere(0.05, 14).moved(z=high + 0.66)
    )
    for k in range(3):
        at = 0.25 + 0.25 * k
        _window(work, low + (top - low) * at, at * high, (k - 1) * 0.5, 0.08)
    work.add(
        m.textured(random, "pebbles", "drystone", "granite"),
        f.lathe([(0, -0.22), (low * 2.1, -0.22), (low * 1.5, 0.02), (0, 0.02)], 14),
    )
    return work.mesh()


@shape
def castle(random: Random) -> RawMesh:
    work, stone = f.Sculpture(), m.textured(random, "drystone", "bricks", "cobbles", "pebbles")
    roof, wide = m.textured(random, "shingles", "thatch", "rust"), random.uniform(0.6, 0.8)
    high, tower = random.uniform(0.55, 0.8), random.uniform(0.2, 0.27)

    def merlons(x: float, y: float, z: float, long: float, along: str) -> None:
        for t in np.linspace(-long / 2, long / 2, int(long / 0.16) + 1):
            dx, dy = (t, 0) if along == "x" else (0, t)
            work.add(stone, f.box(0.08, 0.08, 0.1, 0.008).moved(x + dx, y + dy, z))

    for side in (-1, 1):
        work.add(
            stone,
            f.box(2 * wide, 0.16, high, 0.01).moved(0, side * wide, 0),
            f.box(0.16, 2 * wide, high, 0.01).moved(side * wide),
        )
        merlons(0, side * wide, high, 2 * wide - 2 * tower, "x")
        merlons(side * wide, 0, high, 2 * wide - 2 * tower, "y")
    for x in (-1, 1):
        for y in (-1, 1):
            tall = high + random.uniform(0.2, 0.5)
            work.add(
                stone,
                f.lathe(
                    [
                        (0, 0),
                        (tower, 0),
                        (tower, tall),
                        (tower * 1.15, tall + 0.05),
                        (tower * 1.15, tall + 0.14),
                        (0, tall + 0.14),
                    ],
                    22,
                ).moved(x * wide, y * wide),
            )
            cone = f.lathe(
                [(0, tall + 0.13), (tower * 1.3, tall + 0.13), (0, tall + 0.14 + random.uniform(0.4, 0.7))], 22
            )
            work.add(roof, cone.moved(x * wide, y * wide))
    keep, tall = random.uniform(0.45, 0.6), high + random.uniform(0.4, 0.7)
    work.add(stone, f.box(keep, keep, tall, 0.01).moved(0, 0.15))
    merlons(0, 0.15 - keep / 2, tall, keep, "x")
    merlons(0, 0.15 + keep / 2, tall, keep, "x")
    for turn in (0, np.pi / 2, -np.pi / 2):
        _window(work, keep / 2 - 0.15 if turn == 0 else keep / 2, tall * 0.8, turn, 0.09)
    work.add(m.textured(random, "planks"), f.box(0.34, 0.05, 0.42).moved(0, -wide - 0.07, 0))
    pole = f.cylinder(0.014, 0.6, segments=8).moved(0, 0.15, tall)
    flag = f.extrude([(0, 0), (0.36, -0.07), (0, -0.16)], 0.015).moved(0.01, 0.15, tall + 0.58)
    work.add(m.black(), pole)
    work.add(m.paint(random), flag)
    work.add(
        m.textured(random, "grass", "gravel"),
        f.lathe([(0, -0.1), (wide * 2.0, -0.1), (wide * 1.75, 0.01), (0, 0.01)], 28),
    )
    return work.mesh()


@shape
def church(random: Random) -> RawMesh:
    work, wall = f.Sculpture(), m.textured(random, *WALLS)
    roof = m.textured(random, "shingles", "thatch", "planks")
    wide, long, high = random.uniform(0.55, 0.7), random.uniform(1.0, 1.4), random.uniform(0.5, 0.7)
    ridge, tower = random.uniform(0.4, 0.55), random.uniform(0.38, 0.46)
    gable = [(-wide / 2, 0), (wide / 2, 0), (wide / 2, high), (0, high + ridge), (-wide / 2, high)]
    work.add(wall, f.extrude(gable, long).moved(y=long / 2))
    slope, angle = np.hypot(wide / 2 + 0.08, ridge * (wide / 2 + 0.08) / (wide / 2)), np.arctan2(ridge, wide / 2)
    side = f.box(slope, long + 0.1, 0.05, 0.01).moved(x=slope / 2).turned("y", angle)
    work.add(roof, *(side.scaled(x, 1, 1).moved(0, long / 2, high + ridge) for x in (-1, 1)))
    tall = high + ridge + random.uniform(0.2, 0.5)
    work.add(wall, f.box(tower, tower, tall, 0.01).moved(0, -tower / 2 + 0.03))
    work.add(m.cream(), f.box(tower + 0.06, tower + 0.06, 0.05, 0.01).moved(0, -tower / 2 + 0.03, tall))
    spire = random.uniform(0.6, 1.1)
    corners = np.array([(x * tower * 0.55, y * tower * 0.55, 0) for x in (-1, 1) for y in (-1, 1)] + [(0, 0, spire)])
    work.add(roof, f.hull(corners).moved(0, -tower / 2 + 0.03, tall + 0.04))
    for form in (f.box(0.025, 0.025, 0.26, 0.004), f.box(0.15, 0.025, 0.025, 0.004).moved(z=0.15)):
        work.add(m.gold(), form.moved(0, -tower / 2 + 0.03, tall + spire))
    front = -tower + 0.03
    work.add(m.textured(random, "planks"), f.box(0.18, 0.03, 0.32).moved(0, front))
    dial = f.cylinder(0.1, 0.02, bevel=0.004).turned("x", np.pi / 2).moved(0, front, tall * 0.62)
    work.add(m.cream(), dial)
    for turn, length in ((0.6, 0.06), (2.4, 0.085)):
        work.add(m.black(), f.box(0.014, 0.012, length, 0.002).turned("y", turn).moved(0, front - 0.025, tall * 0.62))
    work.add(m.black(), f.box(tower * 0.4, 0.02, 0.2, 0.01).moved(0, front, tall - 0.26))
    for x in (-1, 1):
        for y in np.linspace(0.2, long - 0.15, 4):
            for material, size, out in ((m.cream(), 0.13, 0.0), (m.glass(), 0.09, 0.008)):
                pane = f.box(0.03, size, size * 2.4, 0.004).moved(x * (wide / 2 + out), y, high * 0.55 - size * 1.2)
                work.add(material, pane)
    return work.mesh()


@shape
def bridge(random: Random) -> RawMesh:
    """A stone bridge on arches."""
    work, stone = f.Sculpture(), m.textured(random, *WALLS[:2], "cobbles")
    spans, long = int(random.integers(1, 4)), random.uniform(1.9, 2.4)
    high, rise, thick = random.uniform(0.5, 0.7), random.uniform(0.0, 0.25), 0.1
    x = np.linspace(-long / 2, long / 2, 41)
    crown = high + rise * np.cos(np.pi * x / long)
    under = np.zeros_like(x)
    width = long / spans
    inside = (x + long / 2) % width / width
    pier = 0.12
    arch = np.clip(1 - ((inside - 0.5) / (0.5 - pier)) ** 2, 0, 1)
    under = np.where(arch > 0, np.sqrt(arch) * (crown - thick), 0)
    for k in range(len(x) - 1):  # short upright slabs: an arch has no outline that is simple to fill
        slab = np.array([(x[k], under[k]), (x[k + 1], under[k + 1]), (x[k + 1], crown[k + 1]), (x[k], crown[k])])
        work.add(stone, f.extrude(slab, 0.6))
    for y in (-0.27, 0.27):
        rail = np.concatenate([np.stack([x, crown], 1), np.stack([x, crown + 0.14], 1)[::-1]])
        work.add(stone, f.extrude(rail, 0.07, 0.01).moved(y=y))
    work.add(
        m.textured(random, "cobbles", "gravel", "asphalt"),
        f.extrude(np.concatenate([np.stack([x, crown], 1), np.stack([x, crown + 0.02], 1)[::-1]]), 0.46),
    )
    for k in range(2):
        post = [-1, 1][k] * long * 0.48
        work.add(m.black(), f.cylinder(0.025, 0.4, segments=10).moved(post, -0.27, high + 0.1))
        work.add(m.rgb("ffe9a8", 0.2), f.sphere(0.07, 14).moved(post, -0.27, high + 0.55))
    return work.mesh()
