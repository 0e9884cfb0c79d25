"""Reads Wavefront OBJ with its MTL: strict about indices, lenient about everything that no picture depends on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.library.mesh import Material, RawMesh, RawPart, average_colour, linear
from bl30k_gen.library.picture import decode
from bl30k_gen.library.source import Source

MTL_BYTES = 16 << 20


@dataclass
class _Group:
    """The triangles of one material, as the file's own 0-based indices; -1 where a corner has no UV."""

    corners: list[int] = field(default_factory=list)
    uvs: list[int] = field(default_factory=list)


def read_obj(source: Source, limits: Limits) -> RawMesh:
    """Read an OBJ, the MTL files it names and their textures.

    A missing MTL leaves the neutral material, for nobody can say whether it had textures; a missing texture
    refuses the model. Raises AssetRefused.
    """
    vertices: list[list[bytes]] = []
    uvs: list[list[bytes]] = []
    groups: dict[str, _Group] = {}
    libraries: dict[str, None] = {}
    current = groups.setdefault("", _Group())
    triangles = 0
    for number, line in _lines(source.data):
        words = line.split()
        keyword = words[0] if words else b""
        if keyword == b"v":
            vertices.append(words[1:])
        elif keyword == b"vt":
            uvs.append(words[1:3] if len(words) > 2 else [*words[1:], b"0"])
        elif keyword == b"f":
            triangles += max(0, len(words) - 3)
            if triangles > limits.max_faces:
                raise source.refuse(f"has more than assets.max_faces = {limits.max_faces} faces")
            try:
                _add_face(current, words[1:], len(vertices), len(uvs))
            except ValueError:
                raise source.refuse(f"line {number}: {line[:40].decode('ascii', 'replace')!r} is no face") from None
        elif keyword == b"usemtl":
            current = groups.setdefault(_argument(line), _Group())
        elif keyword == b"mtllib":
            libraries[_argument(line)] = None

    positions, colours = _positions(vertices, source)
    uv_table = _numbers(uvs, "vt", source)
    materials = {}
    for library in libraries:
        if source.exists(library):
            materials.update(_read_mtl(source, library, limits))
    parts = []
    for name, group in groups.items():
        faces = np.array(group.corners, dtype=np.int64).reshape(-1, 3)
        if faces.size and not 0 <= faces.min() <= faces.max() < len(positions):
            wrong = faces.max() if faces.min() >= 0 else faces.min()
            raise source.refuse(f"a face names vertex {wrong + 1}, but the file has {len(positions)}")
        parts.append(RawPart(faces, _uv_of(group, uv_table, source), _material(materials, name, faces, colours)))
    return RawMesh(positions, parts, y_up=True)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are no comment; one that ends in a backslash goes on in the next."""
    if b"\\\n" in data or b"\\\r\n" in data:
        data = re.sub(rb"\\\r?\n", b" ", data)
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.startswith(b"#"):
            yield number, line


def _argument(line: bytes) -> str:
    return line.decode("utf-8", "replace").strip().partition(" ")[2].strip()


def _add_face(group: _Group, words: list[bytes], vertex_count: int, uv_count: int) -> None:
    """Add a polygon as a fan of triangles. Raises ValueError for a word that is no corner."""
    corners, uvs = [], []
    for word in words:
        if word.startswith(b"#"):
            break
        vertex, _, rest = word.partition(b"/")
        uv = rest.partition(b"/")[0]
        corners.append(_index(vertex, vertex_count))
        uvs.append(_index(uv, uv_count) if uv else -1)
    for second in range(1, len(corners) - 1):
        group.corners += (corners[0], corners[second], corners[second + 1])
        group.uvs += (uvs[0], uvs[second], uvs[second + 1])


def _index(word: bytes, count: int) -> int:
    """0-based; negative words count back from the latest of ``count`` entries."""
    index = int(word)
    if index > 0:
        return index - 1
    if index == 0 or index < -count:
        raise ValueError(word)
    return count + index


def _positions(rows: list[list[bytes]], source: Source) -> tuple[np.ndarray, np.ndarray | None]:
    """(V, 3) positions, and (V, 3) linear colours where every vertex has one."""
    if not rows:
        raise source.refuse("has no vertices")
    coloured = all(len(row) in (6, 7) for row in rows)
    table = _numbers([row[:6] if coloured else row[:3] for row in rows], "v", source)
    if table.shape[1] < 3:
        raise source.refuse("has a vertex with fewer than three coordinates")
    return table[:, :3], linear(table[:, 3:].clip(0, 1)) if coloured else None


def _numbers(rows: list[list[bytes]], keyword: str, source: Source) -> np.ndarray:
    if not rows:
        return np.empty((0, 2))
    try:
        return np.array(rows, dtype="S64").astype(np.float64)
    except ValueError:
        raise source.refuse(f"has a {keyword!r} line that is not made of numbers") from None


def _uv_of(group: _Group, table: np.ndarray, source: Source) -> np.ndarray | None:
    indices = np.array(group.uvs, dtype=np.int64)
    if not indices.size or indices.min() < 0:
        return None
    if indices.max() >= len(table):
        raise source.refuse(f"a face names texture coordinate {indices.max() + 1}, but the file has {len(table)}")
    return table[indices].reshape(-1, 3, 2)


def _material(materials: dict[str, Material], name: str, faces: np.ndarray, colours: np.ndarray | None) -> Material:
    if name in materials:
        return materials[name]
    return Material() if colours is None else Material(average_colour(colours[np.unique(faces)]))


def _read_mtl(source: Source, library: str, limits: Limits) -> dict[str, Material]:
    """Materials by name. A texture takes the place of the colour ``Kd``, as it does in Blender's importer."""
    materials: dict[str, Material] = {}
    textures: dict[str, np.ndarray] = {}
    folder = library.replace("\\", "/").rpartition("/")[0]
    name = ""
    for _, line in _lines(source.read(library, MTL_BYTES)):
        keyword, *words = line.decode("utf-8", "replace").split() or [""]
        if keyword == "newmtl":
            name = " ".join(words)
            materials[name] = Material()
        elif name not in materials or not words:
            continue
        elif keyword == "map_Kd":
            file = _map_name(words)
            if file not in textures:
                data = source.read(file, limits.image_bytes, base=folder)
                textures[file] = decode(data, file, source, limits, keep_alpha=True)
            materials[name] = replace(materials[name], texture=textures[file], colour=(1.0, 1.0, 1.0))
        elif keyword in _VALUES:
            try:
                materials[name] = _VALUES[keyword](materials[name], [float(word) for word in words])
            except (ValueError, IndexError):
                continue
    return materials


def _diffuse(material: Material, values: list[float]) -> Material:
    return material if material.texture is not None else replace(material, colour=(values[0], values[1], values[2]))


_VALUES = {
    "Kd": _diffuse,
    # The exponent of a highlight as a roughness, in the way of Blender's importer.
    "Ns": lambda material, values: replace(material, roughness=1 - min(max(values[0], 0), 900) ** 0.5 / 30),
    "Pr": lambda material, values: replace(material, roughness=values[0]),
    "Pm": lambda material, values: replace(material, metallic=values[0]),
}

_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2}
_OPTIONS |= {"-texres": 1, "-type": 1, "-o": 3, "-s": 3, "-t": 3}  # the last three: up to three numbers


def _map_name(words: list[str]) -> str:
    """The file name of a map, which may hold spaces, without the options before it."""
    while words and words[0] in _OPTIONS:
        count = _OPTIONS[words[0]]
        words = words[1:]
        for _ in range(count):
            if count < 3 or (len(words) > 1 and re.fullmatch(r"[-+.\deE]+", words[0])):
                words = words[1:]
    return " ".join(words)
