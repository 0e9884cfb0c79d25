"""`generate.py config`: list and show configurations, and how they differ."""

from pathlib import Path
from typing import Annotated

import typer

from bl30k_gen.cli.options import Json, Overrides, print_result
from bl30k_gen.command_line import examples
from bl30k_gen.text import aligned

app = typer.Typer(no_args_is_help=True, help="List and show configurations, and how they differ.")


@app.command(
    "list",
    epilog=examples(
        "python generate.py config list",
        "python generate.py config list --json",
    ),
)
def list_configs(as_json: Json = False) -> None:
    """Print the render configurations that come with the project, each with its first line."""
    from bl30k_gen.resources import config_names, find_config

    texts = {name: find_config(name).read_text(encoding="utf-8") for name in config_names()}
    first_lines = {name: text.partition("\n")[0].lstrip("# ") for name, text in texts.items()}
    print_result(as_json, first_lines, "\n".join(aligned(list(first_lines.items()))))


@app.command(
    "show",
    epilog=examples(
        "python generate.py config show --config crowd",
        "python generate.py config show --config bl30k --set video.frames=80",
    ),
)
def show(
    config: Annotated[Path, typer.Option("--config", help="A YAML, or a name: see `config list`.")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Print a configuration in full, with everything that it extends and with all overrides."""
    from bl30k_gen.config import load_config

    settings = load_config(config, overrides or [])
    print_result(as_json, settings.model_dump(mode="json"), settings.to_yaml().rstrip())


@app.command(
    "diff",
    epilog=examples(
        "python generate.py config diff bl30k bl30k_fast",
        "python generate.py config diff crowd occlusion",
    ),
)
def diff(
    one: Annotated[Path, typer.Argument(help="A YAML, or a name: see `config list`.")],
    other: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Json = False,
) -> None:
    """Print the keys in which two configurations differ."""
    from bl30k_gen.config import load_config
    from bl30k_gen.settings import difference

    left, right = (load_config(path) for path in (one, other))
    changes = difference(left.flat(), right.flat())
    lines = [f"{key}: {old} -> {new}" for key, (old, new) in changes.items()]
    print_result(as_json, changes, "\n".join(lines) or "no difference")
