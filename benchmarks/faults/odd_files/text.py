"""Corruptions of text files: encodings, line endings, control characters, names and numbers in lists."""

import random
from pathlib import Path

from benchmarks.faults.odd_files.registry import ESCAPE, TEXT, TEXTS, corruption


@corruption(TEXTS, "valid")
def byte_order_mark(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@corruption(TEXTS, "valid")
def windows_line_endings(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))


@corruption(TEXTS, "either")
def utf_16(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_text(encoding="utf-8").encode("utf-16"))


@corruption(TEXTS, "either")
def latin_1(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + "\n# Größe \xe9\n".encode("latin-1"))


@corruption(TEXTS, "either")
def escape_sequences(path: Path, rng: random.Random) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    at = rng.randrange(len(lines))
    lines[at] = lines[at][: len(lines[at]) // 2] + ESCAPE + lines[at][len(lines[at]) // 2 :]
    path.write_text("\n".join(lines), encoding="utf-8")


@corruption(TEXTS, "either")
def long_line(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes().rstrip(b"\n") + b"a" * (1 << 22))


@corruption(TEXTS, "either")
def zero_byte(path: Path, rng: random.Random) -> None:
    path.write_bytes(path.read_bytes() + b"a\0b\n")


@corruption(TEXTS, "either")
def repeated_lines(path: Path, rng: random.Random) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line + line for line in lines))


@corruption((TEXT,), "either")
def escaping_names(path: Path, rng: random.Random) -> None:
    names = ["../../etc/passwd", "/etc/passwd", "..", ".", "", " ", "a/b", "file:///etc/passwd", "C:\\x", "a" * 5000]
    path.write_text("\n".join(names))


@corruption((TEXT,), "either")
def odd_numbers(path: Path, rng: random.Random) -> None:
    path.write_text("-1\n1e9\n٣\n99999999999999999999\n0x10\n1.5\nnan\n")
