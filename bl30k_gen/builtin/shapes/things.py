"""Shapes from a workshop and a toy box. Front towards -y."""

import numpy as np

from bl30k_gen.builtin.families import shape
from bl30k_gen.builtin.patterns import Random
from bl30k_gen.builtin.shapes import forms as f
from bl30k_gen.builtin.shapes import materials as m
from bl30k_gen.library.formats.mesh import RawMesh


@shape
def gear(random: Random) -> RawMesh:
    teeth, thick = int(random.integers(9, 22)), random.uniform(0.22, 0.45)
    deep = random.uniform(0.12, 0.2)
    step = 2 * np.pi / teeth
    angle = (np.arange(teeth)[:, None] + np.array([-0.34, -0.16, 0.16, 0.34])) * step
    radius = np.tile([1 - deep, 1, 1, 1 - deep], (teeth, 1))
    outline = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=-1).reshape(-1, 2)
    work = f.Sculpture()
    steelwork = m.textured(random, "metal", "rust", "metal", roughness=0.4, metallic=0.3)
    work.add(steelwork, f.extrude(outline, thick, 0.025))
    hub, accent = random.uniform(0.22, 0.34), m.paint(random)
    work.add(accent, f.cylinder(hub, thick * 1.6, bevel=0.05).moved(z=-thick * 0.8).turned("x", np.pi / 2))
    work.add(
        m.black(), f.cylinder(hub * 0.55, thick * 1.64, bevel=0.01).moved(z=-thick * 0.82).turned("x", np.pi / 2)
    )
    count = int(random.integers(4, 8))
    for k in range(count):
        a, r = 2 * np.pi * k / count, (hub + 1 - deep) / 2
        bolt = f.cylinder(0.11, thick * 1.15, bevel=0.02, segments=6 if count % 2 else 24).moved(z=-thick * 0.575)
        work.add(m.gold(), bolt.turned("x", np.pi / 2).moved(r * np.cos(a), 0, r * np.sin(a)))
    return work.mesh()


@shape
def knot(random: Random) -> RawMesh:
    p, q = ((2, 3), (3, 2), (2, 5), (3, 4), (3, 5), (1, 4))[random.integers(6)]
    t = np.linspace(0, 2 * np.pi, 220)
    r = 1 + 0.42 * np.cos(q * t)
    path = np.stack([r * np.cos(p * t), r * np.sin(p * t), 0.5 * np.sin(q * t)], axis=1)
    path[-1] = path[0]
    thick = random.uniform(0.14, 0.2) * (1 + random.uniform(0, 0.15) * np.cos(t * int(random.integers(8, 24))))
    work = f.Sculpture()
    families = ("stripes", "tartan", "marble", "metal", "knit", "leather", "planks")
    work.add(
        m.textured(random, *families, roughness=0.35), f.tube(path, thick, 18, closed=True).turned("x", np.pi / 2)
    )
    for k in range(0, 219, 73):
        ring = np.linspace(0, 2 * np.pi, 25)
        along = path[(k + 1) % 219] - path[k]
        along /= np.linalg.norm(along)
        one = np.cross(along, (0.3, 0.2, 1.0))
        one /= np.linalg.norm(one)
        other = np.cross(along, one)
        hoop = path[k] + (thick[k] + 0.02) * (np.cos(ring)[:, None] * one + np.sin(ring)[:, None] * other)
        hoop[-1] = hoop[0]
        work.add(m.gold(), f.tube(hoop, 0.05, 10, closed=True).turned("x", np.pi / 2))
    return work.mesh()


@shape
def robot(random: Random) -> RawMesh:
    width, height, head = random.uniform((0.55, 0.6, 0.36), (0.8, 0.85, 0.55))
    work = f.Sculpture()
    armour = m.either(random, "metal", "rust", "stripes", "camouflage", probability=0.75)
    accent, joint = m.paint(random), m.black()
    work.add(armour, f.box(width, 0.42, height, 0.07).moved(z=0.6))
    top = 0.6 + height
    work.add(joint, f.cylinder(0.1, 0.14).moved(z=top))
    if random.uniform() < 0.5:
        work.add(accent, f.box(head * 1.2, head * 0.95, head, 0.08).moved(z=top + 0.12))
    else:
        work.add(accent, f.sphere(head * 0.62).scaled(1, 0.9, 0.95).moved(z=top + 0.1 + head * 0.5))
    eye = m.rgb(("ffd35a", "6fe3ff", "ff6f5a")[random.integers(3)], 0.2)
    for x in (-1, 1):
        ring = f.cylinder(0.1, 0.08).turned("x", np.pi / 2)
        face = (x * head * 0.27, -head * 0.45, top + 0.14 + head * 0.55)
        work.add(m.steel(), ring.moved(*face))
        work.add(eye, f.sphere(0.075, 18).scaled(1, 0.6, 1).moved(face[0], face[1] - 0.08, face[2]))
        shoulder = np.array([x * (width / 2 + 0.1), 0, top - 0.12])
        lift = random.uniform(-0.3, 0.5)
        elbow = shoulder + (x * 0.16, -0.05, -0.34 + lift * 0.3)
        hand = elbow + (x * 0.02, -0.28, -0.12 + lift)
        work.add(joint, f.sphere(0.12, 18).moved(*shoulder), f.sphere(0.09, 16).moved(*elbow))
        work.add(accent, f.tube(np.array([shoulder, elbow]), 0.08), f.tube(np.array([elbow, hand]), 0.09))
        work.add(m.steel(), f.sphere(0.12, 18).moved(*hand))
        hip, foot = np.array([x * width * 0.27, 0, 0.62]), np.array([x * width * 0.3, 0, 0.12])
        work.add(joint, f.tube(np.array([hip, foot]), 0.10))
        work.add(armour, f.box(0.28, 0.46, 0.16, 0.06).moved(x * width * 0.3, -0.06))
    work.add(m.steel(), f.cylinder(0.02, 0.26).moved(z=top + head))
    work.add(eye, f.sphere(0.055, 14).moved(z=top + head + 0.28))
    work.add(m.glass(), f.box(width * 0.55, 0.04, height * 0.32, 0.02).moved(y=-0.22, z=0.6 + height * 0.5))
    for k in range(3):
        button = (
            f.cylinder(0.045, 0.05).turned("x", np.pi / 2).moved((k - 1) * width * 0.2, -0.20, 0.6 + height * 0.3)
        )
        work.add((eye, accent, m.gold())[k], button)
    return work.mesh()


@shape
def chess(random: Random) -> RawMesh:
    """A pawn, bishop, rook, queen or king, on a plinth."""
    work = f.Sculpture()
    material = m.textured(random, "planks", "marble", "metal", "leather", roughness=0.25)
    height, waist = random.uniform(0.8, 1.2), random.uniform(0.11, 0.16)
    stem = f.smooth([(0.36, 0.22), (waist + 0.05, 0.4), (waist, height * 0.7), (waist + 0.04, height)], 24)
    base = [(0, 0), (0.45, 0), (0.47, 0.05), (0.45, 0.1), (0.4, 0.12), (0.42, 0.17), (0.38, 0.22)]
    collar = [(0.25, height + 0.02), (0.26, height + 0.06), (0.16, height + 0.1), (0, height + 0.1)]
    work.add(material, f.lathe(np.concatenate([base, stem, collar])))
    piece, z = random.integers(4), height + 0.1
    if piece == 0:
        work.add(material, f.sphere(0.23).moved(z=z + 0.16))
    elif piece == 1:
        work.add(
            material, f.lathe(f.smooth([(0.12, z), (0.21, z + 0.15), (0.13, z + 0.36), (0, z + 0.46)], 20).clip(0))
        )
        work.add(m.gold(), f.sphere(0.06, 16).moved(z=z + 0.5))
    elif piece == 2:
        work.add(
            material,
            f.lathe(
                [(0, z), (0.2, z), (0.27, z + 0.2), (0.27, z + 0.3), (0.2, z + 0.3), (0.19, z + 0.18), (0, z + 0.18)]
            ),
        )
        merlon = f.box(0.12, 0.09, 0.14, 0.015).moved(y=-0.235, z=z + 0.28)
        work.add(material, *(merlon.turned("z", k * np.pi / 3) for k in range(6)))
    else:
        work.add(material, f.lathe(f.smooth([(0.13, z), (0.2, z + 0.22), (0.29, z + 0.4)], 16)))
        work.add(material, f.lathe(f.smooth([(0.28, z + 0.4), (0.2, z + 0.44), (0.0, z + 0.52)], 14).clip(0)))
        pearls = f.sphere(0.05, 14).moved(y=-0.27, z=z + 0.43)
        work.add(
            m.gold(), *(pearls.turned("z", k * np.pi / 5) for k in range(10)), f.sphere(0.08, 16).moved(z=z + 0.56)
        )
    felt = f.cylinder(0.52, 0.08).moved(z=-0.08)
    work.add(m.either(random, "leather", "planks", "terrazzo", probability=0.8), felt)
    return work.mesh()


@shape
def drum(random: Random) -> RawMesh:
    radius, height = random.uniform(0.5, 0.75), random.uniform(0.5, 0.95)
    work = f.Sculpture()
    shell = f.lathe([(radius, 0), (radius * random.uniform(0.9, 1.08), height / 2), (radius, height)], 48)
    work.add(m.textured(random, "stripes", "camouflage", "tiles", "planks", "tartan", roughness=0.3), shell)
    hoop = f.lathe(
        [(radius, -0.05), (radius + 0.06, -0.05), (radius + 0.06, 0.07), (radius, 0.07), (radius, -0.05)], 48
    )
    work.add(m.paint(random), hoop, hoop.moved(z=height - 0.02))
    work.add(m.cream(), f.cylinder(radius, 0.02).moved(z=height), f.cylinder(radius, 0.02).moved(z=-0.02))
    count = int(random.integers(6, 11))
    for k in range(count * 2):
        a, b = k * np.pi / count, (k + 1) * np.pi / count
        low, high = (0.03, height - 0.02) if k % 2 else (height - 0.02, 0.03)
        r = radius + 0.07
        rope = np.array([(r * np.cos(a), r * np.sin(a), low), (r * np.cos(b), r * np.sin(b), high)])
        work.add(m.rgb("e8dcc0"), f.tube(np.linspace(rope[0], rope[1], 6), 0.02, 8))
        work.add(m.gold(), f.sphere(0.05, 12).moved(*rope[0]))
    for turn in (0.35, -0.5):
        stick = f.tube(np.array([(-0.75, 0, 0), (0.55, 0, 0.02)]), np.array([0.05, 0.03]), 12)
        work.add(m.rgb("b98a55"), stick.turned("z", turn).moved(z=height + 0.09))
        work.add(m.rgb("b98a55"), f.sphere(0.07, 16).moved(0.58, 0, 0.02).turned("z", turn).moved(z=height + 0.09))
    return work.mesh()


@shape
def trophy(random: Random) -> RawMesh:
    work = f.Sculpture()
    metal, lip = (m.gold(), m.steel(), m.rgb("b87444", 0.35, 0.6))[random.integers(3)], random.uniform(0.38, 0.55)
    height = random.uniform(0.75, 1.0)
    outside = [
        (0.3, 0.3),
        (0.26, 0.36),
        (0.07, 0.45),
        (0.06, 0.6),
        (0.12, 0.66),
        (lip * 0.8, 0.6 + height * 0.5),
        (lip, 0.6 + height),
    ]
    curve = f.smooth(outside, 40)
    inside = curve[::-1][:14] - (0.03, 0)
    work.add(metal, f.lathe(np.concatenate([[(0, 0.3)], curve, inside, [(0, inside[-1, 1])]])))
    work.add(m.textured(random, "marble", "planks", "terrazzo", roughness=0.2), f.box(0.8, 0.8, 0.3, 0.03))
    work.add(m.gold(), f.box(0.5, 0.03, 0.16, 0.01).moved(y=-0.4, z=0.07))
    top = 0.6 + height
    ear = f.smooth(
        [
            (lip * 0.94, 0, top - 0.06),
            (lip + 0.24, 0, top - 0.02),
            (lip + 0.26, 0, top - 0.32),
            (lip * 0.66, 0, top - 0.52),
        ],
        26,
    )
    handle = f.tube(ear, 0.035, 12)
    work.add(metal, handle, handle.turned("z", np.pi))
    band = np.interp(0.6 + height * 0.6, curve[:, 1], curve[:, 0])
    work.add(
        m.either(random, "tartan", "stripes"),
        f.lathe([(band + 0.012, 0.6 + height * 0.56), (band + 0.03, 0.6 + height * 0.66)]),
    )
    return work.mesh()


@shape
def train(random: Random) -> RawMesh:
    """A toy locomotive."""
    length, radius = random.uniform(1.1, 1.5), random.uniform(0.26, 0.34)
    body, accent = m.either(random, "stripes", "metal", "tartan", "planks", probability=0.6), m.paint(random)
    work = f.Sculpture()
    work.add(m.black(), f.box(0.62, length + 0.7, 0.12).moved(y=0.2, z=0.24))
    boiler = (
        f.cylinder(radius, length, bevel=0.04).turned("x", -np.pi / 2).moved(y=-length / 2 - 0.1, z=0.36 + radius)
    )
    work.add(body, boiler)
    for y in np.linspace(-0.45, 0.4, 4) * length:
        hoop = f.lathe([(radius, -0.02), (radius + 0.025, -0.02), (radius + 0.025, 0.02), (radius, 0.02)], 36)
        work.add(m.gold(), hoop.turned("x", np.pi / 2).moved(y=y - 0.1, z=0.36 + radius))
    cab = length / 2 + 0.12
    work.add(accent, f.box(0.72, 0.55, 0.5).moved(y=cab + 0.05, z=0.36))
    for x in (-1, 1):
        for y in (-0.22, 0.22):
            work.add(accent, f.box(0.07, 0.07, 0.45).moved(x * 0.32, cab + 0.05 + y, 0.84))
    work.add(body, f.box(0.86, 0.75, 0.07, 0.03).moved(y=cab + 0.05, z=1.28))
    funnel = [(0, 0), (0.1, 0), (0.08, 0.2), (0.09, 0.3), (0.17, 0.42), (0.16, 0.46), (0.1, 0.44), (0, 0.36)]
    work.add(m.black(), f.lathe(funnel).moved(y=-length * 0.4, z=0.33 + 2 * radius))
    work.add(
        m.gold(),
        f.sphere(0.13, 20).moved(y=-0.05, z=0.36 + 2 * radius),
        f.sphere(0.1, 18).moved(y=0.28, z=0.36 + 2 * radius),
    )
    work.add(m.rgb("fff3c4", 0.2), f.sphere(0.1, 18).moved(y=-length / 2 - 0.13, z=0.36 + radius * 1.3))
    for x in (-1, 1):
        for y, r in ((-length * 0.45, 0.18), (-length * 0.12, 0.18), (cab - 0.05, 0.3)):
            wheel = f.cylinder(r, 0.1, bevel=0.03, segments=36).turned("y", np.pi / 2).moved(x * 0.36 - 0.05, y, r)
            hub = f.cylinder(r * 0.4, 0.14).turned("y", np.pi / 2).moved(x * 0.36 - 0.07, y, r)
            work.add(accent, wheel)
            work.add(m.gold(), hub)
        rod = f.box(0.04, length * 0.95, 0.06).moved(x * 0.44, 0.05, 0.17)
        work.add(m.steel(), rod)
    plough = f.extrude([(-0.36, 0.02), (0.36, 0.02), (0.22, 0.28), (-0.22, 0.28)], 0.2, 0.02)
    work.add(m.paint(random), plough.moved(y=-length / 2 - 0.2))
    return work.mesh()


@shape
def die(random: Random) -> RawMesh:
    """Dice, one on the other."""
    work = f.Sculpture()
    spots = {0: [(0, 0)], 1: [(-1, -1), (1, 1)], 2: [(-1, -1), (0, 0), (1, 1)]}
    spots |= {3: [(-1, -1), (1, 1), (-1, 1), (1, -1)]}
    spots |= {4: [*spots[3], (0, 0)], 5: [*spots[3], (-1, 0), (1, 0)]}
    z = 0.0
    for level in range(int(random.integers(2, 4))):
        size, turn = random.uniform(0.6, 0.95) * 0.9**level, random.uniform(0, 2 * np.pi)
        body = m.either(random, "marble", "terrazzo", "planks", "rust", probability=0.5, roughness=0.2)
        dot = m.cream() if np.mean(body.colour) < 0.4 else m.black()
        work.add(body, f.box(size, size, size, size * 0.12).turned("z", turn).moved(z=z))
        first = int(random.integers(6))
        for face, (axis, angle) in enumerate(
            [("z", 0), ("z", np.pi / 2), ("z", np.pi), ("z", -np.pi / 2), ("x", np.pi / 2), ("x", -np.pi / 2)]
        ):
            for u, v in spots[(first + face) % 6]:
                spot: f.Form = (
                    f.sphere(size * 0.09, 14).scaled(1, 0.25, 1).moved(u * size * 0.26, -size / 2, v * size * 0.26)
                )
                work.add(dot, spot.turned(axis, angle).moved(z=size / 2).turned("z", turn).moved(z=z))
        z += size
    return work.mesh()
