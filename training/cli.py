"""The researcher's commands. Each does its work in another module; here are words and exit codes.

Exit codes: 0 done, 2 a mistake the user can mend, 143 stopped by SIGTERM or SIGINT (the same command goes on).
"""

import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bl30k_gen.errors import UserError
from training import cli_evaluation
from training.config import load_stage, stage_names

if TYPE_CHECKING:
    from training.distributed import Processes

STOPPED = 143
RUNS = Path("out/runs")

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(cli_evaluation.app)

Data = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="[NAME=]PATH", help="Where a source lies, or a folder with all; repeatable."),
]
Overrides = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key; repeatable.")]
Preset = Annotated[str | None, typer.Option("--preset", help="Changes for any stage, e.g. tiny.")]
Start = Annotated[Path | None, typer.Option("--from", metavar="CHECKPOINT", help="Weights, or a run's folder.")]
Out = Annotated[Path | None, typer.Option("--out", help="The run's folder; out/runs/<name> by default.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
NoPretrained = Annotated[bool, typer.Option("--no-pretrained", help="Begin without ImageNet's weights.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show configuration, data and cost; train nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Answer for machines.")]


def main() -> None:
    """Run the command line: mistakes become one line on standard error and exit code 2."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except ModuleNotFoundError as error:
        print(f"error: {error.name} is not installed: pip install -c constraints.txt -e '.[train]'", file=sys.stderr)
        sys.exit(2)


@app.command("list")
def list_stages(as_json: Json = False) -> None:
    """List the stages, the recipes, and the tables."""
    from training.evaluation.table_recipe import load_table, table_names
    from training.recipes import load_recipe, recipe_names

    stages = {name: load_stage(name) for name in stage_names()}
    recipes = {name: load_recipe(name) for name in recipe_names()}
    tables = {name: load_table(name) for name in table_names()}
    if as_json:
        lists = {"stages": stages, "recipes": recipes, "tables": tables}
        plain = {kind: {n: x.model_dump(mode="json") for n, x in named.items()} for kind, named in lists.items()}
        print(json.dumps(plain))
        return
    print("stages (train.py run STAGE)")
    for name, stage in stages.items():
        size = f"{stage.iterations:>7} iterations x {stage.batch:>2} samples of {stage.frames} frames at {stage.size}"
        print(f"  {name:<12} {size}   data: {', '.join(stage.sources)}")
    print("recipes (train.py pipeline RECIPE)")
    for name, recipe in recipes.items():
        print(f"  {name:<28} {recipe.about}")
    print("tables (train.py ablate DATASET --recipe TABLE)")
    for name, table in tables.items():
        print(f"  {name:<16} {table.about}")
        print(f"  {'':<16}   checkpoints: {', '.join(table.checkpoints)}")


@app.command()
def run(
    stage: Annotated[str, typer.Argument(help="A name from `list`, e.g. stcn/static, or a YAML file.")],
    data: Data = None,
    start: Start = None,
    out: Out = None,
    overrides: Overrides = None,
    preset: Preset = None,
    device: Device = "auto",
    no_pretrained: NoPretrained = False,
    dry_run: DryRun = False,
) -> None:
    """Train one stage. The same command goes on where it was stopped; torchrun spreads it over GPUs."""
    settings = load_stage(stage, _overrides(overrides, no_pretrained), data or [], preset)
    folder = out or RUNS / Path(stage).with_suffix("").as_posix().replace("/", "-")
    if dry_run:
        from training.dry_run import dry_run

        dry_run(settings, folder, device, start)
        return
    from training.trainer import Trainer

    with _training(device) as group:
        if group.leads:
            print(f"training into {folder} on {group.device}, {group.world} processes", flush=True)
        Trainer(settings, folder, group, start).run()


@app.command()
def pipeline(
    recipe: Annotated[str, typer.Argument(help="A name from `list`, or a YAML file.")] = "mivos",
    data: Data = None,
    start: Start = None,
    out: Out = None,
    overrides: Overrides = None,
    preset: Preset = None,
    device: Device = "auto",
    no_pretrained: NoPretrained = False,
    dry_run: DryRun = False,
) -> None:
    """Train the stages of a recipe, make fusion data, judge. The same command goes on where it was stopped."""
    from training.pipeline import plan, run_pipeline
    from training.recipes import load_recipe

    folder = out or RUNS / Path(recipe).stem
    changes = _overrides(overrides, no_pretrained)
    chosen = load_recipe(recipe, changes, preset)
    arguments = chosen, folder, data or [], changes, preset, start
    if dry_run:
        for step in plan(*arguments):
            print(f"# {step.folder.name}: {step.name}")
            step.show(device)
        return
    with _training(device) as group:
        work = plan(*arguments, say=print if group.leads else lambda text: None)
        run_pipeline(chosen, work, folder, group)


@app.command("make-fusion-data")
def make_fusion_data(
    checkpoint: Annotated[Path, typer.Argument(help="Weights of a trained propagation network.")],
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder or shards.")],
    out: Annotated[Path, typer.Option("--out", help="The fusion set's folder.")],
    split: Annotated[str | None, typer.Option("--split", help="A list in ImageSets; all videos by default.")] = None,
    separation: Annotated[int, typer.Option("--separation", min=1, help="Frames between references.")] = 20,
    reach: Annotated[
        int | None, typer.Option("--range", min=1, help="Frames either way; else the whole video.")
    ] = None,
    memory_every: Annotated[int, typer.Option("--memory-every", min=1, help="Frames between memory frames.")] = 5,
    shard: Annotated[
        str, typer.Option("--shard", help="I/N: every N-th video, beginning with the I-th from 0.")
    ] = "0/1",
    to: Annotated[
        Literal["folder", "tar", "hdf5"], typer.Option("--to", help="Pack a hundred videos at a time.")
    ] = "folder",
    device: Device = "auto",
) -> None:
    """Propagate true masks both ways through videos, for fusion to learn from. The same command goes on."""
    from bl30k_gen.dataset.reader import open_dataset
    from training.fusion_data import make_fusion_data

    first, _, total = shard.partition("/")
    if not (first.isdigit() and total.isdigit() and int(first) < int(total)):
        raise UserError(f"--shard {shard} is no I/N", "write 0/4, 1/4, 2/4 and 3/4 for four machines")
    part = (int(first), int(total))
    videos = open_dataset(dataset).image_set(split) if split else None
    count = make_fusion_data(checkpoint, dataset, out, videos, separation, reach, memory_every, part, to, device)
    print(f"{count} videos in {out}; train on them: train.py run fusion/bl30k --data {out}")


def _overrides(overrides: list[str] | None, no_pretrained: bool) -> list[str]:
    return [*(["imagenet=none"] if no_pretrained else []), *(overrides or [])]


@app.command("compare")
def compare_runs(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, finished or not.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables and the plot.")] = Path("out/compare"),
    as_json: Json = False,
) -> None:
    """Runs side by side: a table, their curves in one plot, and where their configurations differ."""
    from training.compare import compare, read_runs

    text = compare(runs, out)
    if as_json:
        print(json.dumps({run.label: run.summary() for run in read_runs(runs)}))
        return
    print(text)
    print(out / "compare.png")


@app.command("export")
def export_run(
    run: Annotated[Path, typer.Argument(help="The folder of a run, finished or not.")],
    out: Annotated[Path | None, typer.Option("--out", help="The file; RUN/export.pt by default.")] = None,
    which: Annotated[
        Literal["best", "last"] | None,
        typer.Option("--which", help="By validation J&F, or the last; the best where there is one."),
    ] = None,
    form: Annotated[
        Literal["ours", "published"], typer.Option("--form", help="published: as the paper's code reads it.")
    ] = "ours",
    half: Annotated[bool, typer.Option("--half", help="Weights in 16 bits.")] = False,
) -> None:
    """One small file with a run's network, and its card beside it."""
    from training.export import export

    print(export(run, out or run / "export.pt", which, form, half))


@contextlib.contextmanager
def _training(device: str) -> Iterator["Processes"]:
    """The processes that train; a signal ends the command with its own exit code."""
    from training.distributed import processes
    from training.trainer import Stopped

    with processes(device) as group:
        try:
            yield group
        except Stopped as stopped:
            if group.leads:
                print(stopped, file=sys.stderr)
            raise typer.Exit(STOPPED) from None
