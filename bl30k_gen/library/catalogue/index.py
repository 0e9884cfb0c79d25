"""``.bl30k/index.json`` in a folder of assets: its files and their measurements, so that builds need not scan it.

The index replaces listing the folder only while it is current: it is ignored once a folder of the tree has changed.
Updating it keeps the measurements and check results of unchanged files.
"""

import hashlib
import json
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from bl30k_gen.config import Limits
from bl30k_gen.dataset.files import clear_disk_errors, user_cache, write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_json
from bl30k_gen.library.catalogue import folder as plain
from bl30k_gen.library.catalogue import shapenet
from bl30k_gen.library.catalogue.licence import Credit
from bl30k_gen.library.catalogue.measure import ImageSize, Measured, ModelSize, measure

PLACE = ".bl30k/index.json"
SCHEMA = 1
MIN_BYTES_PER_WORKER = 16 << 20  # fewer are read before another process has started
LAYOUTS = {"folder": plain, "shapenet": shapenet}
Progress = Callable[[Iterable[Any], int], Iterable[Any]]  # wraps an iterable of known length to show progress

log = logging.getLogger(__name__)


class Health(NamedTuple):
    """The result of ``assets check`` for one asset."""

    refused: str  # the reason; empty if the asset can be used
    fatal: bool  # the loader crashed or hung, so loading is not tried again
    remarks: tuple[str, ...]  # on an asset that can be used


class IndexRow(NamedTuple):
    """One file. In JSON a list of these values, in which ``size`` and ``credit`` are lists, too."""

    file: str  # path relative to the folder
    bytes: int
    mtime_ns: int
    sha256: str  # of the file itself; empty if it cannot be read
    size: ModelSize | ImageSize | None
    credit: Credit | None  # from the file itself
    health: Health | None  # None: not checked


@dataclass
class Index:
    layout: str  # a key of LAYOUTS
    folders: dict[str, int]  # relative path -> mtime in ns, which changes when a file is added or removed
    rows: dict[str, IndexRow]
    limits: Limits | None = None  # with which the assets were checked
    loader: int = 0  # version of the loader that checked them
    complete: bool = True  # False if measuring was interrupted


@dataclass
class Changes:
    """Differences between a folder and its previous index."""

    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    unchanged: int = 0


def place(folder: str | Path) -> Path:
    """The path of a folder's index: in the folder, or in the user's cache if the folder is read-only."""
    own = Path(folder) / PLACE
    if _may_be_written(own.parent if own.parent.exists() else Path(folder)):
        return own
    name = hashlib.sha256(os.fsencode(Path(folder).resolve())).hexdigest()[:32]
    cached = user_cache() / "indexes" / f"{name}.json"
    return cached if cached.exists() or not own.exists() else own


def _may_be_written(folder: Path) -> bool:
    return os.access(folder, os.W_OK)


def read(folder: str | Path) -> Index | None:
    """Read a folder's index; None if it has none, or a damaged one (with a warning)."""
    path = place(folder)
    try:
        tree = read_json(path, "index the folder again", limit=1 << 30)
        if tree["schema"] != SCHEMA:
            log.warning("%s is of another version: run `generate.py assets index %s`", path, folder)
            return None
        limits = Limits.model_validate(tree["limits"]) if tree["limits"] else None
        rows = {row[0]: _row(row) for row in tree["rows"]}
        if tree["layout"] not in LAYOUTS:
            raise ValueError(tree["layout"])
        complete, loader = bool(tree["complete"]), int(tree.get("loader", 1))
        return Index(tree["layout"], dict(tree["folders"]), rows, limits, loader, complete)
    except FileNotFoundError:
        return None
    except (UserError, OSError, ValueError, TypeError, KeyError, IndexError):
        log.warning("%s is damaged: run `generate.py assets index %s`", path, folder)
        return None


def write(folder: str | Path, index: Index) -> None:
    """Write a folder's index. Raises UserError: the folder may not be written, or the disk is full."""
    head = {
        "schema": SCHEMA,
        "layout": index.layout,
        "complete": index.complete,
        "limits": index.limits.model_dump() if index.limits else None,
        "loader": index.loader,
        "folders": index.folders,
    }
    lines = [json.dumps(head)[:-1] + ', "rows": [']
    lines.append(",\n".join(json.dumps(_plain(row), separators=(",", ":")) for row in index.rows.values()))
    write_atomically(place(folder), "\n".join([*lines, "]}"]) + "\n")


def is_current(folder: str | Path, index: Index) -> bool:
    """Whether no folder of the tree has changed since: costs one stat per folder, and no listing."""
    return index.complete and all(_mtime(Path(folder, place)) == time for place, time in index.folders.items())


def update(folder: str, workers: int, progress: Progress = lambda items, _: items) -> tuple[Index, Changes]:
    """Bring a folder's index up to date and write it. An interrupted update is saved, and continued by the next one.

    Raises:
        UserError: it is no folder, holds no assets, or may not be written.
    """
    root = Path(folder)
    if not root.is_dir():
        raise UserError(f"{folder} is no folder", "give a folder of models or images")
    if place(folder) == root / PLACE:
        with clear_disk_errors(root / PLACE):
            (root / PLACE).parent.mkdir(exist_ok=True)  # changes the folder's mtime, so before that is read
    before = read(folder)
    layout, folders, files = _list(root)
    if not files:
        raise UserError(f"{folder} holds no assets", f"put files there that end in {', '.join(_SUFFIXES)}")
    known = before.rows if before else {}
    index = Index(layout, folders, {}, *((before.limits, before.loader) if before else ()))
    changes, stale = Changes(removed=sorted(known.keys() - set(files))), []
    for file in files:
        stamp, row = _stamp(root / file), known.get(file)
        if row is not None and (row.bytes, row.mtime_ns) == stamp:
            changes.unchanged += 1
            index.rows[file] = row
        else:
            (changes.added if row is None else changes.changed).append(file)
            stale.append((file, *stamp))
    try:
        for row in progress(_measured(root, stale, workers), len(stale)):
            index.rows[row.file] = row
    except BaseException:
        index.complete = False
        write(folder, index)
        raise
    index.rows = {file: index.rows[file] for file in files}
    if before != index:
        write(folder, index)
    return index, changes


_SUFFIXES = plain.SUFFIXES["model"] + plain.SUFFIXES["texture"]


def _list(root: Path) -> tuple[str, dict[str, int], list[str]]:
    """The layout of a folder, its subfolders with their mtimes, and its assets."""
    for layout in ("shapenet", "folder"):
        folders: dict[str, int] = {}
        files: list[str] = []
        for place, names in LAYOUTS[layout].walk(root.resolve()):
            folders[place] = _mtime(root / place)
            if layout == "shapenet":
                files += names
            else:
                files += (place + name for name in names if name.lower().endswith(_SUFFIXES))
        if files:
            break
    return layout, folders, files


def _measured(root: Path, stale: list[tuple[str, int, int]], workers: int) -> Iterator[IndexRow]:
    """Measure files, given as (file, bytes, mtime_ns)."""
    paths = [str(root / file) for file, *_ in stale]
    if workers <= 1 or sum(size for _, size, _ in stale) < workers * MIN_BYTES_PER_WORKER:
        yield from (_new_row(entry, measure(path)) for entry, path in zip(stale, paths, strict=True))
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        try:
            found = pool.map(measure, paths, chunksize=min(32, 1 + len(stale) // (8 * workers)))
            yield from (_new_row(entry, measured) for entry, measured in zip(stale, found, strict=True))
        finally:
            pool.shutdown(cancel_futures=True)


def _new_row(entry: tuple[str, int, int], measured: Measured) -> IndexRow:
    return IndexRow(*entry, measured.sha256, measured.size, measured.credit, None)


def is_unchanged(folder: str | Path, row: IndexRow) -> bool:
    """Whether a file has the size and mtime that it had when it was measured."""
    return _stamp(Path(folder, row.file)) == (row.bytes, row.mtime_ns)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


def _mtime(path: Path) -> int:
    return _stamp(path)[1]


def _plain(row: IndexRow) -> list[Any]:
    size: list[Any] | None = None
    if isinstance(row.size, ModelSize):
        size = [row.size.vertices, row.size.faces, row.size.low, row.size.high, row.size.textured]
    elif row.size is not None:
        size = [row.size.width, row.size.height]
    said = row.credit
    credit = said and [said.licence, said.author, said.source, said.title]
    return [row.file, row.bytes, row.mtime_ns, row.sha256, size, credit, row.health]


def _row(values: list[Any]) -> IndexRow:
    file, size_bytes, mtime_ns, sha256, size, credit, health = values
    if size is not None:
        if len(size) == 5:
            vertices, faces, low, high, textured = size
            size = ModelSize(vertices, faces, low and tuple(low), high and tuple(high), textured)
        else:
            size = ImageSize(*size)
    if health is not None:
        health = Health(health[0], health[1], tuple(health[2]))
    return IndexRow(file, size_bytes, mtime_ns, sha256, size, Credit(*credit) if credit else None, health)
