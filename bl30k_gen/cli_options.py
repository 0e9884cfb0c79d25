"""Options that several commands of the dataset builder share."""

from pathlib import Path
from typing import Annotated

import typer

ConfigFile = Annotated[Path | None, typer.Option("--config", help="A YAML, e.g. render_configs/demo.yaml.")]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key; repeatable.")]
Out = Annotated[Path, typer.Option("--out", help="The dataset's folder.")]
Dataset = Annotated[Path, typer.Argument(metavar="DATASET", help="A dataset's folder.")]
Json = Annotated[bool, typer.Option("--json", help="Answer for machines.")]
CountOption = Annotated[int | None, typer.Option("--count", help="The first N videos.")]
IndexOption = Annotated[int | None, typer.Option("--index", help="One video.")]
IndicesOption = Annotated[Path | None, typer.Option("--indices", help="A file with one video index a line.")]
Draft = Annotated[bool, typer.Option("--draft", help="A first look: few small frames along the same paths.")]
Threads = Annotated[int, typer.Option("--threads-per-worker", min=0, help="Render threads of each; 0: all.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, optix, hip, oneapi or metal.")]
Scratch = Annotated[Path | None, typer.Option("--scratch", help="For temporary files; default: memory.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="folder, tar or hdf5: videos as files, or in shards. As runtime.store.")
]


def with_store(overrides: list[str] | None, store: str | None) -> list[str]:
    """``--store`` is short for an override."""
    return [*(overrides or []), *([] if store is None else [f"runtime.store={store}"])]
