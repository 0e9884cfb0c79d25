"""What both command lines share: their help texts, and the flag that prints the version."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bl30k_gen.version import project_version

IN_THE_CHECKOUT = {"bl30k": "python generate.py", "bl30k-train": "python train.py"}
"""How a command line is called, by the name of the program that pip installs."""


def examples(*lines: str) -> str:
    """The end of a command's help text: complete command lines that can be copied.

    Lines call the programs as in the checkout; if an installed one runs, by the installed names. Each is a paragraph.
    The backspace tells Click not to wrap it, and is not printed.
    """
    if Path(sys.argv[0]).name in IN_THE_CHECKOUT:
        for installed, script in IN_THE_CHECKOUT.items():
            lines = tuple(line.replace(script, installed) for line in lines)
    return "\n\n".join(["Examples:", *(f"\b\n{line}" for line in lines)])


def _print(asked: bool) -> None:
    if asked:
        print(f"bl30k {project_version()}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", help="Print the version.", callback=_print, is_eager=True)]


def version_option(version: Version = False) -> None:
    """The option ``--version`` of both command lines."""
