"""Commands for existing runs: compare, export."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from bl30k_gen.command_line import examples
from training.cli.options import Json

app = typer.Typer()


@app.command(
    "compare",
    epilog=examples(
        "python train.py compare out/runs/stcn-static out/runs/stm-static",
        "python train.py compare out/runs/one out/runs/two --out out/compare --json",
    ),
)
def compare_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders of runs, finished or not.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables and the plot.")] = Path("out/compare"),
    as_json: Json = False,
) -> None:
    """Compare runs: a table, their curves in one plot, and the keys in which their configurations differ."""
    from training.runs.compare import compare, read_runs

    text = compare(runs, out)
    if as_json:
        print(json.dumps({run.label: run.summary() for run in read_runs(runs)}))
        return
    print(text)
    print(out / "compare.png")


@app.command(
    "export",
    epilog=examples(
        "python train.py export out/runs/stcn-vos",
        "python train.py export out/runs/stcn-vos --which best --form published --out stcn.pth",
    ),
)
def export_run(
    run: Annotated[Path, typer.Argument(help="The folder of a run, finished or not.")],
    out: Annotated[Path | None, typer.Option("--out", help="The file; RUN/export.pt by default.")] = None,
    which: Annotated[
        Literal["best", "last"] | None,
        typer.Option("--which", help="By validation J&F, or the last; by default the best, if there is one."),
    ] = None,
    form: Annotated[
        Literal["ours", "published"], typer.Option("--form", help="published: as the paper's code reads it.")
    ] = "ours",
    half: Annotated[bool, typer.Option("--half", help="Weights in 16 bits.")] = False,
) -> None:
    """Write a run's network as one small file, with a card beside it."""
    from training.engine.export import export

    print(export(run, out or run / "export.pt", which, form, half))
