"""Commands that use networks on a video of one's own: segment, interact."""

from pathlib import Path
from typing import Annotated, get_args

import typer

from bl30k_gen.command_line import examples
from bl30k_gen.errors import chosen
from training.cli.options import Checkpoint, Device, Fusion, Out, PropagationOptions, S2m, with_groups

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
    video: Annotated[Path, typer.Option("--video", help="A folder of pictures, or a video file.")],
    masks: Annotated[Path, typer.Option("--first-mask", help="The first frame's mask, or a folder of masks.")],
    out: Out,
    direction: Annotated[str, typer.Option("--direction", help="forward, backward or both.")] = "forward",
    device: Device = "auto",
    *,
    options: PropagationOptions,
) -> None:
    """Propagate the masks of some frames through a video of your own."""
    from training.inference.segment import Direction, segment

    way = chosen("--direction", direction, get_args(Direction))
    segment(checkpoint, video, masks, out, way, device, **options.given())


@app.command(
    epilog=examples(
        "python train.py interact out/runs/stcn-vos --video frames --script session.json --out out/masks",
        "python train.py interact stm.pth --video frames --script session.json --s2m s2m.pth --out out/masks",
    )
)
@with_groups
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
    options: PropagationOptions,
) -> None:
    """Run an interactive session from a script in JSON: see docs/inference.md."""
    from training.interactive.script import interact

    interact(checkpoint, video, script, out, s2m, clicks, fusion, truth, log, device=device, **options.given())
