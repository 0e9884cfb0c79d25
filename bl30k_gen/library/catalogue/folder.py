"""Plain folders of meshes or images, at any depth."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SUFFIXES = {
    "model": (".obj", ".ply", ".stl", ".glb", ".gltf"),
    "texture": (".jpg", ".jpeg", ".png", ".webp"),
    "background": (".jpg", ".jpeg", ".png", ".webp"),
}

log = logging.getLogger(__name__)


class FolderEntry(NamedTuple):
    id: str
    path: str
    category: str


class Names(NamedTuple):
    """Names of a folder."""

    own: str  # as ids of assets begin
    path: str  # as paths of assets begin

    @classmethod
    def of(cls, folder: str) -> "Names":
        return cls(Path(folder).resolve().name, Path(folder).as_posix())


def files(folder: str, suffixes: tuple[str, ...]) -> Iterator[FolderEntry]:
    """Files below ``folder`` with one of the suffixes, sorted; see ``walk`` and ``entry``."""
    names = Names.of(folder)
    for parent, found in walk(Path(folder).resolve()):
        yield from (entry(names, parent + name) for name in found if name.lower().endswith(suffixes))


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of the files in it) below ``root``, sorted; a folder is written as ``""`` or ``"a/b/"``.

    Hidden files and folders are left out. A folder that cannot be read, or that is a link, is skipped with a warning,
    and so are links to files outside of ``root``.
    """
    for parent, subfolders, names in os.walk(root, onerror=warn_unread):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        warn_of_links(parent, [name for name in subfolders if os.path.islink(os.path.join(parent, name))])
        relative = Path(parent).relative_to(root).as_posix()
        visible = (name for name in sorted(names) if not name.startswith("."))
        yield "" if relative == "." else f"{relative}/", [n for n in visible if _stays(root, parent, n)]


def entry(names: Names, file: str) -> FolderEntry:
    """A file, given by its path relative to the folder, as an asset.

    Its id is that path after the folder's own name; its category is the name of the file's parent folder.
    """
    id = f"{names.own}/{file}"
    return FolderEntry(id, f"{names.path}/{file}", id.rsplit("/", 2)[-2])


def warn_of_links(parent: str | Path, names: list[str]) -> None:
    if names:
        log.warning("%s: %d linked folders are left out, such as %s; copy them", parent, len(names), names[0])


def warn_unread(error: OSError) -> None:
    log.warning("%s is left out: %s", error.filename, error.strerror)


def _stays(root: Path, parent: str, name: str) -> bool:
    path = os.path.join(parent, name)
    try:
        return not os.path.islink(path) or Path(path).resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link that leads back to itself
        return False
