"""Plain folders of meshes or images, at any depth."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIXES = {
    "model": (".obj", ".ply", ".stl", ".glb", ".gltf"),
    "texture": (".jpg", ".jpeg", ".png", ".webp"),
    "background": (".jpg", ".jpeg", ".png", ".webp"),
}


class Entry(NamedTuple):
    id: str
    path: str
    category: str


def files(folder: str, suffixes: tuple[str, ...]) -> Iterator[Entry]:
    """Files below ``folder`` with one of the suffixes, sorted; hidden ones are left out.

    The id is the folder's own name and the file's place in it, the category the name of the folder that the file
    is in. Linked folders are not followed, nor linked files whose target is outside ``folder``.
    """
    root = Path(folder).resolve()
    for parent, subfolders, names in os.walk(root):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            file = Path(parent, name)
            if name.startswith(".") or file.suffix.lower() not in suffixes:
                continue
            if file.is_symlink() and not file.resolve().is_relative_to(root):
                continue
            relative = file.relative_to(root).as_posix()
            yield Entry(f"{root.name}/{relative}", f"{Path(folder).as_posix()}/{relative}", file.parent.name)
