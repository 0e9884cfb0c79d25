"""`generate.py config`: show configurations and how they differ."""

from pathlib import Path
from typing import Annotated

import typer

from bl30k_gen.cli.options import Json, Overrides, answer

app = typer.Typer(no_args_is_help=True, help="Show configurations and how they differ.")


@app.command("show")
def show(
    config: Annotated[Path, typer.Option("--config", help="A YAML, e.g. render_configs/demo.yaml.")],
    overrides: Overrides = None,
    as_json: Json = False,
) -> None:
    """Print the resolved configuration: what it extends and all overrides applied."""
    from bl30k_gen.config import load_config

    settings = load_config(config, overrides or [])
    answer(as_json, settings.model_dump(mode="json"), settings.to_yaml().rstrip())


@app.command("diff")
def diff(
    one: Annotated[Path, typer.Argument(help="A YAML.")],
    other: Annotated[Path, typer.Argument(help="Another one.")],
    as_json: Json = False,
) -> None:
    """Print the keys in which two configurations differ."""
    from bl30k_gen.config import load_config
    from bl30k_gen.settings import difference

    left, right = (load_config(path) for path in (one, other))
    changes = difference(left.flat(), right.flat())
    lines = [f"{key}: {old} -> {new}" for key, (old, new) in changes.items()]
    answer(as_json, changes, "\n".join(lines) or "no difference")
