"""Authors and licences of the assets of a dataset, from its metadata and the manifests of the asset folders."""

import csv
import io
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bl30k_gen import builtin
from bl30k_gen.config import Assets
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import AssetKind
from bl30k_gen.library.catalogue.catalogue import folder_assets
from bl30k_gen.library.catalogue.licence import UNKNOWN, fits, licence_address
from bl30k_gen.library.catalogue.listed import Asset
from bl30k_gen.text import plural

KINDS: tuple[AssetKind, ...] = ("model", "texture", "background")
MARKDOWN, CSV = "CREDITS.md", "credits.csv"  # in a dataset's root
COLUMNS = ("kind", "id", "title", "author", "licence", "licence_url", "source", "sha256", "videos")
MAX_NAMED = 10  # assets of each kind that a report names: those with the most uses
_FORMULA_STARTS = tuple("=+-@\t")  # with which a cell is a formula for spreadsheets

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AssetUse:
    """An asset of a dataset. ``licence`` is ``unknown`` if no source states it, or the file has changed since."""

    kind: str
    id: str
    title: str
    author: str
    licence: str
    source: str
    sha256: str
    videos: int

    @property
    def licence_url(self) -> str:
        return licence_address(self.licence)


def asset_numbers(used: Iterable[AssetUse]) -> dict[str, Any]:
    """Statistics by kind: numbers of assets and uses, licences, and the most used assets."""
    kinds: dict[str, list[AssetUse]] = {}
    for asset in used:
        kinds.setdefault(asset.kind, []).append(asset)
    return {
        kind: {
            "assets": len(members),
            "uses": sum(asset.videos for asset in members),
            "licences": dict(Counter(sorted(asset.licence for asset in members)).most_common()),
            "most_used": [
                {"id": a.id, "author": a.author, "licence": a.licence, "videos": a.videos}
                for a in sorted(members, key=lambda a: (-a.videos, a.id))[:MAX_NAMED]
            ],
        }
        for kind, members in kinds.items()
    }


class AssetUses:
    """Counts in how many scenes each asset is used."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], tuple[Mapping[str, str], int]] = {}

    def add(self, scene: Mapping[str, Any]) -> None:
        """Count the assets of a SceneSpec in JSON; nothing if it is invalid.

        Raises:
            KeyError, TypeError, AttributeError: it is no SceneSpec.
        """
        references = {
            (kind, str(reference["id"])): {key: str(reference[key]) for key in ("id", "path", "sha256")}
            for kind, reference in _references(scene)
        }
        for key, reference in references.items():
            self._uses[key] = reference, self._uses.get(key, (reference, 0))[1] + 1

    def credits(self, assets: Assets | None, recorded: Iterable[AssetUse] = ()) -> list[AssetUse]:
        """Every asset with its credit, sorted by kind and id.

        Args:
            assets: the folders whose manifests give the credits; a missing folder is skipped with a warning.
            recorded: credits from the dataset's own ``credits.csv``, for assets that the folders do not credit.

        Raises:
            UserError: a folder's manifest is damaged.
        """
        known = _known(assets) if assets is not None else {}
        before = {(asset.kind, asset.id, asset.sha256): asset for asset in recorded}
        used = []
        for kind, id in sorted(self._uses, key=lambda key: (KINDS.index(key[0]), key[1])):
            reference, videos = self._uses[kind, id]
            asset = _used(kind, reference, videos, known.get((kind, id)))
            if asset.licence == UNKNOWN:
                asset = replace(before.get((kind, id, reference["sha256"]), asset), videos=videos)
            used.append(asset)
        return used


def unfit(used: Iterable[AssetUse], wanted: tuple[str, ...]) -> list[AssetUse]:
    """The assets whose licence is not among ``wanted``."""
    return [asset for asset in used if not fits(asset.licence, wanted)]


def _references(scene: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, str]]]:
    for thing in scene["objects"]:
        yield "model", thing["model"]
        if thing["texture"] is not None:
            yield "texture", thing["texture"]
    yield "background", scene["backdrop"]["image"]


def _known(assets: Assets) -> dict[tuple[str, str], Asset]:
    """The assets of all folders by kind and id."""
    known: dict[tuple[str, str], Asset] = {}
    for kind in KINDS:
        for source in getattr(assets, f"{kind}s"):
            if source == "builtin":
                continue
            if not Path(source).is_dir():
                log.warning("%s does not exist: no source says whose its %ss are", source, kind)
                continue
            known |= {(kind, asset.id): asset for asset in folder_assets(kind, source)}
    return known


def _used(kind: str, reference: Mapping[str, str], videos: int, asset: Asset | None) -> AssetUse:
    id, sha256 = reference["id"], reference["sha256"]
    if reference["path"].startswith("builtin:"):
        return AssetUse(kind, id, "", "the built-in library", builtin.LICENCE, "", sha256, videos)
    if asset is None or (kind != "model" and asset.sha256 not in ("", sha256)):
        return AssetUse(kind, id, "", "", UNKNOWN, "", sha256, videos)
    return AssetUse(kind, id, asset.title, asset.author, asset.licence, asset.source, sha256, videos)


# --- As files -----------------------------------------------------------------------------------------------------


def as_markdown(used: list[AssetUse], name: str) -> str:
    """A page to publish with a dataset."""
    lines = [f"# Credits of {_escaped(name)}", "", f"{plural(len(used), 'asset')}.", ""]
    for kind in KINDS:
        members = [asset for asset in used if asset.kind == kind]
        if members:
            lines += [f"## {kind.capitalize()}s", "", "| Asset | Author | Licence | Videos |", "|---|---|---|---|"]
            for asset in members:
                title = _linked(asset.title or asset.id, asset.source)
                shown = f"{title} (`{_code(asset.id)}`)" if asset.title else title
                licence = _linked(asset.licence, asset.licence_url)
                lines.append(f"| {shown} | {_escaped(asset.author) or 'unknown'} | {licence} | {asset.videos} |")
            lines.append("")
    return "\n".join(lines)


def write(used: list[AssetUse], name: str, folder: Path) -> None:
    """Write ``CREDITS.md`` and ``credits.csv``. Raises UserError if that is impossible."""
    write_atomically(folder / MARKDOWN, as_markdown(used, name))
    write_atomically(folder / CSV, as_csv(used))


def as_csv(used: list[AssetUse]) -> str:
    """One line per asset, with a header. A cell that would be a formula is prefixed with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(COLUMNS)
    for asset in used:
        cells = (str(getattr(asset, column)) for column in COLUMNS)
        writer.writerow(f"'{cell}" if cell[:1] in _FORMULA_STARTS else cell for cell in cells)
    return buffer.getvalue()


def from_csv(text: str, source: object) -> list[AssetUse]:
    """Read what ``as_csv`` wrote. Raises UserError naming ``source`` if it is something else."""
    try:
        fields = [column for column in COLUMNS if column != "licence_url"]  # derived from the licence
        rows = [{field: _plain(row[field]) for field in fields} for row in csv.DictReader(io.StringIO(text))]
        return [AssetUse(videos=int(row.pop("videos")), **row) for row in rows]
    except (csv.Error, KeyError, TypeError, ValueError):
        raise UserError(f"{source} is no list of credits", "delete it, and write it again") from None


def recorded(store: VideoStore) -> list[AssetUse]:
    """Read the ``credits.csv`` of a dataset; an empty list if it has none. Raises UserError as ``from_csv``."""
    if not store.tree.exists(CSV):
        return []
    return from_csv(store.tree.read(CSV).decode(errors="replace"), store.path / CSV)


def _plain(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:2] in _FORMULA_STARTS else cell


def _linked(text: str, address: str) -> str:
    safe = re.fullmatch(r"https?://[^\s<>()\[\]|\"`]+", address)
    return f"[{_escaped(text)}]({address})" if safe else _escaped(text)


def _escaped(text: str) -> str:
    """Untrusted text as Markdown that shows it literally."""
    return re.sub(r"([\\`*_\[\]|<>#&!])", r"\\\1", text)


def _code(text: str) -> str:
    return text.replace("`", "'").replace("|", "\\|")
