"""Sections of settings: refusals and their messages."""

from pathlib import Path

import pytest

from bl30k_gen.config import load_config
from bl30k_gen.errors import UserError
from bl30k_gen.settings import (
    CountInterval,
    Interval,
    Section,
    apply_override,
    difference,
    flatten,
    known_keys,
    load_section,
    read_layers,
    read_yaml,
)

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


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "too long with its aliases"),
        ("a: &a [*a]", "stands for what it is in"),
        ("seed: 1\nseed: 2", "line 2 is not YAML: key seed stands there twice"),
        ("{a: {b: 1, b: 1}}", "key b stands there twice"),
        ("a: 2026-13-45", "has a value that cannot be"),
        ("a: " + "9" * 5000, "has a value that cannot be"),
        ("a: !!int abc", "has a value that cannot be"),
        ("a: !!python/object:os.system {}", "is not YAML"),
        ("a: \0", "is not YAML"),
        ("a: " + "[" * 50_000, "nested too deeply|is not YAML"),
        ("? [a, b]\n: 1\n", ""),
        ("[]", "holds no keys"),
        ("", "holds no keys"),
    ],
)
def test_a_yaml_of_any_kind_is_read_or_refused_in_one_line(tmp_path, text, said):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=said) as error:
        read_yaml(path, "give another")
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_legitimate_aliases_are_read(tmp_path):
    (tmp_path / "x.yaml").write_text("a: &a {b: [1, 2]}\nc: *a\nd: {<<: *a, e: 1}\n")
    assert read_yaml(tmp_path / "x.yaml", "")["d"] == {"b": [1, 2], "e": 1}


def test_the_file_that_extends_is_named(tmp_path):
    (tmp_path / "x.yaml").write_text("extends: nosuch.yaml\n")
    with pytest.raises(UserError, match=r"x\.yaml extends nosuch\.yaml, which does not exist"):
        read_layers(tmp_path / "x.yaml", "give another")


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("a=/data/set #2", "/data/set #2"),
        ("a=[1, 2]", [1, 2]),
        ("a='x #1'", "x #1"),
        ("a=1e-4", 1e-4),
        ("a=-2.5E+3", -2500.0),
        ("a='1e-4'", "1e-4"),
        ("a=[1e-4, '1e-4', .5e3]", [1e-4, "1e-4", 500.0]),
        ("a={b: 1e-3}", {"b": 1e-3}),
        ("a='2017'", "2017"),
        ("a=02958343", "02958343"),
        ("a={b: 1}", {"b": 1}),
        ("a=null", None),
        ("a=#", None),
    ],
)
def test_a_value_reads_back_as_written(override, value):
    values = {}
    apply_override(values, override)
    assert values == {"a": value}


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    values = {}
    apply_override(values, "assets.models=[~/m]")
    apply_override(values, "one=~/a #2")
    (tmp_path / "x.yaml").write_text("assets: {models: ~/models, textures: a~/b}\n")
    assert values == {"assets": {"models": ["/home/me/m"]}, "one": "/home/me/a #2"}
    assert read_yaml(tmp_path / "x.yaml", "")["assets"] == {"models": "/home/me/models", "textures": "a~/b"}


@pytest.mark.parametrize("change", ["objects.count=3", "lights.power=3", "lights.power=[1]"])
def test_one_number_for_an_interval_is_explained(change):
    with pytest.raises(UserError, match=r"give \[smallest, largest\]"):
        load_config(ROOT / "render_configs/bl30k.yaml", [change])


@pytest.mark.parametrize(
    "change",
    [
        "video.frames=1000000000",
        "lights.count=[1, 100000]",
        "render.samples=100000000",
        "runtime.videos_per_child=1e30",
    ],
)
def test_numbers_have_upper_bounds(change):
    with pytest.raises(UserError):
        load_config(ROOT / "render_configs/bl30k.yaml", [change])
