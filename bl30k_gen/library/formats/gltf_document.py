"""The JSON of a glTF 2.0 or GLB file with its buffers, buffer views and accessors.

Counts and offsets are checked against the available bytes before an array is made, and files are read only through
``Source``. Names in quotes are those of the glTF 2.0 specification.
"""

import base64
import functools
import json
import struct
from typing import Any
from urllib.parse import unquote

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.library.formats.source import Source

# Extensions that a file may require: those that are read here, and those that affect only what is not read.
EXTENSIONS = {"KHR_texture_transform", "KHR_mesh_quantization", "EXT_texture_webp", "KHR_lights_punctual"}
EXTENSIONS |= {"KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit", "KHR_texture_basisu"}
EXTENSIONS |= {f"KHR_materials_{name}" for name in ("clearcoat", "emissive_strength", "ior", "sheen", "specular")}
EXTENSIONS |= {f"KHR_materials_{name}" for name in ("transmission", "variants", "volume")}

TYPES: dict[int, type[Any]] = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
MAX_NUMBERS_PER_FACE = 100  # numbers read from accessors, per face of ``limits.max_faces``

# Exceptions that arise where a file lacks something that the specification guarantees.
INVALID = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


class Document:
    """A parsed file. Raises AssetRefused: it is cut off, of another version, or requires an unknown extension."""

    def __init__(self, source: Source, limits: Limits):
        self.source = source
        self.limits = limits
        self.tree, self._chunk = self._parse()
        if str(self.tree["asset"]["version"]).partition(".")[0] != "2":
            raise source.refuse(f"is glTF {self.tree['asset']['version']}, only version 2 is read")
        unknown = sorted(set(self.tree.get("extensionsRequired", [])) - EXTENSIONS)
        if unknown:
            raise source.refuse(f"requires the extension {unknown[0]}, which is not supported")
        self._numbers_left = MAX_NUMBERS_PER_FACE * limits.max_faces
        self._bytes_of = functools.cache(self._buffer)

    def entry(self, kind: str, index: Any) -> dict[str, Any]:
        """Entry ``index`` of ``accessors``, ``materials`` or another list of the tree."""
        return self.tree[kind][natural(index)]

    def accessor(self, index: int, *allowed: str) -> np.ndarray:
        """Read an accessor: (count, width) float64, normalised integers as 0..1 or -1..1.

        Args:
            allowed: types, such as ``VEC3``.
        """
        accessor = self.entry("accessors", index)
        count, kind, width = natural(accessor["count"]), TYPES[accessor["componentType"]], WIDTHS[accessor["type"]]
        if accessor["type"] not in allowed:
            raise ValueError(f"an accessor is {accessor['type']}, not {allowed[0]}")
        self._numbers_left -= count * width
        if self._numbers_left < 0:
            raise self.source.refuse("reads its tables so often that it is too much work")
        if "bufferView" in accessor:
            values = self._view(accessor["bufferView"], accessor.get("byteOffset", 0), count, kind, width)
        elif count <= 3 * self.limits.max_faces:
            values = np.zeros((count, width), kind)
        else:
            raise ValueError(f"an accessor of {count} zeros")
        if "sparse" in accessor:
            values = self._with_changes(values, accessor["sparse"])
        if accessor.get("normalized") and kind is not np.float32:
            return np.maximum(values / np.iinfo(kind).max, -1.0)
        return values.astype(np.float64)

    def view_bytes(self, index: int) -> tuple[dict[str, Any], memoryview]:
        """A buffer view, and its bytes."""
        view = self.entry("bufferViews", index)
        buffer = self._bytes_of(natural(view["buffer"]))
        start = natural(view.get("byteOffset", 0))
        end = start + natural(view["byteLength"])
        if end > len(buffer):
            raise ValueError(f"buffer view {index} ends after its buffer")
        return view, buffer[start:end]

    def resource(self, uri: str, max_bytes: int) -> bytes:
        """Read a URI: its own data, or a file relative to this one."""
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2], validate=True)
        return self.source.read(unquote(uri), max_bytes)

    def _parse(self) -> tuple[dict[str, Any], bytes | None]:
        """The JSON tree, and the binary chunk of a GLB."""
        data = self.source.data
        if not data.startswith(b"glTF"):
            return json.loads(data.decode("utf-8-sig")), None
        chunks: dict[bytes, bytes] = {}
        position = 12
        while position + 8 <= len(data):
            length, kind = struct.unpack_from("<I4s", data, position)
            if position + 8 + length > len(data):
                raise self.source.refuse("is cut off")
            chunks.setdefault(kind, data[position + 8 : position + 8 + length])
            position += 8 + length
        if b"JSON" not in chunks:
            raise self.source.refuse("is cut off: a GLB without its JSON chunk")
        return json.loads(chunks[b"JSON"].decode("utf-8")), chunks.get(b"BIN\0")

    def _with_changes(self, values: np.ndarray, sparse: dict[str, Any]) -> np.ndarray:
        """A copy of the values with those that a sparse accessor replaces."""
        count, where, what = natural(sparse["count"]), sparse["indices"], sparse["values"]
        kind = TYPES[where["componentType"]]
        rows = self._view(where["bufferView"], where.get("byteOffset", 0), count, kind, 1)[:, 0]
        values = values.copy()
        values[rows] = self._view(
            what["bufferView"], what.get("byteOffset", 0), count, values.dtype.type, values.shape[1]
        )
        return values

    def _view(self, index: int, offset: int, count: int, kind: type, width: int) -> np.ndarray:
        """(count, width) items of a type inside a buffer view, which may be interleaved with others."""
        view, data = self.view_bytes(index)
        item = np.dtype(kind).newbyteorder("<")
        row = item.itemsize * width
        stride = natural(view.get("byteStride", row)) or row
        offset = natural(offset)
        if count and offset + (count - 1) * stride + row > len(data):
            raise ValueError(f"buffer view {index} is too short")
        if not count:
            return np.empty((0, width), kind)
        return np.ndarray((count, width), item, data, offset, (stride, item.itemsize)).astype(kind)

    def _buffer(self, index: int) -> memoryview:
        buffer = self.tree["buffers"][index]
        if "uri" in buffer:
            return memoryview(self.resource(buffer["uri"], self.limits.mesh_bytes))
        if index or self._chunk is None:
            raise ValueError(f"buffer {index} has no bytes")
        return memoryview(self._chunk)


def natural(value: Any) -> int:
    """Return ``value`` if it is an index or a length. Raises ValueError if not."""
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no index or length")
    return value
