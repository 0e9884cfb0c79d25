"""The catalogue that the sampler draws from: all available models, textures and backgrounds, in a fixed order.

An asset's id does not depend on the location of its folder, so the same assets give the same videos everywhere.
"""

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from bl30k_gen import builtin
from bl30k_gen.config import Assets
from bl30k_gen.errors import UserError, nearest
from bl30k_gen.library.asset import AssetKind
from bl30k_gen.library.catalogue import folder, index, shapenet
from bl30k_gen.library.catalogue.listed import Asset
from bl30k_gen.library.catalogue.manifest import Manifest
from bl30k_gen.library.catalogue.select import select_licences, select_models

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Catalogue:
    """All assets of a build, each kind sorted by id.

    Raises:
        UserError: two assets of a kind have the same id.
    """

    models: tuple[Asset, ...]
    textures: tuple[Asset, ...]
    backgrounds: tuple[Asset, ...]

    def __post_init__(self) -> None:
        for kind in get_args(AssetKind):
            assets = sorted(self.of(kind), key=lambda asset: asset.id)
            for one, other in zip(assets, assets[1:], strict=False):
                if one.id == other.id:
                    raise UserError(
                        f"assets.{kind}s: {one.path} and {other.path} have the same id {one.id}",
                        "give the two folders different names, or list one of them only",
                    )
            object.__setattr__(self, f"{kind}s", tuple(assets))

    def of(self, kind: AssetKind) -> tuple[Asset, ...]:
        return {"model": self.models, "texture": self.textures, "background": self.backgrounds}[kind]

    def find(self, kind: AssetKind, id: str) -> Asset:
        """The asset with this id. Raises UserError with the nearest known id if there is none."""
        known = {asset.id: asset for asset in self.of(kind)}
        if id not in known:
            hint = nearest(id, known, f"the catalogue holds {len(known)}, such as {min(known)}")
            raise UserError(f"no {kind} {id} in assets.{kind}s", hint)
        return known[id]

    def digest(self) -> str:
        """SHA-256 of the sorted (kind, id) list; with equal digests the sampler draws from the same assets."""
        names = sorted((kind, asset.id) for kind in get_args(AssetKind) for asset in self.of(kind))
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def open_catalogue(assets: Assets) -> Catalogue:
    """List and filter the assets of a configuration. No asset is opened.

    Raises:
        UserError: a folder is missing or holds nothing of its kind, two assets have the same id, or a filter leaves
            nothing.
    """
    listed = {kind: list(_list(kind, getattr(assets, f"{kind}s"))) for kind in get_args(AssetKind)}
    if assets.select is not None:
        listed["model"] = select_models(listed["model"], assets.select, category_names(assets.models))
    if assets.licences is not None:
        listed = {kind: select_licences(of_kind, kind, assets.licences) for kind, of_kind in listed.items()}
    return Catalogue(*(tuple(listed[kind]) for kind in get_args(AssetKind)))


def category_names(sources: list[str]) -> dict[str, tuple[str, ...]]:
    """Alternative names of the categories of models, the most common one first."""
    names: dict[str, tuple[str, ...]] = {}
    for source in sources:
        if source != "builtin":
            names |= shapenet.category_names(source)
    return names


def _list(kind: AssetKind, sources: list[str]) -> Iterator[Asset]:
    """All assets of a kind, built-in or from folders. Raises UserError as ``open_catalogue``."""
    for source in sources:
        if source == "builtin":
            for family, variant in builtin.names(kind):
                path = f"builtin:{kind}/{family}/{variant}"
                yield Asset(f"builtin/{family}/{variant}", kind, path, family, builtin.LICENCE)
            continue
        key = f"assets.{kind}s"
        if not Path(source).is_dir():
            problem = "is not a folder" if Path(source).exists() else "does not exist"
            raise UserError(f"{key}: {source} {problem}", f"give an existing folder or `builtin` as {key}")
        found = list(folder_assets(kind, source))
        if not found:
            wanted = ", ".join(folder.SUFFIXES[kind])
            raise UserError(
                f"{key}: {source} holds no {kind}", f"put files there that end in {wanted}, or use `builtin`"
            )
        yield from found


def folder_assets(kind: AssetKind, source: str) -> Iterator[Asset]:
    """The assets of a kind in a folder, with their entries in its manifest and index."""
    stored = index.read(source)
    current = stored is not None and index.is_current(source, stored)
    if stored is not None and not current:
        log.warning("the index of %s is out of date and not used: run `generate.py assets index %s`", source, source)
    rows = stored.rows if stored else {}
    manifest, prefix = Manifest(source), len(Path(source).as_posix()) + 1
    for entry in _entries(kind, source, stored if current else None):
        file = entry.path[prefix:]
        row = rows.get(file)
        credit, sha256 = manifest.of(file, row.credit if row else None)
        health = row.health if row else None
        dangerous = health is not None and health.fatal
        fatal = health.refused if row and health and dangerous and index.is_unchanged(source, row) else ""
        yield Asset(
            *(entry.id, kind, entry.path, entry.category),
            *(credit.licence, credit.author, credit.source, credit.title),
            *(sha256, row, fatal),
        )


def _entries(kind: AssetKind, source: str, stored: index.Index | None) -> list[folder.FolderEntry]:
    """The assets of a kind in a folder; the index, if given, replaces listing the folder."""
    if stored is not None and (kind == "model" or stored.layout == "folder"):
        layout, names = index.LAYOUTS[stored.layout], folder.Names.of(source)
        return [layout.entry(names, file) for file in stored.rows if file.lower().endswith(folder.SUFFIXES[kind])]
    found = list(shapenet.models(source)) if kind == "model" else []
    return found or list(folder.files(source, folder.SUFFIXES[kind]))
