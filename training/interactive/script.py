"""A session by script: what a user would do, as JSON.

    {"objects": [1, 2],
     "actions": [
      {"do": "scribble", "frame": 0, "object": 1, "path": [[0.2, 0.3], [0.4, 0.5]]},
      {"do": "click", "frame": 0, "object": 2, "x": 120, "y": 80},
      {"do": "brush", "frame": 0, "object": 0, "path": [[0.1, 0.9]], "radius": 8, "box": [40, 40, 120, 160]},
      {"do": "propagate"},
      {"do": "undo"},
      {"do": "save", "file": "session.npz"}]}

Paths of strokes are (x, y) from 0 to 1, boxes (top, left, bottom, right) in pixels, files relative to the script.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import encode_mask, read_mask
from bl30k_gen.errors import UserError
from bl30k_gen.settings import first_mistake
from models.clicks import ClickNetwork
from models.propagation import PropagationNetwork
from models.s2m import S2M
from training.evaluation.folders import MaskVideo, describe_size
from training.evaluation.scribbles import Stroke, read_scribbles
from training.evaluation.session_log import SessionLog
from training.inference.load import load_fusion, load_network
from training.inference.segment import checked_options
from training.inference.video import FrameFolder, open_video
from training.interactive.session import InteractiveSession

Path2D = Annotated[list[tuple[FiniteFloat, FiniteFloat]], Field(min_length=1)]


class Action(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OnFrame(Action):
    frame: int
    box: tuple[int, int, int, int] | None = None


class ScribbleAction(OnFrame):
    do: Literal["scribble"]
    object: int
    path: Path2D

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.scribble(self.frame, [Stroke(np.array(self.path), self.object)], self.box)


class ScribblesAction(Action):
    """A file of the interactive benchmark: all strokes on its annotated frame."""

    do: Literal["scribbles"]
    file: str

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        scribbles = read_scribbles(folder / self.file)
        if scribbles.annotated_frame is None:
            raise ValueError(f"{self.file} has no strokes")
        session.scribble(scribbles.annotated_frame, scribbles.frames[scribbles.annotated_frame])


class ClickAction(OnFrame):
    do: Literal["click"]
    object: int
    x: int
    y: int
    positive: bool = True

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.click(self.frame, self.object, self.y, self.x, self.positive, self.box)


class BrushAction(OnFrame):
    do: Literal["brush"]
    object: int
    path: Path2D
    radius: FiniteFloat = Field(5.0, gt=0)

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.brush(self.frame, self.object, self.path, self.radius, self.box)


class MaskAction(Action):
    do: Literal["mask"]
    frame: int
    file: str

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.set_mask(self.frame, read_mask(folder / self.file).ids)


class PropagateAction(Action):
    do: Literal["propagate"]
    frame: int | None = None

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.propagate(self.frame)


class KeepAction(Action):
    do: Literal["keep"]

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.keep()


class UndoAction(Action):
    do: Literal["undo"]

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        if not session.undo():
            raise ValueError("there is nothing to undo")


class FileAction(Action):
    do: Literal["save", "load"]
    file: str

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        (session.save if self.do == "save" else session.load)(folder / self.file)


class Script(BaseModel):
    """Objects are ids from 1 to 254."""

    model_config = ConfigDict(extra="forbid")
    objects: list[int] = [1]
    actions: list[
        Annotated[
            ScribbleAction
            | ScribblesAction
            | ClickAction
            | BrushAction
            | MaskAction
            | PropagateAction
            | KeepAction
            | UndoAction
            | FileAction,
            Field(discriminator="do"),
        ]
    ]


def read_script(path: str | Path) -> Script:
    """Raises UserError naming the first thing that is wrong with the file."""
    try:
        return Script.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise UserError(f"script {path} cannot be read", str(error.strerror)) from None
    except ValidationError as error:
        where, mistake = first_mistake(error)
        raise UserError(f"script {path}, {where or 'its text'}", mistake) from None


def run_script(session: InteractiveSession, script: Script, folder: Path) -> None:
    """Do what the script says, files relative to ``folder``. Raises UserError naming an action that is impossible."""
    for number, action in enumerate(script.actions, 1):
        try:
            action.apply(session, folder)
        except ValueError as error:
            raise UserError(f"action {number} ({action.do})", str(error)) from None


def interact(
    checkpoint: str | Path,
    video: str | Path,
    script: str | Path,
    out: str | Path,
    s2m: str | Path | None = None,
    clicks: str | Path | None = None,
    fusion: str | Path = "linear",
    truth: str | Path | None = None,
    log: str | Path | None = None,
    user: str = "script",
    device: str = "auto",
    say: Callable[[str], None] = print,
    **options,
) -> InteractiveSession:
    """Run a scripted session and write its palette masks: ``train.py interact``.

    Args:
        checkpoint, s2m, clicks, fusion: of the networks; ``fusion`` may be "linear" or "none".
        video: a folder of pictures, whose names the masks get.
        out: folder for the masks.
        truth: folder of the video's true masks, for the IoU in the log.
        log: file for timed events, see ``training.evaluation.session_log``.
        options: fields of ``Options`` that differ from the network's own.

    Raises:
        UserError: a file is missing or does not fit, or the script asks for what is impossible.
    """
    plan = read_script(script)
    frames = open_video(video)
    if not isinstance(frames, FrameFolder):
        raise UserError(f"{video} is a stream", "a session goes back and forth: extract the frames into a folder")
    network = load_network(checkpoint, PropagationNetwork, device=device)
    method = Path(checkpoint).stem
    try:
        session = InteractiveSession(
            network,
            frames,
            plan.objects,
            s2m=load_network(s2m, S2M, device=device) if s2m else None,
            clicks=load_network(clicks, ClickNetwork, device=device) if clicks else None,
            fusion=load_fusion(fusion, device),
            options=checked_options(network, **options),
            log=SessionLog(log, user, frames.path.name, method) if log else None,
            truth=_true_masks(Path(truth), frames) if truth else None,
            say=say,
        )
    except ValueError as error:
        raise UserError(f"script {script}", str(error)) from None
    run_script(session, plan, Path(script).parent)
    for number, name in enumerate(frames.names):
        write_atomically(Path(out) / f"{name}.png", encode_mask(session.labels(number)))
    say(f"{out}: {len(frames)} masks after {session.state.rounds} rounds")
    return session


def _true_masks(folder: Path, frames: FrameFolder) -> np.ndarray:
    """(T, H, W)"""
    video = MaskVideo(folder)
    if missing := set(frames.names) - set(video.names):
        raise UserError(f"{folder} has no mask for frame {min(missing)}", "the IoU is taken over all frames")
    if video.size != (size := frames[0].shape[:2]):
        sizes = f"{describe_size(video.size)}, frames are {describe_size(size)}"
        raise UserError(f"masks of {folder} are {sizes}", "give the video's own true masks")
    return np.stack([video.read(name).ids for name in frames.names])
