"""SIGTERM and SIGINT stop resumable commands at any point, with one line."""

import os
import signal
import time

import pytest
import typer

from training.cli.options import stoppable


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_command_with_its_code(capsys, number):
    before, closed = signal.getsignal(number), []
    with pytest.raises(typer.Exit) as ended, stoppable():
        try:
            os.kill(os.getpid(), number)
            try:
                time.sleep(5)
            except Exception:  # so that `except Exception` does not catch it
                pytest.fail("a signal is no error")
        finally:
            closed.append(True)
            os.kill(os.getpid(), number)  # a second signal is ignored
    assert ended.value.exit_code == 143 and closed
    assert capsys.readouterr().err == "stopped; the same command continues\n"
    assert signal.getsignal(number) == before


def test_without_a_signal_nothing_happens():
    with stoppable():
        pass
