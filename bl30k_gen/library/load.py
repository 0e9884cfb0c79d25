"""The one loader of assets, and the one list of reasons for refusing them.

Whether an asset is refused depends on its bytes (and the limits in the configuration) alone, so every process
that loads it comes to the same answer. Blender never opens a file from outside: it is given these arrays.
"""

from pathlib import Path

import numpy as np

from bl30k_gen import builtin
from bl30k_gen.config import Limits
from bl30k_gen.dataset.pictures import PHOTO
from bl30k_gen.library.asset import AssetRefused, Model, Part, Picture
from bl30k_gen.library.formats.gltf import read_gltf
from bl30k_gen.library.formats.mesh import finish
from bl30k_gen.library.formats.obj import read_obj
from bl30k_gen.library.formats.picture import decode, fit, fitting
from bl30k_gen.library.formats.ply import read_ply
from bl30k_gen.library.formats.source import Source
from bl30k_gen.library.formats.stl import read_stl

__all__ = ["AssetRefused", "Limits", "Model", "Part", "Picture", "load_asset"]

LOADER_VERSION = 2
"""Raise it when what a file gives changes: a dataset is not continued with another version than it was begun with."""

READERS = {
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": read_stl,
    ".glb": read_gltf,
    ".gltf": read_gltf,
}


def load_asset(path: str, kind: str, limits: Limits) -> Model | Picture:
    """Load a model, or the picture of a texture or background, completely.

    ``path`` is a file's or ``builtin:<kind>/<family>/<variant>``, ``kind`` is ``model``, ``texture`` or
    ``background``. Pictures are RGB; a model's own textures keep their alpha.

    Raises:
        AssetRefused: it cannot be used; see docs/assets.md for the reasons.
    """
    if path.startswith("builtin:"):
        return _builtin(path, kind, limits)
    if kind != "model":
        source = Source(path, limits.image_bytes)
        pixels = decode(source.data, "the image", source, limits, PHOTO)
        return Picture(pixels.shape[1::-1], source.sha256(), lambda: pixels, tuple(source.remarks))
    reader = READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise AssetRefused(f"{path}: is no mesh in a known format ({', '.join(READERS)})")
    source = Source(path, limits.mesh_bytes)
    with np.errstate(all="ignore"):  # coordinates that are no numbers, or overflow, are refused at the end
        raw = reader(source, limits)
        return finish(raw, source.sha256(), limits, source.refuse, source.remarks)


def _builtin(path: str, kind: str, limits: Limits) -> Model | Picture:
    try:
        make, sha256 = builtin.find(path, kind)
    except KeyError:
        raise AssetRefused(f"{path}: is no built-in {kind}") from None
    if kind == "model":
        return finish(make(), sha256, limits, lambda reason: AssetRefused(f"{path}: {reason}"), drop_coinciding=False)
    return Picture(fitting(builtin.SIZES[kind], limits), sha256, lambda: fit(make(), limits))
