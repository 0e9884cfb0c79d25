"""The researcher's commands. Each does its work in another module; here are words and exit codes.

Exit codes: 0 done, 2 a mistake the user can mend, 143 stopped by SIGTERM or SIGINT (the same command goes on).
"""

import json
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from bl30k_gen.errors import UserError
from training import cli_evaluation
from training.config import Stage, load_stage, stage_names

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
    _train([(settings, folder)], device, start)


@app.command()
def pipeline(
    recipe: Annotated[str, typer.Argument(help="A name from `list`, or a YAML file.")],
    data: Data = None,
    start: Start = None,
    out: Out = None,
    overrides: Overrides = None,
    preset: Preset = None,
    device: Device = "auto",
    no_pretrained: NoPretrained = False,
) -> None:
    """Train the stages of a recipe one after the other. The same command goes on where it was stopped."""
    from training.recipes import load_recipe, load_steps

    folder = out or RUNS / Path(recipe).stem
    changes = _overrides(overrides, no_pretrained)
    _train(load_steps(load_recipe(recipe), changes, data or [], preset, folder), device, start)


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
    device: Device = "auto",
) -> None:
    """Propagate true masks both ways through videos, for fusion to learn from. The same command goes on."""
    from training.fusion_data import make_fusion_data

    first, _, total = shard.partition("/")
    if not (first.isdigit() and total.isdigit() and int(first) < int(total)):
        raise UserError(f"--shard {shard} is no I/N", "write 0/4, 1/4, 2/4 and 3/4 for four machines")
    part = (int(first), int(total))
    count = make_fusion_data(checkpoint, dataset, out, split, separation, reach, memory_every, part, device)
    print(f"{count} videos in {out}; train on them: train.py run fusion/bl30k --data {out}")


def _overrides(overrides: list[str] | None, no_pretrained: bool) -> list[str]:
    return [*(["imagenet=none"] if no_pretrained else []), *(overrides or [])]


def _train(runs: list[tuple[Stage, Path]], device: str, start: Path | None) -> None:
    from training.distributed import processes
    from training.trainer import Stopped, Trainer

    with processes(device) as group:
        try:
            for settings, folder in runs:
                if group.leads:
                    print(f"training into {folder} on {group.device}, {group.world} processes", flush=True)
                Trainer(settings, folder, group, start).run()
                start = folder
        except Stopped as stopped:
            if group.leads:
                print(stopped, file=sys.stderr)
            raise typer.Exit(STOPPED) from None
