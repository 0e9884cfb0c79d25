"""The rules of tests/conftest.py: allowed skips, and folders that are created once."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import SLOW

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import pytest

def test_runs(): pass

def test_a_missing_tool_is_a_reason_to_skip(): pytest.skip("no such tool")

def test_missing_data_are_a_reason_to_skip(shared): pass

def test_a_missing_gpu_is_a_reason_to_skip(): pytest.skip("GPU absent: no CUDA device")

@pytest.mark.xfail
def test_known_fault(): assert False
"""


def run(folder: Path, *arguments: str, ci: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-ra", "--import-mode=importlib", *arguments]
    environment = {**os.environ, "CI": ci, "BL30K_SHARED": str(folder / "nowhere")}
    environment.pop("PYTEST_XDIST_WORKER", None)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture
def project(tmp_path):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "test_some.py").write_text(TESTS)
    return tmp_path


@pytest.mark.parametrize("spread", [(), ("-n1", "--dist=loadfile")], ids=["one process", "xdist"])
def test_in_ci_only_absent_data_and_gpus_are_excuses(project, spread):
    done = run(project, *spread, ci="true")
    assert done.returncode == 1
    assert "1 failed, 1 passed, 2 skipped, 1 xfailed" in done.stdout
    assert "which is a failure with CI=true: no such tool" in done.stdout


def test_outside_ci_a_skip_is_no_failure(project):
    done = run(project, ci="")
    assert done.returncode == 0
    assert "1 passed, 3 skipped, 1 xfailed" in done.stdout


def test_in_ci_a_whole_file_is_not_skipped(project):
    (project / "test_more.py").write_text("import pytest\npytest.importorskip('no_such_package')")
    done = run(project, "test_more.py", ci="true")
    assert done.returncode != 0
    assert "no_such_package" in done.stdout


def test_a_shared_folder_is_created_once_for_all_processes(project):
    body = """
        import os, time, pytest
        def make(folder):
            time.sleep(1)
            (folder / os.environ["PYTEST_XDIST_WORKER"]).touch()
        @pytest.fixture(scope="session")
        def slow(once): return once("slow", make)
        @pytest.mark.parametrize("i", range(3))
        def test_it(slow, i): assert len(list(slow.iterdir())) == 1
    """
    (project / "test_some.py").write_text(textwrap.dedent(body))
    shutil.copy(project / "test_some.py", project / "test_other.py")
    done = run(project, "-n2", "--dist=loadfile", f"--basetemp={project / 'temporary'}", ci="")
    assert "6 passed" in done.stdout
    assert len(list(project.glob("temporary/slow/gw*"))) == 1


def test_every_slow_file_is_there_and_marked():
    slow, fast = "tests/dataset/test_report.py", "tests/dataset/test_masks.py"
    command = [sys.executable, "-m", "pytest", "-n", "0", "--collect-only", "-qq", "-m", "not slow", slow, fast]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout
    assert fast in listed and slow not in listed
    assert [place for place in SLOW if not (ROOT / "tests" / place).exists()] == []
