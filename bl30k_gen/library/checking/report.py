"""Tables of the available assets: by category, or one by one."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bl30k_gen.errors import printable
from bl30k_gen.library.catalogue.listed import Asset
from bl30k_gen.library.catalogue.measure import ImageSize, ModelSize
from bl30k_gen.library.catalogue.select import find_categories
from bl30k_gen.text import aligned


def by_category(assets: Sequence[Asset], names: Mapping[str, tuple[str, ...]]) -> list[dict[str, Any]]:
    """One entry per kind and category; values that need an index are None without one."""
    groups: dict[tuple[str, str], list[Asset]] = {}
    for asset in assets:
        groups.setdefault((asset.kind, asset.category), []).append(asset)
    entries = []
    for (kind, category), members in sorted(groups.items()):
        shapes = [a.row.size for a in members if a.row is not None and isinstance(a.row.size, ModelSize)]
        checked = [a.row.health for a in members if a.row is not None and a.row.health is not None]
        entries.append(
            {
                "kind": kind,
                "category": category,
                "name": names.get(category, (category,))[0],
                "assets": len(members),
                "faces_median": round(statistics.median(s.faces for s in shapes)) if shapes else None,
                "faces_most": max(s.faces for s in shapes) if shapes else None,
                "textured": sum(s.textured for s in shapes) if shapes else None,
                "checked": len(checked),
                "refused": sum(bool(health.refused) for health in checked),
                "licences": dict(Counter(a.licence for a in members).most_common()),
            }
        )
    return entries


def one_by_one(
    assets: Sequence[Asset], categories: Sequence[str], names: Mapping[str, tuple[str, ...]]
) -> list[dict[str, Any]]:
    """One entry per asset of the given categories. Raises UserError if one of them is unknown."""
    wanted = find_categories(categories, {asset.category for asset in assets}, names)
    return [_facts(asset) for asset in assets if asset.category in wanted]


def _facts(asset: Asset) -> dict[str, Any]:
    facts = {key: getattr(asset, key) for key in ("kind", "id", "path", "category", "licence", "author", "source")}
    row = asset.row
    if row is None:
        return facts
    facts |= {"sha256": row.sha256, "bytes": row.bytes}
    if isinstance(row.size, ModelSize):
        size = row.size
        facts |= {"vertices": size.vertices, "faces": size.faces, "low": size.low, "high": size.high}
        facts["textured"] = size.textured
    elif isinstance(row.size, ImageSize):
        facts |= {"width": row.size.width, "height": row.size.height}
    if row.health is not None:
        facts |= {"refused": row.health.refused, "remarks": list(row.health.remarks)}
    return facts


def table(entries: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Entries as a text table of some of their keys."""
    rows = [list(columns), *([_cell(entry.get(column)) for column in columns] for entry in entries)]
    return "\n".join(aligned(rows))


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, dict):
        return ", ".join(f"{key} {count}" if len(value) > 1 else str(key) for key, count in value.items())
    return printable(str(value))
