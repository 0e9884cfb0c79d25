"""The researcher's commands that judge and use networks: evaluate, score, segment, interact, study."""

import os
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
MemoryEvery = Annotated[int | None, typer.Option("--memory-every", min=1, help="Frames between memory frames.")]
ShortSide = Annotated[int | None, typer.Option("--short-side", min=16, help="Pixels to work at, e.g. 480.")]
Precision = Annotated[str, typer.Option("--precision", help="float32, bfloat16 or float16.")]


@app.command()
def evaluate(
    checkpoint: Checkpoint,
    dataset: Annotated[Path, typer.Argument(help="A dataset's folder or shards.")],
    out: Out,
    protocol: Protocol = "davis17",
    split: Annotated[str | None, typer.Option("--split", help="A list in ImageSets, e.g. 2017/val.")] = None,
    interactive: Annotated[bool, typer.Option("--interactive", help="The DAVIS interactive benchmark.")] = False,
    s2m: S2m = None,
    fusion: Fusion = "linear",
    scribbles: Annotated[Path | None, typer.Option("--scribbles", help="First scribbles; else the robot's.")] = None,
    memory_every: MemoryEvery = None,
    short_side: ShortSide = None,
    precision: Precision = "float32",
    device: Device = "auto",
) -> None:
    """What a checkpoint is worth on annotated videos, beside copying the first mask and the oracle."""
    from training.inference.evaluate import evaluate_interactive, evaluate_semi_supervised

    options = _options(memory_every=memory_every, short_side=short_side, precision=precision)
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
def segment(
    checkpoint: Checkpoint,
    video: Annotated[Path, typer.Option("--video", help="A folder of pictures, or a video file.")],
    masks: Annotated[Path, typer.Option("--first-mask", help="The first frame's mask, or a folder of masks.")],
    out: Out,
    direction: Annotated[str, typer.Option("--direction", help="forward, backward or both.")] = "forward",
    memory_every: MemoryEvery = None,
    short_side: ShortSide = None,
    precision: Precision = "float32",
    device: Device = "auto",
) -> None:
    """Carry the masks of some frames through a video of your own."""
    from training.inference.segment import segment

    if direction not in ("forward", "backward", "both"):
        raise UserError(f"--direction {direction}", "give forward, backward or both")
    options = _options(memory_every=memory_every, short_side=short_side, precision=precision)
    print(segment(checkpoint, video, masks, out, direction, device, **options))


@app.command()
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
) -> None:
    """Run a scripted interactive session."""
    from training.inference.script import interact

    interact(checkpoint, video, script, out, s2m, clicks, fusion, truth, log, device=device)


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


def _options(**given: Any) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}
