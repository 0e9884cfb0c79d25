"""Building blocks of shapes: surfaces of revolution, tubes, bevelled boxes, extrusions. Any unit of length, z up.

Texture coordinates follow lengths on the surface: a texture repeats once per unit of length, and a whole number of
times around closed surfaces, so that patterns are neither stretched nor interrupted at a seam.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import ConvexHull

from bl30k_gen.builtin.shapes.outline import triangulate
from bl30k_gen.library.formats.mesh import Material, RawMesh, RawPart, by_material

THIN = 0.25  # circumference of a tube below which a seam is not noticed


@dataclass(frozen=True)
class Form:
    vertices: np.ndarray  # (V, 3)
    faces: np.ndarray  # (F, 3), counter-clockwise from outside
    uv: np.ndarray  # (F, 3, 2)

    def moved(self, x: float = 0, y: float = 0, z: float = 0) -> "Form":
        return Form(self.vertices + (x, y, z), self.faces, self.uv)

    def scaled(self, x: float, y: float, z: float) -> "Form":
        return Form(
            self.vertices * (x, y, z),
            self.faces if x * y * z > 0 else self.faces[:, ::-1],
            self.uv if x * y * z > 0 else self.uv[:, ::-1],
        )

    def turned(self, axis: str, angle: float) -> "Form":
        """Rotated about an axis through the origin, radians."""
        i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        rotation = np.eye(3)
        rotation[i, i] = rotation[j, j] = np.cos(angle)
        rotation[i, j], rotation[j, i] = -np.sin(angle), np.sin(angle)
        return Form(self.vertices @ rotation.T, self.faces, self.uv)


class Sculpture:
    """Collects forms with their materials."""

    def __init__(self) -> None:
        self._vertices: list[np.ndarray] = []
        self._parts: list[RawPart] = []
        self._count = 0

    def add(self, material: Material, *forms: Form) -> None:
        for form in forms:
            self._vertices.append(form.vertices)
            self._parts.append(RawPart(form.faces + self._count, form.uv, material))
            self._count += len(form.vertices)

    def mesh(self) -> RawMesh:
        return by_material(np.concatenate(self._vertices), self._parts, y_up=False)


def surface(points: np.ndarray, repeats: tuple[float, float] | None = None) -> Form:
    """Triangulate a grid of (M, N, 3) points.

    A grid whose first and last rows (or columns) coincide is closed; unless it is thin, its number of repeats along
    this axis is rounded.

    Args:
        repeats: of the texture along both axes; None: one per unit of length.
    """
    rows, columns = points.shape[:2]
    fractions, counts = [], []
    for axis in (0, 1):
        steps = np.linalg.norm(np.diff(points, axis=axis), axis=2).mean(axis=1 - axis)
        lengths = np.concatenate([[0], np.cumsum(steps)])
        total = max(lengths[-1], 1e-9)
        closed = total > THIN and np.allclose(np.take(points, 0, axis), np.take(points, -1, axis), atol=1e-9)
        counts.append(repeats[axis] if repeats else max(1.0, np.round(total)) if closed else total)
        fractions.append(lengths / total)
    u, v = np.meshgrid(fractions[0] * counts[0], fractions[1] * counts[1], indexing="ij")
    uv = np.stack([u, v], axis=-1).reshape(-1, 2)
    i, j = np.meshgrid(np.arange(rows - 1), np.arange(columns - 1), indexing="ij")
    a = (i * columns + j).ravel()
    b, c, d = a + columns, a + columns + 1, a + 1
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([a, c, d], axis=1)])
    return Form(points.reshape(-1, 3), faces, uv[faces])


def lathe(profile: ArrayLike, segments: int = 40) -> Form:
    """Surface of revolution about z of an (N, 2) profile of (radius, z), from the bottom of the outside on."""
    angle = np.linspace(0, 2 * np.pi, segments + 1)
    angle[-1] = 0  # the seam's positions are exactly equal
    radius, height = np.asarray(profile, dtype=np.float64).T
    points = np.stack(
        [np.outer(np.cos(angle), radius), np.outer(np.sin(angle), radius), np.tile(height, (segments + 1, 1))],
        axis=-1,
    )
    return surface(points)


def smooth(points: ArrayLike, count: int = 40, closed: bool = False) -> np.ndarray:
    """A Catmull-Rom curve through points, (count, D)."""
    knots = np.asarray(points, dtype=np.float64)
    if closed:
        knots = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        knots = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    at = np.linspace(0, len(knots) - 3, count)
    i = np.minimum(at.astype(int), len(knots) - 4)
    t = (at - i)[:, None]
    p0, p1, p2, p3 = (knots[i + k] for k in range(4))
    return 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * (p1 - p2) + p3 - p0) * t**3)


def sphere(radius: float = 1, segments: int = 32) -> Form:
    angle = np.linspace(-np.pi / 2, np.pi / 2, segments // 2 + 1)
    profile = np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius
    profile[[0, -1], 0] = 0
    return lathe(profile, segments)


def cylinder(radius: float, height: float, top: float | None = None, bevel: float = 0.02, segments: int = 32) -> Form:
    """An upright cylinder, or cone frustum with radius ``top``, standing on z = 0, its edges bevelled."""
    top = radius if top is None else top
    b = min(bevel, radius / 2, height / 3)
    bt = min(b, top)
    return lathe(
        [(0, 0), (radius - b, 0), (radius, b), (top, height - bt), (max(top - bt, 0), height), (0, height)], segments
    )


def tube(path: np.ndarray, radius: float | np.ndarray, sides: int = 14, closed: bool = False) -> Form:
    """A round tube around an (N, 3) path, with closed ends. ``radius`` may vary along the path.

    Args:
        closed: the path is closed: its last point equals its first.
    """
    path = np.asarray(path, dtype=np.float64)
    tangent = np.gradient(path, axis=0)
    if closed:
        tangent[0] = tangent[-1] = path[1] - path[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True) + 1e-12
    side = np.cross(tangent[0], np.eye(3)[np.abs(tangent[0]).argmin()])
    sides_of = []
    for direction in tangent:  # the frame is carried along without twisting
        side = side - direction * (side @ direction)
        side = side / np.linalg.norm(side)
        sides_of.append(side)
    first = np.array(sides_of)
    second = np.cross(tangent, first)
    radius = np.broadcast_to(radius, len(path)).astype(np.float64)
    if closed:  # spread the angle by which the frame has turned over the whole path
        gap = np.arctan2(first[0] @ second[-1], first[0] @ first[-1])
        turn = gap * np.linspace(0, 1, len(path))[:, None]
        first, second = first * np.cos(turn) + second * np.sin(turn), second * np.cos(turn) - first * np.sin(turn)
    else:
        path, radius = np.concatenate([path[:1], path, path[-1:]]), np.concatenate([[0], radius, [0]])
        first, second = (np.concatenate([axis[:1], axis, axis[-1:]]) for axis in (first, second))
    angle = np.linspace(0, 2 * np.pi, sides + 1)
    angle[-1] = 0
    ring = np.cos(angle)[:, None, None] * first + np.sin(angle)[:, None, None] * second
    points = path + ring * radius[:, None]
    if closed:
        points[:, -1] = points[:, 0]
    return surface(points)


def hull(points: np.ndarray) -> Form:
    """The convex hull of points, textured along its nearest axis."""
    shape = ConvexHull(points)
    faces = shape.simplices.astype(np.int64)
    a, b, c = (shape.points[faces[:, k]] for k in range(3))
    inward = (np.cross(b - a, c - a) * shape.equations[:, :3]).sum(axis=1) < 0
    faces[inward] = faces[inward][:, ::-1]
    return _box_mapped(np.asarray(shape.points), faces)


def box(x: float, y: float, z: float, bevel: float = 0.02) -> Form:
    """A box with bevelled edges, standing on z = 0, centred in x and y."""
    half = np.array([x, y, z]) / 2
    b = min(bevel, half.min() * 0.6)
    corners = np.array(np.meshgrid([-1, 1], [-1, 1], [-1, 1])).T.reshape(-1, 3)
    points = np.concatenate([corners * (half - b * (1 - np.eye(3)[k])) for k in range(3)])
    return hull(points).moved(z=half[2])


def extrude(outline: ArrayLike, depth: float, bevel: float = 0.0) -> Form:
    """Extrude a simple (N, 2) outline in x and z by ``depth`` along y, centred in y, with bevelled edges."""
    outline = np.asarray(outline, dtype=np.float64)
    after = np.roll(outline, -1, axis=0)
    if (outline[:, 0] * after[:, 1] - outline[:, 1] * after[:, 0]).sum() < 0:
        outline = outline[::-1]
    edge = np.roll(outline, -1, axis=0) - outline
    normal = np.stack([edge[:, 1], -edge[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-12
    corner = normal + np.roll(normal, 1, axis=0)
    corner /= np.maximum((corner * corner).sum(axis=1, keepdims=True) / 2, 0.5)
    half, n = depth / 2, len(outline)
    levels = (
        [(-half, bevel), (-half + bevel, 0), (half - bevel, 0), (half, bevel)] if bevel else [(-half, 0), (half, 0)]
    )
    rings = []
    for y, inset in levels:
        ring = outline - corner * inset
        rings.append(np.stack([ring[:, 0], np.full(n, y), ring[:, 1]], axis=1))
    vertices = np.concatenate(rings)
    i = np.arange(n)
    j = (i + 1) % n
    faces = []
    for level in range(len(rings) - 1):
        a, b = level * n, (level + 1) * n
        faces += [np.stack([i + a, j + a, j + b], axis=1), np.stack([i + a, j + b, i + b], axis=1)]
    cap = triangulate(rings[0][:, [0, 2]])
    faces += [cap, cap[:, ::-1] + (len(rings) - 1) * n]
    # Seen along +y the outline runs counter-clockwise in (x, z), which faces -y.
    faces = np.concatenate([*(f[:, ::-1] for f in faces[:-2]), *faces[-2:]])
    return _box_mapped(vertices, faces)


def _box_mapped(vertices: np.ndarray, faces: np.ndarray) -> Form:
    """Texture coordinates of faces, projected along the axis nearest to each face's normal."""
    corners = vertices[faces]
    normal = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]))
    across, up = np.array([(1, 2), (0, 2), (0, 1)])[normal.argmax(axis=1)].T
    rows = np.arange(len(faces))[:, None]
    uv = np.stack([corners[rows, [0, 1, 2], across[:, None]], corners[rows, [0, 1, 2], up[:, None]]], axis=-1)
    return Form(vertices, faces, uv)
