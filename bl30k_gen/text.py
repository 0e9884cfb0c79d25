"""Text for people: tables, counts, durations and sizes, the same in every command."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit, and its size in the base unit (seconds, bytes)."""

    name: str
    factor: float


_SECOND, _MINUTE, _HOUR, _DAY = Unit("s", 1.0), Unit("min", 60.0), Unit("h", 3600.0), Unit("days", 86400.0)
_TIMES = ((_DAY, 3), (_HOUR, 2), (_MINUTE, 2))  # each unit, and the smallest value that is given in it
_BYTES = Unit("bytes", 1.0)
_DECIMAL = (Unit("TB", 1e12), Unit("GB", 1e9), Unit("MB", 1e6), Unit("kB", 1e3))
_BINARY = (Unit("GiB", 2.0**30), Unit("MiB", 2.0**20), Unit("KiB", 2.0**10))


def plural(number: int, noun: str) -> str:
    """``1 video``, ``2 videos``; for nouns whose plural ends in s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def time_unit(seconds: float) -> Unit:
    """The largest unit in which a time is at least 2 (at least 3 days); seconds for shorter times."""
    return next((unit for unit, minimum in _TIMES if seconds >= minimum * unit.factor), _SECOND)


def duration(seconds: float) -> str:
    """``2 h 5 min``, or ``3 d 4 h`` from a day on; to the minute."""
    minutes = round(seconds / 60)
    days, hours = minutes // 1440, minutes // 60 % 24
    return f"{days} d {hours} h" if days else f"{hours} h {minutes % 60} min"


def byte_unit(size: float) -> Unit:
    """The decimal unit for a number of bytes: TB, GB, MB, kB or bytes."""
    return next((unit for unit in _DECIMAL if size >= unit.factor), _BYTES)


def byte_size(size: float) -> str:
    """Bytes on a disk, in decimal units and three digits: ``25.3 MB``."""
    unit = byte_unit(size)
    return f"{size / unit.factor:.3g} {unit.name}"


def memory_size(size: float) -> str:
    """Bytes of memory, in binary units and three digits: ``1.25 GiB``."""
    unit = next((unit for unit in _BINARY if size >= unit.factor), _BYTES)
    return f"{size / unit.factor:.3g} {unit.name}"


def aligned(rows: Sequence[Sequence[str]], right: Collection[int] = (), indent: str = "") -> list[str]:
    """Lines of a table: columns aligned to the left, those numbered in ``right`` to the right.

    Rows may have different lengths.
    """
    count = max(map(len, rows), default=0)
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(count)]
    lines = []
    for row in rows:
        cells = (cell.rjust(widths[i]) if i in right else cell.ljust(widths[i]) for i, cell in enumerate(row))
        lines.append((indent + "  ".join(cells)).rstrip())
    return lines


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; cells are written as they are."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, ["---"] * len(columns), *rows))
