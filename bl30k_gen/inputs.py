"""Reading files from outside: opened without blocking, read up to a size limit, parsed as JSON.

A path that a user or another file names may be a pipe without a writer, an endless device, or a folder. Every such
file is opened here, and every JSON text is parsed here.
"""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO

from bl30k_gen import platforms
from bl30k_gen.errors import UserError, printable
from bl30k_gen.remote import Place, RemotePath

LIMIT = 64 << 20
"""Maximum bytes of a configuration, list, index or journal: a hundred times the largest that the project writes."""

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_LARGE_NUMBER = re.compile(r"[eE]\+?[0-9]{3}|[0-9]{20}")  # checking every number is slow: only where this matches
_MAX_INTEGER = 1 << 64


def open_regular(path: str | Place) -> BinaryIO:
    """Open a regular file, local or remote, for reading; never wait for a writer.

    Raises:
        OSError: it is missing or may not be read.
        UserError: it is a folder, a pipe, a device or a socket.
    """
    if isinstance(path, RemotePath):
        return path.open()
    _require_regular(path, os.stat(path).st_mode)  # before it is opened: opening a device can have side effects
    descriptor = os.open(path, platforms.READING | getattr(os, "O_NONBLOCK", 0))
    try:
        _require_regular(path, os.fstat(descriptor).st_mode)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Place, limit: int = LIMIT) -> bytes:
    """The contents of a regular file.

    Args:
        limit: maximum size, bytes.

    Raises:
        FileNotFoundError: the caller knows the remedy.
        UserError: it is no regular file, larger than ``limit``, or cannot be read.
    """
    try:
        with open_regular(path) as file:
            known = 0 if isinstance(path, RemotePath) else os.fstat(file.fileno()).st_size
            data = b"" if known > limit else file.read(limit + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{printable(str(path))} cannot be read", reason) from None
    if max(known, len(data)) > limit:
        raise UserError(f"{path} has more than {limit:,} bytes", "no file of its kind has; check the path")
    return data


def read_text(path: str | Place, limit: int = LIMIT) -> str:
    """The text of a regular UTF-8 file, without its byte order mark. Raises as ``read_bytes``."""
    try:
        return read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is no UTF-8 text", f"{error.reason} at byte {error.start}") from None


def holds(path: str | Path, text: str) -> bool:
    """Whether a file exists and its whole content is ``text`` in UTF-8. Raises UserError as ``read_bytes``."""
    try:
        return read_bytes(path) == text.encode()
    except FileNotFoundError:
        return False


def parse_json(data: bytes | str, source: object, remedy: str, kind: type = dict, nan: bool = False) -> Any:
    """The value in a JSON text.

    Args:
        source: names what is parsed, for the message.
        kind: required type of the value.
        nan: allow NaN and infinity, which a logged loss may be.

    Raises:
        UserError: it is no JSON, has NaN, an infinite number or a key twice, is nested too deeply, or is no ``kind``.
    """
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        large = bool(_LARGE_NUMBER.search(text))
        value = json.loads(
            text,
            object_pairs_hook=_without_duplicates,
            parse_constant=None if nan else _refuse,
            parse_float=_finite if large else None,
            parse_int=_bounded if large else None,
        )
    except RecursionError:
        raise UserError(f"{source} is nested too deeply", remedy) from None
    except ValueError as error:
        raise UserError(f"{source} is not valid JSON ({printable(str(error))})", remedy) from None
    if not isinstance(value, kind):
        raise UserError(f"{source} holds a {type(value).__name__}, not a {kind.__name__}", remedy)
    return value


def read_json(path: str | Place, remedy: str, kind: type = dict, limit: int = LIMIT) -> Any:
    """The value in a JSON file; see ``parse_json``. Raises FileNotFoundError as ``read_bytes``."""
    return parse_json(read_bytes(path, limit), path, remedy, kind)


def parse_json_lines(data: bytes, source: object) -> tuple[list[dict[str, Any]], int]:
    """The objects in a journal, one a line, and the number of damaged lines, such as a killed writer leaves."""
    found, bad = [], 0
    for line in data.splitlines():
        if line.strip():
            try:
                found.append(parse_json(line, source, "", nan=True))
            except UserError:
                bad += 1
    return found, bad


def _require_regular(path: str | Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no regular file")
        raise UserError(f"{printable(str(path))} is {kind}", "give a regular file")


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)} stands there twice")
    return values


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large")
    return number


def _bounded(text: str) -> int:
    number = int(text)
    if abs(number) > _MAX_INTEGER:
        raise ValueError(f"{text[:20]}... is too large")
    return number
