"""A cache of the latest assets in memory: the sampler, the mask check and neighbouring videos load the same ones."""

from functools import lru_cache

from bl30k_gen.library.load import load_image, load_model

cached_model = lru_cache(maxsize=16)(load_model)
cached_image = lru_cache(maxsize=8)(load_image)
