"""Read STL with trimesh, which is given bytes and never a file name."""

import io
import struct

import numpy as np
import trimesh

from bl30k_gen.config import Limits
from bl30k_gen.library.formats.mesh import Material, RawMesh, RawPart
from bl30k_gen.library.formats.source import Source

HEADER, FACE = 84, 50  # bytes


def read_stl(source: Source, limits: Limits) -> RawMesh:
    """Read a binary or text STL, with keywords in any case. Raises AssetRefused."""
    data = _faces_alone(source)
    try:
        mesh = trimesh.load_mesh(io.BytesIO(data), file_type="stl", process=False)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
    except MemoryError:
        raise
    except Exception as error:  # trimesh raises many types, and the cause is always the file
        raise source.refuse(f"is no STL that can be read ({error or type(error).__name__})") from None
    return RawMesh(vertices, [RawPart(faces, None, Material())], y_up=False)


def stl_faces(start: bytes, size: int) -> int | None:
    """The number of faces in the first 84 bytes of a binary STL of ``size`` bytes; None for a text STL.

    A binary STL, too, may begin with ``solid``, and may have further bytes after its faces.
    """
    if len(start) < HEADER:
        return None
    count = struct.unpack_from("<I", start, 80)[0]
    enough = size > HEADER + FACE * count
    return count if size == HEADER + FACE * count or (enough and b"\0" in start[:HEADER]) else None


def _faces_alone(source: Source) -> bytes:
    """The bytes of an STL without what follows its faces; text in lower case. Raises AssetRefused: it is cut off."""
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
