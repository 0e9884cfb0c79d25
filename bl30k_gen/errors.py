"""What the user can fix, and what the two entry points (``generate.py``, ``train.py``) make of it."""

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
"""Exit codes: the user can fix it; SIGTERM came, and the same command continues."""

DEBUG = "--debug"
LONGEST_LINE = 1000  # characters of what is said of a mistake


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
    """The remedy for a name that is unknown: the known one that is most like it, or ``otherwise``."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else otherwise


def chosen(flag: str, given: str, choices: Sequence[Choice]) -> Choice:
    """The one of ``choices`` that a command's flag names. Raises UserError if it is none of them."""
    for choice in choices:
        if choice == given:
            return choice
    *others, last = choices
    raise UserError(f"{flag} {given}", f"give {', '.join(others)} or {last}")


class FatalError(UserError):
    """Nothing else will work here either, so a loop over videos stops."""


class DiskFull(FatalError):
    """There is no space (or quota) left."""


class MachineLacks(FatalError):
    """This machine lacks what the configuration asks for."""


def printable(text: str) -> str:
    """Text from outside, a file's name for example, on one line and without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


class PrintableStream:
    """A text stream that lets nothing through that a terminal would obey, wherever the text comes from.

    Line feeds and tabs pass, and on standard error carriage returns: a progress bar goes back by them.
    """

    def __init__(self, stream: TextIO, passing: str):
        self._stream, self._passing = stream, passing

    def write(self, text: str) -> int:
        if not text.isprintable():
            text = "".join(c if c.isprintable() or c in self._passing else _escaped(c) for c in text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _escaped(character: str) -> str:
    """Surrogates are bytes of a file's name and look like this elsewhere; anything else is not shown."""
    return f"\\x{ord(character) - 0xDC00:02x}" if "\udc80" <= character <= "\udcff" else "?"


def run_entry_point(commands: Callable[[], None]) -> None:
    """Run a command line: what goes wrong outside the program is one line on standard error and exit code 2.

    With ``--debug`` anywhere among the arguments it is a traceback and exit code 1 instead.
    """
    debug = DEBUG in sys.argv[1:]
    sys.argv[1:] = [argument for argument in sys.argv[1:] if argument != DEBUG]
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every file has a name that can be written
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
    """A line that a person can read, whatever a file has put into it: the remedy is at its end."""
    half = LONGEST_LINE // 2
    return line if len(line) <= LONGEST_LINE else f"{line[:half]} ... {line[-half:]}"


def _close_bars() -> None:
    """A bar that an error has left open would be drawn once more when Python clears up, below the message."""
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        for bar in list(getattr(tqdm, "_instances", ())):
            bar.close()


def _is_loop(error: RuntimeError) -> bool:
    """Whether it is what pathlib makes of a link that leads back to itself."""
    return str(error).startswith("Symlink loop from ")


def _in_one_line(error: UserError | OSError | MemoryError | RuntimeError) -> str:
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, RuntimeError):
        return f"{str(error).removeprefix('Symlink loop from ')}: a link that leads back to itself"
    if isinstance(error, MemoryError):
        return "there is not enough memory: free some, or ask for less at once"
    name = errno.errorcode.get(error.errno or 0, type(error).__name__)
    where = [os.fsdecode(path) for path in (error.filename, error.filename2) if isinstance(path, (str, bytes))]
    said = [line for line in str(error.strerror or error).splitlines() if line.strip()] or [""]
    what = f"{said[-1]} ({name})"  # a loader process wraps its error in a traceback, which ends with it
    return f"{' -> '.join(where)}: {what}" if where else what
