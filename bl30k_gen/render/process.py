"""Names of processes, made so that another process can tell for certain when one is dead.

A name is ``<host>.<pid>.<start>.<place>.<random>``: ``start`` is when the process began (in ticks of its kernel), and
``place`` stands for one boot of one kernel and one PID namespace. Where the place is our own, ``/proc`` knows whether
the process is still there; about any other place nothing is known, and nothing is claimed.
"""

import functools
import hashlib
import os
import re
import secrets
import socket
from pathlib import Path


def new_name() -> str:
    """A name for this process; every call gives another."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"
    return f"{host}.{os.getpid()}.{_state(os.getpid())[1]}.{_place()}.{secrets.token_hex(4)}"


def surely_dead(name: str) -> bool:
    """True only if the process lived here, under this very kernel, and has ended. False means alive or unknown."""
    parts = name.split(".")
    if len(parts) != 5 or not parts[1].isdecimal() or parts[2] == "0" or parts[3] != _place():
        return False
    state, start = _state(int(parts[1]))
    return start != parts[2] or state in "ZX"


def _state(pid: int) -> tuple[str, str]:
    """Its state's letter and its start time; ("X", "0") if there is no such process or no ``/proc``."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", "0"
    return fields[0], fields[19]


@functools.cache
def _place() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return hashlib.sha256((boot + os.readlink("/proc/self/ns/pid")).encode()).hexdigest()[:8]
    except OSError:
        return secrets.token_hex(4)  # nothing is known of other processes here
