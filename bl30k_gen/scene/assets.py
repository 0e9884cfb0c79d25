"""Load the assets of a SceneSpec, and refuse those that have changed since it was planned."""

from collections.abc import Callable
from typing import TypeVar

from bl30k_gen.errors import UserError
from bl30k_gen.library import load
from bl30k_gen.library.asset import AssetKind, AssetRefused, ImageAsset, ImageKind, Model
from bl30k_gen.scene.spec import AssetRef, SceneSpec

Loaded = TypeVar("Loaded", Model, ImageAsset)


def load_model(reference: AssetRef, spec: SceneSpec) -> Model:
    """Load a model. Raises UserError: it is missing, has changed since the scene was planned, or is refused."""
    return _planned(reference, "model", spec, lambda: load.load_model(reference.path, spec.limits))


def load_image(reference: AssetRef, kind: ImageKind, spec: SceneSpec) -> ImageAsset:
    """Load an image. Raises UserError: it is missing, has changed since the scene was planned, or is refused."""
    return _planned(reference, kind, spec, lambda: load.load_image(reference.path, kind, spec.limits))


def load_models(spec: SceneSpec) -> dict[str, Model]:
    """Load every model of a scene, by the id of its asset. Raises UserError as ``load_model``."""
    references = {thing.model.id: thing.model for thing in spec.objects}
    return {id: load_model(reference, spec) for id, reference in references.items()}


def _planned(reference: AssetRef, kind: AssetKind, spec: SceneSpec, load: Callable[[], Loaded]) -> Loaded:
    """Load an asset and compare its digest with that in the scene. Raises UserError if it differs or is refused."""
    try:
        asset = load()
    except AssetRefused as refusal:
        raise UserError(f"{kind} {reference.id} of scene {spec.name}", str(refusal)) from None
    if asset.sha256 != reference.sha256:
        raise UserError(
            f"{kind} {reference.id} ({reference.path}) has changed since scene {spec.name} was planned",
            "restore the file, or plan the scene again",
        )
    return asset
