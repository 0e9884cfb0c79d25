"""Shapes of plants and things from the sea. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh


@shape
def tree(random: Random) -> RawMesh:
    work = f.Sculpture()
    trunk, height = m.textured(random, "bark"), random.uniform(0.7, 1.1)
    bend = random.uniform(-0.15, 0.15, 2)
    stem = f.smooth([(0, 0, 0), (bend[0] / 2, bend[1] / 2, height / 2), (bend[0], bend[1], height * 1.15)], 16)
    work.add(trunk, f.tube(stem, np.linspace(0.13, 0.05, 16) + 0.08 * np.exp(-np.linspace(0, 9, 16))))
    if random.uniform() < 0.4:  # a conifer
        green = m.rgb(("2f5233", "3d6b45", "4b6a4f")[random.integers(3)], 0.8)
        levels = int(random.integers(4, 7))
        for k in range(levels):
            radius, z = 0.62 * (1 - 0.75 * k / levels), height * 0.45 + k * 0.30
            angle = np.linspace(0, 2 * np.pi, 49)
            angle[-1] = 0
            edge = (1 + 0.12 * np.cos(angle * 12 + k))[:, None]
            t = np.array([0, 0.35, 0.7, 1.0])
            r = radius * t * edge
            z_of = z + 0.5 - 0.5 * t**1.2 - 0.06 * (edge - 1) * t * 4
            points = np.stack([r * np.cos(angle)[:, None], r * np.sin(angle)[:, None], z_of + 0 * r], axis=-1)
            under = np.stack([points[:, -1], np.broadcast_to((0, 0, z + 0.1), points[:, -1].shape)], axis=1)
            work.add(green, f.surface(points[:, ::-1]), f.surface(under[:, ::-1]))
        return work.mesh()
    crown = (
        m.textured(random, "camouflage")
        if random.uniform() < 0.15
        else m.rgb(("4f7a35", "6b8e3a", "3f6b3a", "b5642c", "c78f2f", "d98fa5")[random.integers(6)], 0.85)
    )
    for _ in range(int(random.integers(9, 15))):
        direction = random.normal(0, 1, 3)
        centre = direction / np.linalg.norm(direction) * 0.36 * (1.1, 1.1, 0.8) + (*bend, height * 1.35)
        work.add(crown, _lump(random, random.uniform(0.22, 0.36), 0.16).moved(*centre))
    for _ in range(4):
        angle = random.uniform(0, 2 * np.pi)
        tip = np.array([0.4 * np.cos(angle), 0.4 * np.sin(angle), height * 1.25])
        work.add(trunk, f.tube(np.linspace(stem[9], tip, 6), np.linspace(0.05, 0.02, 6), 8))
    return work.mesh()


def _lump(random: Random, radius: float, roughness: float, segments: int = 24) -> f.Form:
    """A sphere with bumps."""
    form = f.sphere(1, segments)
    waves = random.normal(0, 1, (6, 3)) * 3.2
    bumps = np.sin(form.vertices @ waves.T + random.uniform(0, 6, 6)).mean(axis=1)
    return f.Form(form.vertices * (radius * (1 + roughness * 1.8 * bumps))[:, None], form.faces, form.uv * radius * 2)


@shape
def cactus(random: Random) -> RawMesh:
    ribs = int(random.integers(9, 15))

    def limb(path: np.ndarray, radius: float) -> f.Form:
        t = np.linspace(0, 1, len(path))
        return f.tube(path, radius * np.sqrt(np.clip(1 - (2 * np.clip(t - 0.5, 0, 1)) ** 6, 0.02, 1)), ribs * 4)

    work = f.Sculpture()
    green = m.rgb(("5b8a4a", "4b7a5a", "7a9a55", "3f6f4a")[random.integers(4)], 0.75)
    height = random.uniform(1.0, 1.5)
    limbs = [limb(f.smooth([(0, 0, 0), (0, 0, height / 2), (0, 0, height)], 40), 0.2)]
    for side in range(int(random.integers(1, 4))):
        start, out, up = random.uniform((0.35, 0.34, 0.35), (0.6, 0.5, 0.65))
        path = f.smooth(
            [
                (0, 0, start * height),
                (out * 0.8, 0, start * height + 0.02),
                (out, 0, start * height + 0.2),
                (out, 0, start * height + up),
            ],
            36,
        )
        limbs.append(limb(path, 0.12).turned("z", side * 2.3 + random.uniform(-0.4, 0.4)))
    work.add(green, *(_ribbed(form, ribs * 4) for form in limbs))
    work.add(m.rgb("e0628a", 0.6), _lump(random, 0.09, 0.3, 16).moved(z=height))
    pot = f.lathe(
        [(0, -0.42), (0.27, -0.42), (0.36, 0.0), (0.4, 0.0), (0.4, 0.08), (0.34, 0.08), (0.33, 0.0), (0, 0.0)]
    )
    work.add(m.textured(random, "terrazzo", "tiles", "rust", "stripes"), pot)
    work.add(m.textured(random, "pebbles"), f.cylinder(0.34, 0.02))
    return work.mesh()


def _ribbed(form: f.Form, sides: int) -> f.Form:
    """A tube whose every fourth line of vertices lies deeper."""
    grid = form.vertices.reshape(sides + 1, -1, 3)
    centre = grid[:-1].mean(axis=0)
    depth = 1 - 0.16 * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(sides + 1) / 4))[:, None, None]
    return f.Form((centre + (grid - centre) * depth).reshape(-1, 3), form.faces, form.uv)


@shape
def mushroom(random: Random) -> RawMesh:
    work = f.Sculpture()
    cap_paint = m.rgb(("b52a20", "c9772f", "7a4f33", "8a5aa0", "d9b45a")[random.integers(5)], 0.35)
    for size, x, y in ((1.0, 0, 0), (random.uniform(0.45, 0.7), 0.5, -0.2), (random.uniform(0.3, 0.5), -0.45, -0.15)):
        height, radius, rise = random.uniform((0.6, 0.42, 0.25), (1.0, 0.62, 0.55))
        stem = f.smooth([(0.17, 0), (0.11, height * 0.5), (0.12, height)], 20)
        cap = f.smooth(
            [(0.1, height - 0.02), (radius, height - 0.06), (radius * 0.8, height + rise * 0.6), (0, height + rise)],
            28,
        )
        cap[:, 0] = np.maximum(cap[:, 0], 0)
        work.add(m.cream(), f.lathe(np.concatenate([[(0, 0)], stem])).scaled(size, size, size).moved(x, y))
        work.add(cap_paint, f.lathe(cap).scaled(size, size, size).moved(x, y))
        upper = cap[10:-2]
        for _ in range(16):
            r, z = upper[random.integers(len(upper))]
            angle = random.uniform(0, 2 * np.pi)
            spot = f.sphere(random.uniform(0.03, 0.07), 12).scaled(1, 1, 0.6)
            work.add(
                m.cream(), spot.moved(r * np.cos(angle), r * np.sin(angle), z).scaled(size, size, size).moved(x, y)
            )
    return work.mesh()


@shape
def shell(random: Random) -> RawMesh:
    turns, growth = random.uniform(4, 6.5), random.uniform(0.075, 0.13)
    lift, flat = random.uniform(0.3, 3.0), random.uniform(0.9, 1.3)
    t = np.linspace(0, turns * 2 * np.pi, 220)[:, None]
    size = np.exp(growth * (t - t.max()))
    a = np.linspace(0, 2 * np.pi, 21)[None]
    a = np.where(a == a[0, -1], 0, a)
    ridge = 1 + random.uniform(0, 0.12) * np.cos(t * int(random.integers(6, 14)))
    repeats = (turns * 2.0, 1.0)

    def wall(width: float) -> np.ndarray:
        across, up = size * (1 + width * np.cos(a) * ridge), size * (width * flat * np.sin(a) * ridge - lift)
        return np.stack([across * np.cos(t), across * np.sin(t), up], axis=-1)

    work = f.Sculpture()
    skin = m.textured(random, "stripes", "marble", "camouflage", "terrazzo", "weave", roughness=0.3)
    work.add(skin, f.surface(wall(0.62), repeats))
    work.add(m.rgb("f3d9c4", 0.25), f.surface(wall(0.59)[:, ::-1], repeats))
    return work.mesh()


@shape
def coral(random: Random) -> RawMesh:
    work = f.Sculpture()
    skin = m.rgb(("d9593f", "e08fa0", "c9a13f", "8f4fa5", "e8c7a5", "3f8f8a")[random.integers(6)], 0.7)
    forks = int(random.integers(2, 4))

    def grow(start: np.ndarray, direction: np.ndarray, length: float, radius: float, level: int) -> None:
        end = start + direction * length
        middle = (start + end) / 2 + random.normal(0, 0.05 * length, 3)
        work.add(
            skin,
            f.tube(f.smooth([tuple(start), tuple(middle), tuple(end)], 8), np.linspace(radius, radius * 0.75, 8), 9),
        )
        if level == 0:
            work.add(skin, f.sphere(radius * 1.05, 10).moved(*end))
            return
        for _ in range(forks):
            branch = direction + random.normal(0, 0.55, 3) + (0, 0, 0.15)
            branch[2] = max(branch[2], 0.12)
            grow(end, branch / np.linalg.norm(branch), length * random.uniform(0.62, 0.85), radius * 0.75, level - 1)

    for angle in random.uniform(0, 2 * np.pi, 3):
        lean = np.array([0.5 * np.cos(angle), 0.5 * np.sin(angle), 1.0])
        grow(np.zeros(3), lean / np.linalg.norm(lean), 0.5, 0.11, 4 if forks == 2 else 3)
    work.add(m.textured(random, "pebbles", "marble"), _lump(random, 0.4, 0.2).scaled(1.1, 1.1, 0.4))
    return work.mesh()


@shape
def starfish(random: Random) -> RawMesh:
    arms, depth = int(random.choice([5, 5, 6, 7, 9])), random.uniform(0.45, 0.68)
    angle = np.linspace(0, 2 * np.pi, arms * 16 + 1)
    angle[-1] = 0
    reach = (1 - depth) + depth * (0.5 + 0.5 * np.cos(angle * arms)) ** random.uniform(1.2, 2.4)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, 25)
    out = np.cos(latitude)[None] * reach[:, None]
    out[:, [0, -1]] = 0
    height = np.sin(latitude)[None] * (0.10 + 0.12 * (1 - out))
    height = np.where(height < 0, height * 0.35, height) + 0.012 * np.cos(out * 34) * np.sin(latitude).clip(0)[None]
    curl = 0.18 * out**2 * random.uniform(-1, 1)
    points = np.stack([out * np.cos(angle)[:, None], out * np.sin(angle)[:, None], height + curl], axis=-1)
    form = f.surface(points)
    work = f.Sculpture()
    flat = f.Form(form.vertices, form.faces, form.vertices[form.faces][..., :2])  # seen from above
    work.add(
        m.textured(random, "terrazzo", "pebbles", "leather", "rust", "camouflage", roughness=0.7),
        flat.turned("x", np.pi / 2),
    )
    for k in range(arms):
        for r in np.linspace(0.2, 0.85, 6):
            a = 2 * np.pi * k / arms
            z = np.interp(r, np.sort(out[k * 16]), np.sort(height[k * 16])) if r > 1 else 0.10 + 0.12 * (1 - r)
            bead = f.sphere(0.045 * (1.2 - r), 10).moved(
                r * np.cos(a), r * np.sin(a), z * np.sqrt(1 - (r * 0.98) ** 2)
            )
            work.add(m.cream(), bead.turned("x", np.pi / 2))
    return work.mesh()
