"""Unique names of processes, from which another process on the same machine can tell whether one has ended.

A name is ``<host>.<pid>.<start>.<system>.<random>``: ``start`` is when the process began (in ticks of its kernel),
and ``system`` identifies one boot of one kernel and one PID namespace. Only for names of its own system can a process
look up in ``/proc`` whether the named process still runs; any other one counts as possibly running.
"""

import functools
import hashlib
import os
import re
import secrets
import socket
from pathlib import Path


def new_name() -> str:
    """A new name for this process; every call returns another one."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"
    return f"{host}.{os.getpid()}.{_state(os.getpid())[1]}.{_system()}.{secrets.token_hex(4)}"


def surely_dead(name: str) -> bool:
    """True only if the process ran on this system and has ended; False means running or unknown."""
    parts = name.split(".")
    if len(parts) != 5 or not parts[1].isdecimal() or parts[2] == "0" or parts[3] != _system():
        return False
    state, start = _state(int(parts[1]))
    return start != parts[2] or state in "ZX"


def _state(pid: int) -> tuple[str, str]:
    """State letter and start time of a process; ("X", "0") if there is no such process or no ``/proc``."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", "0"
    return fields[0], fields[19]


@functools.cache
def _system() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return hashlib.sha256((boot + os.readlink("/proc/self/ns/pid")).encode()).hexdigest()[:8]
    except OSError:
        return secrets.token_hex(4)  # without /proc no other process can be looked up
