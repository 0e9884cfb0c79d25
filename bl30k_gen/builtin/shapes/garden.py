"""Shapes from a garden and a fruit bowl. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh


def _leaf(path: np.ndarray, wide: np.ndarray, thick: float = 0.02, sides: int = 8) -> f.Form:
    """A flat leaf along an (N, 3) path in the x-z plane that is ``wide`` across, in y."""
    form = f.tube(path, np.maximum(wide, 1e-3), sides)
    grid = form.vertices.reshape(sides + 1, -1, 3)
    axis = np.concatenate([path[:1], path, path[-1:]])
    offset = grid - axis
    flat = axis + offset * (0, 1, 0) + offset * (1, 0, 1) * (thick / max(float(np.max(wide)), 1e-3))
    return f.Form(flat.reshape(-1, 3), form.faces, form.uv)


@shape
def palm(random: Random) -> RawMesh:
    work, high = f.Sculpture(), random.uniform(1.3, 1.9)
    lean = random.uniform(-0.5, 0.5)
    stem = f.smooth([(0, 0, 0), (lean * 0.3, 0, high * 0.5), (lean, 0, high)], 30)
    rings = 1 + 0.12 * (np.arange(30) % 2)
    work.add(m.textured(random, "bark", "thatch"), f.tube(stem, np.linspace(0.11, 0.065, 30) * rings, 12))
    green = m.rgb(("3f6b35", "4f7a3a", "5b8040")[random.integers(3)], 0.6)
    fronds, reach = int(random.integers(9, 14)), random.uniform(0.7, 0.95)
    for k in range(fronds):
        rise, droop = random.uniform(0.1, 0.5), random.uniform(0.1, 0.55)
        path = f.smooth([(0, 0, 0), (reach * 0.45, 0, rise), (reach, 0, rise - droop)], 18)
        t = np.linspace(0, 1, 18)
        frond = _leaf(path, 0.13 * np.sin(np.pi * (0.08 + 0.92 * t)) * (1 - 0.25 * (np.arange(18) % 2)) + 0.01)
        work.add(green, frond.turned("z", 2 * np.pi * k / fronds + random.uniform(-0.2, 0.2)).moved(*stem[-1]))
    for k in range(int(random.integers(2, 6))):
        a = 2.2 * k
        nut = f.sphere(0.085, 14).scaled(1, 1, 1.2)
        work.add(m.rgb("5a3d24"), nut.moved(stem[-1][0] + 0.11 * np.cos(a), 0.11 * np.sin(a), high - 0.06))
    work.add(m.textured(random, "sand", "grass"), f.sphere(1, 22).scaled(0.6, 0.6, 0.14))
    return work.mesh()


@shape
def flower(random: Random) -> RawMesh:
    """Flowers in a pot."""
    work, green = f.Sculpture(), m.rgb(("3f6b35", "55803c")[random.integers(2)], 0.6)
    pot = f.smooth([(0.24, 0), (0.3, 0.25), (0.36, 0.46)], 14)
    profile = np.concatenate([[(0, 0)], pot, [(0.40, 0.46), (0.40, 0.54), (0.34, 0.54), (0.33, 0.46), (0, 0.46)]])
    work.add(m.textured(random, "terrazzo", "tiles", "rust", "plaster", "mud"), f.lathe(profile, 30))
    petals, colour = int(random.integers(6, 14)), m.paint(random, 0.4)
    heart = m.rgb(("d9a52b", "4a2f1c", "e8c84a")[random.integers(3)], 0.7)
    for k in range(int(random.integers(1, 4))):
        out, turn, high = 0.22 * (k > 0), 2.4 * k + random.uniform(0, 1), random.uniform(1.0, 1.5)
        top = np.array([out * 1.6 * np.cos(turn), out * 1.6 * np.sin(turn), high])
        stem = f.smooth([(out * 0.4, 0, 0.46), (top[0] * 0.6, top[1] * 0.6, high * 0.7), tuple(top)], 18)
        work.add(green, f.tube(stem, 0.028, 8))
        size, tilt = random.uniform(0.24, 0.36), random.uniform(0.6, 1.2)
        t = np.linspace(0, 1, 9)
        petal = _leaf(
            np.stack([size * (0.3 + 0.9 * t), 0 * t, 0.1 * np.sin(np.pi * t)], 1),
            size * 0.3 * np.sin(np.pi * (0.1 + 0.85 * t)),
            0.03,
        )
        head = [(colour, petal.turned("z", 2 * np.pi * j / petals)) for j in range(petals)]
        head.append((heart, f.sphere(size * 0.42, 18).scaled(1, 1, 0.45).moved(z=0.03)))
        for material, form in head:
            work.add(material, form.turned("x", tilt).moved(*top))
        for side in (-1, 1):
            path = f.smooth([(0, 0, 0), (side * 0.2, 0, 0.14), (side * 0.4, 0, 0.08)], 12)
            leaf = _leaf(path, 0.11 * np.sin(np.pi * np.linspace(0.05, 1, 12)))
            work.add(green, leaf.turned("z", turn).moved(*stem[8]))
    return work.mesh()


@shape
def pineapple(random: Random) -> RawMesh:
    work, high, wide = f.Sculpture(), random.uniform(0.8, 1.1), random.uniform(0.34, 0.44)
    skin = m.textured(random, "scales", "wicker", "mud") if random.random() < 0.5 else m.rgb("b98a2f", 0.6)
    t = np.linspace(-1, 1, 20)
    body = np.stack([wide * np.sqrt(np.clip(1 - np.abs(t) ** 2.6, 0, 1)), high * (t + 1) / 2], axis=1)
    work.add(skin, f.lathe(body, 28))
    rows = 9
    for row in range(1, rows):  # its eyes lie on spirals
        s = 2 * row / rows - 1
        r = wide * np.sqrt(1 - abs(s) ** 2.6)
        for k in range(11):
            a = 2 * np.pi * (k + 0.5 * (row % 2)) / 11
            knob = f.sphere(0.05, 6).scaled(1, 1, 0.9)
            work.add(skin, knob.moved(r * np.cos(a), r * np.sin(a), high * (s + 1) / 2))
    green = m.rgb(("4a7a45", "5f8a4f", "3f6b50")[random.integers(3)], 0.5)
    for ring in range(4):
        count, long = 9 - ring, random.uniform(0.35, 0.5) + 0.14 * ring
        for k in range(count):
            out = 0.5 - 0.13 * ring
            path = f.smooth(
                [(0.05, 0, high - 0.04), (0.12 + out * 0.3, 0, high + long * 0.5), (0.1 + out * 0.8, 0, high + long)],
                10,
            )
            leaf = _leaf(path, 0.07 * np.linspace(1, 0.05, 10), 0.02)
            work.add(green, leaf.turned("z", 2 * np.pi * (k + 0.5 * ring) / count))
    return work.mesh()


@shape
def pumpkin(random: Random) -> RawMesh:
    work, ribs = f.Sculpture(), int(random.integers(8, 14))
    flat, deep = random.uniform(0.6, 0.95), random.uniform(0.1, 0.2)
    a = np.linspace(0, 2 * np.pi, ribs * 8 + 1)
    a[-1] = 0
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 21)
    rib = 1 - deep * (0.5 + 0.5 * np.cos(a * ribs)) ** 2
    out = np.cos(latitude)[None] * rib[:, None]
    out[:, [0, -1]] = 0
    dent = flat * (np.sin(latitude) - 0.35 * np.sign(np.sin(latitude)) * np.exp(-((np.cos(latitude) / 0.35) ** 2)))
    points = np.stack([out * np.cos(a)[:, None], out * np.sin(a)[:, None], np.tile(dent, (len(a), 1))], axis=-1)
    skin = m.rgb(("d9772b", "c9a23f", "7a8a4a", "b5502b")[random.integers(4)], 0.4)
    work.add(m.textured(random, "marble", "plaster") if random.random() < 0.4 else skin, f.surface(points))
    top = flat * 0.62
    stem = f.smooth([(0, 0, top), (0.02, 0, top + 0.25), (random.uniform(0.1, 0.25), 0, top + 0.42)], 14)
    work.add(m.textured(random, "bark"), f.tube(stem, np.linspace(0.14, 0.08, 14), 10))
    curl = np.linspace(0, 4 * np.pi, 50)
    vine = np.stack([0.12 + 0.05 * curl, 0.07 * np.sin(curl), top + 0.12 + 0.07 * np.cos(curl) - 0.01 * curl], axis=1)
    work.add(m.rgb("55803c"), f.tube(vine, 0.016, 6))
    return work.mesh()


@shape
def banana(random: Random) -> RawMesh:
    """A bunch."""
    work, count = f.Sculpture(), int(random.integers(3, 7))
    peel = m.rgb(("e3c23a", "d9b92f", "a8b545", "c9a53a")[random.integers(4)], 0.4)
    curve, long = random.uniform(0.35, 0.6), random.uniform(0.9, 1.15)
    t = np.linspace(0, 1, 22)
    thick = 0.13 * np.clip(np.sin(np.pi * (0.06 + 0.88 * t)), 0.2, 1) ** 0.5
    thick[:4] = np.linspace(0.05, thick[4], 4)
    for k in range(count):
        spread = (k - (count - 1) / 2) * random.uniform(0.28, 0.36)
        path = np.stack([curve * np.sin(np.pi * t * 0.9) + 0.1, 0 * t, -long * t], axis=1)
        work.add(peel, f.tube(path, thick, 6).turned("z", spread))
        tip = f.sphere(0.035, 10).moved(*path[-1])
        work.add(m.rgb("3a2d1c"), tip.turned("z", spread))
    work.add(m.textured(random, "bark"), f.cylinder(0.14, 0.28, 0.1, segments=14).moved(0.08, 0, -0.1))
    return work.mesh()
