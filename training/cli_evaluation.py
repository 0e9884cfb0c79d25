"""The researcher's commands that judge and use networks: evaluate, score, ablate, segment, interact, study."""

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from bl30k_gen.errors import UserError

app = typer.Typer()

Checkpoint = Annotated[Path, typer.Argument(help="Of a propagation network: a run's folder, or a file.")]
Protocol = Annotated[str, typer.Option("--protocol", help="davis16, davis17, youtube or all.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for masks, tables and figures.")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Fusion = Annotated[str, typer.Option("--fusion", help="A checkpoint, or linear, or none.")]
S2m = Annotated[Path | None, typer.Option("--s2m", help="Checkpoint of the scribble-to-mask network.")]
Scribbles = Annotated[Path | None, typer.Option("--scribbles", help="First scribbles; else the robot's.")]
Split = Annotated[str | None, typer.Option("--split", help="A list in ImageSets, e.g. 2017/val.")]

# How a propagation network is run: fields of ``training.inference.options.Options``, which checks them.
_OPTIONS = {
    "memory": Annotated[str | None, typer.Option("--memory", help="growing, bounded, or a mode of RDE's.")],
    "memory_every": Annotated[int | None, typer.Option("--memory-every", help="Frames between memory frames.")],
    "top_k": Annotated[
        int | None, typer.Option("--top-k", help="Memory positions that a pixel is read from; 0: all, by softmax.")
    ],
    "sigma": Annotated[float | None, typer.Option("--sigma", help="Width of the reading's kernel, e.g. 5.6 or 7.")],
    "memory_budget": Annotated[int | None, typer.Option("--memory-budget", help="Bytes that memory may take.")],
    "short_side": Annotated[int | None, typer.Option("--short-side", help="Pixels to work at, e.g. 480 or 600.")],
    "scales": Annotated[
        list[float] | None, typer.Option("--scale", help="Average over sizes, factors of the above; repeatable.")
    ],
    "flip": Annotated[bool | None, typer.Option("--flip", help="Average over mirrored frames.")],
    "precision": Annotated[str | None, typer.Option("--precision", help="float32, bfloat16 or float16.")],
}


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the flags of ``_OPTIONS``; those that were given are in its ``options``."""

    def run(**values: Any) -> None:
        given = {name: values.pop(name) for name in _OPTIONS}
        given = {name: value for name, value in given.items() if value not in (None, [])}
        if given.get("top_k") == 0:
            given["top_k"] = None
        command(**values, options=given)

    own = [p for p in inspect.signature(command).parameters.values() if p.name != "options"]
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _OPTIONS.items()
    ]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature([*own, *flags])
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *flags)}
    return run


@app.command()
@_with_options
def evaluate(
    checkpoint: Checkpoint,
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder or shards.")],
    out: Out,
    protocol: Protocol = "davis17",
    split: Split = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="The DAVIS interactive benchmark.")] = False,
    s2m: S2m = None,
    fusion: Fusion = "linear",
    scribbles: Scribbles = None,
    device: Device = "auto",
    *,
    options: dict[str, Any],
) -> None:
    """What a checkpoint is worth on annotated videos, beside copying the first mask and the oracle."""
    from training.inference.evaluate import evaluate_interactive, evaluate_semi_supervised

    if interactive:
        evaluate_interactive(checkpoint, s2m, dataset, out, fusion, scribbles, split, device=device, **options)
    else:
        workers = os.cpu_count() or 1
        evaluate_semi_supervised(
            checkpoint, dataset, out, protocol, split, workers=workers, device=device, **options
        )


@app.command()
def score(
    truth: Annotated[Path, typer.Argument(help="Folder with a folder of masks for each video.")],
    masks: Annotated[Path, typer.Argument(help="The same, as somebody's method made it.")],
    out: Out,
    protocol: Protocol = "davis17",
    videos: Annotated[Path | None, typer.Option("--videos", help="A file of names; all by default.")] = None,
) -> None:
    """Score masks that exist already: J, F and J&F of any pair of folders."""
    from training.evaluation.report import write_report
    from training.evaluation.semi_supervised import read_list, score_baselines, score_folders

    names = read_list(videos) if videos else None
    workers = os.cpu_count() or 1
    results = {masks.name: score_folders(truth, masks, protocol, names, workers=workers)}
    results |= score_baselines(truth, protocol, names, workers=workers)
    print(write_report(results, out))


@app.command()
@_with_options
def ablate(
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder.")],
    recipe: Annotated[str, typer.Option("--recipe", help="A table from `list`, e.g. mivos-table5, or a YAML file.")],
    out: Out,
    checkpoints: Annotated[
        list[str] | None, typer.Option("--checkpoint", metavar="NAME=PATH", help="What rows need; repeatable.")
    ] = None,
    split: Split = None,
    protocol: Protocol = "davis17",
    scribbles: Scribbles = None,
    device: Device = "auto",
    *,
    options: dict[str, Any],
) -> None:
    """Make a paper's table or figure of your checkpoints. The same command goes on; rows done are kept."""
    from training.evaluation.bench import Bench
    from training.evaluation.tables import ablate

    given = {}
    for pair in checkpoints or []:
        name, equals, path = pair.partition("=")
        if not (name and equals and path):
            raise UserError(f"--checkpoint {pair} is no NAME=PATH", "name it as the table does")
        given[name] = Path(path)
    workers = os.cpu_count() or 1
    ablate(recipe, Bench(dataset, given, split, protocol, scribbles, options, device, workers), out)


@app.command()
@_with_options
def segment(
    checkpoint: Checkpoint,
    video: Annotated[Path, typer.Option("--video", help="A folder of pictures, or a video file.")],
    masks: Annotated[Path, typer.Option("--first-mask", help="The first frame's mask, or a folder of masks.")],
    out: Out,
    direction: Annotated[str, typer.Option("--direction", help="forward, backward or both.")] = "forward",
    device: Device = "auto",
    *,
    options: dict[str, Any],
) -> None:
    """Carry the masks of some frames through a video of your own."""
    from training.inference.segment import segment

    if direction not in ("forward", "backward", "both"):
        raise UserError(f"--direction {direction}", "give forward, backward or both")
    print(segment(checkpoint, video, masks, out, direction, device, **options))


@app.command()
@_with_options
def interact(
    checkpoint: Checkpoint,
    video: Annotated[Path, typer.Option("--video", help="A folder of pictures.")],
    script: Annotated[Path, typer.Option("--script", help="What the user does, as JSON.")],
    out: Out,
    s2m: S2m = None,
    clicks: Annotated[Path | None, typer.Option("--clicks", help="Checkpoint of the click-to-mask network.")] = None,
    fusion: Fusion = "linear",
    truth: Annotated[Path | None, typer.Option("--truth", help="True masks, for the IoU in the log.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="File for timed events, for `study`.")] = None,
    device: Device = "auto",
    *,
    options: dict[str, Any],
) -> None:
    """Run a scripted interactive session."""
    from training.inference.script import interact

    interact(checkpoint, video, script, out, s2m, clicks, fusion, truth, log, device=device, **options)


@app.command()
def study(
    logs: Annotated[Path, typer.Argument(help="Folder of session logs.")],
    out: Out,
    horizon: Annotated[float | None, typer.Option("--horizon", help="Seconds; the longest session's.")] = None,
) -> None:
    """Turn session logs into user time, AUC, gains of each round, and a figure."""
    from training.evaluation.plots import plot_study
    from training.evaluation.study import increment_table, read_study, summary_table

    read = read_study(logs, horizon)
    print(summary_table(read).text())
    print(increment_table(read).text())
    plot_study(read, out / "study.png")
    print(out / "study.png")
