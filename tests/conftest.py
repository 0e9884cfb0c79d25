"""Fixtures and rules for all tests: shared data, allowed skips, and folders that are created once.

A test may be skipped for three reasons only, and its message must begin with the reason: ``shared data absent``,
``GPU absent``, or ``published reader absent`` for a package that conflicts with the pinned versions. With ``CI=true``
in the environment any other skip fails.

``pytest -n N --dist loadfile --no-loadscope-reorder`` gives all tests of a file to one process, so that their shared
fixtures are created once, and keeps the order of the files. Slow fixtures of several files, such as a rendered
dataset, are created by ``once``.
"""

import fcntl
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

# A video of this dataset takes about two seconds.
TINY = [
    *("--config", str(ROOT / "render_configs/demo.yaml")),
    *("--set", "video={frames: 6, width: 128, height: 80}"),
    *("--set", "motion.location_speed=0.4", "--set", "motion.rotation_speed=0.3"),
    *("--set", "render.samples=4", "--set", "dataset.val_share=0.34"),
]
# Files whose tests take seconds, mostly for Blender, networks or processes: left out by `pytest -m "not slow"`.
SLOW = (
    "annotations/",
    "blender/",
    "builtin/test_builtin.py",
    "cluster/test_simulate.py",
    "cluster/test_slurm.py",
    "cluster/test_status.py",
    "dataset/test_pack.py",
    "dataset/test_remote.py",
    "dataset/test_report.py",
    "export/test_derived.py",
    "export/test_run.py",
    "library/catalogue/test_credits.py",
    "library/checking/",
    "library/fetch/test_download.py",
    "library/formats/test_peoples_models.py",
    "models/",
    "render/",
    "scene/test_extent.py",
    "scene/test_raster.py",
    "test_cli.py",
    "test_conftest.py",
    "test_installed.py",
    "training/annotator/",
    "training/cli/",
    "training/data/test_data.py",
    "training/engine/",
    "training/evaluation/test_interactive.py",
    "training/evaluation/test_robot.py",
    "training/experiments/",
    "training/inference/",
    "training/interactive/",
    "training/pipeline/",
    "training/runs/",
    "training/tasks/",
    "training/test_campaigns.py",
    "training/test_gpu_benchmarks.py",
    "training/test_strangers.py",
    "training/test_transfer.py",
)
EXCUSES = ("shared data absent", "GPU absent", "published reader absent")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import the files that ``-m "not slow"`` leaves out."""
    return True if config.option.markexpr == "not slow" and _is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests and run them first, so that no process is left alone with a slow file at the end."""
    for item in items:
        if _is_slow(item.path):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: not _is_slow(item.path))


def _is_slow(path: Path) -> bool:
    return path.is_relative_to(HERE) and f"{path.relative_to(HERE).as_posix()}/".startswith(SLOW)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos, meshes, photos and golden numbers, which are not part of the repository."""
    folder = Path(os.environ.get("BL30K_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"shared data absent: {folder} (the environment variable BL30K_SHARED names their folder)")
    return folder


@pytest.fixture(scope="session")
def davis(shared) -> Path:
    """Twelve videos of DAVIS-2016."""
    return shared / "data/davis"


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """``once(name, make) -> Path``: a folder that ``make(folder)`` fills once for all test processes.

    Other processes wait while one fills it. Tests must not change its contents.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # shared by the processes of one run

    def made(name: str, make: Callable[[Path], None]) -> Path:
        folder, unfinished = base / name, base / f"{name}.part"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                unfinished.mkdir(exist_ok=True)
                make(unfinished)
                unfinished.rename(folder)
        return folder

    return made


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    """Flags of the tiny recipe."""
    return TINY


@pytest.fixture(scope="session")
def generate() -> Callable[..., subprocess.CompletedProcess]:
    """Run ``python generate.py ...`` as a user would; fails the test unless it ends with ``code``."""

    from tests.support import commands  # not at the head: a test copies this file alone

    def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess:
        done = commands.run("generate.py", *arguments)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return run


@pytest.fixture(scope="session")
def rendered(once, generate) -> Path:
    """A dataset of three videos of the tiny recipe. Read it, copy it, never change it."""
    return once("rendered", lambda folder: generate("render", *TINY, "--out", folder, "--count", 3))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    return _without_excuse_a_failure((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _without_excuse_a_failure((yield))


def _without_excuse_a_failure(report):
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(EXCUSES):
            report.outcome = "failed"
            report.longrepr = f"{report.nodeid} is skipped, which is a failure with CI=true: {reason}"
    return report
