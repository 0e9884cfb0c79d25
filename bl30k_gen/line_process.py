"""A child process that reads a request, one line, from standard input and answers with lines on standard output."""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
TICK = 0.5  # seconds between two checks whether to continue waiting


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module; -P keeps a ``numpy.py`` in the working directory from being imported."""
    return [sys.executable, "-P", "-m", name, *arguments]


class Ended(Exception):
    """The process has ended. ``code`` is its exit code, negative for a signal."""

    def __init__(self, code: int):
        super().__init__(code)
        self.code = code

    @property
    def signal(self) -> str | None:
        """The name of the signal that ended it, or None."""
        return signal.Signals(-self.code).name if self.code < 0 else None


class LineProcess:
    """A running command that can import this project from any working directory.

    Args:
        command: see ``python_module``.
        environment: variables in addition to those of this process.
        errors: file for its standard error; None discards it.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str] | None = None, errors: IO[bytes] | None = None
    ):
        python_path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH")) if p)
        self._pending = b""
        self._process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if errors is None else errors,
            env={**os.environ, "PYTHONPATH": python_path, **(environment or {})},
            start_new_session=True,  # Ctrl-C is for the parent
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, line: str) -> None:
        """Write one line. Raises Ended."""
        try:
            self._input.write(f"{line}\n".encode())
            self._input.flush()
        except BrokenPipeError:
            raise Ended(self._process.wait()) from None

    def receive(self, keep_waiting: Callable[[float], bool]) -> bytes:
        """The next line, without its end.

        Args:
            keep_waiting: called every ``TICK`` seconds with the seconds waited so far; False ends the wait.

        Raises:
            Ended: the process closed its output.
            TimeoutError: ``keep_waiting`` returned False.
        """
        begin = time.monotonic()
        while b"\n" not in self._pending:
            if not select.select([self._output], [], [], TICK)[0]:
                if not keep_waiting(time.monotonic() - begin):
                    raise TimeoutError
                continue
            data = os.read(self._output.fileno(), 1 << 16)
            if not data:
                raise Ended(self._process.wait())
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def close(self, timeout: float = 0.0) -> None:
        """Close its input, wait ``timeout`` seconds for its end, then kill it."""
        with contextlib.suppress(BrokenPipeError):
            self._input.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self._process.wait()
        self._output.close()

    def processor_seconds(self) -> float:
        """Processor time that it has used, in user mode and in the kernel; 0 where the system has no /proc."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
