"""Some faults of the campaign ``benchmarks.faults.system_calls``: one failing system call in each build."""

import errno
import functools
import shutil

import pytest

from benchmarks.faults.system_calls import DONE, STORES, Fault, Wrapper, build, config_of, draw_faults, run

COUNT = 15


@functools.cache
def some_faults() -> list[Fault]:
    return draw_faults(COUNT, seed=1)


@pytest.mark.parametrize("number", range(COUNT))
def test_a_call_that_fails_loses_nothing(number):
    outcome = run(some_faults()[number])
    assert outcome.passed, outcome


def test_the_tested_faults_include_every_kind():
    assert {fault.store for fault in some_faults()} == set(STORES)
    assert DONE in {fault.kind for fault in some_faults()} and len({fault.call for fault in some_faults()}) > 6


def test_the_wrapper_fails_the_given_call(tmp_path):
    (tmp_path / "data").mkdir()
    with (
        pytest.raises(OSError, match="Input/output error"),
        Wrapper(tmp_path / "data", Fault("wrapper", "tar", "symlink", 1, errno.EIO)) as wrapper,
    ):
        build(tmp_path / "data", config_of("tar"))
    assert wrapper.counts["symlink"] == 1


def test_strace_reaches_what_libraries_call():
    if shutil.which("strace"):
        outcome = run(Fault("strace", "hdf5", "fsync", 3, errno.EIO))
        assert outcome.code == 2 and outcome.passed, outcome
