"""Shapes from a workshop and a toy box. Front towards -y."""

import numpy as np

from bl30k_gen.library.mesh import RawMesh
from bl30k_gen.library.procedural.forms import Form, Sculpture, box, cylinder, extrude, lathe, smooth, sphere, tube
from bl30k_gen.library.procedural.materials import (
    Random,
    black,
    cream,
    either,
    glass,
    gold,
    paint,
    rgb,
    steel,
    textured,
)


def gear(random: Random) -> RawMesh:
    teeth, thick = int(random.integers(9, 22)), random.uniform(0.22, 0.45)
    deep = random.uniform(0.12, 0.2)
    step = 2 * np.pi / teeth
    angle = (np.arange(teeth)[:, None] + np.array([-0.34, -0.16, 0.16, 0.34])) * step
    radius = np.tile([1 - deep, 1, 1, 1 - deep], (teeth, 1))
    outline = np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=-1).reshape(-1, 2)
    work = Sculpture()
    steelwork = textured(random, "metal", "rust", "metal", roughness=0.4, metallic=0.3)
    work.add(steelwork, extrude(outline, thick, 0.025))
    hub, accent = random.uniform(0.22, 0.34), paint(random)
    work.add(accent, cylinder(hub, thick * 1.6, bevel=0.05).moved(z=-thick * 0.8).turned("x", np.pi / 2))
    work.add(black(), cylinder(hub * 0.55, thick * 1.64, bevel=0.01).moved(z=-thick * 0.82).turned("x", np.pi / 2))
    count = int(random.integers(4, 8))
    for k in range(count):
        a, r = 2 * np.pi * k / count, (hub + 1 - deep) / 2
        bolt = cylinder(0.11, thick * 1.15, bevel=0.02, segments=6 if count % 2 else 24).moved(z=-thick * 0.575)
        work.add(gold(), bolt.turned("x", np.pi / 2).moved(r * np.cos(a), 0, r * np.sin(a)))
    return work.mesh()


def knot(random: Random) -> RawMesh:
    p, q = ((2, 3), (3, 2), (2, 5), (3, 4), (3, 5), (1, 4))[random.integers(6)]
    t = np.linspace(0, 2 * np.pi, 220)
    r = 1 + 0.42 * np.cos(q * t)
    path = np.stack([r * np.cos(p * t), r * np.sin(p * t), 0.5 * np.sin(q * t)], axis=1)
    path[-1] = path[0]
    thick = random.uniform(0.14, 0.2) * (1 + random.uniform(0, 0.15) * np.cos(t * int(random.integers(8, 24))))
    work = Sculpture()
    families = ("stripes", "tartan", "marble", "metal", "knit", "leather", "planks")
    work.add(textured(random, *families, roughness=0.35), tube(path, thick, 18, closed=True).turned("x", np.pi / 2))
    for k in range(0, 219, 73):
        ring = np.linspace(0, 2 * np.pi, 25)
        along = path[(k + 1) % 219] - path[k]
        along /= np.linalg.norm(along)
        one = np.cross(along, (0.3, 0.2, 1.0))
        one /= np.linalg.norm(one)
        other = np.cross(along, one)
        hoop = path[k] + (thick[k] + 0.02) * (np.cos(ring)[:, None] * one + np.sin(ring)[:, None] * other)
        hoop[-1] = hoop[0]
        work.add(gold(), tube(hoop, 0.05, 10, closed=True).turned("x", np.pi / 2))
    return work.mesh()


def robot(random: Random) -> RawMesh:
    width, height, head = random.uniform((0.55, 0.6, 0.36), (0.8, 0.85, 0.55))
    work = Sculpture()
    armour = either(random, "metal", "rust", "stripes", "camouflage", chance=0.75)
    accent, joint = paint(random), black()
    work.add(armour, box(width, 0.42, height, 0.07).moved(z=0.6))
    top = 0.6 + height
    work.add(joint, cylinder(0.1, 0.14).moved(z=top))
    if random.uniform() < 0.5:
        work.add(accent, box(head * 1.2, head * 0.95, head, 0.08).moved(z=top + 0.12))
    else:
        work.add(accent, sphere(head * 0.62).scaled(1, 0.9, 0.95).moved(z=top + 0.1 + head * 0.5))
    eye = rgb(("ffd35a", "6fe3ff", "ff6f5a")[random.integers(3)], 0.2)
    for x in (-1, 1):
        ring = cylinder(0.1, 0.08).turned("x", np.pi / 2)
        face = (x * head * 0.27, -head * 0.45, top + 0.14 + head * 0.55)
        work.add(steel(), ring.moved(*face))
        work.add(eye, sphere(0.075, 18).scaled(1, 0.6, 1).moved(face[0], face[1] - 0.08, face[2]))
        shoulder = np.array([x * (width / 2 + 0.1), 0, top - 0.12])
        lift = random.uniform(-0.3, 0.5)
        elbow = shoulder + (x * 0.16, -0.05, -0.34 + lift * 0.3)
        hand = elbow + (x * 0.02, -0.28, -0.12 + lift)
        work.add(joint, sphere(0.12, 18).moved(*shoulder), sphere(0.09, 16).moved(*elbow))
        work.add(accent, tube(np.array([shoulder, elbow]), 0.08), tube(np.array([elbow, hand]), 0.09))
        work.add(steel(), sphere(0.12, 18).moved(*hand))
        hip, foot = np.array([x * width * 0.27, 0, 0.62]), np.array([x * width * 0.3, 0, 0.12])
        work.add(joint, tube(np.array([hip, foot]), 0.10))
        work.add(armour, box(0.28, 0.46, 0.16, 0.06).moved(x * width * 0.3, -0.06))
    work.add(steel(), cylinder(0.02, 0.26).moved(z=top + head))
    work.add(eye, sphere(0.055, 14).moved(z=top + head + 0.28))
    work.add(glass(), box(width * 0.55, 0.04, height * 0.32, 0.02).moved(y=-0.22, z=0.6 + height * 0.5))
    for k in range(3):
        button = cylinder(0.045, 0.05).turned("x", np.pi / 2).moved((k - 1) * width * 0.2, -0.20, 0.6 + height * 0.3)
        work.add((eye, accent, gold())[k], button)
    return work.mesh()


def chess(random: Random) -> RawMesh:
    """A pawn, bishop, rook, queen or king, on a plinth."""
    work = Sculpture()
    material = textured(random, "planks", "marble", "metal", "leather", roughness=0.25)
    height, waist = random.uniform(0.8, 1.2), random.uniform(0.11, 0.16)
    stem = smooth([(0.36, 0.22), (waist + 0.05, 0.4), (waist, height * 0.7), (waist + 0.04, height)], 24)
    base = [(0, 0), (0.45, 0), (0.47, 0.05), (0.45, 0.1), (0.4, 0.12), (0.42, 0.17), (0.38, 0.22)]
    collar = [(0.25, height + 0.02), (0.26, height + 0.06), (0.16, height + 0.1), (0, height + 0.1)]
    work.add(material, lathe(np.concatenate([base, stem, collar])))
    piece, z = random.integers(4), height + 0.1
    if piece == 0:
        work.add(material, sphere(0.23).moved(z=z + 0.16))
    elif piece == 1:
        work.add(material, lathe(smooth([(0.12, z), (0.21, z + 0.15), (0.13, z + 0.36), (0, z + 0.46)], 20).clip(0)))
        work.add(gold(), sphere(0.06, 16).moved(z=z + 0.5))
    elif piece == 2:
        work.add(
            material,
            lathe(
                [(0, z), (0.2, z), (0.27, z + 0.2), (0.27, z + 0.3), (0.2, z + 0.3), (0.19, z + 0.18), (0, z + 0.18)]
            ),
        )
        merlon = box(0.12, 0.09, 0.14, 0.015).moved(y=-0.235, z=z + 0.28)
        work.add(material, *(merlon.turned("z", k * np.pi / 3) for k in range(6)))
    else:
        work.add(material, lathe(smooth([(0.13, z), (0.2, z + 0.22), (0.29, z + 0.4)], 16)))
        work.add(material, lathe(smooth([(0.28, z + 0.4), (0.2, z + 0.44), (0.0, z + 0.52)], 14).clip(0)))
        pearls = sphere(0.05, 14).moved(y=-0.27, z=z + 0.43)
        work.add(gold(), *(pearls.turned("z", k * np.pi / 5) for k in range(10)), sphere(0.08, 16).moved(z=z + 0.56))
    felt = cylinder(0.52, 0.08).moved(z=-0.08)
    work.add(either(random, "leather", "planks", "terrazzo", chance=0.8), felt)
    return work.mesh()


def drum(random: Random) -> RawMesh:
    radius, height = random.uniform(0.5, 0.75), random.uniform(0.5, 0.95)
    work = Sculpture()
    shell = lathe([(radius, 0), (radius * random.uniform(0.9, 1.08), height / 2), (radius, height)], 48)
    work.add(textured(random, "stripes", "camouflage", "tiles", "planks", "tartan", roughness=0.3), shell)
    hoop = lathe(
        [(radius, -0.05), (radius + 0.06, -0.05), (radius + 0.06, 0.07), (radius, 0.07), (radius, -0.05)], 48
    )
    work.add(paint(random), hoop, hoop.moved(z=height - 0.02))
    work.add(cream(), cylinder(radius, 0.02).moved(z=height), cylinder(radius, 0.02).moved(z=-0.02))
    count = int(random.integers(6, 11))
    for k in range(count * 2):
        a, b = k * np.pi / count, (k + 1) * np.pi / count
        low, high = (0.03, height - 0.02) if k % 2 else (height - 0.02, 0.03)
        r = radius + 0.07
        rope = np.array([(r * np.cos(a), r * np.sin(a), low), (r * np.cos(b), r * np.sin(b), high)])
        work.add(rgb("e8dcc0"), tube(np.linspace(*rope, 6), 0.02, 8))
        work.add(gold(), sphere(0.05, 12).moved(*rope[0]))
    for turn in (0.35, -0.5):
        stick = tube(np.array([(-0.75, 0, 0), (0.55, 0, 0.02)]), np.array([0.05, 0.03]), 12)
        work.add(rgb("b98a55"), stick.turned("z", turn).moved(z=height + 0.09))
        work.add(rgb("b98a55"), sphere(0.07, 16).moved(0.58, 0, 0.02).turned("z", turn).moved(z=height + 0.09))
    return work.mesh()


def trophy(random: Random) -> RawMesh:
    work = Sculpture()
    metal, lip = (gold(), steel(), rgb("b87444", 0.35, 0.6))[random.integers(3)], random.uniform(0.38, 0.55)
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
    curve = smooth(outside, 40)
    inside = curve[::-1][:14] - (0.03, 0)
    work.add(metal, lathe(np.concatenate([[(0, 0.3)], curve, inside, [(0, inside[-1, 1])]])))
    work.add(textured(random, "marble", "planks", "terrazzo", roughness=0.2), box(0.8, 0.8, 0.3, 0.03))
    work.add(gold(), box(0.5, 0.03, 0.16, 0.01).moved(y=-0.4, z=0.07))
    top = 0.6 + height
    ear = smooth(
        [
            (lip * 0.94, 0, top - 0.06),
            (lip + 0.24, 0, top - 0.02),
            (lip + 0.26, 0, top - 0.32),
            (lip * 0.66, 0, top - 0.52),
        ],
        26,
    )
    handle = tube(ear, 0.035, 12)
    work.add(metal, handle, handle.turned("z", np.pi))
    band = np.interp(0.6 + height * 0.6, curve[:, 1], curve[:, 0])
    work.add(
        either(random, "tartan", "stripes"),
        lathe([(band + 0.012, 0.6 + height * 0.56), (band + 0.03, 0.6 + height * 0.66)]),
    )
    return work.mesh()


def train(random: Random) -> RawMesh:
    """A toy locomotive."""
    length, radius = random.uniform(1.1, 1.5), random.uniform(0.26, 0.34)
    body, accent = either(random, "stripes", "metal", "tartan", "planks", chance=0.6), paint(random)
    work = Sculpture()
    work.add(black(), box(0.62, length + 0.7, 0.12).moved(y=0.2, z=0.24))
    boiler = cylinder(radius, length, bevel=0.04).turned("x", -np.pi / 2).moved(y=-length / 2 - 0.1, z=0.36 + radius)
    work.add(body, boiler)
    for y in np.linspace(-0.45, 0.4, 4) * length:
        hoop = lathe([(radius, -0.02), (radius + 0.025, -0.02), (radius + 0.025, 0.02), (radius, 0.02)], 36)
        work.add(gold(), hoop.turned("x", np.pi / 2).moved(y=y - 0.1, z=0.36 + radius))
    cab = length / 2 + 0.12
    work.add(accent, box(0.72, 0.55, 0.5).moved(y=cab + 0.05, z=0.36))
    for x in (-1, 1):
        for y in (-0.22, 0.22):
            work.add(accent, box(0.07, 0.07, 0.45).moved(x * 0.32, cab + 0.05 + y, 0.84))
    work.add(body, box(0.86, 0.75, 0.07, 0.03).moved(y=cab + 0.05, z=1.28))
    funnel = [(0, 0), (0.1, 0), (0.08, 0.2), (0.09, 0.3), (0.17, 0.42), (0.16, 0.46), (0.1, 0.44), (0, 0.36)]
    work.add(black(), lathe(funnel).moved(y=-length * 0.4, z=0.33 + 2 * radius))
    work.add(
        gold(),
        sphere(0.13, 20).moved(y=-0.05, z=0.36 + 2 * radius),
        sphere(0.1, 18).moved(y=0.28, z=0.36 + 2 * radius),
    )
    work.add(rgb("fff3c4", 0.2), sphere(0.1, 18).moved(y=-length / 2 - 0.13, z=0.36 + radius * 1.3))
    for x in (-1, 1):
        for y, r in ((-length * 0.45, 0.18), (-length * 0.12, 0.18), (cab - 0.05, 0.3)):
            wheel = cylinder(r, 0.1, bevel=0.03, segments=36).turned("y", np.pi / 2).moved(x * 0.36 - 0.05, y, r)
            hub = cylinder(r * 0.4, 0.14).turned("y", np.pi / 2).moved(x * 0.36 - 0.07, y, r)
            work.add(accent, wheel)
            work.add(gold(), hub)
        rod = box(0.04, length * 0.95, 0.06).moved(x * 0.44, 0.05, 0.17)
        work.add(steel(), rod)
    plough = extrude([(-0.36, 0.02), (0.36, 0.02), (0.22, 0.28), (-0.22, 0.28)], 0.2, 0.02)
    work.add(paint(random), plough.moved(y=-length / 2 - 0.2))
    return work.mesh()


def die(random: Random) -> RawMesh:
    """Dice, one on the other."""
    work = Sculpture()
    spots = {0: [(0, 0)], 1: [(-1, -1), (1, 1)], 2: [(-1, -1), (0, 0), (1, 1)]}
    spots |= {3: [(-1, -1), (1, 1), (-1, 1), (1, -1)]}
    spots |= {4: [*spots[3], (0, 0)], 5: [*spots[3], (-1, 0), (1, 0)]}
    z = 0.0
    for level in range(int(random.integers(2, 4))):
        size, turn = random.uniform(0.6, 0.95) * 0.9**level, random.uniform(0, 2 * np.pi)
        body = either(random, "marble", "terrazzo", "planks", "rust", chance=0.5, roughness=0.2)
        dot = cream() if np.mean(body.colour) < 0.4 else black()
        work.add(body, box(size, size, size, size * 0.12).turned("z", turn).moved(z=z))
        first = int(random.integers(6))
        for face, (axis, angle) in enumerate(
            [("z", 0), ("z", np.pi / 2), ("z", np.pi), ("z", -np.pi / 2), ("x", np.pi / 2), ("x", -np.pi / 2)]
        ):
            for u, v in spots[(first + face) % 6]:
                spot: Form = (
                    sphere(size * 0.09, 14).scaled(1, 0.25, 1).moved(u * size * 0.26, -size / 2, v * size * 0.26)
                )
                work.add(dot, spot.turned(axis, angle).moved(z=size / 2).turned("z", turn).moved(z=z))
        z += size
    return work.mesh()
