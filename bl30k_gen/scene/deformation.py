"""Deforming objects: a model's vertices as a function of time.

Both the renderer and the rasteriser take vertices from here. Coordinates are the model's own: centred, with a unit
diagonal. Time runs from 0 to 1 over the video; times between frames and beyond the ends are valid, too.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np

from bl30k_gen.library.asset import Model
from bl30k_gen.scene.spec import Bend, Deformation, Lattice, Wave

MAX_EDGE = 0.06  # length of edges of a deforming model: a flat sheet of two triangles could not bend
MAX_FACES = 400_000  # models that have reached this number are not refined further
AXES = "xyz"

# Triangles that replace a face whose first 0, 1, 2 or 3 edges are halved. Points 0 to 2 are its corners; 3 to 5 are
# the midpoints of the edges 0-1, 1-2 and 2-0.
TEMPLATES = (
    np.array([[0, 1, 2]]),
    np.array([[0, 3, 2], [3, 1, 2]]),
    np.array([[3, 1, 4], [0, 3, 4], [0, 4, 2]]),
    np.array([[0, 3, 5], [3, 1, 4], [5, 4, 2], [3, 4, 5]]),
)


def time_of(frame: float, frames: int) -> float:
    """0 at the first frame, 1 at the last; a video of one frame is at 0."""
    return frame / max(frames - 1, 1)


def deform(vertices: np.ndarray, deformation: Deformation, time: float) -> np.ndarray:
    """Deform (V, 3) vertices of a model at rest; returns (V, 3) float32 at ``time``."""
    rest = vertices.astype(np.float64)
    if isinstance(deformation, Wave):
        moved = _wave(rest, deformation, time)
    elif isinstance(deformation, Bend):
        moved = _bend(rest, deformation, time)
    else:
        moved = _lattice(rest, deformation, time)
    return moved.astype(np.float32)


def _wave(rest: np.ndarray, wave: Wave, time: float) -> np.ndarray:
    """A sine that travels along one axis and moves points along another."""
    along, across = AXES.index(wave.along), AXES.index(wave.across)
    moved = rest.copy()
    turns = rest[:, along] / wave.wavelength - wave.cycles * time + wave.phase
    moved[:, across] += wave.amplitude * np.sin(2 * np.pi * turns)
    return moved


def _bend(rest: np.ndarray, bend: Bend, time: float) -> np.ndarray:
    """Bend the model's axis into an arc of the same length; cross sections stay perpendicular to it (Barr 1984)."""
    along, toward = AXES.index(bend.along), AXES.index(bend.toward)
    position, height = rest[:, along], rest[:, toward]
    total = bend.angle * np.sin(2 * np.pi * (bend.cycles * time + bend.phase))  # between the two ends
    angle = total * position / max(np.ptp(position), 1e-6)
    moved = rest.copy()
    moved[:, along] = position * np.sinc(angle / np.pi) - height * np.sin(angle)
    moved[:, toward] = position * np.sin(angle / 2) * np.sinc(angle / 2 / np.pi) + height * np.cos(angle)
    return moved


def _lattice(rest: np.ndarray, lattice: Lattice, time: float) -> np.ndarray:
    """Free-form deformation by 3 x 3 x 3 control points on the bounding box (Sederberg and Parry 1986)."""
    low, high = rest.min(axis=0), rest.max(axis=0)
    u = (rest - low) / np.maximum(high - low, 1e-6)
    x, y, z = np.moveaxis(np.stack([(1 - u) ** 2, 2 * u * (1 - u), u**2], axis=2), 1, 0)  # (V, 3) weights each
    turns = lattice.cycles * time + np.array(lattice.phases)
    offsets = np.array(lattice.displacements) * np.sin(2 * np.pi * turns)[:, None]
    weights = np.einsum("vi,vj,vk->vijk", x, y, z).reshape(len(rest), 27)
    return rest + weights @ offsets


@lru_cache(maxsize=24)
def refined(model: Model) -> Model:
    """Subdivide a model so that it can deform: edges longer than ``MAX_EDGE`` are halved, its surface stays the same.

    An edge is halved in all faces that share it, so no crack opens. Texture coordinates are subdivided likewise.
    """
    vertices = model.vertices
    faces = np.concatenate([part.faces for part in model.parts])
    uv = np.concatenate(
        [np.zeros((*part.faces.shape, 2), np.float32) if part.uv is None else part.uv for part in model.parts]
    )
    part_of = np.repeat(np.arange(len(model.parts)), [len(part.faces) for part in model.parts])
    while len(faces) < MAX_FACES:
        edges = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=2), axis=2)  # (F, 3, 2)
        long = np.linalg.norm(vertices[edges[..., 0]] - vertices[edges[..., 1]], axis=2) > MAX_EDGE
        if not long.any():
            break
        halved, number = np.unique(edges[long], axis=0, return_inverse=True)
        middle = np.zeros(faces.shape, np.int32)
        middle[long] = len(vertices) + number.ravel()
        vertices = np.concatenate([vertices, (vertices[halved[:, 0]] + vertices[halved[:, 1]]) / 2])
        faces, uv, source = _divide(faces, uv, middle, long)
        part_of = part_of[source]
    parts = tuple(
        replace(part, faces=faces[part_of == n], uv=None if part.uv is None else uv[part_of == n])
        for n, part in enumerate(model.parts)
    )
    return replace(model, vertices=vertices, parts=parts)


def _divide(
    faces: np.ndarray, uv: np.ndarray, middle: np.ndarray, halved: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Divide faces by ``TEMPLATES``.

    Args:
        faces: (F, 3).
        uv: (F, 3, 2).
        middle: (F, 3) vertex number of the midpoint of each edge that is halved.
        halved: (F, 3) bool.

    Returns:
        The new faces (F', 3), their texture coordinates, and the number of the face that each is a piece of, sorted.
    """
    count = halved.sum(axis=1)
    first = np.where(count == 1, halved.argmax(axis=1), np.where(count == 2, halved.argmin(axis=1) + 1, 0))
    turn = (first[:, None] + np.arange(3)) % 3  # rotates corners so that the halved edges come first
    faces, middle = np.take_along_axis(faces, turn, axis=1), np.take_along_axis(middle, turn, axis=1)
    uv = np.take_along_axis(uv, turn[..., None], axis=1)
    points = np.concatenate([faces, middle], axis=1)
    uv = np.concatenate([uv, (uv + np.roll(uv, -1, axis=1)) / 2], axis=1)
    pieces = []
    for number, template in enumerate(TEMPLATES):
        chosen = np.flatnonzero(count == number)
        pieces.append((points[chosen][:, template], uv[chosen][:, template], np.repeat(chosen, len(template))))
    source = np.concatenate([piece[2] for piece in pieces])
    order = np.argsort(source, kind="stable")
    faces = np.concatenate([piece[0].reshape(-1, 3) for piece in pieces])
    uv = np.concatenate([piece[1].reshape(-1, 3, 2) for piece in pieces])
    return faces[order], uv[order], source[order]
