"""The built-in library: shapes, textures and backgrounds made by rules, without any download.

A family is a function of a random stream; its variants differ by the stream's name alone.
"""

import hashlib
from collections.abc import Callable
from typing import Any

from bl30k_gen.builtin.backgrounds import BACKGROUNDS
from bl30k_gen.builtin.shapes import SHAPES
from bl30k_gen.builtin.textures import TEXTURES
from bl30k_gen.library.asset import AssetKind, ImageKind
from bl30k_gen.seeding import rng

# Raise it with every change of what an existing family makes: tests/builtin/test_builtin.py notices one.
VERSION = 3
LICENCE = "CC0-1.0"
FAMILIES: dict[AssetKind, dict[str, Any]] = {"model": SHAPES, "texture": TEXTURES, "background": BACKGROUNDS}
SIZES: dict[ImageKind, tuple[int, int]]  # width and height in pixels
SIZES = {"texture": (512, 512), "background": (1024, 768)}
VARIANTS = 8  # of each family


def names(kind: AssetKind) -> list[tuple[str, str]]:
    """(family, variant) of everything of a kind: ``("vase", "03")``."""
    return [(family, f"{variant:02d}") for family in sorted(FAMILIES[kind]) for variant in range(VARIANTS)]


def find(path: str, kind: AssetKind) -> tuple[Callable[[], Any], str]:
    """How to make what ``builtin:<kind>/<family>/<variant>`` names, a RawMesh or (H, W, 3) uint8 pixels; its digest.

    The digest is that of the name and of ``VERSION``: it is known before anything is made, and the same on every
    processor, which the last bits of arrays are not.

    Raises KeyError if there is nothing of this kind by that name.
    """
    asked, *name = path.removeprefix("builtin:").split("/")
    if asked != kind or tuple(name) not in names(kind):
        raise KeyError(path)
    family, variant = name
    digest = hashlib.sha256(f"{path} {VERSION}".encode()).hexdigest()
    return lambda: FAMILIES[kind][family](rng(0, "builtin", kind, family, variant)), digest
