"""Every command's help ends with two examples that its options allow."""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bl30k_gen import cli as generate
from bl30k_gen.resources import find_config
from training import cli as train

APPS = {"generate.py": generate.app, "train.py": train.app}


def leaves(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All commands below, each with its path, such as ("generate.py", "assets", "add")."""
    if not hasattr(command, "commands"):  # Typer bundles its own Click, so none of its classes is named here
        yield path, command
        return
    for name, below in command.commands.items():
        yield from leaves(below, (*path, name))


COMMANDS = {path: one for name, app in APPS.items() for path, one in leaves(typer.main.get_command(app), (name,))}


def examples_of(path: tuple[str, ...]) -> list[str]:
    heading, *paragraphs = (COMMANDS[path].epilog or "").split("\n\n")
    assert heading == "Examples:", "end the help with bl30k_gen.command_line.examples"
    return [paragraph.removeprefix("\b\n") for paragraph in paragraphs]


def test_all_commands_are_found():
    assert {("generate.py", "render"), ("generate.py", "assets", "add"), ("train.py", "run")} < COMMANDS.keys()


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_ends_with_two_examples_that_parse(path):
    lines = examples_of(path)
    assert len(set(lines)) == 2
    for line in lines:
        words = shlex.split(line)
        assert tuple(words[: len(path) + 1]) == ("python", *path)
        COMMANDS[path].make_context(path[-1], words[len(path) + 1 :])  # raises if the line does not parse
        if "--config" in words:
            assert find_config(words[words.index("--config") + 1]).is_file()


@pytest.mark.parametrize("path", [("generate.py", "submit"), ("train.py", "evaluate")], ids=" ".join)
def test_examples_are_in_the_help(path):
    program, *command = path
    printed = " ".join(CliRunner().invoke(APPS[program], [*command, "--help"]).output.split())
    assert all(line in printed for line in ("Examples:", *examples_of(path)))
