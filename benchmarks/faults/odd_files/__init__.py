"""Corruptions: functions that make a valid file strange, each for some kinds of files.

Importing this package registers all of them.
"""

from benchmarks.faults.odd_files import archives, content, images, meshes, text, values, videos  # noqa: F401
from benchmarks.faults.odd_files.registry import UNCHANGED, Corruption, corruptions_of

__all__ = ["UNCHANGED", "Corruption", "corruptions_of"]
