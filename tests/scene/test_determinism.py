"""What a scene is made of may depend on named streams only: not on global random state, the clock or the process."""

import ast

import pytest

from .conftest import ROOT

ROOMS = ("scene", "library")
# Waits between requests and measures how long they take; decides nothing about any video.
NEEDS_THE_CLOCK = {"library/download.py": {"time"}}
BANNED_MODULES = {"random", "secrets", "time", "datetime", "uuid", "bpy", "blenderproc", "torch", "pickle"}
ALLOWED_OF_NP_RANDOM = {"Generator"}  # as a type
BANNED_CALLS = {"hash", "eval", "exec"}  # of text, `hash` differs from process to process


def offences(source: str, allowed: frozenset[str] | set[str] = frozenset()) -> list[str]:
    found, banned = [], BANNED_MODULES - allowed
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = []
        found += [f"line {node.lineno}: imports {n}" for n in names if n.split(".")[0] in banned]
        found += [f"line {node.lineno}: imports {n}" for n in names if n.startswith("numpy.random")]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            if node.value.attr == "random" and node.attr not in ALLOWED_OF_NP_RANDOM:
                found.append(f"line {node.lineno}: uses random.{node.attr}")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BANNED_CALLS:
            found.append(f"line {node.lineno}: calls {node.func.id}()")
    return found


@pytest.mark.parametrize(
    "path", [p for room in ROOMS for p in sorted((ROOT / "bl30k_gen" / room).rglob("*.py"))], ids=lambda p: p.name
)
def test_no_hidden_source_of_chance(path):
    allowed = NEEDS_THE_CLOCK.get(f"{path.parent.name}/{path.name}", frozenset())
    assert offences(path.read_text(encoding="utf-8"), allowed) == []


@pytest.mark.parametrize(
    "source",
    ["import random", "from time import time", "import numpy as np\nnp.random.seed(0)", "np.random.default_rng()",
     "from numpy.random import default_rng", "import uuid as u", "x = hash('a')", "import torch.nn"],
)  # fmt: skip
def test_the_search_finds_it(source):
    assert offences(source)
