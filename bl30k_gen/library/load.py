"""The loader of all assets.

Whether an asset is refused depends only on its bytes and the limits in the configuration, so every process decides
alike. Blender never opens asset files; it receives the arrays that are loaded here.
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

LOADER_VERSION = 3
"""Raise it when files are loaded differently than before: a dataset keeps the version it began with."""

READERS = {
    ".obj": read_obj,
    ".ply": read_ply,
    ".stl": read_stl,
    ".glb": read_gltf,
    ".gltf": read_gltf,
}


def load_model(path: str, limits: Limits) -> Model:
    """Load a model completely, with its textures and their alpha.

    Args:
        path: of a file, or ``builtin:model/<family>/<variant>``.

    Raises:
        AssetRefused: it cannot be used; docs/assets.md lists the reasons.
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
    """Load the RGB image of a texture or background. Files are decoded here, built-in images on first use.

    Args:
        path: of a file, or ``builtin:<kind>/<family>/<variant>``.

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
    """The function that makes a built-in asset, and the asset's digest."""
    try:
        return builtin.find(path, kind)
    except KeyError:
        raise AssetRefused(f"{path}: is no built-in {kind}") from None
