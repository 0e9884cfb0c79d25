"""What tests of all rooms share: the shared data, what may be skipped, and how tests are spread over processes.

A test may be skipped for two reasons only, which its message begins with: ``shared data absent`` or ``GPU absent``.
With ``CI=true`` in the environment any other skip fails.

``pytest -n N --dist loadgroup`` gives all tests of one file to one process, so that what a file's tests share is made
once. All tests that ask for one of the fixtures in ``ONE_PROCESS`` go to one process, too, whatever their file.
"""

import os
from pathlib import Path

import pytest

EXCUSES = ("shared data absent", "GPU absent")
ONE_PROCESS = {"rendered"}  # fixtures that take minutes


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real videos, meshes, photos and golden numbers, which are no part of the repository."""
    folder = Path(os.environ.get("BL30K_SHARED", Path(__file__).resolve().parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip(f"shared data absent: {folder} (the environment variable BL30K_SHARED names their folder)")
    return folder


@pytest.fixture(scope="session")
def davis(shared) -> Path:
    """Twelve videos of DAVIS-2016."""
    return shared / "data/davis"


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            slow = ONE_PROCESS.intersection(item.fixturenames)
            item.add_marker(pytest.mark.xdist_group(min(slow) if slow else item.path.stem))


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
