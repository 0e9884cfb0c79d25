"""The built-in library: procedural shapes, textures and backgrounds, without any download.

A family is a function of a random stream; its variants differ only in the stream's name.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from bl30k_gen.builtin.backgrounds import BACKGROUNDS
from bl30k_gen.builtin.shapes import SHAPES
from bl30k_gen.builtin.textures import TEXTURES
from bl30k_gen.library.asset import AssetKind, ImageKind
from bl30k_gen.seeding import rng

# Raise it with every change of the output of an existing family; tests/builtin/test_builtin.py detects one.
VERSION = 3
LICENCE = "CC0-1.0"
FAMILIES: dict[AssetKind, dict[str, Any]] = {"model": SHAPES, "texture": TEXTURES, "background": BACKGROUNDS}
SIZES: dict[ImageKind, tuple[int, int]]  # width and height in pixels
SIZES = {"texture": (512, 512), "background": (1024, 768)}
VARIANTS = 8  # of each family


def names(kind: AssetKind) -> list[tuple[str, str]]:
    """(family, variant) of all assets of a kind, such as ``("vase", "03")``."""
    return [(family, f"{variant:02d}") for family in sorted(FAMILIES[kind]) for variant in range(VARIANTS)]


def find(path: str, kind: AssetKind) -> tuple[Callable[[], Any], str]:
    """Look up ``builtin:<kind>/<family>/<variant>``: a function that makes the asset, and its digest.

    The function returns a RawMesh or (H, W, 3) uint8 pixels. The digest is that of the name and ``VERSION``: it is
    known before the asset is made, and equal on all processors, while the last bits of arrays may differ.

    Raises:
        KeyError: there is no asset of this kind and name.
    """
    path_kind, *name = path.removeprefix("builtin:").split("/")
    if path_kind != kind or tuple(name) not in names(kind):
        raise KeyError(path)
    family, variant = name
    digest = hashlib.sha256(f"{path} {VERSION}".encode()).hexdigest()
    return lambda: FAMILIES[kind][family](rng(0, "builtin", kind, family, variant)), digest
