"""Measure an asset by reading its file once, without the full parse of the loader.

Counts and bounds are those of the file, before the loader drops polygons without area, merges equal positions and
normalises the model.
"""

import codecs
import functools
import hashlib
import os
import re
import stat
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from bl30k_gen.config import Limits
from bl30k_gen.library.asset import AssetRefused
from bl30k_gen.library.catalogue.folder import SUFFIXES
from bl30k_gen.library.catalogue.licence import Credit, one_line, spdx
from bl30k_gen.library.formats.gltf import outline_gltf
from bl30k_gen.library.formats.obj import MAX_LIBRARIES
from bl30k_gen.library.formats.ply import TYPES as PLY_TYPES
from bl30k_gen.library.formats.source import Source, without_waiting
from bl30k_gen.library.formats.stl import stl_faces

BLOCK = 4 << 20  # bytes that are processed together
MAX_HEADER = 64 << 20  # bytes of a PLY's header or a glTF's JSON
MAX_MTL_BYTES = 16 << 20
MAX_BYTES = 16 << 30  # of an asset; larger files are not read, and the loader refuses them
LIMITS = Limits(max_faces=2**31, max_image_side=2**16, max_megapixels=2**16)  # so that no size is refused here


Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Size of a model, in the axes and units of its file; ``faces`` are triangles (in a PLY, polygons)."""

    vertices: int
    faces: int
    low: Point | None  # bounds; None if a coordinate is not finite
    high: Point | None
    textured: bool


@dataclass(frozen=True, slots=True)
class ImageSize:
    """Size of an image in pixels, as stored."""

    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Measured:
    sha256: str  # of the file; empty if it cannot be read
    size: ModelSize | ImageSize | None  # None if it cannot be determined
    credit: Credit | None  # author and licence in the file itself


def measure(path: str) -> Measured:
    """Measure one file. Never raises for its contents; the loader decides whether the file can be used."""
    suffix = Path(path).suffix.lower()
    try:
        with open(path, "rb", opener=without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
                return Measured("", None, None)
            with np.errstate(all="ignore"):
                return _BY_SUFFIX[suffix](path, file)
    except OSError:
        return Measured("", None, None)


def _obj(path: str, file: BinaryIO) -> Measured:
    digest, libraries = hashlib.sha256(), []
    vertices = polygons = corners = 0
    bounds = _Bounds()
    for block in _blocks(file, digest.update):
        if b"\n " in block or b"\n\t" in block:
            block = _INDENT.sub(b"\n", block)
        rows = _VERTEX.findall(block)
        vertices += len(rows)
        bounds.add_text(rows)
        faces = _FACE.findall(block)
        polygons += len(faces)
        corners += len(b" ".join(faces).split())
        libraries += _MTLLIB.findall(block)
    names = list(dict.fromkeys(libraries))[:MAX_LIBRARIES]
    textured = any(_has_map(path, os.fsdecode(name.strip())) for name in names)
    return Measured(
        digest.hexdigest(), ModelSize(vertices, max(0, corners - 2 * polygons), *bounds.ends, textured), None
    )


# Each pattern begins with a newline, as fixed bytes are several times faster to search for.
_VERTEX = re.compile(rb"\nv[ \t]+(\S+[ \t]+\S+[ \t]+\S+)")
_FACE = re.compile(rb"\nf[ \t]([^\r\n#]*)")
_MTLLIB = re.compile(rb"\nmtllib[ \t]+([^\r\n]+)")
_INDENT = re.compile(rb"\n[ \t]+")
_MAP = re.compile(rb"^[ \t]*map_Kd[ \t]+\S", re.MULTILINE)


def _has_map(path: str, library: str) -> bool:
    """Whether an MTL file (or several, separated by spaces) of an OBJ has a colour map."""
    try:
        source = Source.unread(path)
        names = [library] if source.exists(library) else library.split()[:MAX_LIBRARIES]
        return any(_MAP.search(source.read(name, MAX_MTL_BYTES)) for name in names if source.exists(name))
    except AssetRefused:
        return False


def _ply(path: str, file: BinaryIO) -> Measured:
    digest, data = _digest_and_start(file, MAX_HEADER)
    header, end, body = data.partition(b"end_header")
    body = body.partition(b"\n")[2]
    counts = {name: int(count[:18]) for name, count in re.findall(rb"^element\s+(\w+)\s+(\d+)", header, re.M)}
    if not end or b"vertex" not in counts:
        return Measured(digest, None, None)
    bounds, count = _Bounds(), counts[b"vertex"]
    layout = _ply_vertex(header)
    if layout is not None and layout.names is not None and re.match(rb"ply\s+format\s+ascii", header):
        width = len(layout.names)
        rows = [line.split() for line in body.split(b"\n", count)[:count]] if count <= len(body) else []
        where = [layout.names.index(axis) for axis in "xyz"]
        bounds.add_text([b" ".join(row[i] for i in where) for row in rows if len(row) >= width])
    elif layout is not None and count * layout.itemsize <= len(body):
        table = np.frombuffer(body, layout, count)
        bounds.add(np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=1))
    textured = re.search(rb"^comment\s+texturefile\s", header, re.M | re.I) is not None
    return Measured(digest, ModelSize(count, counts.get(b"face", 0), *bounds.ends, textured), None)


def _ply_vertex(header: bytes) -> np.dtype | None:
    """The NumPy type of a vertex; None unless vertices come first and consist of numbers, among them x, y and z."""
    order = ">" if b"binary_big_endian" in header else "<"
    first = re.search(rb"^element\s+vertex\s+\d+\s*\n((?:\s*(?:property|comment)\s.*\n)*)", header, re.M)
    if first is None or header.find(b"element ") != header.find(b"element vertex"):
        return None
    words = [line.split() for line in first[1].decode("ascii", "replace").splitlines()]
    properties = [line[1:] for line in words if line and line[0] == "property"]
    try:
        layout = np.dtype([(name, order + PLY_TYPES[kind]) for kind, name in properties])
    except (KeyError, ValueError):
        return None
    return layout if {"x", "y", "z"} <= set(layout.names or ()) else None


def _stl(path: str, file: BinaryIO) -> Measured:
    size = os.fstat(file.fileno()).st_size
    start = file.read(84)
    file.seek(0)
    digest, bounds = hashlib.sha256(), _Bounds()
    count = stl_faces(start, size)
    if count is not None:
        digest.update(file.read(84))
        left = count
        for block in iter(functools.partial(file.read, BLOCK // 50 * 50), b""):
            digest.update(block)
            corners = np.frombuffer(block, _STL_FACE, min(left, len(block) // 50))["corners"]
            left -= len(corners)
            bounds.add(corners.reshape(-1, 3).astype(np.float64))
        return Measured(digest.hexdigest(), ModelSize(3 * count, count, *bounds.ends, False), None)
    vertices = 0
    for block in _blocks(file, digest.update):
        rows = _STL_VERTEX.findall(block)
        vertices += len(rows)
        bounds.add_text(rows)
    shape = ModelSize(vertices, vertices // 3, *bounds.ends, False) if vertices else None
    return Measured(digest.hexdigest(), shape, None)


_STL_FACE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_STL_VERTEX = re.compile(rb"vertex[ \t]+(\S+[ \t]+\S+[ \t]+\S+)", re.IGNORECASE)


def _gltf(path: str, file: BinaryIO) -> Measured:
    digest, data = _digest_and_start(file, MAX_HEADER)
    if data.startswith(b"glTF") and len(data) >= 20:
        data = data[: 20 + struct.unpack_from("<I", data, 12)[0]]  # the header and the JSON chunk
    try:
        vertices, faces, low, high, textured, asset = outline_gltf(Source.unread(path, data), LIMITS)
    except AssetRefused:
        return Measured(digest, None, None)
    bounds = _Bounds()
    bounds.add(np.stack([low, high]))
    return Measured(digest, ModelSize(vertices, faces, *bounds.ends, textured), _credit(asset))


def _credit(asset: dict) -> Credit | None:
    """The credit in the entry ``asset`` of a glTF, in the form of Sketchfab's exports (and so Objaverse's)."""
    extras = asset.get("extras")
    fields = extras if isinstance(extras, dict) else {}
    author, licence = one_line(fields.get("author") or asset.get("copyright")), one_line(fields.get("license"))
    if not author and not licence:
        return None
    return Credit(spdx(licence), author, one_line(fields.get("source")), one_line(fields.get("title")))


def _image(path: str, file: BinaryIO) -> Measured:
    digest = _digest_and_start(file, 0)[0]
    file.seek(0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(file, formats=("JPEG", "PNG", "WEBP")) as image:
                return Measured(digest, ImageSize(*image.size), None)
    except Exception:  # Pillow raises many types, and the cause is always the file
        return Measured(digest, None, None)


class _Bounds:
    """Bounding box of points that are added in pieces."""

    def __init__(self) -> None:
        self._low, self._high = np.full(3, np.inf), np.full(3, -np.inf)

    def add(self, points: np.ndarray) -> None:
        if len(points):
            self._low = np.minimum(self._low, points.min(axis=0))  # propagates NaN
            self._high = np.maximum(self._high, points.max(axis=0))

    def add_text(self, rows: list[bytes]) -> None:
        """Add points given as rows of three numbers in text."""
        try:
            self.add(np.array([float(word) for word in b" ".join(rows).split()]).reshape(-1, 3))
        except ValueError:
            self._low = np.full(3, np.nan)

    @property
    def ends(self) -> tuple[Point | None, Point | None]:
        """Lowest and highest coordinates; None if a coordinate is not finite."""
        if not (np.isfinite(self._low).all() and np.isfinite(self._high).all()):
            return None, None
        return _short(self._low), _short(self._high)


def _short(point: np.ndarray) -> Point:
    x, y, z = (float(f"{value:.6g}") for value in point)
    return x, y, z


def _blocks(file: BinaryIO, update: Callable[[bytes], None]) -> Iterator[bytes]:
    """Large pieces of a file, each of whole lines preceded by their newlines; ``update`` is called with all bytes."""
    rest = b"\n"
    for block in iter(functools.partial(file.read, BLOCK), b""):
        update(block)
        lines = block.removeprefix(codecs.BOM_UTF8).replace(b"\r", b"\n")  # some files end lines with it alone
        whole, _, left = (rest + lines).rpartition(b"\n")
        if whole:
            yield whole
        rest = b"\n" + left[-BLOCK:]  # cuts lines of megabytes, which hold nothing of interest
    yield rest


def _digest_and_start(file: BinaryIO, length: int) -> tuple[str, bytes]:
    """SHA-256 of a file, and its first ``length`` bytes."""
    digest = hashlib.sha256()
    start = file.read(length)
    digest.update(start)
    for block in iter(functools.partial(file.read, BLOCK), b""):
        digest.update(block)
    return digest.hexdigest(), start


_BY_SUFFIX = {".obj": _obj, ".ply": _ply, ".stl": _stl, ".glb": _gltf, ".gltf": _gltf}
_BY_SUFFIX |= dict.fromkeys(SUFFIXES["texture"], _image)
