"""Reads PLY and STL with trimesh, which is given bytes and never a file name."""

import io
import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from bl30k_gen.config import Limits
from bl30k_gen.library.formats.mesh import Material, RawMesh, RawPart, average_colour, linear
from bl30k_gen.library.formats.picture import decode
from bl30k_gen.library.formats.source import Source


def read_ply_or_stl(source: Source, limits: Limits) -> RawMesh:
    """Read a PLY (ASCII or binary; colours, UVs and a ``TextureFile``) or an STL. Raises AssetRefused."""
    suffix = Path(source.name).suffix.lower().removeprefix(".")
    texture_name = _check_ply_header(source, limits) if suffix == "ply" else None
    data = source.data if suffix == "ply" else _stl_alone(source)
    try:
        mesh = trimesh.load_mesh(io.BytesIO(data), file_type=suffix, process=False, skip_materials=True)
        vertices, faces = np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int64)
        visual: Any = mesh.visual
        uv = getattr(visual, "uv", None)
        uv = None if uv is None or not len(faces) else np.asarray(uv, np.float64)[faces]
        colour = None
        if visual.kind in ("vertex", "face"):
            colour = average_colour(linear(np.asarray(visual.vertex_colors)[:, :3] / 255))
    except Exception as error:  # trimesh's readers raise all kinds, and what failed here is always the file
        raise source.refuse(f"is no {suffix.upper()} that can be read ({error or type(error).__name__})") from None
    if texture_name:
        data = source.read(texture_name, limits.image_bytes)
        material = Material((1.0, 1.0, 1.0), decode(data, texture_name, source.refuse, limits, keep_alpha=True))
    else:
        material = Material(colour) if colour else Material()
    return RawMesh(vertices, [RawPart(faces, uv, material)], y_up=False)


def stl_faces(start: bytes, size: int) -> int | None:
    """How many faces a binary STL of ``size`` bytes announces in its first 84; None for one of text.

    Binary ones may begin with ``solid``, too, and may have something behind their faces.
    """
    if len(start) < 84:
        return None
    count = struct.unpack_from("<I", start, 80)[0]
    return count if size == 84 + 50 * count or (size > 84 + 50 * count and b"\0" in start[:80]) else None


def _stl_alone(source: Source) -> bytes:
    """An STL without what is behind its faces. Raises AssetRefused where it is cut off."""
    count = stl_faces(source.data[:84], len(source.data))
    if count is not None:
        return source.data[: 84 + 50 * count]
    if b"facet" not in source.data:
        raise source.refuse("is no STL, or is cut off")
    return source.data


def _check_ply_header(source: Source, limits: Limits) -> str | None:
    """Refuse counts that the file cannot hold, before anyone makes room for them; return the texture's name."""
    header, end, _ = source.data.partition(b"end_header")
    if not end:
        raise source.refuse("is no PLY: its header has no end")
    for name, count in re.findall(rb"^element\s+(\S+)\s+(\d+)", header, re.MULTILINE):
        if int(count[:20]) > len(source.data):
            raise source.refuse(f"is cut off: it announces {int(count[:20])} of {name.decode('ascii', 'replace')}")
        if name == b"face" and int(count) > limits.max_faces:
            raise source.refuse(f"has {int(count)} faces, more than assets.limits.max_faces = {limits.max_faces}")
    texture = re.search(rb"^comment\s+texturefile\s+(.+?)\s*$", header, re.MULTILINE | re.IGNORECASE)
    return texture[1].decode("utf-8", "replace") if texture else None
