"""The wheel, installed outside of the checkout: both commands work in an empty folder, also beside a `models/`."""

import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["--set", "video={frames: 4, width: 128, height: 80}", "--set", "render.samples=2"]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Callable[..., str]:
    """installed(command, *arguments, code=0) -> output of an installed command, run beside a package `models`."""
    root = tmp_path_factory.mktemp("installed")
    # A copy of the files in git, so that the checkout gets no build output.
    source = root / "source"
    source.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    names = [name for name in listed.decode().split("\0") if name and (ROOT / name).exists()]
    for name in names:
        if not name.startswith(("docs/", "tests/", "benchmarks/")):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    built = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(root), str(source)]
    subprocess.run(built, check=True)
    (wheel,) = root.glob("*.whl")
    environment = root / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin/python"
    subprocess.run([*pip, "--python", python, "install", "--quiet", "--no-deps", wheel], check=True)
    # Its dependencies come from this environment. A folder in a .pth file does not execute the .pth files in that
    # folder, so the editable installation of the checkout stays invisible.
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "needs.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    folder = root / "work"
    (folder / "models").mkdir(parents=True)
    (folder / "models/__init__.py").write_text("MINE = True\n")
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}

    def run(command: str, *arguments: str, code: int = 0) -> str:
        call = [str(environment / "bin" / command), *arguments]
        done = subprocess.run(call, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_shipped_configurations_are_found_by_name(installed):
    assert installed("bl30k", "--version").startswith("bl30k ")
    assert "\ncrowd " in installed("bl30k", "config", "list")
    assert "count: [8, 12]" in installed("bl30k", "config", "show", "--config", "crowd")
    assert "did you mean demo?" in installed("bl30k", "config", "show", "--config", "demmo", code=2)
    assert "stcn/bl30k" in installed("bl30k-train", "list")
    help_text = installed("bl30k", "config", "show", "--help")
    assert "bl30k config show --config crowd" in help_text and "python generate.py" not in help_text


def test_a_rendered_dataset_is_trained_on_and_evaluated(installed):
    installed("bl30k", "render", "--config", "demo", "--count", "2", "--out", "out", *SMALL)
    installed("bl30k", "verify", "out", "--deep")
    few = [argument for change in ("iterations=2", "runtime.workers=0") for argument in ("--set", change)]
    installed("bl30k-train", "run", "stcn/bl30k", "--preset", "tiny", "--data", "out", "--out", "run", *few)
    assert "J&F" in installed("bl30k-train", "evaluate", "run", "out", "--protocol", "all", "--out", "scores")
    assert "J&F" in installed("bl30k-train", "evaluate", "small", "out", "--protocol", "all", "--out", "small_scores")


def test_a_users_own_models_stay_importable(installed):
    """The commands above ran beside a package `models`; Python there finds that one, not ours."""
    code = "import models, bl30k_gen; assert models.MINE; import importlib.util as u; print(u.find_spec('training'))"
    assert installed("python", "-c", code).strip() == "None"
