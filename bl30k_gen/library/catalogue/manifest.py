"""``manifest.jsonl`` in a folder of assets: author and licence of each file, one JSON object per line.

``assets fetch`` writes one; for other collections it may be written by hand. Keys: ``file`` (relative to the folder,
or ``*`` for all files without a line), ``licence``, ``author``, ``source``, ``title``, ``sha256``. It ignores others.
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
MAX_LINE = 1 << 20  # bytes of a line that ``append`` writes


class ManifestLine(NamedTuple):
    credit: Credit
    sha256: str  # of the file when the line was written; empty if not given


class Manifest:
    """The lines of a folder's manifest, if it has one."""

    def __init__(self, folder: str | Path):
        """Raises UserError: a line is no JSON object."""
        self._lines: dict[str, ManifestLine] = {}
        for line in read_lines(folder):
            credit = Credit(*(one_line(line.get(key)) for key in ("licence", "author", "source", "title")))
            credit = Credit(spdx(credit.licence), credit.author, credit.source, credit.title)
            self._lines[str(line.get("file"))] = ManifestLine(credit, one_line(line.get("sha256")))
        self._others = ManifestLine(self._lines["*"].credit if "*" in self._lines else Credit(), "")

    def of(self, file: str, own: Credit | None = None) -> ManifestLine:
        """The entry of a file: its line, else the credit in the file itself (``own``), else the line ``*``."""
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
    objects = []
    for number, line in enumerate(lines, start=1):
        values = _object(line)
        if not line.strip() or (number == len(lines) and values is None):
            continue
        if values is None:
            raise UserError(f"{path}, line {number} is no JSON object", "fix or delete the line")
        objects.append(values)
    return objects


def append(path: Path, line: dict[str, Any]) -> None:
    """Append one line to a manifest or a similar file; an unfinished last line of a killed writer is removed first.

    Raises UserError if the file may not be written.
    """
    with clear_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b") as file:
            text = json.dumps(line, ensure_ascii=False).encode(errors="backslashreplace")
            file.write(_repair_end(file) + text + b"\n")


def _repair_end(file: BinaryIO) -> bytes:
    """Remove an unfinished object at a file's end; returns the newline that a finished one lacks, else nothing."""
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
