"""The version of this project, and the flag that prints it."""

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

import typer


def project_version() -> str:
    """Version of this project, also where it runs uninstalled."""
    try:
        return version("bl30k")
    except PackageNotFoundError:
        return "uninstalled"


def _print(asked: bool) -> None:
    if asked:
        print(f"bl30k {project_version()}")
        raise typer.Exit


def version_option(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print, is_eager=True)] = (
        False
    ),
) -> None:
    """The option ``--version`` of both command lines."""
