"""The GPU benchmark on a machine without one: its dry run and its message."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CALL = [sys.executable, "-m", "benchmarks.speed.gpu_render", "--workers", "1", "2", "--recipes"]


def run(*arguments):
    return subprocess.run([*CALL, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_dry_run_fills_the_table(tmp_path):
    page = tmp_path / "gpu_render.md"
    done = run("bl30k", "bl30k_turbo", "--dry-run", "--results", page)
    assert done.returncode == 0, done.stderr
    text = page.read_text()
    assert text.strip() == done.stdout.strip()
    assert "A dry run on processors: the numbers say nothing about any GPU." in text
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line[:3] in ("| 1", "| 2")
    ]
    assert [(row[0], row[1], row[2]) for row in rows] == [
        (workers, recipe, "processor") for workers in ("1", "2") for recipe in ("bl30k", "bl30k_turbo")
    ]
    for _, _, _, seconds, rate, ratio, memory, psnr in rows:
        assert float(seconds) > 0 and float(rate) > 0 and float(ratio) > 0 and memory
        assert psnr == "inf", "the processor draws what the processor draws"
    assert re.search(r"The very first frame took \d+\.\d s and the same one again \d+\.\d s", text)
    assert "Left out for lack of time: nothing." in text


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there may be a GPU")
def test_without_a_gpu_the_benchmark_says_so():
    done = run("bl30k_turbo")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: Cycles finds no GPU here: run this where there is one")
