"""Chains of stages by name: each begins with the network that the one before has left."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bl30k_gen.errors import UserError
from bl30k_gen.settings import read_yaml
from training.config import ROOT, START, Section, Stage, find, load_stage

RECIPES = ROOT / "recipes"


class Step(Section):
    stage: str
    set: dict[str, Any] = {}  # changes by dotted key


class Recipe(Section):
    about: str
    steps: Annotated[list[Step], Field(min_length=1)]


def recipe_names() -> list[str]:
    return sorted(path.stem for path in RECIPES.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Raises UserError if there is no such recipe or it does not fit."""
    try:
        return Recipe.model_validate(read_yaml(find(name, RECIPES, "recipe", recipe_names()), START))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"recipe {name}: {key}", first["msg"]) from None


def load_steps(
    recipe: Recipe, overrides: list[str], data: list[str], preset: str | None, out: Path
) -> list[tuple[Stage, Path]]:
    """The stages of a recipe with the folders of their runs.

    Arguments are those of ``load_stage``. ``data`` may name sources of any of the stages.
    """
    steps, named = [], set()
    for number, step in enumerate(recipe.steps):
        known = load_stage(step.stage).sources
        own = [place for place in data if _source(place) is None or _source(place) in known]
        named.update(known)
        stage = load_stage(step.stage, overrides, own, preset, step.set)
        steps.append((stage, out / f"{number}-{step.stage.replace('/', '-')}"))
    for place in data:
        if _source(place) not in (None, *named):
            raise UserError(f"--data {place}: no stage has this source", f"sources are {', '.join(sorted(named))}")
    return steps


def _source(place: str) -> str | None:
    name, equals, _ = place.partition("=")
    return name if equals and name.isidentifier() else None
