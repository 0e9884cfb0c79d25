import json

import pytest

from bl30k_gen.dataset import card
from bl30k_gen.scene import spec


def paths(value, prefix=""):
    """Every leaf of nested JSON, as the card writes its path."""
    if isinstance(value, dict):
        return {p for key, inner in value.items() for p in paths(inner, f"{prefix}.{key}" if prefix else key)}
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return {p for inner in value for p in paths(inner, f"{prefix}[]")}
    return {prefix}


def test_the_card_explains_every_field_of_the_metadata_and_no_other(dataset):
    values = json.loads(dataset.metadata("a00000").read_text())
    explained = {path for path, *_ in card.FIELDS}
    present = set()
    for path in paths(values):
        while path and path not in explained:  # tables of their own are explained as a whole
            path = path.rpartition(".")[0]
        present.add(path)
    assert "" not in present
    assert present == explained - {"scene.camera.shake", "scene.objects[].deformation"}  # of some recipes only


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        (spec.SceneSpec, "scene"),
        (spec.CameraSpec, "scene.camera"),
        (spec.ObjectSpec, "scene.objects[]"),
        (spec.LightSpec, "scene.lights[]"),
        (spec.BackdropSpec, "scene.backdrop"),
    ],
)
def test_the_card_explains_every_field_of_a_scene(kind, prefix):
    for name in kind.model_fields:
        path = f"{prefix}.{name}"
        assert any(f == path or f.startswith((f"{path}.", f"{path}[]")) for f, *_ in card.FIELDS), path


def test_the_card_has_the_numbers_of_this_dataset(config):
    text = card.dataset_card(config.model_dump(mode="json"), [("ShapeNetCore.v2", "ShapeNet terms")])
    assert "8 frames of 96x64 pixels and 3 to 5 objects" in text
    assert "JPEG quality 98, chroma 4:4:4" in text
    assert "| ShapeNetCore.v2 | ShapeNet terms |" in text
    assert all(f"`{path}`" in text for path, *_ in card.FIELDS)
    tables = [line for line in text.splitlines() if line.startswith("| `") and line.count("|") == 5]
    assert len(tables) == len(card.FIELDS)
