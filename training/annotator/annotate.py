"""``train.py annotate``: opens a video and its networks, and serves the page in the browser."""

import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bl30k_gen.errors import UserError
from training.annotator.server import Server
from training.inference.video import Frames, open_frames

if TYPE_CHECKING:
    from training.annotator.study import Study
    from training.annotator.workspace import Workspace
    from training.interactive.session import InteractiveSession

SHORT_SIDE, SHORT_SIDE_CPU = 480, 320
"""Short sides to work at with networks: on a GPU, and on a processor, where a frame at 480 takes seconds."""

MAX_CACHE = 2**30
"""Bytes of encoded frames to keep."""


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
        network, s2m, clicks, fusion: checkpoints; without ``network`` a session can paint but not propagate.
        objects: how many a new session begins with; a study begins with those of its true masks.
        masks: masks to begin with, a folder or one file.
        out: folder of the session and of all exports; a session that is in it continues.
        short_side: to work at. None: that of the session in ``out``; in a new one, with networks, at most
            ``SHORT_SIDE`` or ``SHORT_SIDE_CPU``, and without networks that of the frames.
        study, limit, user: true masks for a user study, its seconds, and the name of the participant.
        show: open the page in the browser.

    Raises:
        UserError: a file is missing or does not fit.
    """
    frames = open_frames(video)
    folder = Path(out) if out else Path("out/annotate") / frames.path.stem
    _check(frames, folder, network, s2m, clicks, fusion)
    checkpoints = _Checkpoints(network, s2m, clicks, fusion, device)

    def open_session() -> "InteractiveSession":
        return _open_session(frames, checkpoints, short_side, folder, say)

    def open_workspace() -> "Workspace":
        from training.annotator.workspace import Workspace
        from training.inference.video import read_given

        given = read_given(masks, frames.names) if masks else {}
        test = _open_study(study, frames, folder, limit, user, Path(network or "brush").stem) if study else None
        return Workspace(frames, open_session, folder, 0 if given else objects, given, test, say)

    server = Server(frames, open_workspace, host, port)
    say(f"{frames.path}: {len(frames)} frames; masks and the session go to {folder}")
    say(f"Open {server.url}")
    if show:
        webbrowser.open(server.url)
    server.run()


# The functions below import what they need themselves: the page is served before PyTorch is loaded.


class _Checkpoints(NamedTuple):
    """Files of the networks, and the device for them; ``fusion`` may also be "linear" or "none"."""

    network: str | Path | None
    s2m: str | Path | None
    clicks: str | Path | None
    fusion: str | Path
    device: str


def _open_session(
    frames: Frames, checkpoints: _Checkpoints, short_side: int | None, folder: Path, say: Callable[[str], None]
) -> "InteractiveSession":
    """Load the networks and open a session without objects."""
    from models.clicks import ClickNetwork
    from models.propagation import PropagationNetwork
    from models.s2m import S2M
    from training.annotator.autosave import recorded_short_side
    from training.inference.load import load_fusion, load_network
    from training.inference.options import Options
    from training.inference.segment import checked_options
    from training.interactive.session import InteractiveSession

    device = checkpoints.device
    network = load_network(checkpoints.network, PropagationNetwork, device=device) if checkpoints.network else None
    s2m = load_network(checkpoints.s2m, S2M, device=device) if checkpoints.s2m else None
    clicks = load_network(checkpoints.clicks, ClickNetwork, device=device) if checkpoints.clicks else None
    largest = min(frames[0].shape[:2])
    side = short_side or recorded_short_side(folder / "session")
    if side is None and (loaded := network or s2m or clicks) is not None:
        side = _default_short_side(largest, next(loaded.parameters()).device.type, say)
    side = min(side or largest, largest)
    return InteractiveSession(
        network,
        frames,
        [],
        s2m=s2m,
        clicks=clicks,
        fusion=load_fusion(checkpoints.fusion, device),
        options=checked_options(network, short_side=side) if network else Options(short_side=side),
        cache=MAX_CACHE,
        say=say,
    )


def _default_short_side(largest: int, device: str, say: Callable[[str], None]) -> int:
    """The short side to work at with networks; where a processor makes it smaller than frames, that is said."""
    if device != "cpu":
        return SHORT_SIDE
    if largest > SHORT_SIDE_CPU:
        finer = min(largest, SHORT_SIDE)
        factor = round((finer / SHORT_SIDE_CPU) ** 2, 1)
        say(
            f"There is no GPU: masks are made at a short side of {SHORT_SIDE_CPU} pixels; with --short-side "
            f"{finer} they are finer, and a frame takes {factor:g} times as long or more"
        )
    return SHORT_SIDE_CPU


def _open_study(truth: str | Path, frames: Frames, folder: Path, limit: float, user: str, method: str) -> "Study":
    from training.annotator.study import Study
    from training.interactive.script import true_masks

    return Study(true_masks(Path(truth), frames), limit, folder / "study", user, frames.path.stem, method)


def _check(frames: Frames, folder: Path, *files: str | Path | None) -> None:
    """Raise UserError for what can be known before anything is loaded."""
    for file in files:
        if file and str(file) not in ("linear", "none", "small") and not Path(file).exists():
            raise UserError(
                f"checkpoint {file} does not exist",
                "give a run's folder, a checkpoint file of train.py or a published one, or small",
            )
    if folder.resolve() == frames.path.resolve() or frames.path.resolve() in folder.resolve().parents:
        raise UserError(f"--out {folder} lies in the video's own folder", "choose another folder")
