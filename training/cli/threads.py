"""Threads of a process that computes on processors, chosen before PyTorch is loaded."""

import math
import os
from collections.abc import MutableMapping
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")


def processors(quota: Path = QUOTA) -> int:
    """Processors that this process may use: its affinity, or less where its control group has a quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        most, period = quota.read_text().split()
        limit = math.ceil(int(most) / int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return allowed
    return max(1, min(allowed, limit))


def choose_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """One thread a processor, and threads that sleep while they wait; what the user has set stays.

    OpenMP's threads spin by default: with another program on the same processors, a step of a small network takes
    twenty times as long. The number does not depend on how busy the machine is: sums would differ in their last bits.
    """
    environment.setdefault("OMP_NUM_THREADS", str(processors()))
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("GOMP_SPINCOUNT", "0")
    environment.setdefault("KMP_BLOCKTIME", "0")
