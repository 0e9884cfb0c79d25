"""Sections of settings: what is refused, and in which words."""

from pathlib import Path

import pytest

from bl30k_gen.config import load_config
from bl30k_gen.errors import UserError
from bl30k_gen.settings import CountInterval, Interval, Section, difference, flatten, known_keys, load_section

ROOT = Path(__file__).parents[1]


class Inner(Section):
    speed: Interval
    count: CountInterval | None = None


class Outer(Section):
    name: str
    inner: Inner | None


@pytest.fixture
def load(tmp_path):
    """load(text, *overrides): a section from a file with this text."""

    def read(text, *overrides):
        (tmp_path / "own.yaml").write_text(text)
        return load_section(Outer, tmp_path / "own.yaml", overrides, "give another file")

    return read


def test_sections_are_typed_frozen_and_overridden(load):
    outer = load("{name: a, inner: {speed: [1, 2]}}", "inner.count=[3, 3]")
    assert outer.inner.speed == (1.0, 2.0) and outer.inner.count == (3, 3)
    with pytest.raises(ValueError, match="frozen"):
        outer.name = "b"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{nam: a, inner: null, name: b}", "unknown key nam: did you mean name?"),
        ("{name: a, inner: {sped: [1, 2], speed: [1, 2]}}", "unknown key inner.sped: did you mean inner.speed?"),
        ("{name: a, inner: null, qqqqq: 1}", "unknown key qqqqq: known are name, inner"),
        ("{name: a}", "key inner is missing"),
        ("{name: a, inner: {speed: [2, 1]}}", r"inner.speed = \[2, 1\]: must be \[smallest, largest\]"),
        ("{name: a, inner: {speed: [1, 2], count: [0, 2]}}", "inner.count.0 = 0"),
        ("{name: a, inner: {speed: [1, .inf]}}", "inner.speed.1 = inf"),
    ],
)
def test_a_mistake_is_one_line_with_its_key(load, text, said):
    with pytest.raises(UserError, match=f"own.yaml: {said}") as error:
        load(text)
    assert "\n" not in str(error.value)


def test_every_interval_of_a_recipe_is_in_order():
    for key in ("lights.count", "objects.count", "objects.scale", "lights.power"):
        with pytest.raises(UserError, match=rf"{key}.*smallest, largest"):
            load_config(ROOT / "render_configs/demo.yaml", [f"{key}=[3, 2]"])


def test_keys_are_known_in_sections_that_may_be_absent():
    assert known_keys(Outer) == ["name", "inner", "inner.speed", "inner.count"]


def test_flat_mappings_differ_by_key():
    ours, theirs = flatten({"a": {"b": 1, "c": 2}}), flatten({"a": {"b": 1}, "d": {}})
    assert ours == {"a.b": 1, "a.c": 2} and difference(ours, theirs) == {"a.c": (2, None), "d": (None, {})}
