"""Operating systems that the project runs on, and what is untested or missing on each."""

import os
import platform
import threading

from bl30k_gen.errors import UserError

READING = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
"""Flags of ``os.open`` for reading: each system defines that one of the last two which it needs."""

_lock = threading.Lock()


def read_at(descriptor: int, size: int, offset: int) -> bytes:
    """Read bytes of an open file; safe for threads and forked processes that share the descriptor."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size, offset)
    with _lock:  # on Windows, where processes are not forked
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, size)


def require_posix() -> None:
    """Raises UserError on Windows, where only the reader of datasets works."""
    if platform.system() == "Windows":
        what = "Windows is untested and lacks what the commands need (locks, signals and limits of POSIX)"
        raise UserError(what, "use Linux in WSL 2: docs/install.md; reading datasets in Python works")


def tested() -> str:
    """One line: this system, and what of the project is untested or missing on it."""
    name = f"{platform.system()} {platform.machine()}"
    if platform.system() == "Linux":
        if platform.machine() == "x86_64":
            return name
        return f"{name}: untested; the project is tested on Linux x86-64 alone"
    missing = "no memory limit of asset checks, no memory and processor time of children, crashed workers time out"
    return f"{name}: untested, the project is tested on Linux x86-64 alone; not here: {missing}"
