"""Random streams by name: the same name always gives the same numbers, whatever was drawn before."""

import hashlib

import numpy as np


def rng(seed: int, *path: str | int) -> np.random.Generator:
    """A generator that is a function of ``seed`` and the stream's name alone.

    ``rng(0, "video", 17, "lights")`` and ``rng(0, "video", 17, "camera")`` are independent streams, so adding
    a draw to one never shifts the other. Every part of the name counts with its type and its length: ``("a", "b")``
    and ``("ab",)`` differ, and so do ``1`` and ``"1"``.
    """
    name = repr((int(seed), *(int(p) if isinstance(p, (int, np.integer)) else str(p) for p in path)))
    digest = hashlib.sha256(name.encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))
