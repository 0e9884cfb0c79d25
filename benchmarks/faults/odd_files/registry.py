"""The corruptions of all kinds of files: their type, and the decorator that registers them."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Validity = Literal["invalid", "valid", "either"]
Change = Callable[[Path, random.Random], None]

TEXT, JSON, LINES, YAML, IMAGE, MASK = "text", "json", "lines", "yaml", "picture", "mask"
TAR, HDF5, VIDEO, NPZ, WEIGHTS = "tar", "hdf5", "video", "npz", "weights"
OBJ, MTL, GLTF, GLB, PLY, STL = "obj", "mtl", "gltf", "glb", "ply", "stl"
TEXTS = (TEXT, JSON, LINES, YAML, OBJ, MTL, GLTF)
IMAGES = (IMAGE, MASK)
BINARIES = (*IMAGES, TAR, HDF5, VIDEO, NPZ, WEIGHTS, GLB, PLY, STL)
ALL = (*TEXTS, *BINARIES)
ESCAPE = "\x1b[31mred\x1b[0m\x07"
"""Escape sequences of a terminal; no command may print them."""


@dataclass(frozen=True)
class Corruption:
    """A change that makes a valid file strange.

    kinds: of files that it applies to.
    validity: of the changed file. "invalid": no reader can make sense of it; "valid": it means what it meant before;
        "either": depends on the file and the random numbers.
    change: changes or replaces the file at a path.
    variants: number of different files that it makes of one, as a weight in the campaign.
    """

    name: str
    kinds: tuple[str, ...]
    validity: Validity
    change: Change
    variants: int = 1


CORRUPTIONS: list[Corruption] = []

UNCHANGED = Corruption("unchanged", ALL, "valid", lambda path, rng: None)
"""Leaves a file as it is: the commands must succeed on valid files."""


def corruption(kinds: tuple[str, ...], validity: Validity, variants: int = 1) -> Callable[[Change], Change]:
    """Register the decorated function as a corruption of ``kinds`` of files, named after the function."""

    def register(change: Change) -> Change:
        name = change.__name__.replace("_", " ")
        CORRUPTIONS.append(Corruption(name, kinds, validity, change, variants))
        return change

    return register


def corruptions_of(kind: str) -> Iterator[Corruption]:
    """The corruptions for a kind of file, each repeated by its number of variants."""
    for candidate in CORRUPTIONS:
        if kind in candidate.kinds:
            yield from [candidate] * candidate.variants
