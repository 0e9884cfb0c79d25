"""Recipes: the stages to train in order, and between them the making of fusion data and evaluations."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, ValidationError

from bl30k_gen.errors import UserError
from bl30k_gen.settings import Count, Section, apply_override, first_mistake, merge, read_layers
from training.schema.lookup import PRESETS, RECIPES
from training.schema.stage import PROPAGATION, load_stage

REMEDY = "see `train.py list` for recipes"

_KEYS = ("fusion.", "fusion_data.", "evaluate.")
"""Prefixes of overrides that apply to the recipe, not to its stages."""


class StageStep(Section):
    """Trains a stage, starting from the last stage of the same network."""

    stage: str
    set: dict[str, Any] = {}  # changes by dotted key


class FusionData(Section):
    separation: Count  # frames between references
    range: Count | None  # frames to propagate either way; null goes to the ends of the video
    memory_every: Count  # frames between memory frames


class FusionDataStep(FusionData):
    """Propagates with the network trained last, for the fusion stage that follows."""

    fusion_data: str  # a stage of the recipe, whose videos are taken
    source: str | None = None  # which of its sources, if it has several


class Evaluation(Section):
    protocol: str
    interactive: bool  # the interactive benchmark, too
    options: dict[str, Any]  # fields of training.inference.options.Options; top_k: null reads by softmax


class EvaluateStep(Evaluation):
    """Evaluates the networks trained last, together."""

    evaluate: str  # a stage of the recipe, whose dataset is taken
    source: str | None = None  # which of its sources, if it has several
    split: str  # list in ImageSets


def _kind(step: Any) -> str | None:
    keys = step if isinstance(step, dict) else getattr(step, "__dict__", {})  # a step may be any value of YAML
    return next((kind for kind in ("stage", "fusion_data", "evaluate") if kind in keys), None)


Step = Annotated[
    Annotated[StageStep, Tag("stage")]
    | Annotated[FusionDataStep, Tag("fusion_data")]
    | Annotated[EvaluateStep, Tag("evaluate")],
    Discriminator(
        _kind, custom_error_type="step", custom_error_message="a step has the key stage, fusion_data or evaluate"
    ),
]


class Fusion(Section):
    """How two propagations are merged. Linear blending is not trained, so it removes the steps of fusion."""

    kind: Literal["difference_aware", "agnostic", "linear"]


class Recipe(Section):
    about: str
    fusion: Fusion | None = None
    set: dict[str, Any] = {}  # changes of every stage of a propagation network
    steps: Annotated[list[Step], Field(min_length=1)]


def load_recipe(name: str, overrides: Iterable[str] = (), preset: str | None = None) -> Recipe:
    """A recipe by its name, or from the user's own YAML file.

    Args:
        overrides: those of the recipe are applied, see ``divide_overrides``.
        preset: ``presets/<preset>-pipeline.yaml``, if it exists, changes the steps between stages.

    Raises:
        UserError: there is no such recipe, or it is not valid.
    """
    values = read_layers(RECIPES.find(name), REMEDY, RECIPES.locate)
    changes: dict[str, Any] = {}
    if preset is not None and f"{preset}-pipeline" in PRESETS.names():
        changes = read_layers(PRESETS.find(f"{preset}-pipeline"), REMEDY)
    for override in divide_overrides(overrides)[0]:
        apply_override(changes, override)
    values = merge(values, {"fusion": changes.pop("fusion")} if "fusion" in changes else {})
    if isinstance(values.get("steps"), list):
        values["steps"] = [
            merge(step, changes.get(_kind(step) or "", {})) if isinstance(step, dict) else step
            for step in values["steps"]
        ]
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        key, mistake = first_mistake(error)
        raise UserError(f"recipe {name}: {key}", mistake) from None
    return _without_fusion(recipe) if recipe.fusion and recipe.fusion.kind == "linear" else recipe


def divide_overrides(overrides: Iterable[str]) -> tuple[list[str], list[str]]:
    """Overrides of the recipe (``fusion.kind``, ``fusion_data.separation``, ``evaluate.protocol``), and of stages."""
    overrides = list(overrides)
    ours = [override for override in overrides if override.startswith(_KEYS)]
    return ours, [override for override in overrides if override not in ours]


def changes_of(recipe: Recipe, step: StageStep, network: str) -> dict[str, Any]:
    """What a recipe changes in a stage, by dotted key."""
    common = recipe.set if network in PROPAGATION else {}
    if network == "fusion" and recipe.fusion is not None:
        common = {"model.difference_aware": recipe.fusion.kind == "difference_aware"}
    return common | step.set


def _without_fusion(recipe: Recipe) -> Recipe:
    def is_fusion(step: Step) -> bool:
        return isinstance(step, FusionDataStep) or isinstance(step, StageStep) and _network(step) == "fusion"

    steps = [step for step in recipe.steps if not is_fusion(step)]
    if not steps:
        raise UserError("fusion.kind linear: linear blending is not trained", "choose difference_aware or agnostic")
    return recipe.model_copy(update={"steps": steps})


def _network(step: StageStep) -> str:
    return load_stage(step.stage).network
