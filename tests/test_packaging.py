"""Packaging: declared dependencies, their pins, and the import order of packages."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"bl30k_gen", "models", "training"}

# The import order: a package imports only packages below it in this list. The longest matching name counts.
IMPORT_ORDER = {
    "bl30k_gen": [
        "__main__",
        "cli",
        "cluster",
        "render.tools",
        "render",
        "render.output",
        "render.child",
        "render.process",
        "blender",
        "export",
        "annotations",
        "scene",
        "library.fetch",
        "library.checking",
        "library.catalogue",
        "library.cache",
        "library.load",
        "builtin",
        "library.formats",
        "library.asset",
        "dataset",
        "config",
        "resources",
        "settings",
        "inputs",
        "remote",
        "seeding",
        "line_process",
        "processors",
        "text",
        "platforms",
        "errors",
        "command_line",
        "version",
    ],
    "training": [
        "cli",
        "pipeline",
        "annotator",
        "experiments",
        "engine",
        "tasks",
        "interactive",
        "inference",
        "runs",
        "data",
        "evaluation",
        "schema",
    ],
    "models": [],
}
TORCH = {"torch", "torchvision", "models", "training"}  # never in bl30k_gen
NOT_BLENDER = ("bl30k_gen.scene", "bl30k_gen.dataset", "bl30k_gen.library", "bl30k_gen.builtin", "bl30k_gen.render")
BLENDER = {"bpy", "blenderproc", "mathutils"}  # for bl30k_gen.blender alone
TRAINING_MAY_USE = tuple(
    f"bl30k_gen.{part}"
    for part in (
        *("command_line", "dataset", "errors", "inputs", "platforms", "processors"),
        *("seeding", "settings", "text", "version"),
    )
)
# Films and masks in other formats have one writer each.
WRITERS = {"training.inference.film": "bl30k_gen.export.encoders", "training.annotator.exports": "bl30k_gen.export"}
MODELS_MAY_USE = {"models", "torch", "torchvision", "numpy"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names_of(requirements: list[str]) -> set[str]:
    return {canonical(re.match(r"[\w.-]+", requirement)[0]) for requirement in requirements}


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict((canonical(n), v) for n, v in (line.split("==") for line in lines if line and line[0] != "#"))


DECLARED = {"base": names_of(PROJECT["dependencies"])} | {
    extra: names_of(requirements) for extra, requirements in PROJECT["optional-dependencies"].items()
}


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of ours by its dotted name."""
    files = [f for package in sorted(OURS) for f in sorted((ROOT / package).rglob("*.py"))]
    dotted = {f: ".".join(f.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for f in files}
    return {name: ast.parse(f.read_text(encoding="utf-8")) for f, name in dotted.items()}


def imports(tree: ast.Module) -> set[str]:
    """What a module imports anywhere in it; ``from a import b`` counts as ``a.b``."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def level(name: str) -> tuple[str, int | None]:
    """(top package, place in its import order); None for the top package itself."""
    top, _, rest = name.partition(".")
    found = [package for package in IMPORT_ORDER[top] if within(rest, package)]
    return top, IMPORT_ORDER[top].index(max(found, key=len)) if found else None


def backward(module: str, used: set[str]) -> set[str]:
    """What a module imports from above itself."""
    top, own = level(module)
    others = {name: level(name) for name in used if name.split(".")[0] == top}
    return {name for name, (_, place) in others.items() if None not in (own, place) and place < own}


def offences(module: str, tree: ast.Module) -> set[str]:
    used = imports(tree)
    forbidden = TORCH if within(module, "bl30k_gen") else set()
    if any(within(module, package) for package in NOT_BLENDER):  # it runs in a child process
        forbidden = forbidden | {"bl30k_gen.blender"}
    if not within(module, "bl30k_gen.blender"):
        forbidden = forbidden | BLENDER
    found = {u for u in used if any(within(u, name) for name in forbidden)}
    found |= backward(module, used)
    outside = {u for u in used if u.split(".")[0] not in sys.stdlib_module_names}
    if within(module, "models"):
        found |= {u for u in outside if u.split(".")[0] not in MODELS_MAY_USE}
    if within(module, "training"):
        ours = {u for u in outside if within(u, "bl30k_gen")}
        may = (*TRAINING_MAY_USE, *filter(None, [WRITERS.get(module)]))
        found |= {u for u in ours if not any(within(u, package) for package in may)}
    return found


def test_packages_import_only_what_they_may():
    assert {name: bad for name, tree in modules().items() if (bad := offences(name, tree))} == {}


def test_every_module_has_its_place():
    packages = {f"{top}.{package}" for top, below in IMPORT_ORDER.items() for package in below}
    unknown = {n for n in modules() if level(n)[1] is None and not any(within(package, n) for package in packages)}
    assert unknown == {n for n in modules() if within(n, "models")}  # one package, whose modules have no order


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bl30k_gen.cli", "def f():\n    import torch.nn"),
        ("bl30k_gen.config", "from training import engine"),
        ("bl30k_gen.scene.spec", "from bl30k_gen import blender"),
        ("bl30k_gen.library.load", "import bpy"),
        ("bl30k_gen.dataset.report", "from bl30k_gen.library.catalogue import credits"),
        ("bl30k_gen.builtin.shapes", "from bl30k_gen.library.load import load_model"),
        ("bl30k_gen.render.output.lease", "import bl30k_gen.render.supervisor"),
        ("training.evaluation.metrics", "from training.inference.propagate import propagate"),
        ("training.data.mixture", "def f():\n    from training.tasks import losses"),
        ("bl30k_gen.blender.build", "from bl30k_gen.render.staging import stage"),
        ("models.stm", "import scipy"),
        ("models.stm", "from bl30k_gen.errors import UserError"),
        ("training.engine.trainer", "from bl30k_gen.config import load_config"),
        ("training.engine.trainer", "from bl30k_gen.export.run import export"),
    ],
)
def test_offending_imports_are_found(module, source):
    assert offences(module, ast.parse(source))


def test_imported_packages_are_declared():
    """bl30k_gen runs on the base packages, its Blender child with [render], some export formats with [export], URLs
    with [cloud], models and training with [train], the browser page with [annotate] in addition."""
    distributions = {top: {canonical(n) for n in names} for top, names in packages_distributions().items()}
    undeclared = set()
    for module, tree in modules().items():
        extras = [
            e
            for e, p in (("render", "blender"), ("export", "export"), ("cloud", "remote"))
            if within(module, f"bl30k_gen.{p}")
        ]
        allowed = DECLARED["base"].union(*(DECLARED[extra] for extra in extras))
        if not within(module, "bl30k_gen"):
            allowed |= DECLARED["train"] | (DECLARED["annotate"] if within(module, "training.annotator") else set())
        for top in {name.split(".")[0] for name in imports(tree)} - sys.stdlib_module_names - OURS - {"mathutils"}:
            if not distributions.get(top, {canonical(top)}) & allowed:
                undeclared.add(f"{module} imports {top}")
    assert undeclared == set()


def test_the_wheel_has_every_package():
    """``models`` and ``training`` are installed inside ``bl30k_training``, folders of data inside ``bl30k_gen``."""
    folders = {f.parent.relative_to(ROOT) for package in sorted(OURS) for f in (ROOT / package).rglob("*.py")}
    names = {".".join(folder.parts) for folder in folders}
    code = {name if within(name, "bl30k_gen") else f"bl30k_training.{name}" for name in names}
    data = {"assets", "render_configs", "render_configs.variants", "slurm"}
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    assert set(listed) == code | {"bl30k_training"} | {f"bl30k_gen.{name}" for name in data}
    assert listed == sorted(listed)


def test_every_declared_package_is_pinned_within_its_range():
    pinned = pins()
    for requirement in map(Requirement, sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])):
        assert requirement.specifier.contains(pinned[canonical(requirement.name)]), requirement


def test_the_tests_run_on_the_pinned_versions():
    differences = {}
    for name, pinned in pins().items():
        try:
            installed = version(name).split("+")[0]
        except PackageNotFoundError:
            continue
        if installed != pinned:
            differences[name] = f"{installed} is installed, {pinned} is pinned"
    assert differences == {}


def test_the_base_needs_neither_blender_nor_torch():
    assert not DECLARED["base"] & {"bpy", "blenderproc", "torch", "torchvision"}
    assert PROJECT["requires-python"] == ">=3.11,<3.14"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_reader_is_fast():
    """All of ``bl30k_gen.dataset`` in under 0.3 s (of processor time: others may be busy here, too)."""
    names = [name for name in modules() if within(name, "bl30k_gen.dataset")]
    code = (
        "import importlib, sys, time; start = time.process_time()\n"
        f"for name in {names}: importlib.import_module(name)\n"
        "print(time.process_time() - start)\n"
        "print(*sorted({'bpy', 'h5py', 'pydantic', 'scipy', 'torch', 'yaml'} & set(sys.modules)))"
    )
    seconds, heavy = zip(*(run(code).split("\n")[:2] for _ in range(3)), strict=True)
    assert set(heavy) == {""}
    assert min(map(float, seconds)) < 0.3


def test_the_commands_start_without_blender_and_torch():
    code = "import sys, bl30k_gen.cli\nprint(*sorted({'bpy', 'blenderproc', 'h5py', 'torch'} & set(sys.modules)))"
    assert run(code).strip() == ""
