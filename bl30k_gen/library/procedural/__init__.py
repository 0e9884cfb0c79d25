"""The built-in library: shapes, textures and backgrounds made by rules, without any download.

A family is a function of a random stream; its variants differ by the stream's name alone.
"""

import functools
import hashlib
from importlib import resources
from typing import Any

from bl30k_gen.library.procedural.backgrounds import BACKGROUNDS
from bl30k_gen.library.procedural.shapes import SHAPES
from bl30k_gen.library.procedural.textures import TEXTURES
from bl30k_gen.seeding import rng

LICENCE = "CC0-1.0"
FAMILIES = {"model": SHAPES, "texture": TEXTURES, "background": BACKGROUNDS}
VARIANTS = 8  # of each family


def names(kind: str) -> list[tuple[str, str]]:
    """(family, variant) of everything of a kind: ``("vase", "03")``."""
    return [(family, f"{variant:02d}") for family in sorted(FAMILIES[kind]) for variant in range(VARIANTS)]


def make(path: str, kind: str) -> tuple[Any, str]:
    """What ``builtin:<kind>/<family>/<variant>`` names: a RawMesh, or (H, W, 3) uint8 pixels; and its digest.

    Raises KeyError if there is nothing of this kind by that name.
    """
    asked, *name = path.removeprefix("builtin:").split("/")
    if asked != kind or tuple(name) not in names(kind):
        raise KeyError(path)
    family, variant = name
    made = FAMILIES[kind][family](rng(0, "builtin", kind, family, variant))
    return made, hashlib.sha256(f"{path} {_rules()}".encode()).hexdigest()


@functools.cache
def _rules() -> str:
    """Digest of the code that makes everything here.

    It stands for the arrays in their digest, because their last bits may differ between processors.
    """
    digest = hashlib.sha256()
    for module in sorted(resources.files(__package__).iterdir(), key=lambda file: file.name):
        if module.name.endswith(".py"):
            digest.update(module.read_bytes())
    return digest.hexdigest()
