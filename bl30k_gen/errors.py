"""What the user can mend, and what the two doors (``generate.py``, ``train.py``) make of it."""

import difflib
import io
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Choice = TypeVar("Choice", bound=str)

MISTAKE, STOPPED = 2, 143
"""Exit codes: the user can mend it; SIGTERM came, and the same command goes on."""


class UserError(Exception):
    """Something outside the program is wrong: a path, a key, a file, a full disk.

    ``what`` names the file or key, ``remedy`` says what to do. Raised anywhere, caught only at the doors.
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


class Hopeless(UserError):
    """Nothing else will work here either, so whoever works in a loop stops."""


class DiskFull(Hopeless):
    """There is no space (or quota) left."""


class MachineLacks(Hopeless):
    """This machine lacks what the configuration asks for."""


def printable(text: str) -> str:
    """Text from outside, a file's name for example, on one line and without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def run_door(commands: Callable[[], None]) -> None:
    """Run a command line: a UserError becomes one line on standard error and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every file has a name that can be written
    try:
        commands()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(MISTAKE)
