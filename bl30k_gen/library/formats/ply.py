"""Read PLY: polygons of any number of corners, UVs of vertices or of corners, several textures, colours.

No library reads all of these as arrays. Consecutive rows whose lists have equal lengths are read together, which are
nearly always all rows.
"""

import re
from dataclasses import dataclass

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.dataset.images import TEXTURE
from bl30k_gen.library.formats.image import decode
from bl30k_gen.library.formats.mesh import Material, RawMesh, RawPart, average_colour, linear, merge_equal
from bl30k_gen.library.formats.polygon import TooMuchWork, first_of_equal_polygons, split
from bl30k_gen.library.formats.source import Source

TYPES = {"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2"}
TYPES |= {"ushort": "u2", "uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"}
TYPES |= {"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"}

_UV_NAMES = (("s", "t"), ("u", "v"), ("texture_u", "texture_v"), ("texture_s", "texture_t"))
_LISTS = ("vertex_indices", "vertex_index", "texcoord")
_MAX_ROWS = 1 << 20  # read together


@dataclass(frozen=True)
class _Property:
    name: str
    kind: str  # a NumPy type, such as "<f4"
    count: str = ""  # the type of a list's length; empty for a number


@dataclass(frozen=True)
class _Element:
    name: str
    rows: int
    properties: tuple[_Property, ...]


@dataclass(frozen=True)
class _Table:
    """An element's values: a column (rows,) for each number; lengths and concatenated values for each list."""

    columns: dict[str, np.ndarray]
    lists: dict[str, tuple[np.ndarray, np.ndarray]]


def read_ply(source: Source, limits: Limits) -> RawMesh:
    """Read a PLY, text or binary with either byte order. Raises AssetRefused."""
    elements, textures, body, is_text = _header(source, limits)
    try:
        tables = _tables(elements, body, is_text)
        vertices = np.stack([tables["vertex"].columns[axis] for axis in "xyz"], axis=1).astype(np.float64)
        return _mesh(source, limits, vertices, tables, textures)
    except TooMuchWork as error:
        raise source.refuse(str(error)) from None
    except (KeyError, ValueError, IndexError, OverflowError) as error:
        raise source.refuse(f"is no PLY that can be read ({error or type(error).__name__})") from None


def _header(source: Source, limits: Limits) -> tuple[list[_Element], list[str], bytes, bool]:
    """Elements, names of textures, the body, and whether it is text.

    Counts that exceed the file's size are refused before any memory is allocated for them.
    """
    header, end, body = source.data.partition(b"end_header")
    if not end or not header.startswith(b"ply"):
        raise source.refuse("is no PLY: its header has no end" if not end else "is no PLY")
    elements: list[_Element] = []
    textures, order = [], ""
    for line in header.decode("utf-8", "surrogateescape").splitlines()[1:]:
        words = line.split()
        if words[:1] == ["format"] and len(words) > 1:
            order = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}.get(words[1], "")
        elif words[:1] == ["element"] and len(words) == 3 and words[2].isdecimal():
            elements.append(_Element(words[1], int(words[2][:20]), ()))
        elif words[:1] == ["property"] and elements:
            try:
                own = _property(words[1:], order)
            except (KeyError, ValueError, IndexError):
                raise source.refuse(f"has a property that is none: {line.strip()}") from None
            elements[-1] = _Element(elements[-1].name, elements[-1].rows, (*elements[-1].properties, own))
        elif match := re.match(r"comment\s+texturefile\s+(.+?)\s*$", line, re.IGNORECASE):
            textures.append(match[1])
    if not order:
        raise source.refuse("is no PLY: its header names no format that is known")
    for element in elements:
        if element.rows > len(body):
            raise source.refuse(f"is cut off: it announces {element.rows} of {element.name}")
        if element.name == "face" and element.rows > limits.max_faces:
            raise source.refuse(f"has {element.rows} faces, more than assets.limits.max_faces = {limits.max_faces}")
    return elements, textures, body.partition(b"\n")[2], order == "="


def _property(words: list[str], order: str) -> _Property:
    if words[0] == "list":
        return _Property(words[3], order + TYPES[words[2]], order + TYPES[words[1]])
    return _Property(words[1], order + TYPES[words[0]])


def _tables(elements: list[_Element], body: bytes, is_text: bool) -> dict[str, _Table]:
    """Read the elements up to vertices and faces. Raises ValueError: the file is cut off, or a value is no number."""
    rows = _TextRows(body) if is_text else _BinaryRows(body)
    tables: dict[str, _Table] = {}
    for element in elements:
        if {"vertex", "face"} <= tables.keys():
            break
        tables[element.name] = _table(element, rows)
    return tables


def _table(element: _Element, rows: "_TextRows | _BinaryRows") -> _Table:
    pieces: dict[str, list[np.ndarray]] = {p.name: [] for p in element.properties}
    lengths: dict[str, list[np.ndarray]] = {p.name: [] for p in element.properties if p.count}
    done, window = 0, _MAX_ROWS
    while done < element.rows:
        counts = rows.lengths(element)
        wanted = min(window, element.rows - done)
        block, alike = rows.take(element, counts, wanted)
        for prop in element.properties:
            values = block[prop.name][:alike]
            pieces[prop.name].append(values.reshape(-1) if prop.count else values)
        for name, length in counts.items():
            lengths[name].append(np.full(alike, length))
        done += alike
        window = min(_MAX_ROWS, 2 * window) if alike == wanted else max(4, 2 * alike)
    empty = np.empty(0)
    joined = {name: np.concatenate(values) if values else empty for name, values in pieces.items()}
    sizes = {name: np.concatenate(values) if values else empty for name, values in lengths.items()}
    return _Table(
        {name: values for name, values in joined.items() if name not in sizes},
        {name: (sizes[name].astype(np.int64), joined[name]) for name in sizes},
    )


class _BinaryRows:
    """Reads rows of a binary body, one after the other."""

    def __init__(self, data: bytes):
        self.data = data
        self.position = 0

    def lengths(self, element: _Element) -> dict[str, int]:
        """Lengths of the lists in the next row."""
        counts, position = {}, self.position
        for prop in element.properties:
            if prop.count:
                counts[prop.name] = _length(np.frombuffer(self.data, prop.count, 1, position)[0])
                position += np.dtype(prop.count).itemsize + counts[prop.name] * np.dtype(prop.kind).itemsize
            else:
                position += np.dtype(prop.kind).itemsize
        return counts

    def take(self, element: _Element, counts: dict[str, int], rows: int) -> tuple[np.ndarray, int]:
        """Read up to ``rows`` rows as if all their lists had these lengths.

        Returns:
            The rows, and how many at the beginning do have these lengths; the next call continues after those.
        """
        fields = []
        for prop in element.properties:
            if prop.count:
                fields += [(f"# {prop.name}", prop.count), (prop.name, prop.kind, (counts[prop.name],))]
            else:
                fields.append((prop.name, prop.kind))
        layout = np.dtype(fields)
        rows = min(rows, max(1, (len(self.data) - self.position) // max(1, layout.itemsize)))
        block = np.frombuffer(self.data, layout, rows, self.position)
        same = np.ones(rows, dtype=bool)
        for name, count in counts.items():
            same &= block[f"# {name}"] == count
        alike = rows if same.all() else int(same.argmin())
        self.position += alike * layout.itemsize
        return block, alike


class _TextRows:
    """Reads rows of a text body; methods as in ``_BinaryRows``."""

    def __init__(self, data: bytes):
        self.numbers = np.array(data.split(), dtype="S64").astype(np.float64)
        self.position = 0

    def lengths(self, element: _Element) -> dict[str, int]:
        counts, position = {}, self.position
        for prop in element.properties:
            if prop.count:
                counts[prop.name] = _length(self.numbers[position])
                position += counts[prop.name]
            position += 1
        return counts

    def take(self, element: _Element, counts: dict[str, int], rows: int) -> tuple[dict[str, np.ndarray], int]:
        width = len(element.properties) + sum(counts.values())
        rows = min(rows, max(1, (len(self.numbers) - self.position) // width))
        table = self.numbers[self.position : self.position + rows * width]
        if len(table) < rows * width:
            raise ValueError("it is cut off")
        table = table.reshape(rows, width)
        block, column, same = {}, 0, np.ones(rows, dtype=bool)
        for prop in element.properties:
            if prop.count:
                same &= table[:, column] == counts[prop.name]
                block[prop.name] = table[:, column + 1 : column + 1 + counts[prop.name]]
                column += counts[prop.name]
            else:
                block[prop.name] = table[:, column].astype(prop.kind)
            column += 1
        alike = rows if same.all() else int(same.argmin())
        self.position += alike * width
        return block, alike


def _length(value: float) -> int:
    if not 0 <= value <= 2**31:
        raise ValueError(f"a list has the length {value}")
    return int(value)


def _mesh(
    source: Source, limits: Limits, vertices: np.ndarray, tables: dict[str, _Table], textures: list[str]
) -> RawMesh:
    face = tables.get("face", _Table({}, {}))
    vertex = tables["vertex"].columns
    lists = face.lists.get("vertex_indices") or face.lists.get("vertex_index")
    if lists is None:
        raise source.refuse("has no faces")
    sizes, corners = lists[0], lists[1].astype(np.int64)
    if corners.size and (corners.min() < 0 or corners.max() >= len(vertices)):
        raise source.refuse(f"a face names vertex {corners.max()} of {len(vertices)}")
    uv = _corner_uv(source, face, vertex, sizes, corners)
    keep = sizes >= 3
    first = np.zeros_like(keep)
    whole = np.repeat(keep, sizes)
    first[keep] = first_of_equal_polygons(sizes[keep], merge_equal(vertices)[1][corners[whole]])
    if not first[keep].all():
        source.remark(f"coinciding faces: {np.count_nonzero(keep & ~first)} lie on earlier ones and are left out")
    taken = np.repeat(first, sizes)
    sizes, corners, uv = sizes[first], corners[taken], None if uv is None else uv[taken]
    triangles = split(sizes, vertices[corners]) if len(sizes) else np.empty((0, 3), np.int64)
    if len(triangles) > limits.max_faces:
        raise source.refuse(f"has {len(triangles)} faces, more than assets.limits.max_faces = {limits.max_faces}")
    rank = np.repeat(np.arange(len(sizes)), sizes)[triangles[:, 0]]
    _remark_on_the_rest(source, tables)
    materials, owner = _materials(source, limits, face, vertex, textures, first)
    parts = []
    for number, material in materials.items():
        chosen = owner[rank] == number
        own = triangles[chosen]
        parts.append(RawPart(corners[own], None if uv is None else uv[own], material, rank[chosen]))
    return RawMesh(vertices, parts, y_up=False)


def _corner_uv(
    source: Source, face: _Table, vertex: dict[str, np.ndarray], sizes: np.ndarray, corners: np.ndarray
) -> np.ndarray | None:
    """(C, 2) texture coordinates of corners, v upwards: from faces, else from vertices; NaN in faces without any."""
    if "texcoord" in face.lists:
        lengths, values = face.lists["texcoord"]
        fits = lengths == 2 * sizes
        uv = np.full((len(corners), 2), np.nan)
        uv[np.repeat(fits, sizes)] = values[np.repeat(fits, lengths)].reshape(-1, 2)
        return uv
    for names in _UV_NAMES:
        if all(name in vertex for name in names):
            return np.stack([vertex[name] for name in names], axis=1).astype(np.float64)[corners]
    return None


def _materials(
    source: Source,
    limits: Limits,
    face: _Table,
    vertex: dict[str, np.ndarray],
    textures: list[str],
    taken: np.ndarray,
) -> tuple[dict[int, Material], np.ndarray]:
    """Materials by number, and the number of each face that is ``taken``."""
    owner = np.zeros(np.count_nonzero(taken), np.int64)
    if not textures:
        colour = _colour(face.columns) or _colour(vertex)
        if colour is not None:
            source.remark("colours of vertices or faces are averaged")
        return {0: Material(colour) if colour else Material()}, owner
    if len(textures) > 1:
        if "texnumber" not in face.columns:
            raise source.refuse(f"names {len(textures)} textures, and nothing says which face has which")
        owner = face.columns["texnumber"].astype(np.int64)[taken]
        if owner.size and not 0 <= owner.min() <= owner.max() < len(textures):
            raise source.refuse(f"a face names texture {owner.max()} of {len(textures)}")
    found = {}
    for number in np.unique(owner).tolist():
        data = source.read(textures[number], limits.image_bytes)
        pixels = decode(data, textures[number], source.refuse, limits, TEXTURE, source.remark)
        found[number] = Material((1.0, 1.0, 1.0), pixels)
    return found, owner


def _colour(columns: dict[str, np.ndarray]) -> tuple[float, float, float] | None:
    for prefix in ("", "diffuse_"):  # the second is an older way of naming
        names = [f"{prefix}{colour}" for colour in ("red", "green", "blue")]
        if set(names) <= columns.keys() and len(columns[names[0]]):
            colours = np.stack([columns[name] for name in names], axis=1)
            if colours.dtype.kind == "f":
                return average_colour(linear(colours / (1 if colours.max() <= 1 else 255)))
            return average_colour(linear(colours / np.iinfo(colours.dtype).max))
    return None


def _remark_on_the_rest(source: Source, tables: dict[str, _Table]) -> None:
    lists = {name for table in tables.values() for name in table.lists} - set(_LISTS)
    others = sorted(lists | (tables.keys() - {"vertex", "face"}))
    if others:
        source.remark(f"not used: {', '.join(others)}")
