"""Runs a session from a script: the user's actions as JSON.

    {"objects": [1, 2],
     "actions": [
      {"do": "scribble", "frame": 0, "object": 1, "path": [[0.2, 0.3], [0.4, 0.5]]},
      {"do": "click", "frame": 0, "object": 2, "x": 120, "y": 80},
      {"do": "brush", "frame": 0, "object": 0, "path": [[0.1, 0.9]], "radius": 8, "box": [40, 40, 120, 160]},
      {"do": "propagate"},
      {"do": "undo"},
      {"do": "add", "object": 3},
      {"do": "fill", "frame": 9, "object": 3, "path": [[0.1, 0.1], [0.2, 0.1], [0.2, 0.3]]},
      {"do": "propagate", "frame": 9, "direction": "forward", "last": 40},
      {"do": "save", "file": "session.npz"}]}

Paths of strokes are (x, y) from 0 to 1, boxes (top, left, bottom, right) in pixels, files relative to the script.
The page in the browser uses the same actions, and can export them as such a script.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from bl30k_gen.dataset.claim import claim, refuse_input
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import Meaning, decide, encode_mask, read_mask
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_bytes
from bl30k_gen.settings import first_mistake
from models.clicks import ClickNetwork
from models.propagation import PropagationNetwork
from models.s2m import S2M
from training.evaluation.folders import MaskVideo, describe_size
from training.evaluation.scribbles import Stroke, read_scribbles
from training.evaluation.session_log import SessionLog
from training.inference.load import load_fusion, load_network
from training.inference.segment import checked_options
from training.inference.video import Frames, open_frames
from training.interactive.session import Direction, InteractiveSession
from training.interactive.state import Maps

Path2D = Annotated[list[tuple[FiniteFloat, FiniteFloat]], Field(min_length=1)]
Progress = Callable[[int, Maps], None]


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


class FillAction(OnFrame):
    do: Literal["fill"]
    object: int
    path: Path2D

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.fill(self.frame, self.object, self.path, self.box)


class MaskAction(Action):
    do: Literal["mask"]
    frame: int
    file: str

    def apply(self, session: InteractiveSession, folder: Path, meaning: Meaning | None = None) -> None:
        path = folder / self.file
        session.set_mask(self.frame, read_mask(path, decide([path], meaning)).ids)


class PropagateAction(Action):
    do: Literal["propagate"]
    frame: int | None = None
    direction: Direction = "both"
    first: int = Field(0, ge=0)
    last: int | None = None

    def apply(self, session: InteractiveSession, folder: Path, progress: Progress | None = None) -> None:
        session.propagate(self.frame, progress, self.direction, self.first, self.last)


class KeepAction(Action):
    do: Literal["keep"]

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        session.keep()


class UndoAction(Action):
    do: Literal["undo"]

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        if not session.undo():
            raise ValueError("there is nothing to undo")


class RedoAction(Action):
    do: Literal["redo"]

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        if not session.redo():
            raise ValueError("there is nothing to do again")


class ObjectAction(Action):
    """Adds, deletes, locks or unlocks an object."""

    do: Literal["add", "delete", "lock", "unlock"]
    object: int

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        if self.do == "add":
            session.add_object(self.object)
        elif self.do == "delete":
            session.delete_object(self.object)
        else:
            session.lock(self.object, self.do == "lock")


class FileAction(Action):
    do: Literal["save", "load"]
    file: str

    def apply(self, session: InteractiveSession, folder: Path) -> None:
        (session.save if self.do == "save" else session.load)(folder / self.file)


PageAction = (
    ScribbleAction
    | ClickAction
    | BrushAction
    | FillAction
    | PropagateAction
    | KeepAction
    | UndoAction
    | RedoAction
    | ObjectAction
)
"""Actions that the page may send: those that name no file."""


class Script(BaseModel):
    """A script.

    objects: ids from 1 to 254, known from the start; actions may add others. short_side: of the session that was
    recorded; used unless an option sets another one.
    """

    model_config = ConfigDict(extra="forbid")
    objects: list[int] = [1]
    short_side: int | None = Field(None, ge=16)
    actions: list[Annotated[PageAction | ScribblesAction | MaskAction | FileAction, Field(discriminator="do")]]


def read_script(path: str | Path) -> Script:
    """Read a script. Raises UserError naming the first mistake in the file."""
    try:
        return Script.model_validate_json(read_bytes(path))
    except FileNotFoundError:
        raise UserError(f"script {path} does not exist", "give a JSON file of actions") from None
    except ValidationError as error:
        where, mistake = first_mistake(error)
        raise UserError(f"script {path}, {where or 'its text'}", mistake) from None


def run_script(session: InteractiveSession, script: Script, folder: Path, meaning: Meaning | None = None) -> None:
    """Run a script's actions; its files are relative to ``folder``. Raises UserError naming an impossible action.

    Args:
        meaning: what the masks in the script mean; None: decided for each mask.
    """
    for number, action in enumerate(script.actions, 1):
        try:
            if isinstance(action, MaskAction):
                action.apply(session, folder, meaning)
            else:
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
    meaning: Meaning | None = None,
    **options,
) -> InteractiveSession:
    """Run a scripted session and write its palette masks: ``train.py interact``.

    Args:
        checkpoint, s2m, clicks, fusion: of the networks; ``fusion`` may be "linear" or "none".
        video: a folder of images, whose names the masks get, or a video file.
        out: folder for the masks.
        truth: folder of the video's true masks, for the IoU in the log.
        log: file for timed events, see ``training.evaluation.session_log``.
        meaning: what masks mean, true ones and those that the script names; None: the files decide.
        options: fields of ``Options`` that differ from the network's own.

    Raises:
        UserError: a file is missing or does not fit, or the script asks for what is impossible.
    """
    out, plan, frames = Path(out), read_script(script), open_frames(video)
    if plan.short_side:
        options.setdefault("short_side", plan.short_side)
    refuse_input(out, [Path(path) for path in (video, truth) if path])
    network = load_network(checkpoint, PropagationNetwork, device=device)
    known = true_masks(Path(truth), frames, meaning) if truth else None
    try:
        session = InteractiveSession(
            network,
            frames,
            plan.objects,
            s2m=load_network(s2m, S2M, device=device) if s2m else None,
            clicks=load_network(clicks, ClickNetwork, device=device) if clicks else None,
            fusion=load_fusion(fusion, device),
            options=checked_options(network, **options),
            log=SessionLog(log, user, frames.path.name, Path(checkpoint).stem) if log else None,
            truth=known,
            say=say,
        )
    except ValueError as error:
        raise UserError(f"script {script}", str(error)) from None
    try:
        run_script(session, plan, Path(script).parent, meaning)
    except UserError:
        if log:
            Path(log).unlink(missing_ok=True)  # the corrected script writes it
        raise
    claim(out, "interact", {"video": str(Path(video).resolve())})  # a mistake in the script claims no folder
    for number, name in enumerate(frames.names):
        write_atomically(out / f"{name}.png", encode_mask(session.labels(number)))
    say(f"{out}: {len(frames)} masks after {session.state.rounds} rounds")
    return session


def true_masks(folder: Path, frames: Frames, meaning: Meaning | None = None) -> np.ndarray:
    """(T, H, W) ids of the frames' true masks. Raises UserError if a mask is missing or has another size."""
    video = MaskVideo(folder, stated=meaning)
    if missing := set(frames.names) - set(video.names):
        raise UserError(f"{folder} has no mask for frame {min(missing)}", "the IoU is taken over all frames")
    if video.size != (size := frames[0].shape[:2]):
        sizes = f"{describe_size(video.size)}, frames are {describe_size(size)}"
        raise UserError(f"masks of {folder} are {sizes}", "give the video's own true masks")
    return np.stack([video.read(name).ids for name in frames.names])
