"""Read Wavefront OBJ with its MTL: strict about indices, lenient about what does not affect renders."""

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.dataset.images import TEXTURE
from bl30k_gen.library.asset import Wrap
from bl30k_gen.library.formats.image import decode
from bl30k_gen.library.formats.mesh import (
    MAX_PIECES,
    Material,
    RawMesh,
    RawPart,
    average_colour,
    linear,
    merge_equal,
)
from bl30k_gen.library.formats.polygon import TooMuchWork, first_of_equal_polygons, split
from bl30k_gen.library.formats.source import Source

MAX_MTL_BYTES = 16 << 20
MAX_LIBRARIES = 64  # MTL files that an OBJ may name
MAX_INDEX = 2**62  # larger indices would overflow an int64 array


@dataclass(frozen=True)
class _Polygons:
    """The P polygons of a file, with C corners one polygon after the other."""

    sizes: np.ndarray  # (P,) number of corners
    materials: np.ndarray  # (P,) number of the material
    vertices: np.ndarray  # (C,) 0-based index
    uvs: np.ndarray  # (C,) 0-based index; -1 if a corner has no UV

    def select(self, chosen: np.ndarray) -> "_Polygons":
        corners = np.repeat(chosen, self.sizes)
        return _Polygons(self.sizes[chosen], self.materials[chosen], self.vertices[corners], self.uvs[corners])


@dataclass
class _Content:
    """The content of an OBJ, not yet converted."""

    vertices: list[list[bytes]] = field(default_factory=list)
    uvs: list[list[bytes]] = field(default_factory=list)
    names: dict[bytes, int] = field(default_factory=lambda: {b"": 0})  # of materials, with their numbers
    libraries: dict[bytes, None] = field(default_factory=dict)
    sizes: list[int] = field(default_factory=list)  # of polygons
    materials: list[int] = field(default_factory=list)  # of polygons
    corners: list[int] = field(default_factory=list)
    corner_uvs: list[int] = field(default_factory=list)


def read_obj(source: Source, limits: Limits) -> RawMesh:
    """Read an OBJ, the MTL files that it names, and the textures of materials in use.

    Names are compared as bytes, in any encoding. If an MTL is missing, its materials become neutral, as it is unknown
    whether they had textures; if a texture is missing, the model is refused. Raises AssetRefused.
    """
    content = _scan(source, limits)
    positions, colours = _positions(content.vertices, source)
    uv_table = _numbers(content.uvs, "vt", source)
    polygons = _polygons(content, positions, uv_table, source)
    names_in_order = list(content.names)
    used = {names_in_order[number]: number for number in np.unique(polygons.materials)}
    if len(used) > MAX_PIECES:
        raise source.refuse(f"has {len(used)} materials, more than the {MAX_PIECES} allowed")
    materials = _read_libraries(source, content.libraries, set(used), limits)
    try:
        parts = _parts(polygons, used, positions, colours, uv_table, materials)
    except TooMuchWork as error:
        raise source.refuse(str(error)) from None
    return RawMesh(positions, parts, y_up=True)


def _scan(source: Source, limits: Limits) -> _Content:
    """Read all lines once. Raises AssetRefused for an invalid face, and for too many triangles."""
    content = _Content()
    current = triangles = 0
    for number, line in _lines(source.data):
        words = line.split()
        keyword = words[0] if words else b""
        if keyword == b"v":
            content.vertices.append(words[1:])
        elif keyword == b"vt":
            content.uvs.append(words[1:3] if len(words) > 2 else [*words[1:], b"0"])
        elif keyword == b"f":
            triangles += max(0, len(words) - 3)
            if triangles > limits.max_faces:
                raise source.refuse(f"has more than assets.limits.max_faces = {limits.max_faces} faces")
            try:
                size = _add_face(content, words[1:])
            except ValueError:
                raise source.refuse(f"line {number}: {line[:40].decode('ascii', 'replace')!r} is no face") from None
            if size:
                content.sizes.append(size)
                content.materials.append(current)
        elif keyword == b"usemtl":
            current = content.names.setdefault(_argument(line), len(content.names))
        elif keyword == b"mtllib" and len(words) > 1:
            content.libraries[_argument(line)] = None
        elif keyword in (b"l", b"p"):
            source.remark("points and lines are not drawn")
    return content


def _polygons(content: _Content, positions: np.ndarray, uv_table: np.ndarray, source: Source) -> _Polygons:
    """The polygons without those that coincide with an earlier one. Raises AssetRefused for an index too large."""
    numbers = (content.sizes, content.materials, content.corners, content.corner_uvs)
    polygons = _Polygons(*(np.array(column, dtype=np.int64) for column in numbers))
    for name, indices, table in (
        ("vertex", polygons.vertices, positions),
        ("texture coordinate", polygons.uvs, uv_table),
    ):
        if indices.size and indices.max() >= len(table):
            raise source.refuse(f"a face names {name} {indices.max() + 1}, but the file has {len(table)}")
    first = first_of_equal_polygons(polygons.sizes, merge_equal(positions)[1][polygons.vertices])
    if first.all():
        return polygons
    source.remark(f"coinciding faces: {np.count_nonzero(~first)} lie on earlier ones and are left out")
    return polygons.select(first)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbered lines without comments; a line that ends in a backslash is joined with the next."""
    data = data.removeprefix(codecs.BOM_UTF8)
    if b"\\\n" in data or b"\\\r\n" in data:
        data = re.sub(rb"\\\r?\n", b" ", data)
    for number, line in enumerate(data.splitlines(), start=1):
        if not line.startswith(b"#"):
            yield number, line


def _argument(line: bytes) -> bytes:
    """The text after a line's keyword, with its inner white space."""
    return b"".join(line.split(None, 1)[1:]).strip()


def _add_face(content: _Content, words: list[bytes]) -> int:
    """Add a polygon; one with fewer than three corners has no area and is left out. Raises ValueError.

    Returns its size; 0 where it was left out.
    """
    own, uvs = [], []
    for word in words:
        if word.startswith(b"#"):
            break
        vertex, _, rest = word.partition(b"/")
        uv = rest.partition(b"/")[0]
        own.append(_index(vertex, len(content.vertices)))
        uvs.append(_index(uv, len(content.uvs)) if uv else -1)
    if len(own) < 3:
        return 0
    content.corners += own
    content.corner_uvs += uvs
    return len(own)


def _index(word: bytes, count: int) -> int:
    """0-based index; negative words count backwards from the last of ``count`` entries."""
    index = int(word)
    if 0 < index <= MAX_INDEX:
        return index - 1
    if index >= 0 or index < -count:
        raise ValueError(word)
    return count + index


def _positions(rows: list[list[bytes]], source: Source) -> tuple[np.ndarray, np.ndarray | None]:
    """(V, 3) positions, and (V, 3) linear colours if every vertex has one."""
    if not rows:
        raise source.refuse("has no vertices")
    coloured = all(len(row) in (6, 7) for row in rows)
    table = _numbers([row[:6] if coloured else row[:3] for row in rows], "v", source)
    if table.shape[1] < 3:
        raise source.refuse("has a vertex with fewer than three coordinates")
    if coloured:
        source.remark("colours of vertices are averaged")
    return table[:, :3], linear(table[:, 3:].clip(0, 1)) if coloured else None


def _numbers(rows: list[list[bytes]], keyword: str, source: Source) -> np.ndarray:
    if not rows:
        return np.empty((0, 2))
    try:
        return np.array(rows, dtype="S64").astype(np.float64)
    except ValueError:
        raise source.refuse(f"has a {keyword!r} line that is not made of numbers") from None


def _parts(
    polygons: _Polygons,
    used: dict[bytes, int],
    positions: np.ndarray,
    colours: np.ndarray | None,
    uv_table: np.ndarray,
    materials: dict[bytes, "_Entry"],
) -> list[RawPart]:
    """The triangles of each material, in the order in which the file first names it. Raises TooMuchWork."""
    triangles = split(polygons.sizes, positions[polygons.vertices])
    polygon_of = np.repeat(np.arange(len(polygons.sizes)), polygons.sizes)
    rank = polygon_of[triangles[:, 0]] if len(triangles) else np.empty(0, np.int64)
    owner = polygons.materials[rank]
    order = np.argsort(owner, kind="stable")
    bounds = np.searchsorted(owner[order], [*used.values(), len(used) and max(used.values()) + 1])
    parts = []
    for name, start, end in zip(used, bounds[:-1], bounds[1:], strict=True):
        chosen = order[start:end]
        own = triangles[chosen]
        faces, uvs = polygons.vertices[own], polygons.uvs[own]
        entry = materials.get(name)
        if entry is not None:
            material = entry.material
        else:
            material = Material() if colours is None else Material(average_colour(colours[np.unique(faces)]))
        uv = None
        if (uvs >= 0).any():
            uv = np.where((uvs >= 0).all(axis=1)[:, None, None], uv_table[uvs], np.nan)
            uv = uv if entry is None else uv * entry.scale + entry.offset
        parts.append(RawPart(faces, uv, material, rank[chosen]))
    return parts


@dataclass(frozen=True)
class _Entry:
    """A material of an MTL."""

    material: Material = Material()
    texture: str = ""  # colour map
    emission_map: str = ""
    emission: tuple[float, ...] = (0.0, 0.0, 0.0)
    folder: str = ""  # to which the maps are relative
    scale: tuple[float, float] = (1.0, 1.0)  # of texture coordinates
    offset: tuple[float, float] = (0.0, 0.0)


def _read_libraries(
    source: Source, libraries: dict[bytes, None], used: set[bytes], limits: Limits
) -> dict[bytes, _Entry]:
    """The used materials of all MTL files, with their textures. Raises AssetRefused."""
    entries: dict[bytes, _Entry] = {}
    if sum(len(library.split()) for library in libraries) > MAX_LIBRARIES:
        raise source.refuse(f"names more than {MAX_LIBRARIES} MTL files")
    for library in libraries:
        whole = os.fsdecode(library)
        for name in [whole] if source.exists(whole) else map(os.fsdecode, library.split()):
            if source.exists(name):
                entries |= _read_mtl(source, name, used)
            else:
                source.remark(f"{name} is missing, and with it the materials that it holds")
    if unused := len(entries.keys() - used):
        source.remark(f"materials that no face uses: {unused}; their textures are not read")
    if unknown := sorted(used - entries.keys() - {b""}) if libraries else []:
        name = unknown[0].decode("utf-8", "backslashreplace")
        source.remark(f"no MTL file describes {len(unknown)} of its materials, such as {name}: they are grey")
    textures: dict[tuple[str, str], np.ndarray] = {}
    found = {name: entry for name, entry in entries.items() if name in used}
    for name, entry in found.items():
        emits = any(entry.emission) or entry.emission_map
        if dark := emits and not entry.texture and not any(entry.material.colour):
            source.remark("has black materials that emit light: their light is drawn as their colour")
            red, green, blue = (
                (min(value, 1.0) for value in entry.emission) if any(entry.emission) else (1.0, 1.0, 1.0)
            )
            material = replace(entry.material, colour=(red, green, blue))
            entry = replace(entry, texture=entry.emission_map, material=material)
        if entry.texture:
            key = entry.texture, entry.folder
            if key not in textures:
                data = source.read(entry.texture, limits.image_bytes, base=entry.folder)
                textures[key] = decode(data, entry.texture, source.refuse, limits, TEXTURE, source.remark)
            white = (1.0, 1.0, 1.0)  # a texture replaces the colour, as in Blender's importer
            entry = replace(entry, material=replace(entry.material, texture=textures[key], colour=white))
        elif any(entry.emission) and not dark:
            source.remark("emission (Ke) is not drawn")
        found[name] = entry
    return found


def _read_mtl(source: Source, library: str, used: set[bytes]) -> dict[bytes, _Entry]:
    """Materials by name, without their textures. Raises AssetRefused."""
    entries: dict[bytes, _Entry] = {}
    folder = library.replace("\\", "/").rpartition("/")[0]
    name = b""
    for _, line in _lines(source.read(library, MAX_MTL_BYTES)):
        words = line.split()
        keyword = words[0].decode("ascii", "replace") if words else ""
        if keyword == "newmtl":
            name = _argument(line)
            entries[name] = _Entry(folder=folder)
        elif name not in entries or len(words) < 2:
            continue
        elif keyword in ("map_Kd", "map_Ke"):
            entries[name] = _with_map(entries[name], keyword, line, source, name in used)
        elif keyword in _VALUES:
            try:
                entries[name] = _VALUES[keyword](entries[name], [float(word) for word in words[1:]])
            except (ValueError, IndexError):
                continue
        elif name in used and (keyword.startswith("map_") or keyword.lower() in _UNUSED):
            source.remark(f"{keyword} of its materials is not used")
    return entries


def _with_map(entry: _Entry, keyword: str, line: bytes, source: Source, is_used: bool) -> _Entry:
    file, options = _map_name(_argument(line))
    if keyword == "map_Ke":
        return replace(entry, emission_map=os.fsdecode(file))
    if is_used and (unread := sorted(options.keys() - {"-s", "-o", "-clamp"})):
        source.remark(f"option {unread[0]} of map_Kd is not used")
    scale, offset = (_pair(options.get(option, []), default) for option, default in (("-s", 1.0), ("-o", 0.0)))
    wrap: Wrap = "clamp" if options.get("-clamp") == [b"on"] else "repeat"
    material = replace(entry.material, wrap=(wrap, wrap))
    return replace(entry, texture=os.fsdecode(file), scale=scale, offset=offset, material=material)


def _pair(words: list[bytes], default: float) -> tuple[float, float]:
    """The first two of up to three numbers."""
    numbers = [float(word) for word in words[:2]] + [default, default]
    return numbers[0], numbers[1]


def _surface(entry: _Entry, **changes: Any) -> _Entry:
    return replace(entry, material=replace(entry.material, **changes))


_VALUES = {
    "Kd": lambda entry, values: _surface(entry, colour=(values[0], values[1], values[2])),
    "Ke": lambda entry, values: replace(entry, emission=(values[0], values[1], values[2])),
    # Specular exponent to roughness, as in Blender's importer.
    "Ns": lambda entry, values: _surface(entry, roughness=1 - min(max(values[0], 0), 900) ** 0.5 / 30),
    "Pr": lambda entry, values: _surface(entry, roughness=values[0]),
    "Pm": lambda entry, values: _surface(entry, metallic=values[0]),
}

_UNUSED = ("bump", "disp", "decal", "refl", "norm")  # maps without "map_" in their names
_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2}
_OPTIONS |= {"-texres": 1, "-type": 1, "-o": 3, "-s": 3, "-t": 3}  # the last three: up to three numbers


def _map_name(argument: bytes) -> tuple[bytes, dict[str, list[bytes]]]:
    """The file name of a map, which may contain spaces, and the options before it."""
    options: dict[str, list[bytes]] = {}
    rest = argument
    while (option := rest.split(None, 1)[0].decode("ascii", "replace") if rest else "") in _OPTIONS:
        count = _OPTIONS[option]
        values: list[bytes] = []
        rest = b"".join(rest.split(None, 1)[1:])
        while len(values) < count and (words := rest.split(None, 1)):
            if count == 3 and (len(words) < 2 or not _NUMBER.fullmatch(words[0])):
                break
            values.append(words[0])
            rest = b"".join(words[1:])
        options[option] = values
    return rest.strip(), options


_NUMBER = re.compile(rb"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
