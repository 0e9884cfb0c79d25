"""The assets that a scene was planned with, or an error."""

from typing import Literal

from bl30k_gen.errors import UserError
from bl30k_gen.library.load import AssetRefused, Model, Picture, load_asset
from bl30k_gen.scene.spec import AssetRef, SceneSpec


def load_model(reference: AssetRef, spec: SceneSpec) -> Model:
    """Raises UserError: it is missing, has changed since the scene was planned, or is refused."""
    model = _load(reference, "model", spec)
    assert isinstance(model, Model)
    return model


def load_picture(reference: AssetRef, kind: Literal["texture", "background"], spec: SceneSpec) -> Picture:
    """Raises UserError: it is missing, has changed since the scene was planned, or is refused."""
    picture = _load(reference, kind, spec)
    assert isinstance(picture, Picture)
    return picture


def load_models(spec: SceneSpec) -> dict[str, Model]:
    """Every model of a scene by the id of its asset. Raises UserError as ``load_model``."""
    references = {thing.model.id: thing.model for thing in spec.objects}
    return {id: load_model(reference, spec) for id, reference in references.items()}


def _load(reference: AssetRef, kind: str, spec: SceneSpec) -> Model | Picture:
    try:
        asset = load_asset(reference.path, kind, spec.limits)
    except AssetRefused as refusal:
        raise UserError(f"{kind} {reference.id} of scene {spec.name}", str(refusal)) from None
    if asset.sha256 != reference.sha256:
        raise UserError(
            f"{kind} {reference.id} ({reference.path}) has changed since scene {spec.name} was planned",
            "restore the file, or plan the scene again",
        )
    return asset
