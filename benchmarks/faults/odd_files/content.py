"""Corruptions of any file: something that is not a regular file, or content that is not of its kind."""

import contextlib
import os
import random
import shutil
import socket
import zipfile
from pathlib import Path

import numpy as np

from benchmarks.faults.fuzz_assets import damage
from benchmarks.faults.odd_files.registry import (
    ALL,
    BINARIES,
    IMAGE,
    JSON,
    LINES,
    MASK,
    TEXT,
    VIDEO,
    YAML,
    corruption,
)


def _removed(path: Path) -> Path:
    """Delete a file, for something else to take its place; returns its path."""
    path.unlink()
    return path


@corruption(ALL, "invalid")
def pipe(path: Path, rng: random.Random) -> None:
    os.mkfifo(_removed(path))


@corruption(ALL, "invalid")
def endless_device(path: Path, rng: random.Random) -> None:
    _removed(path).symlink_to("/dev/zero")


@corruption(ALL, "invalid")
def terminal_device(path: Path, rng: random.Random) -> None:
    _removed(path).symlink_to("/dev/ptmx")


@corruption(ALL, "invalid")
def socket_file(path: Path, rng: random.Random) -> None:
    with contextlib.chdir(_removed(path).parent), socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)  # a relative name: paths of sockets are limited to about 100 bytes


@corruption(ALL, "invalid")
def folder(path: Path, rng: random.Random) -> None:
    _removed(path).mkdir()


@corruption(ALL, "invalid")
def dangling_link(path: Path, rng: random.Random) -> None:
    _removed(path).symlink_to("nowhere")


@corruption(ALL, "invalid")
def link_to_itself(path: Path, rng: random.Random) -> None:
    _removed(path).symlink_to(path.name)


@corruption(ALL, "either")
def empty(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


@corruption(ALL, "either", variants=2)
def cut_off(path: Path, rng: random.Random) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: rng.randrange(1, max(2, len(data)))])


@corruption(ALL, "either")
def noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(4096))


@corruption(ALL, "either")
def zeros(path: Path, rng: random.Random) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@corruption(ALL, "invalid")
def sparse_terabyte(path: Path, rng: random.Random) -> None:
    os.truncate(path, 1 << 40)


@corruption(ALL, "either", variants=3)
def damaged(path: Path, rng: random.Random) -> None:
    path.write_bytes(damage(path.read_bytes(), np.random.default_rng(rng.getrandbits(32))))


@corruption((*BINARIES, JSON, LINES, YAML), "either")
def html_page(path: Path, rng: random.Random) -> None:
    path.write_bytes(b"<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n")


@corruption((*BINARIES, JSON, LINES, YAML), "either")
def git_lfs_pointer(path: Path, rng: random.Random) -> None:
    path.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 1234\n")


@corruption(ALL, "either")
def zip_archive(path: Path, rng: random.Random) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../evil", b"x")


@corruption((IMAGE, MASK, VIDEO, TEXT, JSON, YAML), "either")
def content_of_another_file(path: Path, rng: random.Random) -> None:
    shutil.copyfile(rng.choice(["/bin/sh", "/etc/passwd", __file__]), path)
