"""Threads: one per processor, sleeping while they wait."""

import os
import subprocess
import sys

import pytest

from bl30k_gen.processors import usable
from training.cli.threads import choose_threads


@pytest.mark.parametrize(("text", "limit"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 99), ("", 99)])
def test_a_quota_counts(tmp_path, text, limit):
    (tmp_path / "cpu.max").write_text(text)
    assert usable(tmp_path / "cpu.max") == min(limit, len(os.sched_getaffinity(0)))
    assert usable(tmp_path / "none") == len(os.sched_getaffinity(0))


def test_threads_set_by_the_user_are_kept():
    environment = {"OMP_NUM_THREADS": "7"}
    choose_threads(environment)
    assert environment["OMP_NUM_THREADS"] == "7" and environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_pytorch_uses_the_chosen_threads():
    code = "from training.cli import threads; threads.choose_threads()\nimport torch; print(torch.get_num_threads())"
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["OMP_THREAD_LIMIT"] = "64"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) == usable()
