"""Which Blender renders here: known without starting it, recorded, and the same for a whole dataset.

Masks of Blender 4.2 and 4.5 are equal and their RGB is nearly so (docs/results/blender.md), which is not equal.
"""

from importlib.metadata import PackageNotFoundError, version

FIRST = "4.2"
"""What datasets were rendered with that do not say."""


def series() -> str | None:
    """``4.2`` for 4.2.23; None where no bpy is installed, or not as a package."""
    try:
        return ".".join(version("bpy").split(".")[:2])
    except PackageNotFoundError:
        return None
