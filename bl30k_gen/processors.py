"""How many processors this process may use."""

import math
import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable(quota: Path = QUOTA) -> int:
    """The size of this process's CPU affinity mask, or its control group's CPU quota where that is smaller."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        allowance, period = quota.read_text().split()  # microseconds of processor time in each period
        limit = math.ceil(int(allowance) / int(period))
    except (OSError, ValueError):  # no such file, or "max"
        return allowed
    return max(1, min(allowed, limit))
