"""Count the system calls of a command on a folder, by strace."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

CALLS = "trace=%file,getdents64,fsync,fdatasync,ftruncate"


def count(command: Sequence[str | os.PathLike], root: Path, trace: Path) -> int:
    """System calls of a command and its children that name a path in ``root``, list a folder of it or have something
    of it on the disk.

    Reading and writing files that are open is left out: how often a network file system is asked for that depends on
    the bytes alone.

    Args:
        trace: where strace may write.

    Raises:
        FileNotFoundError: strace is not installed.
        subprocess.CalledProcessError: the command failed.
    """
    strace = ["strace", "-f", "--seccomp-bpf", "-y", "-s", "300", "-e", CALLS, "-o", trace]
    subprocess.run([*map(str, strace), *command], check=True, timeout=300, capture_output=True)
    lines = trace.read_text(errors="replace").splitlines()
    return sum(f"{root}/" in line and "resumed" not in line and "AT_EMPTY_PATH" not in line for line in lines)
