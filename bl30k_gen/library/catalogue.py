"""The index the sampler draws from: which models, textures and backgrounds there are, in a fixed order.

An asset's id does not say where its folder lies, so the same assets give the same videos on every machine.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from bl30k_gen.config import Assets
from bl30k_gen.errors import UserError
from bl30k_gen.library import folder, procedural, shapenet

Kind = Literal["model", "texture", "background"]


@dataclass(frozen=True)
class Asset:
    id: str  # unique among its kind
    kind: Kind
    path: str  # ``builtin:...``, or a file below its folder as the configuration writes that folder
    category: str  # a synset, a folder's name or a built-in family
    licence: str  # an SPDX identifier or ``unknown``


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
        for kind in get_args(Kind):
            assets = sorted(self.of(kind), key=lambda asset: asset.id)
            for one, other in zip(assets, assets[1:], strict=False):
                if one.id == other.id:
                    raise UserError(
                        f"assets.{kind}s: {one.path} and {other.path} have the same id {one.id}",
                        "give the two folders different names, or list one of them only",
                    )
            object.__setattr__(self, f"{kind}s", tuple(assets))

    def of(self, kind: Kind) -> tuple[Asset, ...]:
        return {"model": self.models, "texture": self.textures, "background": self.backgrounds}[kind]

    def find(self, kind: Kind, id: str) -> Asset:
        """The asset with this id. Raises UserError with the nearest known id if there is none."""
        known = {asset.id: asset for asset in self.of(kind)}
        if id not in known:
            near = difflib.get_close_matches(id, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"the catalogue holds {len(known)}, such as {min(known)}"
            raise UserError(f"no {kind} {id} in assets.{kind}s", hint)
        return known[id]

    def digest(self) -> str:
        """SHA-256 of the sorted (kind, id) list; equal digests mean that the sampler has the same choice."""
        names = sorted((kind, asset.id) for kind in get_args(Kind) for asset in self.of(kind))
        return hashlib.sha256(json.dumps(names).encode()).hexdigest()


def open_catalogue(assets: Assets) -> Catalogue:
    """List what the configuration points at. No asset is opened, so a large tree takes seconds.

    Raises:
        UserError: a folder is missing or holds nothing of its kind, or two assets have the same id.
    """
    return Catalogue(
        models=tuple(_gather("model", assets.models)),
        textures=tuple(_gather("texture", assets.textures)),
        backgrounds=tuple(_gather("background", assets.backgrounds)),
    )


def _gather(kind: Kind, sources: list[str]) -> Iterable[Asset]:
    for source in sources:
        if source == "builtin":
            for family, variant in procedural.names(kind):
                path = f"builtin:{kind}/{family}/{variant}"
                yield Asset(f"builtin/{family}/{variant}", kind, path, family, procedural.LICENCE)
            continue
        key = f"assets.{kind}s"
        if not Path(source).is_dir():
            problem = "is not a folder" if Path(source).exists() else "does not exist"
            raise UserError(f"{key}: {source} {problem}", f"give an existing folder or `builtin` as {key}")
        found = list(shapenet.models(source)) if kind == "model" else []
        found = found or list(folder.files(source, folder.SUFFIXES[kind]))
        if not found:
            wanted = ", ".join(folder.SUFFIXES[kind])
            raise UserError(
                f"{key}: {source} holds no {kind}", f"put files there that end in {wanted}, or use `builtin`"
            )
        for entry in found:
            yield Asset(entry.id, kind, entry.path, entry.category, "unknown")
