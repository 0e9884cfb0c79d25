"""An asset as the catalogue lists it: a model, texture or background that has not been loaded."""

from dataclasses import dataclass

from bl30k_gen.library.asset import AssetKind
from bl30k_gen.library.catalogue import index
from bl30k_gen.library.catalogue.measure import ModelSize


@dataclass(frozen=True)
class Asset:
    id: str  # unique among its kind
    kind: AssetKind
    path: str  # ``builtin:...``, or a file's path, which begins with its folder as the configuration writes it
    category: str  # a synset, a folder's name or a built-in family
    licence: str  # an SPDX identifier, another name, or ``unknown``
    author: str = ""
    source: str = ""  # address of the page that describes it
    title: str = ""
    sha256: str = ""  # of its file, from the folder's manifest
    row: index.IndexRow | None = None  # from the folder's index
    fatal: str = ""  # why it must not be loaded: it crashed the loader in a check

    @property
    def faces(self) -> int | None:
        """Number of faces in a model's file; None if it was not counted."""
        return self.row.size.faces if self.row is not None and isinstance(self.row.size, ModelSize) else None
