"""The latest assets, kept in memory."""

from functools import lru_cache

from bl30k_gen.config import Limits
from bl30k_gen.library.load import Model, Picture, load_asset


@lru_cache(maxsize=24)
def cached_asset(path: str, kind: str, limits: Limits) -> Model | Picture:
    """``load_asset``, remembering the latest: the sampler, the check and neighbouring videos ask for the same."""
    return load_asset(path, kind, limits)
