"""Turn the raw mesh of a file into a ``Model``: check, merge, clean up and normalise it. Shared by all formats."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.library.asset import AssetRefused, Model, Part, Wrap
from bl30k_gen.library.formats.polygon import first_of_equal
from bl30k_gen.library.formats.uv import box_projection

NEUTRAL = (0.8, 0.8, 0.8)  # base colour where a file has none
MAX_PIECES = 10_000  # materials of a model, or meshes of a glTF's scene
MIN_AREA = 1e-12  # of a triangle in a model with a unit diagonal; about the resolution of float32 positions


@dataclass(frozen=True)
class Material:
    colour: tuple[float, float, float] = NEUTRAL  # linear
    texture: np.ndarray | None = None
    roughness: float = 0.5
    metallic: float = 0.0
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")


@dataclass(frozen=True)
class RawPart:
    faces: np.ndarray  # (F, 3) int, indices into ``RawMesh.vertices``, not yet checked
    uv: np.ndarray | None  # (F, 3, 2) float, v upwards; NaN in faces without any
    material: Material
    rank: np.ndarray | None = None  # (F,) int: position of each face in the file; None: the order of the parts


@dataclass(frozen=True)
class RawMesh:
    vertices: np.ndarray  # (V, 3) float64, in the file's own axes and units
    parts: list[RawPart]
    y_up: bool


def finish(
    raw: RawMesh,
    sha256: str,
    limits: Limits,
    refuse: Callable[[str], AssetRefused],
    remarks: Iterable[str] = (),
    drop_coinciding: bool = True,
) -> Model:
    """Check a mesh and bring it to the form of a ``Model``.

    Faces without area, faces that coincide with an earlier one, and vertices without a face are dropped first. Faces
    without texture coordinates, in a part where others have some, are projected along an axis.

    Raises:
        AssetRefused: no faces, too many, an invalid index or coordinate, or no extent.
    """
    parts = [part for part in raw.parts if len(part.faces)]
    faces = _checked_faces(raw.vertices, parts, limits, refuse)
    vertices = _normalise(raw, np.unique(faces), refuse)
    vertices, merged = merge_equal(vertices)
    faces, remarks = merged[faces], [*remarks]
    keep = _faces_with_area(vertices, faces)
    if not keep.any():
        raise refuse("has no face with an area")
    if drop_coinciding:
        first = first_of_equal(faces[keep], _ranks(parts, keep))
        if not first.all():
            remarks.append(f"coinciding faces: {np.count_nonzero(~first)} lie on earlier ones and are left out")
            keep[keep] = first

    used, compact = np.unique(faces[keep], return_inverse=True)
    renumbered = np.zeros_like(faces)
    renumbered[keep] = compact.reshape(-1, 3)
    vertices = vertices[used]
    finished, start, projected = [], 0, 0
    for part in parts:
        of_part = slice(start, start + len(part.faces))
        start = of_part.stop
        if keep[of_part].any():
            own = renumbered[of_part][keep[of_part]]
            uv, filled = _usable_uv(part.uv, keep[of_part], vertices, own)
            projected += filled
            material = part.material
            if uv is None and material.texture is not None:
                material = _as_one_texel(part, keep[of_part])
            finished.append(_part(own, uv, material))
    if projected:
        remarks.append(f"{projected} faces of parts that have texture coordinates have none, and are projected")
    return Model(vertices, tuple(finished), sha256, tuple(dict.fromkeys(remarks)))


def _checked_faces(
    vertices: np.ndarray, parts: list[RawPart], limits: Limits, refuse: Callable[[str], AssetRefused]
) -> np.ndarray:
    """(F, 3) int64 faces of all parts. Raises AssetRefused as ``finish``."""
    count = sum(len(part.faces) for part in parts)
    if not count:
        raise refuse("has no faces")
    if count > limits.max_faces:
        raise refuse(f"has {count} faces, more than assets.limits.max_faces = {limits.max_faces}")
    faces = np.concatenate([part.faces for part in parts]).astype(np.int64)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise refuse(f"a face names vertex {faces.max()} of {len(vertices)}")
    if not np.isfinite(vertices).all():
        raise refuse("has a vertex whose coordinates are not finite numbers")
    return faces


def _faces_with_area(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(F,) whether the area of a face exceeds ``MIN_AREA``."""
    a, b, c = (vertices[faces[:, corner]].astype(np.float64) for corner in range(3))
    return np.linalg.norm(np.cross(b - a, c - a), axis=1) > 2 * MIN_AREA


def _ranks(parts: list[RawPart], keep: np.ndarray) -> np.ndarray | None:
    """Positions in the file of the faces in ``keep``; None if they are in that order."""
    if all(part.rank is None for part in parts):
        return None
    return np.concatenate([part.rank for part in parts])[keep]


def by_material(vertices: np.ndarray, parts: list[RawPart], y_up: bool) -> RawMesh:
    """A mesh in which parts with the same material are joined."""
    groups: dict[int, list[RawPart]] = {}
    for part in parts:
        groups.setdefault(id(part.material), []).append(part)
    joined = []
    starts = np.cumsum([0, *(len(part.faces) for part in parts)])
    ranks = {id(part): np.arange(start, start + len(part.faces)) for start, part in zip(starts, parts, strict=False)}
    for same in groups.values():
        uv = None
        if any(part.uv is not None for part in same):
            uv = np.concatenate([np.full((*p.faces.shape, 2), np.nan) if p.uv is None else p.uv for p in same])
        faces, rank = (np.concatenate(x) for x in ([p.faces for p in same], [ranks[id(p)] for p in same]))
        joined.append(replace(same[0], faces=faces, uv=uv, rank=rank))
    return RawMesh(vertices, joined, y_up)


def linear(srgb: np.ndarray) -> np.ndarray:
    """Linear values of sRGB values in 0..1."""
    srgb = np.asarray(srgb, dtype=np.float64)
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def average_colour(linear_colours: np.ndarray) -> tuple[float, float, float]:
    """Mean of the finite ones among (N, 3) vertex colours; neutral if there are none."""
    good = linear_colours[np.isfinite(linear_colours).all(axis=1)]
    return _triple(good.mean(axis=0).clip(0, 1)) if len(good) else NEUTRAL


def _triple(colour: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = (float(channel) for channel in colour)
    return red, green, blue


def _normalise(raw: RawMesh, used: np.ndarray, refuse: Callable[[str], AssetRefused]) -> np.ndarray:
    """(V, 3) float32: z up, the used vertices centred and with a unit diagonal."""
    low, high = raw.vertices[used].min(axis=0), raw.vertices[used].max(axis=0)
    largest = (high / 2 - low / 2).max() * 2
    if not np.isfinite(largest) or largest < 1e-30:
        raise refuse(f"has an extent of {largest:g}, which cannot be scaled to one")
    # Divide before squaring, so that very large and very small models do not overflow or underflow.
    diagonal = np.linalg.norm((high - low) / largest)
    centred = (raw.vertices - (low + (high - low) / 2)) / largest / diagonal
    if raw.y_up:
        centred = centred[:, [0, 2, 1]] * (1, -1, 1)
    return centred.astype(np.float32) + np.float32(0)  # adding 0 makes -0 equal 0


def merge_equal(vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of (V, 3), sorted, and for each original row the number of its distinct one."""
    order = np.lexsort(vertices.T)
    ordered = vertices[order]
    is_new = np.concatenate([[True], (ordered[1:] != ordered[:-1]).any(axis=1)])
    number = np.empty(len(vertices), dtype=np.int64)
    number[order] = np.cumsum(is_new) - 1
    return ordered[is_new], number


def _usable_uv(
    uv: np.ndarray | None, keep: np.ndarray, vertices: np.ndarray, faces: np.ndarray
) -> tuple[np.ndarray | None, int]:
    """(F, 3, 2) texture coordinates of the faces in ``keep``, and for how many of them they were projected.

    None and 0 if the coordinates of all faces are missing or equal.
    """
    if uv is None:
        return None, 0
    uv = uv[keep].astype(np.float32)
    absent = ~np.isfinite(uv).all(axis=(1, 2))
    flat = uv[~absent].reshape(-1, 2)
    if not len(flat) or (flat == flat[0]).all():
        return None, 0
    uv[absent] = box_projection(vertices, faces[absent])
    return uv, int(np.count_nonzero(absent))


def _as_one_texel(part: RawPart, keep: np.ndarray) -> Material:
    """The material of a part whose corners all lie at one place of its texture, as in a palette: of that colour."""
    material, texture = part.material, part.material.texture
    places = np.empty((0, 2)) if part.uv is None else part.uv[keep].reshape(-1, 2)
    places = places[np.isfinite(places).all(axis=1)]
    if texture is None or not len(places):
        return material
    u, v = (_WRAPPED[wrap](float(place)) for place, wrap in zip(places[0], material.wrap, strict=True))
    height, width = texture.shape[:2]
    texel = texture[min(int((1 - v) * height), height - 1), min(int(u * width), width - 1), :3]
    red, green, blue = (linear(texel / 255) * material.colour).tolist()
    return replace(material, texture=None, colour=(red, green, blue))


_WRAPPED: dict[Wrap, Callable[[float], float]] = {
    "repeat": lambda place: place % 1.0,
    "clamp": lambda place: min(max(place, 0.0), 1.0),
    "mirror": lambda place: 1 - abs(place % 2.0 - 1),
}


def _part(faces: np.ndarray, uv: np.ndarray | None, material: Material) -> Part:
    colour = np.nan_to_num(np.asarray(material.colour, dtype=np.float64), nan=NEUTRAL[0]).clip(0, 1)
    return Part(
        faces=faces.astype(np.int32),
        uv=uv,
        colour=_triple(colour),
        texture=material.texture,
        roughness=_unit(material.roughness, Material.roughness),
        metallic=_unit(material.metallic, Material.metallic),
        wrap=material.wrap,
    )


def _unit(value: float, default: float) -> float:
    return float(min(max(value, 0.0), 1.0)) if np.isfinite(value) else default
