"""An asset as the catalogue lists it: a model, texture or background that a build may draw from, not loaded yet."""

from dataclasses import dataclass

from bl30k_gen.library.asset import AssetKind
from bl30k_gen.library.catalogue import index
from bl30k_gen.library.catalogue.measure import ModelSize


@dataclass(frozen=True)
class Asset:
    id: str  # unique among its kind
    kind: AssetKind
    path: str  # ``builtin:...``, or a file below its folder as the configuration writes that folder
    category: str  # a synset, a folder's name or a built-in family
    licence: str  # an SPDX identifier, another name, or ``unknown``
    author: str = ""
    source: str = ""  # address of the page that describes it
    title: str = ""
    sha256: str = ""  # of its file, where the folder's manifest says so
    row: index.IndexRow | None = None  # where the folder has an index
    fatal: str = ""  # why the loader must not even be tried, where a check found that

    @property
    def faces(self) -> int | None:
        """Of a model, as its file has them; None where it was not counted."""
        return self.row.size.faces if self.row is not None and isinstance(self.row.size, ModelSize) else None
