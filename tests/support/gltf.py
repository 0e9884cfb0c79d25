"""Small GLB files for tests, built from their parts."""

import io
import json
import struct
from typing import Any

import numpy as np
from PIL import Image

CODES = {"f4": 5126, "u1": 5121, "u2": 5123, "u4": 5125}
NAMES = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}


class Glb:
    """Collects buffers; ``tree`` is the JSON, to be filled in by the test."""

    def __init__(self) -> None:
        self.data = b""
        self.tree: dict[str, Any] = {"asset": {"version": "2.0"}, "bufferViews": [], "accessors": []}

    def view(self, data: bytes) -> int:
        self.tree["bufferViews"].append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(data)})
        self.data += data + b"\0" * (-len(data) % 4)
        return len(self.tree["bufferViews"]) - 1

    def numbers(self, values: Any, kind: str = "f4") -> int:
        """An accessor of (N,) or (N, width) numbers."""
        values = np.asarray(values, "<" + kind)
        width = 1 if values.ndim == 1 else values.shape[1]
        accessor: dict[str, Any] = {"bufferView": self.view(values.tobytes()), "componentType": CODES[kind]}
        accessor |= {"count": len(values), "type": NAMES[width]}
        if width == 3:
            accessor |= {"min": values.min(axis=0).tolist(), "max": values.max(axis=0).tolist()}
        self.tree["accessors"].append(accessor)
        return len(self.tree["accessors"]) - 1

    def image(self, image: Image.Image, form: str = "PNG", **options: Any) -> int:
        """Add a texture with a new image; returns its number."""
        buffer = io.BytesIO()
        image.save(buffer, form, **options)
        images = self.tree.setdefault("images", [])
        images.append({"bufferView": self.view(buffer.getvalue()), "mimeType": f"image/{form.lower()}"})
        self.tree.setdefault("textures", []).append({"source": len(images) - 1})
        return len(self.tree["textures"]) - 1

    def box(self, low: float = -1.0, high: float = 1.0, mapped: bool = True) -> dict[str, Any]:
        """A primitive: a box along all axes, each side with four vertices of its own and all of the texture."""
        sides = []
        for axis in range(3):
            for end in (0, 1):
                for a, b in ((0, 0), (1, 0), (1, 1), (0, 1)) if end else ((0, 0), (0, 1), (1, 1), (1, 0)):
                    point = [0, 0, 0]
                    point[axis], point[(axis + 1) % 3], point[(axis + 2) % 3] = end, a, b
                    sides.append(point)
        faces = [[4 * side + k for k in corners] for side in range(6) for corners in ((0, 1, 2), (0, 2, 3))]
        attributes = {"POSITION": self.numbers(low + (high - low) * np.array(sides, float))}
        if mapped:
            attributes["TEXCOORD_0"] = self.numbers([(0, 0), (1, 0), (1, 1), (0, 1)] * 6)
        return {"attributes": attributes, "indices": self.numbers(np.array(faces).ravel(), "u2")}

    def write(self, path: Any) -> str:
        """The path, as text."""
        self.tree["buffers"] = [{"byteLength": len(self.data)}]
        text = json.dumps(self.tree).encode()
        text += b" " * (-len(text) % 4)
        chunks = [(b"JSON", text), (b"BIN\0", self.data)]
        body = b"".join(struct.pack("<I4s", len(data), kind) + data for kind, data in chunks)
        path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
        return str(path)
