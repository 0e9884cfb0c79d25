"""``manifest.jsonl`` in a folder of assets: whose each file is, and what may be done with it. One JSON object a line.

``assets fetch`` writes one; for a collection of one's own it may be written by hand. Keys: ``file`` (its place in the
folder, or ``*`` for all that have no line of their own), ``licence``, ``author``, ``source``, ``title``, ``sha256``;
others are left alone.
"""

import json
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from bl30k_gen.dataset.files import clear_disk_errors
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json, read_text
from bl30k_gen.library.catalogue.licence import UNKNOWN, Credit, one_line, spdx

NAME = "manifest.jsonl"
MAX_LINE = 1 << 20  # bytes of a line, of those that are written here


class ManifestLine(NamedTuple):
    credit: Credit
    sha256: str  # of the file when the line was written; empty where it does not say


class Manifest:
    """The lines of a folder's manifest; none where it has no manifest."""

    def __init__(self, folder: str | Path):
        """Raises UserError: a line is no JSON object."""
        self._lines: dict[str, ManifestLine] = {}
        for line in read_lines(folder):
            credit = Credit(*(one_line(line.get(key)) for key in ("licence", "author", "source", "title")))
            credit = Credit(spdx(credit.licence), credit.author, credit.source, credit.title)
            self._lines[str(line.get("file"))] = ManifestLine(credit, one_line(line.get("sha256")))
        self._others = ManifestLine(self._lines["*"].credit if "*" in self._lines else Credit(), "")

    def of(self, file: str, own: Credit | None = None) -> ManifestLine:
        """Of a file: its line, else what the file says itself (``own``), else the line of all others."""
        if file in self._lines:
            return self._lines[file]
        return ManifestLine(own, "") if own is not None and own.licence != UNKNOWN else self._others


def read_lines(folder: str | Path) -> list[dict[str, Any]]:
    """The manifest's objects. A last line that a killed writer left unfinished is skipped.

    Raises:
        UserError: a line is no JSON object.
    """
    path = Path(folder) / NAME
    try:
        text = read_text(path, 1 << 30)
    except FileNotFoundError:
        return []
    lines = text.split("\n")
    found = []
    for number, line in enumerate(lines, start=1):
        values = _object(line)
        if not line.strip() or (number == len(lines) and values is None):
            continue
        if values is None:
            raise UserError(f"{path}, line {number} is no JSON object", "fix or delete the line")
        found.append(values)
    return found


def append(path: Path, line: dict[str, Any]) -> None:
    """Add one line to a manifest, or to a file like it, after what a killed writer left is taken off its end.

    Raises UserError if it may not be written.
    """
    with clear_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b") as file:
            file.write(
                _mended_end(file) + json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"
            )


def _mended_end(file: BinaryIO) -> bytes:
    """Take an unfinished object off a file's end; returns what a finished one lacks there, its line's end."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_LINE))
    last = file.read().rpartition(b"\n")[2]
    if not last.strip():
        return b""
    if _object(last) is not None:
        return b"\n"
    file.truncate(size - len(last))
    return b""


def _object(line: str | bytes) -> dict[str, Any] | None:
    try:
        return parse_json(line, "line", "")
    except UserError:
        return None
