"""The layout of ShapeNetCore.v2: ``<synset>/<model>/models/model_normalized.obj``."""

import os
from collections.abc import Iterator
from pathlib import Path

from bl30k_gen.library.folder import Entry

MESH = "models/model_normalized.obj"


def models(folder: str) -> Iterator[Entry]:
    """Models of a ShapeNetCore.v2 folder, or of one synset folder in it, sorted; nothing for any other folder.

    The id is ``<synset>/<model>``, the category the synset. Linked folders and files are left out. A model folder
    without a mesh (the release has some) is no model.
    """
    root = Path(folder).resolve()
    prefix = Path(folder).as_posix()
    for outer in _subfolders(root):
        if _is_mesh(root / outer):  # the folder is itself a synset
            yield Entry(f"{root.name}/{outer}", f"{prefix}/{outer}/{MESH}", root.name)
            continue
        for inner in _subfolders(root / outer):
            if _is_mesh(root / outer / inner):
                yield Entry(f"{outer}/{inner}", f"{prefix}/{outer}/{inner}/{MESH}", outer)


def model_folder(path: Path) -> Path | None:
    """The ``<synset>/<model>`` folder of a mesh in this layout, or None if it is in another."""
    return path.parents[1] if path.as_posix().endswith("/" + MESH) else None


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and not e.name.startswith("."))
    except PermissionError:
        return []


def _is_mesh(model: Path) -> bool:
    mesh = model / MESH
    return mesh.is_file() and not mesh.is_symlink() and not mesh.parent.is_symlink()
