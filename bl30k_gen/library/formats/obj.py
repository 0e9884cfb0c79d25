"""Reads Wavefront OBJ with its MTL: strict about indices, lenient about everything that no picture depends on."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.library.formats.mesh import Material, RawMesh, RawPart, average_colour, linear
from bl30k_gen.library.formats.picture import decode
from bl30k_gen.library.formats.polygon import split
from bl30k_gen.library.formats.source import Source

MTL_BYTES = 16 << 20
LARGEST_INDEX = 2**62  # beyond which an array of indices could not hold it


@dataclass
class _Group:
    """The polygons of one material, as the file's own 0-based indices; -1 where a corner has no UV."""

    sizes: list[int] = field(default_factory=list)
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
                raise source.refuse(f"has more than assets.limits.max_faces = {limits.max_faces} faces")
            try:
                _add_face(current, words[1:], len(vertices), len(uvs))
            except ValueError:
                raise source.refuse(f"line {number}: {line[:40].decode('ascii', 'replace')!r} is no face") from None
        elif keyword == b"usemtl":
            current = groups.setdefault(_argument(line), _Group())
        elif keyword == b"mtllib" and len(words) > 1:
            libraries[_argument(line)] = None

    positions, colours = _positions(vertices, source)
    uv_table = _numbers(uvs, "vt", source)
    materials: dict[str, Material] = {}
    for library in libraries:
        for name in [library] if source.exists(library) else library.split():
            if source.exists(name):
                materials.update(_read_mtl(source, name, limits))
    parts = [_part(name, group, positions, colours, uv_table, materials, source) for name, group in groups.items()]
    return RawMesh(positions, parts, y_up=True)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are no comment; one that ends in a backslash goes on in the next."""
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\\\n" in data or b"\\\r\n" in data:
        data = re.sub(rb"\\\r?\n", b" ", data)
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.startswith(b"#"):
            yield number, line


def _argument(line: bytes) -> str:
    return " ".join(line.decode("utf-8", "replace").split(None, 1)[1:]).strip()


def _add_face(group: _Group, words: list[bytes], vertex_count: int, uv_count: int) -> None:
    """Add a polygon; one with fewer than three corners has no area and is left out. Raises ValueError."""
    corners, uvs = [], []
    for word in words:
        if word.startswith(b"#"):
            break
        vertex, _, rest = word.partition(b"/")
        uv = rest.partition(b"/")[0]
        corners.append(_index(vertex, vertex_count))
        uvs.append(_index(uv, uv_count) if uv else -1)
    if len(corners) >= 3:
        group.sizes.append(len(corners))
        group.corners += corners
        group.uvs += uvs


def _index(word: bytes, count: int) -> int:
    """0-based; negative words count back from the latest of ``count`` entries."""
    index = int(word)
    if 0 < index <= LARGEST_INDEX:
        return index - 1
    if index >= 0 or index < -count:
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


def _part(
    name: str,
    group: _Group,
    positions: np.ndarray,
    colours: np.ndarray | None,
    uv_table: np.ndarray,
    materials: dict[str, Material],
    source: Source,
) -> RawPart:
    """A material's polygons as triangles. Raises AssetRefused for an index beyond the end of its table."""
    corners, uvs = np.array(group.corners, dtype=np.int64), np.array(group.uvs, dtype=np.int64)
    for what, indices, table in (("vertex", corners, positions), ("texture coordinate", uvs, uv_table)):
        if indices.size and indices.max() >= len(table):
            raise source.refuse(f"a face names {what} {indices.max() + 1}, but the file has {len(table)}")
    triangles = split(np.array(group.sizes, dtype=np.int64), positions[corners])
    material = materials.get(name)
    if material is None:
        material = Material() if colours is None else Material(average_colour(colours[np.unique(corners)]))
    mapped = uvs.size > 0 and uvs.min() >= 0
    return RawPart(corners[triangles], uv_table[uvs[triangles]] if mapped else None, material)


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
                textures[file] = decode(data, file, source.refuse, limits, keep_alpha=True)
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
