"""``train.py annotate``: a video, the networks at hand, and a page in the browser."""

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bl30k_gen.errors import UserError
from training.annotator.server import Server
from training.inference.video import Frames, open_frames

if TYPE_CHECKING:
    from training.annotator.workspace import Workspace
    from training.interactive.session import InteractiveSession

SHORT_SIDE, SHORT_SIDE_CPU = 480, 320
"""To work at with networks, on a GPU and on a processor, where a frame at 480 takes seconds."""

CACHE = 2**30
"""Bytes of frames to keep as the network sees them."""


def annotate(
    video: str | Path,
    network: str | Path | None = None,
    s2m: str | Path | None = None,
    clicks: str | Path | None = None,
    fusion: str | Path = "linear",
    objects: int = 1,
    masks: str | Path | None = None,
    out: str | Path | None = None,
    short_side: int | None = None,
    host: str = "127.0.0.1",
    port: int = 0,
    show: bool = False,
    study: str | Path | None = None,
    limit: float = 120.0,
    user: str = "user",
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> None:
    """Serve the page until it is stopped.

    Args:
        video: a folder of images, a video file, or DATASET/VIDEO.
        network, s2m, clicks, fusion: checkpoints; without the first there is the brush alone.
        objects: how many a new session begins with; a study begins with those of its true masks.
        masks: masks to begin with, a folder or one file.
        out: folder for the session and everything that is exported; a session that is there goes on.
        short_side: to work at; else that of the session that is there, else ``SHORT_SIDE`` or ``SHORT_SIDE_CPU`` with
            networks, if frames are larger, and the frames' own without.
        study, limit, user: true masks for a user study, its seconds, and who takes part.
        show: open the page in the browser.

    Raises:
        UserError: a file is missing or does not fit.
    """
    frames = open_frames(video)
    folder = Path(out) if out else Path("out/annotate") / frames.path.stem
    _check(frames, folder, network, s2m, clicks, fusion)

    def open_session() -> "InteractiveSession":
        from models.clicks import ClickNetwork
        from models.propagation import PropagationNetwork
        from models.s2m import S2M
        from training.annotator.autosave import recorded_short_side
        from training.inference.load import load_fusion, load_network
        from training.inference.options import Options
        from training.inference.segment import checked_options
        from training.interactive.session import InteractiveSession

        loaded = load_network(network, PropagationNetwork, device=device) if network else None
        scribbles = load_network(s2m, S2M, device=device) if s2m else None
        clicker = load_network(clicks, ClickNetwork, device=device) if clicks else None
        worker, own = loaded or scribbles or clicker, min(frames[0].shape[:2])
        side = short_side or recorded_short_side(folder / "session")
        if side is None and worker is not None:
            processor = next(worker.parameters()).device.type == "cpu"
            side = SHORT_SIDE_CPU if processor else SHORT_SIDE
            if processor and own > side:
                more = round((min(own, SHORT_SIDE) / side) ** 2, 1)
                say(
                    f"There is no GPU: masks are made at a short side of {side} pixels; with --short-side "
                    f"{min(own, SHORT_SIDE)} they are finer, and a frame takes {more:g} times as long or more"
                )
        side = min(side or own, own)
        return InteractiveSession(
            loaded,
            frames,
            [],
            s2m=scribbles,
            clicks=clicker,
            fusion=load_fusion(fusion, device),
            options=checked_options(loaded, short_side=side) if loaded else Options(short_side=side),
            cache=CACHE,
            say=say,
        )

    def make() -> "Workspace":
        from training.annotator.study import Study
        from training.annotator.workspace import Workspace
        from training.inference.video import read_given
        from training.interactive.script import true_masks

        given = read_given(masks, frames.names) if masks else {}
        test = None
        if study:
            truth = true_masks(Path(study), frames)
            test = Study(truth, limit, folder / "study", user, frames.path.stem, Path(network or "brush").stem)
        return Workspace(frames, open_session, folder, 0 if given else objects, given, test, say)

    server = Server(frames, make, host, port)
    say(f"{frames.path}: {len(frames)} frames; masks and the session go to {folder}")
    say(f"Open {server.url}")
    if show:
        webbrowser.open(server.url)
    server.run()


def _check(frames: Frames, folder: Path, *files: str | Path | None) -> None:
    """What can be known before anything is loaded."""
    for file in files:
        if file and str(file) not in ("linear", "none", "small") and not Path(file).exists():
            raise UserError(f"checkpoint {file} does not exist", "give a checkpoint of train.py, or a published one")
    if folder.resolve() == frames.path.resolve() or frames.path.resolve() in folder.resolve().parents:
        raise UserError(f"--out {folder} lies in the video's own folder", "choose another folder")
