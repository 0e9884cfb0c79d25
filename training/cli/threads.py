"""Threads of a process that computes on processors, chosen before PyTorch is loaded."""

import os
from collections.abc import MutableMapping

from bl30k_gen.processors import usable


def choose_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """One thread a processor, and threads that sleep while they wait; what the user has set stays.

    OpenMP's threads spin by default: with another program on the same processors, a step of a small network takes
    twenty times as long. The number does not depend on how busy the machine is: sums would differ in their last bits.
    """
    environment.setdefault("OMP_NUM_THREADS", str(usable()))
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("GOMP_SPINCOUNT", "0")
    environment.setdefault("KMP_BLOCKTIME", "0")
