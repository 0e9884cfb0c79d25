"""The one loader of assets, and the one list of reasons for refusing them.

Whether an asset is refused depends on its bytes (and the limits in the configuration) alone, so every process
that loads it comes to the same answer. Blender never opens a file from outside: it is given these arrays.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bl30k_gen import builtin
from bl30k_gen.config import Limits
from bl30k_gen.dataset.images import PHOTO
from bl30k_gen.library.asset import AssetKind, AssetRefused, ImageAsset, ImageKind, Model, Part
from bl30k_gen.library.formats.gltf import read_gltf
from bl30k_gen.library.formats.image import decode, fit, fitting
from bl30k_gen.library.formats.mesh import finish
from bl30k_gen.library.formats.obj import read_obj
from bl30k_gen.library.formats.ply import read_ply
from bl30k_gen.library.formats.source import Source
from bl30k_gen.library.formats.stl import read_stl

__all__ = ["AssetRefused", "ImageAsset", "Limits", "Model", "Part", "load_model", "load_image"]

LOADER_VERSION = 2
"""Raise it when what a file gives changes: a dataset is not continued with another version than it was begun with."""

READERS = {
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": read_stl,
    ".glb": read_gltf,
    ".gltf": read_gltf,
}


def load_model(path: str, limits: Limits) -> Model:
    """Load a model completely, with its textures, which keep their alpha.

    ``path`` is a file's or ``builtin:model/<family>/<variant>``.

    Raises:
        AssetRefused: it cannot be used; see docs/assets.md for the reasons.
    """
    if path.startswith("builtin:"):
        make, sha256 = _builtin(path, "model")
        return finish(make(), sha256, limits, lambda reason: AssetRefused(f"{path}: {reason}"), drop_coinciding=False)
    reader = READERS.get(Path(path).suffix.lower())
    if reader is None:
        raise AssetRefused(f"{path}: is no mesh in a known format ({', '.join(READERS)})")
    source = Source(path, limits.mesh_bytes)
    with np.errstate(all="ignore"):  # coordinates that are no numbers, or overflow, are refused at the end
        raw = reader(source, limits)
        return finish(raw, source.sha256(), limits, source.refuse, source.remarks)


def load_image(path: str, kind: ImageKind, limits: Limits) -> ImageAsset:
    """Load the RGB image of a texture or background; a file is decoded at once, a built-in one when it is needed.

    ``path`` is a file's or ``builtin:<kind>/<family>/<variant>``.

    Raises:
        AssetRefused: as ``load_model``.
    """
    if path.startswith("builtin:"):
        make, sha256 = _builtin(path, kind)
        return ImageAsset(fitting(builtin.SIZES[kind], limits), sha256, lambda: fit(make(), limits))
    source = Source(path, limits.image_bytes)
    pixels = decode(source.data, "the image", source.refuse, limits, PHOTO, source.remark)
    return ImageAsset(pixels.shape[1::-1], source.sha256(), lambda: pixels, tuple(source.remarks))


def _builtin(path: str, kind: AssetKind) -> tuple[Callable[[], Any], str]:
    """How to make a built-in asset; its digest."""
    try:
        return builtin.find(path, kind)
    except KeyError:
        raise AssetRefused(f"{path}: is no built-in {kind}") from None
