"""Corruptions of JSON, JSON lines and YAML: values of other types and sizes, keys, nesting, tags."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from benchmarks.faults.odd_files.registry import ESCAPE, GLTF, JSON, LINES, YAML, corruption

ODD_VALUES: list[Any] = [
    None,
    "",
    ESCAPE,
    "../../etc/passwd",
    "a\nb",
    -1,
    0,
    1 << 70,
    1e300,
    True,
    [],
    {},
    [[]],
    "x" * 70_000,
    float("nan"),
    float("inf"),
    {"a": {"b": []}},
    "ü\ud800",
    2**31,
    1.5,
    [1, 2, 3],
    "\0",
]


def _key_paths(value: Any, path: tuple = ()) -> Iterator[tuple]:
    """The paths of keys and list indices that lead to every value inside ``value``."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _key_paths(inner, (*path, key))


def _container(value: Any, path: tuple) -> Any:
    """The dictionary or list that holds the value at ``path``."""
    for key in path[:-1]:
        value = value[key]
    return value


def with_odd_value(value: Any, rng: random.Random) -> Any:
    """Replace one inner value by an odd one, or delete it; changes ``value`` in place and returns it."""
    paths = list(_key_paths(value))
    depth = rng.choice(sorted({len(path) for path in paths}))  # depths alike: most values are in lists
    path = rng.choice([path for path in paths if len(path) == depth])
    container = _container(value, path)
    if rng.random() < 0.25:
        del container[path[-1]]
    else:
        container[path[-1]] = rng.choice(ODD_VALUES)
    return value


@corruption((JSON, GLTF), "either", variants=8)
def odd_value(path: Path, rng: random.Random) -> None:
    path.write_text(json.dumps(with_odd_value(json.loads(path.read_text()), rng), indent=1))


@corruption((LINES,), "either", variants=8)
def odd_value_in_a_line(path: Path, rng: random.Random) -> None:
    lines = path.read_text().splitlines()
    at = rng.randrange(len(lines))
    lines[at] = json.dumps(with_odd_value(json.loads(lines[at]), rng))
    path.write_text("\n".join([*lines, ""]))


@corruption((YAML,), "either", variants=8)
def odd_value_in_yaml(path: Path, rng: random.Random) -> None:
    path.write_text(yaml.safe_dump(with_odd_value(yaml.safe_load(path.read_text()), rng), allow_unicode=True))


@corruption((JSON, GLTF), "invalid", variants=2)
def other_type(path: Path, rng: random.Random) -> None:
    path.write_text(rng.choice(["null", "[]", "3", '"text"', "[{}]", "true", "1e999", "{} {}"]))


@corruption((JSON, LINES, GLTF), "either")
def deep_nesting(path: Path, rng: random.Random) -> None:
    path.write_text('{"a":' * 200_000 + "1" + "}" * 200_000 + "\n")


@corruption((JSON, GLTF), "either")
def duplicate_key(path: Path, rng: random.Random) -> None:
    text = path.read_text()
    key = next(iter(json.loads(text)))
    path.write_text(text.replace("{", f'{{"{key}": 7, ', 1))


@corruption((JSON, GLTF), "either")
def million_digits(path: Path, rng: random.Random) -> None:
    path.write_text(path.read_text().replace("{", '{"extra": ' + "9" * 1_000_000 + ", ", 1))


@corruption((LINES,), "either")
def lines_of_other_types(path: Path, rng: random.Random) -> None:
    path.write_text(path.read_text() + 'null\n[]\n3\n"x"\n{}\n{"event": []}\n{"iteration": {}}\nNaN\n')


@corruption((YAML,), "invalid", variants=6)
def odd_yaml(path: Path, rng: random.Random) -> None:
    bomb = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    texts = [
        bomb,
        "a: !!python/object/apply:os.system [touch evil]\n",
        "a: 2026-13-45\n",
        f"a: {'9' * 5000}\n",
        "a: !!int abc\n",
        "a: &a [*a]\n",
        "\ta: 1\n",
        "a: 1\na: 2\n",
        "[" * 50_000,
        "--- 1\n--- 2\n",
        "? [a]\n: 1\n",
        "<<: [1, 2]\n",
        "a: !!binary '*'\n",
        "text\n",
        "a: *nothing\n",
        "%YAML 9.9\n---\na: 1\n",
        "a: !!timestamp x\n",
    ]
    path.write_text(rng.choice(texts))


@corruption((YAML,), "invalid", variants=2)
def odd_extends(path: Path, rng: random.Random) -> None:
    bases = [path.name, "nosuch.yaml", "/dev/zero", "..", "[a, b]", "'a\0b'", '"\\e[31m.yaml"', "3", "/proc/self/mem"]
    path.write_text(f"extends: {rng.choice(bases)}\n")
