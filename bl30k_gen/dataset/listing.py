"""Names of files and videos in datasets of any origin: the order of frames, and the reader of lists."""

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bl30k_gen.errors import UserError

_DIGITS = re.compile(r"([0-9]+)")


def natural_key(name: str) -> tuple[list[str | int], str]:
    """Sort key for natural order (0, 1, 2, 10; f1, f2, f10): digits inside names count as numbers."""
    return [int(part) if part.isdecimal() else part for part in _DIGITS.split(name)], name


def frame_number(stem: str) -> int | None:
    """The last number in the name of a frame: 5 for ``00005`` and ``frame_00005_mask``; None without a number."""
    digits = _DIGITS.findall(stem)
    return int(digits[-1]) if digits else None


def by_frame(names: Iterable[str], suffixes: tuple[str, ...], folder: str | Path) -> dict[str, str]:
    """``{stem: file name}`` in natural order, without hidden files and other suffixes (upper or lower case).

    Raises UserError where two files are of the same frame.
    """
    found: dict[str, str] = {}
    for name in names:
        path = PurePosixPath(name)
        if path.suffix.lower() in suffixes and not name.startswith("."):
            if path.stem in found:
                both = f"{min(found[path.stem], name)} and {max(found[path.stem], name)}"
                raise UserError(f"{folder} has frame {path.stem} twice: {both}", "keep one file for each frame")
            found[path.stem] = name
    return {stem: found[stem] for stem in sorted(found, key=natural_key)}


def video_names(data: bytes, path: object) -> list[str]:
    """Names in a list, one a line, without repetitions and surrounding white space; they may contain spaces.

    A line may also be the path of a frame and, behind a space, that of its mask, as in DAVIS-2016: its video counts.
    Raises UserError naming ``path`` where it is no text.
    """
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"list {path} is no UTF-8 text ({error.reason})", "write a name a line") from None
    return list(dict.fromkeys(_name(line.strip()) for line in lines if line.strip()))


def _name(line: str) -> str:
    first = PurePosixPath(line.split()[0])
    if "/" in line and first.suffix and first.parent.name:
        return first.parent.name
    return PurePosixPath(line).parent.name or line if "/" in line else line
