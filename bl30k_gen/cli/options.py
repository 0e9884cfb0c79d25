"""Options and output that several commands of ``generate.py`` share."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bl30k_gen.config import Config

ConfigFile = Annotated[Path | None, typer.Option("--config", help="A YAML, or a name: see `config list`.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key; repeatable.")]
Out = Annotated[Path, typer.Option("--out", help="The dataset's folder.")]
Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset's folder.")]
Source = Annotated[
    str,
    typer.Argument(metavar="DATASET", help="A dataset's folder or shard, or its URL: s3://, gs://, hf://, https://."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Count = Annotated[int | None, typer.Option("--count", help="The first N videos.")]
Index = Annotated[int | None, typer.Option("--index", help="One video.")]
Indices = Annotated[Path | None, typer.Option("--indices", help="A file with one video index a line.")]
Draft = Annotated[bool, typer.Option("--draft", help="A first look: few small frames along the same paths.")]
Threads = Annotated[
    int,
    typer.Option(
        "--threads-per-worker", min=0, help="Render threads of each worker; 0: its share of the usable ones."
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, optix, hip, oneapi or metal.")]
Scratch = Annotated[Path | None, typer.Option("--scratch", help="For temporary files; default: memory.")]
Store = Annotated[
    str | None, typer.Option("--store", help="folder, tar or hdf5: videos as files, or in shards. As runtime.store.")
]


def resolve_config(
    config: Path | None, folder: Path, overrides: list[str] | None, draft: bool = False, store: str | None = None
) -> "Config":
    """The configuration of a command: its ``--config`` or the one in ``folder``, with the other options applied."""
    from bl30k_gen.config import draft_of
    from bl30k_gen.render.dataset import config_of

    store_override = [] if store is None else [f"runtime.store={store}"]
    settings = config_of(config, folder, [*(overrides or []), *store_override])
    return draft_of(settings) if draft else settings


def print_result(as_json: bool, facts: Any, text: str) -> None:
    """Print ``facts`` as JSON, or ``text``."""
    print(json.dumps(facts, indent=1) if as_json else text)
