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

GONE = "X"  # the state of a process that has ended


def new_name() -> str:
    """A new name for this process; every call returns another one."""
    host = re.sub(r"[^A-Za-z0-9-]", "-", socket.gethostname()) or "host"
    return f"{host}.{os.getpid()}.{_state(os.getpid())[1]}.{_system()}.{secrets.token_hex(4)}"


def surely_dead(name: str) -> bool:
    """True only if the process ran on this system and has ended; False means running or unknown."""
    parts = name.split(".")
    if len(parts) != 5 or not parts[1].isdecimal() or parts[2] == "0" or parts[3] != _system():
        return False
    pid = int(parts[1])
    state, start = _state(pid)
    if state == GONE and _exists(pid):
        return False  # a process of another user, which /proc may hide
    return start != parts[2] or state in ("Z", GONE)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)  # sends nothing
    except ProcessLookupError:
        return False
    except OSError:
        pass  # it may not be sent signals
    return True


def _state(pid: int) -> tuple[str, str]:
    """State letter and start time of a process; (GONE, "0") if there is no such process or no ``/proc``."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return GONE, "0"
    return fields[0], fields[19]


@functools.cache
def _system() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return hashlib.sha256((boot + os.readlink("/proc/self/ns/pid")).encode()).hexdigest()[:8]
    except OSError:
        return secrets.token_hex(4)  # without /proc no other process can be looked up
