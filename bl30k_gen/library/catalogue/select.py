"""Select the assets that a build draws from: by category, id, size and licence."""

import logging
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from bl30k_gen.config import Selection
from bl30k_gen.errors import UserError, nearest
from bl30k_gen.library.catalogue.licence import fits, parse_requirement
from bl30k_gen.library.catalogue.listed import Asset
from bl30k_gen.seeding import rng

log = logging.getLogger(__name__)

CategoryNames = Mapping[str, tuple[str, ...]]  # category -> its other names


def select_models(models: list[Asset], selection: Selection, names: CategoryNames) -> list[Asset]:
    """The models that a build draws from, in their original order.

    Raises:
        UserError: a category or pattern matches nothing, a number of faces is unknown, or no model is left.
    """
    categories = sorted({model.category for model in models})
    wanted = find_categories(selection.categories, categories, names) if selection.categories else set(categories)
    wanted -= find_categories(selection.hold_out or (), categories, names)
    if selection.category_share is not None:
        low, high = selection.category_share.low, selection.category_share.high
        positions = {category: position_of(category) for category in sorted(wanted)}
        wanted = {category for category, position in positions.items() if low <= position < high}
        if positions and not wanted:
            some = ", ".join(f"{category} at {position:.2f}" for category, position in list(positions.items())[:8])
            raise UserError(f"assets.select.category_share = [{low:g}, {high:g}] holds no category", some)
    kept = [model for model in models if model.category in wanted]
    if selection.include:
        chosen = _matching(models, selection.include, "include")
        kept = [model for model in kept if model.id in chosen]
    if selection.exclude:
        refused = _matching(models, selection.exclude, "exclude")
        kept = [model for model in kept if model.id not in refused]
    if selection.max_faces is not None:
        counts = {model.id: _faces(model) for model in kept}
        if unknown := [id for id, count in counts.items() if count is None]:
            log.warning(
                "assets.select.max_faces leaves out %d models without a count of faces, such as %s; see "
                "`generate.py assets check`",
                len(unknown),
                unknown[0],
            )
        kept = [model for model in kept if (count := counts[model.id]) is not None and count <= selection.max_faces]
    if not kept:
        raise UserError(f"assets.select leaves none of {len(models)} models", "ask for less at once")
    return kept


def find_categories(wanted: Iterable[str], categories: Iterable[str], names: CategoryNames) -> set[str]:
    """Look up categories by their own or another of their names, ignoring case.

    Raises:
        UserError: there is no category of that name; the message suggests the nearest one.
    """
    meant: dict[str, set[str]] = {}
    for category in categories:
        for name in (category, *names.get(category, ())):
            meant.setdefault(name.lower(), set()).add(category)
    found: set[str] = set()
    for name in wanted:
        if name.lower() not in meant:
            hint = nearest(name.lower(), meant, f"there is {', '.join(sorted(meant)[:8])}")
            raise UserError(f"no models of category {name}", hint)
        found |= meant[name.lower()]
    return found


def position_of(category: str) -> float:
    """A fixed pseudo-random number in 0..1 of each category, by which ``category_share`` divides them."""
    return float(rng(0, "category", category).random())


def select_licences(assets: list[Asset], kind: str, licences: list[str]) -> list[Asset]:
    """The assets with one of the wanted licences. Raises UserError if there is none."""
    wanted = parse_requirement(licences)
    kept = [asset for asset in assets if fits(asset.licence, wanted)]
    if not kept:
        there = ", ".join(sorted({asset.licence for asset in assets}))
        raise UserError(f"assets.licences leaves no {kind}: there is {there}", "name more, or write a manifest.jsonl")
    return kept


def _matching(models: list[Asset], patterns: list[str], key: str) -> set[str]:
    """The ids that equal or match a pattern. Raises UserError if a pattern of the setting ``key`` matches none."""
    exact = {model.id for model in models}
    found: set[str] = set()
    for pattern in patterns:
        fitting = {pattern} & exact or {id for id in exact if fnmatchcase(id, pattern)}
        if not fitting:
            hint = nearest(pattern, exact, "see `generate.py assets list --category NAME`")
            raise UserError(f"assets.select.{key}: {pattern} fits no model", hint)
        found |= fitting
    return found


def _faces(model: Asset) -> int | None:
    """The number of faces; None if an index lists the model without. Raises UserError where there is no index."""
    if model.path.startswith("builtin:"):
        return 0  # all built-in models are small
    if model.faces is None and model.row is None:
        raise UserError(
            f"assets.select.max_faces: there is no count of the faces of {model.path}",
            "run `generate.py assets index` on its folder",
        )
    return model.faces
