"""Commands that apply networks to the user's own videos: segment, interact, annotate."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from bl30k_gen.command_line import examples
from bl30k_gen.errors import require_choice
from training.cli.options import Checkpoint, Device, Fusion, MasksMean, Out, PropagationOptions, S2m, with_groups

app = typer.Typer()


@app.command(
    epilog=examples(
        "python train.py segment stcn.pth --video holiday.mp4 --first-mask first_mask.png --out out/masks",
        "python train.py segment stcn.pth --video frames --first-mask masks --direction both --out out/masks",
    )
)
@with_groups
def segment(
    checkpoint: Checkpoint,
    video: Annotated[Path, typer.Option("--video", help="A folder of images, a video file, or DATASET/VIDEO.")],
    masks: Annotated[Path, typer.Option("--first-mask", help="The first frame's mask, or a folder of masks.")],
    out: Out,
    direction: Annotated[str, typer.Option("--direction", help="forward, backward or both.")] = "forward",
    meaning: MasksMean = None,
    device: Device = "auto",
    *,
    options: PropagationOptions,
) -> None:
    """Propagate the masks of some frames through your own video."""
    from training.inference.segment import Direction, segment

    checked = require_choice("--direction", direction, get_args(Direction))
    segment(checkpoint, video, masks, out, checked, device, meaning=meaning, **options.given())


@app.command(
    epilog=examples(
        "python train.py interact out/runs/stcn-vos --video frames --script session.json --out out/masks",
        "python train.py interact stm.pth --video frames --script session.json --s2m s2m.pth --out out/masks",
    )
)
@with_groups
def interact(
    checkpoint: Checkpoint,
    video: Annotated[Path, typer.Option("--video", help="A folder of images, a video file, or DATASET/VIDEO.")],
    script: Annotated[Path, typer.Option("--script", help="The user's actions as JSON.")],
    out: Out,
    s2m: S2m = None,
    clicks: Annotated[Path | None, typer.Option("--clicks", help="Checkpoint of the click-to-mask network.")] = None,
    fusion: Fusion = "linear",
    truth: Annotated[Path | None, typer.Option("--truth", help="True masks, for the IoU in the log.")] = None,
    log: Annotated[Path | None, typer.Option("--log", help="File for timed events, for `study`.")] = None,
    masks: MasksMean = None,
    device: Device = "auto",
    *,
    options: PropagationOptions,
) -> None:
    """Run an interactive session from a script in JSON: see docs/inference.md."""
    from training.interactive.script import interact

    interact(
        checkpoint,
        video,
        script,
        out,
        s2m,
        clicks,
        fusion,
        truth,
        log,
        device=device,
        meaning=masks,
        **options.given(),
    )


@app.command(
    epilog=examples(
        "python train.py annotate frames --network stm.pth --s2m s2m.pth --fusion fusion.pth --open",
        "python train.py annotate holiday.mp4 --objects 3 --out out/holiday",
    )
)
def annotate(
    video: Annotated[
        Path, typer.Argument(help="A folder of images, a video file, DATASET/VIDEO or SHARD.tar/VIDEO.")
    ],
    network: Annotated[
        Path | None, typer.Option("--network", help="Checkpoint of a propagation network, or small.")
    ] = None,
    s2m: S2m = None,
    clicks: Annotated[Path | None, typer.Option("--clicks", help="Checkpoint of the click-to-mask network.")] = None,
    fusion: Fusion = "linear",
    objects: Annotated[int, typer.Option("--objects", min=1, max=254, help="Objects to begin with.")] = 1,
    masks: Annotated[Path | None, typer.Option("--masks", help="Masks to begin with, a folder or a file.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for session and exports; out/annotate/<video> by default.")
    ] = None,
    short_side: Annotated[
        int | None,
        typer.Option("--short-side", min=16, help="Pixels to work at; with networks 480, or 320 without a GPU."),
    ] = None,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes any free port.")] = 0,
    host: Annotated[str, typer.Option("--host", help="Address to listen at, for other machines to connect.")] = (
        "127.0.0.1"
    ),
    show: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    study: Annotated[
        Path | None, typer.Option("--study", help="True masks: run a user study with a time limit.")
    ] = None,
    limit: Annotated[float, typer.Option("--limit", min=1, help="Seconds of the user's time in a study.")] = 120.0,
    user: Annotated[str, typer.Option("--user", help="Name of the participant in the study.")] = "user",
    device: Device = "auto",
) -> None:
    """Open a video in the browser: draw, propagate, correct, export (docs/annotate.md)."""
    from training.annotator.annotate import annotate

    annotate(
        video,
        network,
        s2m,
        clicks,
        fusion,
        objects,
        masks,
        out,
        short_side,
        host,
        port,
        show,
        study,
        limit,
        user,
        device,
    )
