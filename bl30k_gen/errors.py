"""Errors that the user can fix, and how the two entry points (``generate.py``, ``train.py``) report them."""

import contextlib
import difflib
import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO, TypeVar

Choice = TypeVar("Choice", bound=str)

MISTAKE, STOPPED = 2, 143
"""Exit codes: a mistake that the user can fix; stopped by SIGTERM, and the same command continues."""

DEBUG = "--debug"
MAX_LINE = 1000  # characters of an error message


class UserError(Exception):
    """Something outside the program is wrong: a path, a key, a file, a full disk.

    ``what`` names the file or key, ``remedy`` says what to do. Raised anywhere, caught only at the entry points.
    """

    def __init__(self, what: str, remedy: str):
        super().__init__(what, remedy)
        self.what = what
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def nearest(name: str, known: Iterable[str], otherwise: str) -> str:
    """The remedy for an unknown name: the most similar known one, or ``otherwise``."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else otherwise


def require_choice(flag: str, given: str, choices: Sequence[Choice]) -> Choice:
    """``given``, the value of a command's flag, as one of ``choices``. Raises UserError if it is none of them."""
    for choice in choices:
        if choice == given:
            return choice
    *others, last = choices
    raise UserError(f"{flag} {given}", f"give {', '.join(others)} or {last}")


class FatalError(UserError):
    """An error that every other video would meet, too: a loop over videos stops."""


class DiskFull(FatalError):
    """There is no space (or quota) left."""


class MachineLacks(FatalError):
    """This machine lacks what the configuration asks for."""


def printable(text: str) -> str:
    """Text from outside (a file name, for example) on one line: control characters become question marks."""
    return "".join(c if c.isprintable() else "?" for c in text)


class PrintableStream:
    """A text stream without control characters, so that no text from outside can control the terminal.

    ``allowed`` holds the exceptions: line feeds, tabs, and on standard error the carriage returns of progress bars.
    """

    def __init__(self, stream: TextIO, allowed: str):
        self._stream, self._allowed = stream, allowed

    def write(self, text: str) -> int:
        if not text.isprintable():
            text = "".join(c if c.isprintable() or c in self._allowed else _escaped(c) for c in text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escaped(character: str) -> str:
    r"""``\xNN`` for a surrogate, which stands for an undecodable byte of a file name; ``?`` for anything else."""
    return f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else "?"


def run_entry_point(commands: Callable[[], None]) -> None:
    """Run a command line; report a user's mistake or a system error in one line on standard error, with exit code 2.

    With ``--debug`` anywhere among the arguments, print a traceback instead and exit with code 1.
    """
    debug = DEBUG in sys.argv[1:]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != DEBUG]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold bytes that cannot be encoded
    out, err = PrintableStream(sys.stdout, "\n\t"), PrintableStream(sys.stderr, "\n\t\r")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            commands()
        except (UserError, OSError, MemoryError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_loop(error):
                raise
            _close_bars()
            if debug:
                traceback.print_exc()
                sys.exit(1)
            print(f"error: {_shortened(printable(_in_one_line(error)))}", file=sys.stderr)
            sys.exit(MISTAKE)


def _shortened(line: str) -> str:
    """``line``, without its middle if it is too long: the remedy is at its end."""
    half = MAX_LINE // 2
    return line if len(line) <= MAX_LINE else f"{line[:half]} ... {line[-half:]}"


def _close_bars() -> None:
    """Close progress bars that an error left open: Python would draw them again at exit, below the message."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        for bar in list(getattr(tqdm, "_instances", ())):
            bar.close()


def _is_loop(error: RuntimeError) -> bool:
    """Whether pathlib raised ``error`` for a symbolic link that leads back to itself."""
    return str(error).startswith("Symlink loop from ")


def _in_one_line(error: UserError | OSError | MemoryError | RuntimeError) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, RuntimeError):
        return f"{str(error).removeprefix('Symlink loop from ')}: a link that leads back to itself"
    if isinstance(error, MemoryError):
        return "there is not enough memory: free some, or ask for less at once"
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    paths = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, (str, bytes))]
    lines = [line for line in str(error.strerror or error).splitlines() if line.strip()] or [""]
    what = f"{lines[-1]} ({name})"  # the error of a loader process is the last line of a traceback
    return f"{' -> '.join(paths)}: {what}" if paths else what
