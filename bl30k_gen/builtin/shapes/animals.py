"""Shapes of animals. Front towards -y."""

from collections.abc import Sequence

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh

Point = tuple[float, float, float]


def _ball(at: Point, radii: Point, segments: int = 20) -> f.Form:
    return f.sphere(1, segments).scaled(*radii).moved(*at)


def _limb(points: Sequence[Point], radii: tuple[float, ...], sides: int = 12, count: int = 16) -> f.Form:
    """A tube along a smooth path whose radius passes through ``radii``."""
    thick = np.interp(np.linspace(0, 1, count), np.linspace(0, 1, len(radii)), radii)
    return f.tube(f.smooth(points, count), thick, sides)


def _eyes(work: f.Sculpture, at: Point, size: float) -> None:
    """A pair, mirrored about the middle."""
    for x in (-1, 1):
        work.add(m.black(), _ball((x * at[0], at[1], at[2]), (size, size, size), 12))


@shape
def dog(random: Random) -> RawMesh:
    work, coat = f.Sculpture(), m.textured(random, "fur", roughness=0.9)
    length, leg, ear = random.uniform(0.8, 1.15), random.uniform(0.4, 0.7), random.random() < 0.5
    h = length / 2
    work.add(coat, _limb([(0, -h, leg + 0.3), (0, 0, leg + 0.2), (0, h, leg + 0.22)], (0.22, 0.25, 0.19, 0.12), 16))
    for y in (-h + 0.08, h - 0.05):
        for x in (-0.14, 0.14):
            bend = 0.08 if y > 0 else -0.03
            path = [(x * 0.9, y, leg + 0.2), (x, y + bend, leg * 0.5), (x, y, 0.05)]
            work.add(coat, _limb(path, (0.12, 0.07, 0.055)), _ball((x, y - 0.05, 0.05), (0.07, 0.11, 0.05), 12))
    top = leg + random.uniform(0.55, 0.75)
    work.add(
        coat, _limb([(0, -h + 0.05, leg + 0.3), (0, -h - 0.1, top - 0.15), (0, -h - 0.2, top)], (0.18, 0.13, 0.14))
    )
    work.add(coat, _ball((0, -h - 0.22, top + 0.03), (0.17, 0.2, 0.17)))
    snout = random.uniform(0.18, 0.32)
    work.add(coat, _limb([(0, -h - 0.3, top), (0, -h - 0.3 - snout, top - 0.04)], (0.11, 0.07)))
    work.add(m.black(), _ball((0, -h - 0.36 - snout, top), (0.05, 0.04, 0.04), 12))
    _eyes(work, (0.08, -h - 0.38, top + 0.09), 0.028)
    for x in (-1, 1):
        tip = (x * 0.16, -h - 0.12, top + 0.38) if ear else (x * 0.27, -h - 0.2, top - 0.18)
        work.add(coat, _limb([(x * 0.1, -h - 0.16, top + 0.13), tip], (0.075, 0.02)).scaled(1, 1, 1))
    work.add(
        coat, _limb([(0, h, leg + 0.25), (0, h + 0.2, leg + 0.4), (0.05, h + 0.25, leg + 0.68)], (0.06, 0.05, 0.02))
    )
    work.add(
        m.rgb(("b3281f", "2a5db0", "d9a13a")[random.integers(3)]),
        f.cylinder(0.165, 0.07).turned("x", 0.5).moved(0, -h - 0.10, top - 0.22),
    )
    return work.mesh()


@shape
def giraffe(random: Random) -> RawMesh:
    work, coat = f.Sculpture(), m.textured(random, "fur", "mud", roughness=0.8)
    leg, neck, lean = random.uniform(0.9, 1.2), random.uniform(1.0, 1.4), random.uniform(0.25, 0.6)
    body = [(0, -0.5, leg + 0.35), (0, 0, leg + 0.22), (0, 0.5, leg + 0.15)]
    work.add(coat, _limb(body, (0.22, 0.3, 0.25, 0.14), 16))
    for y in (-0.4, 0.42):
        for x in (-0.14, 0.14):
            work.add(coat, _limb([(x, y, leg + 0.2), (x, y + 0.03, leg * 0.5), (x, y, 0.04)], (0.11, 0.06, 0.05)))
            work.add(m.rgb("3a2a1c"), f.cylinder(0.07, 0.08, 0.055).moved(x, y))
    head = (0, -0.5 - lean, leg + 0.45 + neck)
    work.add(
        coat, _limb([(0, -0.42, leg + 0.3), (0, -0.6 - lean * 0.5, leg + 0.4 + neck / 2), head], (0.2, 0.12, 0.09))
    )
    nose = (0, head[1] - 0.34, head[2] - 0.14)
    work.add(coat, _limb([(0, head[1] + 0.05, head[2] + 0.03), nose], (0.12, 0.07)))
    _eyes(work, (0.10, head[1] - 0.07, head[2] + 0.05), 0.028)
    for x in (-0.07, 0.07):
        work.add(coat, f.tube(np.array([(x, head[1], head[2] + 0.05), (x, head[1] + 0.04, head[2] + 0.27)]), 0.02, 8))
        work.add(m.rgb("3a2a1c"), _ball((x, head[1] + 0.04, head[2] + 0.28), (0.035, 0.035, 0.035), 10))
        ear = [(x * 1.3, head[1] + 0.05, head[2] + 0.05), (x * 3.4, head[1] + 0.06, head[2] + 0.1)]
        work.add(coat, _limb(ear, (0.03, 0.05, 0.01), 8, 8))
    work.add(coat, _limb([(0, 0.55, leg + 0.25), (0, 0.68, leg), (0, 0.68, leg - 0.35)], (0.04, 0.02, 0.04), 8))
    return work.mesh()


@shape
def elephant(random: Random) -> RawMesh:
    work, hide = f.Sculpture(), m.textured(random, "leather", "concrete", "leather", roughness=0.9)
    leg, up = random.uniform(0.45, 0.6), random.uniform(-0.3, 0.9)
    work.add(hide, _ball((0, 0.1, leg + 0.42), (0.48, 0.72, 0.50), 28))
    for y in (-0.3, 0.5):
        for x in (-0.25, 0.25):
            work.add(hide, _limb([(x, y, leg + 0.3), (x, y, leg / 2), (x, y, 0.02)], (0.2, 0.17, 0.18), 14))
    work.add(hide, _ball((0, -0.72, leg + 0.65), (0.32, 0.34, 0.36)))
    trunk = [(0, -0.95, leg + 0.6), (0, -1.15, leg + 0.25), (0, -1.2, 0.35), (0, -1.45, 0.3 + max(up, 0))]
    work.add(hide, _limb(trunk, (0.17, 0.12, 0.09, 0.055), 14, 28))
    for x in (-1, 1):
        ear = f.extrude(
            f.smooth([(0, 0.3), (0.38, 0.42), (0.55, 0.1), (0.34, -0.38), (0.05, -0.3)], 24, True)[:-1], 0.05, 0.015
        )
        work.add(hide, ear.scaled(x, 1, 1).turned("z", x * 0.5).moved(x * 0.22, -0.62, leg + 0.68))
        tusk = [(x * 0.14, -0.98, leg + 0.45), (x * 0.2, -1.2, leg + 0.3), (x * 0.2, -1.42, leg + 0.42)]
        work.add(m.cream(), _limb(tusk, (0.05, 0.045, 0.012), 10))
    _eyes(work, (0.25, -0.93, leg + 0.75), 0.03)
    work.add(hide, _limb([(0, 0.8, leg + 0.5), (0, 0.95, leg + 0.2), (0, 0.93, leg - 0.1)], (0.05, 0.03, 0.02), 8))
    return work.mesh()


@shape
def duck(random: Random) -> RawMesh:
    work, feathers = f.Sculpture(), m.either(random, "scales", "fur", probability=0.7)
    bill = m.rgb(("e39a2d", "d9772b", "5a5a50")[random.integers(3)], 0.4)
    long, neck = random.uniform(0.6, 0.8), random.uniform(0.35, 0.75)
    body = [(0, -long, 0.42), (0, -long * 0.4, 0.3), (0, long * 0.4, 0.34), (0, long * 1.1, 0.62)]
    work.add(feathers, _limb(body, (0.14, 0.36, 0.36, 0.20, 0.02), 20, 28))
    head = (0, -long * 0.85, 0.62 + neck)
    work.add(
        m.paint(random),
        _limb([(0, -long * 0.75, 0.42), (0, -long, 0.42 + neck / 2), head], (0.2, 0.12, 0.13)),
        _ball(head, (0.18, 0.2, 0.18)),
    )
    work.add(bill, _ball((0, head[1] - 0.28, head[2] - 0.03), (0.10, 0.2, 0.035), 16))
    _eyes(work, (0.13, head[1] - 0.1, head[2] + 0.06), 0.03)
    for x in (-1, 1):
        wing = _ball((x * 0.34, 0.1, 0.46), (0.07, long * 0.72, 0.22))
        work.add(feathers, wing.turned("x", 0.0))
        work.add(bill, _limb([(x * 0.15, 0, 0.1), (x * 0.17, 0, -0.2)], (0.035, 0.03), 8, 6))
        work.add(bill, _ball((x * 0.18, -0.1, -0.2), (0.12, 0.18, 0.025), 14))
    return work.mesh()


@shape
def fish(random: Random) -> RawMesh:
    work, skin = f.Sculpture(), m.textured(random, "scales", "scales", "stripes", roughness=0.3)
    length, deep, wide = random.uniform(0.9, 1.3), random.uniform(0.28, 0.5), random.uniform(0.12, 0.2)
    t = np.linspace(0, 1, 26)
    girth = np.sin(np.pi * t**0.75) ** 0.8 * (1 - 0.3 * t) + 0.12 * t + 0.02
    body = f.tube(np.stack([0 * t, (t - 0.5) * 2 * length, 0 * t], axis=1), girth, 24)
    work.add(skin, body.scaled(wide, 1, deep))
    fins = m.paint(random)
    tail = [(0.62, 0.0), (1.0, 0.45), (1.28, 0.52), (1.1, 0.0), (1.28, -0.52), (1.0, -0.45)]
    back = [(-0.35, deep * 0.85), (-0.1, deep + 0.3), (0.35, deep + 0.12), (0.5, deep * 0.4)]
    belly = [(0.1, -deep * 0.8), (0.3, -deep - 0.22), (0.5, -deep * 0.5)]
    for outline in (tail, back, belly):
        points = np.array(outline) * (length, 1)
        work.add(fins, f.extrude(f.smooth(points, 30, True)[:-1], 0.03, 0.008).turned("z", np.pi / 2))
    for x in (-1, 1):
        side = f.extrude([(0, 0), (0.35, 0.14), (0.32, -0.16)], 0.02).turned("z", np.pi / 2)
        work.add(fins, side.turned("z", x * 0.6).moved(x * wide * 0.9, -length * 0.35, -deep * 0.25))
        work.add(m.cream(), _ball((x * wide * 0.62, -length * 0.72, deep * 0.22), (0.05, 0.075, 0.075), 14))
        work.add(m.black(), _ball((x * wide * 0.8, -length * 0.73, deep * 0.22), (0.03, 0.045, 0.045), 12))
    return work.mesh()


@shape
def turtle(random: Random) -> RawMesh:
    work, skin = f.Sculpture(), m.textured(random, "scales", "leather", roughness=0.7)
    high, wide = random.uniform(0.35, 0.6), random.uniform(0.75, 0.95)
    top = f.smooth([(0.98, 0.12), (0.9, 0.25), (0.55, high + 0.1), (0, high + 0.2)], 20)
    profile = np.concatenate([[(0, 0.02), (0.8, 0.02), (1.0, 0.06)], top]).clip(0)
    work.add(m.textured(random, "mud", "pebbles", "scales", "drystone"), f.lathe(profile, 36).scaled(wide, 1, 1))
    for x in (-1, 1):
        for y, reach in ((-0.62, -0.35), (0.6, 0.3)):
            path = [
                (x * wide * 0.6, y * 0.8, 0.15),
                (x * wide * 0.95, y + reach * 0.5, 0.1),
                (x * wide * 1.15, y + reach, 0),
            ]
            work.add(skin, _limb(path, (0.14, 0.14, 0.08), 12).scaled(1, 1, 0.8))
    work.add(skin, _limb([(0, -0.85, 0.15), (0, -1.1, 0.25), (0, -1.3, 0.36)], (0.14, 0.12, 0.13)))
    work.add(skin, _ball((0, -1.38, 0.38), (0.15, 0.2, 0.14)))
    _eyes(work, (0.12, -1.47, 0.44), 0.03)
    work.add(skin, _limb([(0, 0.9, 0.1), (0, 1.2, 0.02)], (0.08, 0.015), 10, 8))
    return work.mesh()


@shape
def spider(random: Random) -> RawMesh:
    work, hair = f.Sculpture(), m.textured(random, "fur", "leather", "scales", roughness=0.9)
    work.add(hair, _ball((0, -0.25, 0.42), (0.26, 0.3, 0.2)), _ball((0, 0.4, 0.52), (0.4, 0.5, 0.38), 26))
    spread, knee = random.uniform(0.9, 1.25), random.uniform(0.75, 1.15)
    legs = m.paint(random) if random.random() < 0.4 else hair
    for side in (-1, 1):
        for k, angle in enumerate((-0.95, -0.35, 0.25, 0.85)):
            out = np.array([side * np.cos(angle), np.sin(angle)])
            path = [
                (*(out * r + (0, -0.2)), z)
                for r, z in (
                    (0.15, 0.42),
                    (spread * 0.45, knee + 0.06 * k),
                    (spread * 0.85, knee * 0.5),
                    (spread * 1.2, 0),
                )
            ]
            work.add(legs, _limb(path, (0.06, 0.055, 0.045, 0.02), 8, 20))
        work.add(hair, _limb([(side * 0.1, -0.5, 0.4), (side * 0.12, -0.68, 0.25)], (0.06, 0.02), 8, 6))
    for x in (0.05, 0.13):
        _eyes(work, (x, -0.52, 0.5 - x * 0.3), 0.035)
    return work.mesh()


@shape
def butterfly(random: Random) -> RawMesh:
    work = f.Sculpture()
    wings = m.textured(random, "camouflage", "scales", "terrazzo", "floral", "stripes", roughness=0.5)
    upper = [(0.04, 0.1), (0.35, 0.62), (0.95, random.uniform(0.75, 1.05)), (1.05, 0.5), (0.7, 0.1), (0.05, -0.02)]
    lower = [
        (0.04, 0.02),
        (0.6, 0.02),
        (0.78, -0.35),
        (0.55, -random.uniform(0.7, 0.95)),
        (0.25, -0.5),
        (0.04, -0.15),
    ]
    lift = random.uniform(0.15, 0.75)
    for side in (-1, 1):
        for outline in (upper, lower):
            wing = f.extrude(f.smooth(outline, 36, True)[:-1], 0.025).turned("z", -lift)
            work.add(wings, wing.scaled(side, 1, 1))
        feeler = [(0.02 * side, -0.02, 0.3), (0.12 * side, -0.05, 0.55), (0.28 * side, -0.02, 0.68)]
        work.add(m.black(), _limb(feeler, (0.012, 0.01), 6, 10), _ball(feeler[-1], (0.03, 0.03, 0.03), 10))
    work.add(
        m.black(),
        _limb([(0, 0, -0.5), (0, 0, 0), (0, 0, 0.2)], (0.03, 0.06, 0.07), 12),
        _ball((0, 0, 0.27), (0.075,) * 3),
    )
    return work.mesh()


@shape
def octopus(random: Random) -> RawMesh:
    work, skin = f.Sculpture(), m.either(random, "leather", "scales", "marble", probability=0.7)
    tall = random.uniform(0.5, 0.8)
    work.add(
        skin, f.lathe(f.smooth([(0.26, 0.3), (0.34, 0.42), (0.42, 0.35 + tall), (0, 0.6 + tall)], 26).clip(0), 32)
    )
    for k in range(8):
        angle = 2 * np.pi * (k + 0.5) / 8 + random.uniform(-0.15, 0.15)
        curl, reach = random.uniform(-0.9, 0.9), random.uniform(0.9, 1.3)
        path = []
        for t in np.linspace(0, 1, 6):
            turn = angle + curl * t**2
            path.append(
                (
                    np.cos(turn) * (0.15 + reach * t),
                    np.sin(turn) * (0.15 + reach * t),
                    0.35 * (1 - t) ** 2 + random.uniform(0.0, 0.3) * t**3,
                )
            )
        work.add(skin, _limb(path, (0.15, 0.12, 0.08, 0.015), 12, 24))
    for x in (-1, 1):
        work.add(m.cream(), _ball((x * 0.2, -0.33, 0.52), (0.1, 0.08, 0.1), 16))
        work.add(m.black(), _ball((x * 0.21, -0.40, 0.52), (0.05, 0.03, 0.035), 12))
    return work.mesh()


@shape
def penguin(random: Random) -> RawMesh:
    work, coat = f.Sculpture(), m.textured(random, "fur", "leather", roughness=0.8)
    tall, lean = random.uniform(0.8, 1.1), random.uniform(-0.1, 0.1)
    dark = m.rgb(("1d2027", "27303d", "2b2b2b")[random.integers(3)], 0.6)
    body = f.smooth(
        [(0.12, 0.04), (0.36, 0.15), (0.38, tall * 0.5), (0.2, tall), (0.19, tall + 0.18), (0.0, tall + 0.4)], 30
    )
    work.add(dark, f.lathe(np.concatenate([[(0, 0.03)], body]).clip(0), 32).scaled(1, 0.85, 1))
    work.add(
        m.cream() if random.random() < 0.5 else coat, _ball((0, -0.1, tall * 0.47), (0.31, 0.27, tall * 0.44), 28)
    )
    bill = m.rgb("e3902d", 0.4)
    work.add(bill, _limb([(0, -0.14, tall + 0.2), (0, -0.38, tall + 0.14)], (0.06, 0.015), 10, 8))
    _eyes(work, (0.11, -0.12, tall + 0.27), 0.028)
    for x in (-1, 1):
        flipper = _ball((0, 0, -0.3), (0.05, 0.13, 0.34))
        work.add(dark, flipper.turned("y", -x * random.uniform(0.2, 0.9)).moved(x * 0.34, lean, tall * 0.85))
        work.add(bill, _ball((x * 0.17, -0.16, 0.03), (0.12, 0.2, 0.04), 14))
    return work.mesh()
