"""The version of this project."""

from importlib.metadata import PackageNotFoundError, version


def project_version() -> str:
    """Version of this project, also where it runs uninstalled."""
    try:
        return version("bl30k")
    except PackageNotFoundError:
        return "uninstalled"
