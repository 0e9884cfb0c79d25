"""Commands that train: list, run, pipeline, make-fusion-data."""

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from pydantic import BaseModel

from bl30k_gen.command_line import examples
from bl30k_gen.errors import STOPPED, UserError
from bl30k_gen.text import aligned, plural
from training.cli.options import Device, Json, MasksMean, TrainingOptions, stoppable, with_groups

if TYPE_CHECKING:
    from training.engine.distributed import Processes

RUNS = Path("out/runs")

app = typer.Typer()


@app.command(
    "list",
    epilog=examples(
        "python train.py list",
        "python train.py list --json",
    ),
)
def list_stages(as_json: Json = False) -> None:
    """List the stages, the recipes, and the tables."""
    from training.schema.lookup import RECIPES, STAGES, TABLES
    from training.schema.recipe import load_recipe
    from training.schema.stage import load_stage
    from training.schema.table import load_table

    stages = {name: load_stage(name) for name in STAGES.names()}
    recipes = {name: load_recipe(name) for name in RECIPES.names()}
    tables = {name: load_table(name) for name in TABLES.names()}
    if as_json:
        lists: dict[str, Mapping[str, BaseModel]] = {"stages": stages, "recipes": recipes, "tables": tables}
        plain = {kind: {n: x.model_dump(mode="json") for n, x in named.items()} for kind, named in lists.items()}
        print(json.dumps(plain))
        return
    print("stages (train.py run STAGE)")
    of_stage = [
        [name, str(s.iterations), "iterations x", str(s.batch), f"samples of {plural(s.frames, 'frame')} at {s.size}"]
        + [f"data: {', '.join(s.sources)}"]
        for name, s in stages.items()
    ]
    print(*aligned(of_stage, right={1, 3}, indent="  "), sep="\n")
    print("recipes (train.py pipeline RECIPE)")
    print(*aligned([[name, recipe.about] for name, recipe in recipes.items()], indent="  "), sep="\n")
    print("tables (train.py ablate DATASET --recipe TABLE)")
    of_table = []
    for name, table in tables.items():
        of_table += [[name, table.about], ["", f"  checkpoints: {', '.join(table.checkpoints)}"]]
    print(*aligned(of_table, indent="  "), sep="\n")


@app.command(
    epilog=examples(
        "python train.py run stcn/static --data ~/data --dry-run",
        "python train.py run stcn/bl30k --data ~/data --from out/runs/stcn-static",
    )
)
@with_groups
def run(
    stage: Annotated[str, typer.Argument(help="A name from `list`, e.g. stcn/static, or a YAML file.")],
    *,
    options: TrainingOptions,
) -> None:
    """Train one stage. The same command continues where it stopped; torchrun runs it on several GPUs."""
    from training.schema.stage import load_stage

    settings = load_stage(stage, options.changes, options.data or [], options.preset)
    folder = options.out or RUNS / Path(stage).with_suffix("").as_posix().replace("/", "-")
    if options.dry_run:
        from training.engine.dry_run import dry_run

        dry_run(settings, folder, options.device, options.start)
        return
    from training.engine.trainer import Trainer

    with _training(options.device) as group:
        trainer = Trainer(settings, folder, group, options.start)  # opens the data
        if group.leads:
            print(f"training into {folder} on {group}", flush=True)
        trainer.run()


@app.command(
    epilog=examples(
        "python train.py pipeline --preset tiny --data out/demo --out out/tiny",
        "python train.py pipeline stcn-static-bl30k-vos --data ~/data",
    )
)
@with_groups
def pipeline(
    recipe: Annotated[str, typer.Argument(help="A name from `list`, or a YAML file.")] = "mivos",
    *,
    options: TrainingOptions,
) -> None:
    """Train the stages of a recipe, make fusion data, evaluate. The same command continues where it stopped."""
    from training.pipeline.plan import plan, run_pipeline
    from training.schema.recipe import load_recipe

    folder = options.out or RUNS / Path(recipe).stem
    chosen = load_recipe(recipe, options.changes, options.preset)
    arguments = chosen, folder, options.data or [], options.changes, options.preset, options.start
    if options.dry_run:
        for step in plan(*arguments):
            print(f"# {step.folder.name}: {step.name}")
            step.show(options.device)
        return
    with _training(options.device) as group:
        work = plan(*arguments, say=print if group.leads else lambda text: None)
        run_pipeline(chosen, work, folder, group)


@app.command(
    "make-fusion-data",
    epilog=examples(
        "python train.py make-fusion-data out/runs/stm-bl30k out/bl30k --out out/fusion",
        "python train.py make-fusion-data out/runs/stm-bl30k out/bl30k --out out/fusion --shard 0/4 --to tar",
    ),
)
def make_fusion_data(
    checkpoint: Annotated[Path, typer.Argument(help="Weights of a trained propagation network.")],
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder or shards.")],
    out: Annotated[Path, typer.Option("--out", help="The fusion set's folder.")],
    split: Annotated[str | None, typer.Option("--split", help="A list in ImageSets; all videos by default.")] = None,
    separation: Annotated[int, typer.Option("--separation", min=1, help="Frames between references.")] = 20,
    reach: Annotated[
        int | None, typer.Option("--range", min=1, help="Frames in each direction; by default the whole video.")
    ] = None,
    memory_every: Annotated[int, typer.Option("--memory-every", min=1, help="Frames between memory frames.")] = 5,
    shard: Annotated[
        str, typer.Option("--shard", help="I/N: every N-th video, beginning with the I-th from 0.")
    ] = "0/1",
    to: Annotated[
        Literal["folder", "tar", "hdf5"], typer.Option("--to", help="Pack a hundred videos at a time.")
    ] = "folder",
    masks: MasksMean = None,
    device: Device = "auto",
) -> None:
    """Propagate true masks forward and backward through videos, as training data for fusion."""
    from bl30k_gen.dataset.reader import open_dataset
    from training.pipeline.fusion_data import make_fusion_data

    first, _, total = shard.partition("/")
    if not (first.isdigit() and total.isdigit() and int(first) < int(total)):
        raise UserError(f"--shard {shard} is no I/N", "write 0/4, 1/4, 2/4 and 3/4 for four machines")
    part = (int(first), int(total))
    videos = open_dataset(dataset).image_set(split) if split else None
    with stoppable():
        count = make_fusion_data(
            checkpoint, dataset, out, videos, separation, reach, memory_every, part, to, device, masks=masks
        )
    print(f"{plural(count, 'video')} in {out}; train on them: train.py run fusion/bl30k --data {out}")


@contextlib.contextmanager
def _training(device: str) -> Iterator["Processes"]:
    """Join the training processes; a signal ends the command with exit code ``STOPPED``."""
    from training.engine.distributed import processes
    from training.engine.trainer import Stopped

    with processes(device) as group, stoppable():
        try:
            yield group
        except Stopped as stopped:
            if group.leads:
                print(stopped, file=sys.stderr)
            raise typer.Exit(STOPPED) from None
