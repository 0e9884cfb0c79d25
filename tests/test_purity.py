"""A video depends on its seed alone: no global random numbers, clocks or unique names where it is decided."""

import ast
from pathlib import Path

import pytest

ROOMS = [Path(__file__).parents[1] / "bl30k_gen" / room for room in ("scene", "library", "builtin")]
MODULES = sorted(module for room in ROOMS for module in room.rglob("*.py"))
# Waits between requests and measures their time; no video depends on it.
NEEDS_THE_CLOCK = {"fetch/download.py": {"time"}}
BANNED_IMPORTS = {"random", "time", "uuid", "secrets", "datetime", "bpy", "blenderproc", "torch", "pickle"}
ALLOWED_OF_NUMPY_RANDOM = {"Generator"}  # as a type; streams come from bl30k_gen.seeding


def offences(source: str, allowed: frozenset[str] | set[str] = frozenset()) -> list[str]:
    found, banned = [], BANNED_IMPORTS - allowed
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            if node.module in ("numpy", "os"):
                names += [alias.name for alias in node.names if alias.name in ("random", "urandom")]
        else:
            names = []
        found += [f"line {node.lineno}: imports {n}" for n in names if n.split(".")[0] in banned | {"urandom"}]
        found += [f"line {node.lineno}: imports {n}" for n in names if n.startswith("numpy.random")]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute):
            if ast.unparse(node.value) in ("np.random", "numpy.random") and node.attr not in ALLOWED_OF_NUMPY_RANDOM:
                found.append(f"line {node.lineno}: {ast.unparse(node)}")
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "os.urandom":
            found.append(f"line {node.lineno}: os.urandom")
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("hash", "eval", "exec")
        ):
            found.append(f"line {node.lineno}: {node.func.id}()")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: f"{module.parent.name}/{module.name}")
def test_module_is_a_function_of_its_arguments(module):
    allowed = NEEDS_THE_CLOCK.get(f"{module.parent.name}/{module.name}", frozenset())
    assert offences(module.read_text(encoding="utf-8"), allowed) == []


def test_every_pure_package_is_scanned():
    assert {room.name for room in ROOMS} <= {module.relative_to(ROOMS[0].parent).parts[0] for module in MODULES}


@pytest.mark.parametrize(
    "line",
    [
        "import random",
        "import time",
        "from uuid import uuid4",
        "from numpy import random",
        "from numpy.random import default_rng",
        "import numpy as np\nnp.random.seed(0)",
        "import numpy as np\nnp.random.default_rng()",
        "import os\nos.urandom(4)",
        "hash('name')",
    ],
)
def test_the_lint_finds_banned_calls(line):
    assert offences(line)
