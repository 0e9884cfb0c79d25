"""What several rooms' tests share: real data, and one small dataset rendered once a session."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# A video of this dataset takes about two seconds.
TINY = [
    *("--config", str(ROOT / "render_configs/demo.yaml")),
    *("--set", "video={frames: 6, width: 128, height: 80}"),
    *("--set", "motion.location_speed=0.4", "--set", "motion.rotation_speed=0.3"),
    *("--set", "render.samples=4", "--set", "dataset.val_share=0.34"),
]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data that some tests use."""
    folder = Path(os.environ.get("BL30K_SHARED", ROOT.parent / "shared"))
    if not (folder / "data").is_dir():
        pytest.skip(f"shared data absent: {folder} (name another place in BL30K_SHARED)")
    return folder


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Flags of the tiny recipe."""
    return TINY


@pytest.fixture(scope="session")
def generate() -> Callable[..., subprocess.CompletedProcess]:
    """Run ``python generate.py ...`` as a user would; fails the test unless it ends with ``code``."""

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess:
        command = [sys.executable, str(ROOT / "generate.py"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def rendered(tmp_path_factory, generate) -> Path:
    """A dataset of three videos of the tiny recipe. Read it, copy it, never change it."""
    out = tmp_path_factory.mktemp("rendered") / "tiny"
    generate("render", *TINY, "--out", out, "--count", 3)
    return out
