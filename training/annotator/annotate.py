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

SHORT_SIDE = 480


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
        video: a folder of pictures, a video file, or DATASET/VIDEO.
        network, s2m, clicks, fusion: checkpoints; without the first there is the brush alone.
        objects: how many a new session begins with.
        masks: masks to begin with, a folder or one file.
        out: folder for the session and everything that is exported; a session that is there goes on.
        short_side: to work at; 480 with networks, if frames are larger, and the frames' own without.
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
        from training.inference.load import load_fusion, load_network
        from training.inference.options import Options
        from training.inference.segment import checked_options
        from training.interactive.session import InteractiveSession

        loaded = load_network(network, PropagationNetwork, device=device) if network else None
        side = min(short_side or (SHORT_SIDE if network or s2m or clicks else 10**9), *frames[0].shape[:2])
        return InteractiveSession(
            loaded,
            frames,
            [],
            s2m=load_network(s2m, S2M, device=device) if s2m else None,
            clicks=load_network(clicks, ClickNetwork, device=device) if clicks else None,
            fusion=load_fusion(fusion, device),
            options=checked_options(loaded, short_side=side) if loaded else Options(short_side=side),
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
        if file and file not in ("linear", "none") and not Path(file).exists():
            raise UserError(f"checkpoint {file} does not exist", "give a checkpoint of train.py, or a published one")
    if folder.resolve() == frames.path.resolve() or frames.path.resolve() in folder.resolve().parents:
        raise UserError(f"--out {folder} lies in the video's own folder", "choose another folder")
