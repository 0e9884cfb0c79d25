"""Reads STL with trimesh, which is given bytes and never a file name."""

import io
import struct

import numpy as np
import trimesh

from bl30k_gen.config import Limits
from bl30k_gen.library.formats.mesh import Material, RawMesh, RawPart
from bl30k_gen.library.formats.source import Source

HEADER, FACE = 84, 50  # bytes


def read_stl(source: Source, limits: Limits) -> RawMesh:
    """Read an STL, binary or of text, its keywords in any case. Raises AssetRefused."""
    data = _faces_alone(source)
    try:
        mesh = trimesh.load_mesh(io.BytesIO(data), file_type="stl", process=False)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except Exception as error:  # trimesh's readers raise all kinds, and what failed here is always the file
        raise source.refuse(f"is no STL that can be read ({error or type(error).__name__})") from None
    return RawMesh(vertices, [RawPart(faces, None, Material())], y_up=False)


def stl_faces(start: bytes, size: int) -> int | None:
    """How many faces a binary STL of ``size`` bytes announces in its first 84; None for one of text.

    Binary ones may begin with ``solid``, too, and may have something behind their faces.
    """
    if len(start) < HEADER:
        return None
    count = struct.unpack_from("<I", start, 80)[0]
    enough = size > HEADER + FACE * count
    return count if size == HEADER + FACE * count or (enough and b"\0" in start[:HEADER]) else None


def _faces_alone(source: Source) -> bytes:
    """An STL without what is behind its faces, text in small letters. Raises AssetRefused where it is cut off."""
    count = stl_faces(source.data[:HEADER], len(source.data))
    if count is not None:
        end = HEADER + FACE * count
        behind = len(source.data) - end
        if behind and behind % FACE == 0:
            raise source.refuse(f"announces {count} faces and holds {count + behind // FACE}")
        if behind:
            source.remark(f"{behind} bytes behind its faces are not used")
        return source.data[:end]
    text = source.data.lower()
    if b"facet" not in text:
        raise source.refuse("is no STL, or is cut off")
    return text
