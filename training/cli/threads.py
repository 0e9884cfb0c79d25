"""Settings of CPU threads, which must be made before PyTorch is loaded."""

import os
from collections.abc import MutableMapping

from bl30k_gen.processors import usable


def choose_threads(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set one thread per processor, and let waiting threads sleep. Values that the user has set are kept.

    OpenMP's threads spin by default: with another program on the same processors, a step of a small network takes
    twenty times as long. The number does not depend on the load of the machine, because sums would then differ in
    their last bits.
    """
    environment.setdefault("OMP_NUM_THREADS", str(usable()))
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    environment.setdefault("GOMP_SPINCOUNT", "0")
    environment.setdefault("KMP_BLOCKTIME", "0")
