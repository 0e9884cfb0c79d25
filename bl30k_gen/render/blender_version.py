"""The installed version of Blender, found without starting it. A dataset records its series and keeps to it.

Blender 4.2 and 4.5 render equal masks, but slightly different RGB (docs/results/blender.md).
"""

from importlib.metadata import PackageNotFoundError, version

UNRECORDED = "4.2"
"""The series of datasets that record none."""


def series() -> str | None:
    """``4.2`` for 4.2.23; None where no bpy is installed, or not as a package."""
    try:
        return ".".join(version("bpy").split(".")[:2])
    except PackageNotFoundError:
        return None
