"""The interactive session: correct one frame, propagate, fuse, repeat (MiVOS: Cheng et al., CVPR 2021, section 3).

    session = InteractiveSession(network, frames, [1, 2], s2m=s2m, fusion=fusion)
    session.scribble(12, strokes)  # instant feedback: the frame's new labels
    session.propagate()  # the whole video follows
    session.undo()

States are immutable: every change makes a new one, and undo returns to an old one.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from bl30k_gen.errors import UserError
from models.clicks import Click, ClickNetwork
from models.fusion import Fusion
from models.propagation import PropagationNetwork
from models.s2m import S2M
from training.evaluation.folders import describe_size
from training.evaluation.metrics import jaccard
from training.evaluation.scribbles import Stroke
from training.evaluation.session_log import SessionLog
from training.inference.options import Options, published_options
from training.inference.tensors import PaddedView, normalise, working_size
from training.inference.video import Frames
from training.interactive.correction import Corners, Corrector, Path2D, ShownMaps, newest_maps
from training.interactive.history import History
from training.interactive.labels import LatestLabels
from training.interactive.propagation import Direction, Progress, Propagation
from training.interactive.state import (
    Maps,
    State,
    likeliest,
    nothing,
    read_state,
    unpack,
    with_background,
    write_state,
)


class InteractiveSession:
    """One video and its masks while a user or a robot corrects them.

    Args:
        network: propagates; in evaluation mode, its device is used. None: a session without propagation.
        frames: (H, W, 3) uint8 each; read again whenever they are needed.
        objects: ids from 1 to 254 that are known from the start: in a corrected frame, those that are not drawn are
            absent. ``add_object`` adds others.
        s2m, clicks: networks for ``scribble`` and ``click``, if these are used.
        fusion: how an older result and a new propagation are merged: a fusion network, "linear" (blending by
            distance), or "none" (the new result).
        options: None: those of the network's paper. Flipping and several scales are not supported.
        cache: bytes of encoded frames to keep.
        undo_budget: bytes of older states to keep; the last one is kept in any case, unless this is 0.
        log: gets all events.
        truth: (T, H, W) ids; with it the log gets the mean J after every correction and every round.
        say: called when the memory budget is reached.
    """

    def __init__(
        self,
        network: PropagationNetwork | None,
        frames: Frames | Sequence[np.ndarray],
        objects: Sequence[int],
        *,
        s2m: S2M | None = None,
        clicks: ClickNetwork | None = None,
        fusion: Fusion | Literal["linear", "none"] = "linear",
        options: Options | None = None,
        cache: int = 4 * 2**30,
        undo_budget: int = 2 * 2**30,
        log: SessionLog | None = None,
        truth: np.ndarray | None = None,
        say: Callable[[str], None] = print,
    ):
        self.network, self.frames = network, frames
        self.s2m, self.clicks = s2m, clicks
        self.options = options or (published_options(network) if network else Options())
        self.log, self.truth, self.say = log, truth, say
        self.locked: frozenset[int] = frozenset()
        worker = network or s2m or clicks
        self.device = next(worker.parameters(), torch.empty(0)).device if worker else torch.device("cpu")
        if not len(frames):
            raise ValueError("the video has no frames")
        objects = tuple(map(int, objects))
        if len(set(objects)) < len(objects):
            raise ValueError(f"objects are {list(objects)}: give different ids from 1 to 254")
        for label in objects:
            _check_id(label)
        if self.options.flip or len(self.options.scales) > 1:
            raise ValueError("a session works on frames as they are: leave out flip and several scales")
        self.size: tuple[int, int] = tuple(frames[0].shape[:2])
        working = working_size(self.size, self.options.short_side, self.options.scales[0])
        self.view = PaddedView(self.size, working)
        self.empty = State(objects, (nothing(self.view.padded),) * len(frames))
        self.state = self.empty
        self.history = History(undo_budget)
        self._propagation: Propagation | None = None
        if network:
            self._propagation = Propagation(network, self._padded, fusion, self.options, self.device, cache, say)
        self._corrector = Corrector(self.view, self._padded, s2m, clicks, self.options, self.device)
        self._shown = ShownMaps(self.device)
        self._scores: dict[int, tuple[Maps, tuple[int, ...], list[float]]] = {}  # J of the objects, by frame
        self._labels = LatestLabels(self._labels_of)

    @property
    def objects(self) -> tuple[int, ...]:
        """Ids, in the order of the rows of probabilities."""
        return self.state.objects

    @property
    def cached_frames(self) -> int:
        """Number of encoded frames in the cache."""
        return len(self._propagation.encoded) if self._propagation else 0

    # Results

    def labels(self, frame: int) -> np.ndarray:
        """(H, W) uint8 ids of a frame, its newest correction included."""
        state = self.state  # once: another thread may be changing it
        return self._labels.get(frame, self.shown(frame, state), state.objects)

    def labels_of(self, maps: Maps) -> np.ndarray:
        """(H, W) uint8 ids of the session's objects in maps of this video."""
        return self._labels_of(maps, self.objects)

    def _labels_of(self, maps: Maps, objects: tuple[int, ...]) -> np.ndarray:
        prob = self.view.restore(unpack(maps, objects, self.device).unsqueeze(0))
        return np.array([0, *objects], np.uint8)[likeliest(prob).cpu().numpy()]

    def shown(self, frame: int, state: State | None = None) -> Maps:
        """A frame's newest maps; the same ones until they change. None is the current state.

        Objects that a correction lacks come from the last propagation.
        """
        return self._shown.of(state or self.state, self._number(frame))

    def soft(self, frame: int) -> np.ndarray:
        """(O, H, W) float32 probabilities of a frame, its newest correction included."""
        maps = unpack(self.shown(frame), self.objects, self.device)
        return self.view.restore(maps.unsqueeze(0)).cpu().numpy()

    def masks(self) -> np.ndarray:
        """(T, H, W) uint8 ids of the whole video."""
        return np.stack([self.labels(frame) for frame in range(len(self.frames))])

    def prob(self, frame: int) -> np.ndarray:
        """(1 + O, H, W) float32 of a frame after the last propagation, background first."""
        objects = self.view.restore(unpack(self.state.probs[frame], self.objects, self.device).unsqueeze(0))
        return with_background(objects).cpu().numpy()

    def before_last_round(self, frame: int) -> np.ndarray | None:
        """The frame's labels (H, W) before the last propagation; None if that state was dropped."""
        state = self.history.before_round(self.state.rounds)
        return self.labels_of(newest_maps(state, frame, self.device)) if state else None

    # Objects

    def add_object(self, label: int | None = None) -> int:
        """Add an object with this id, or with the next one if None. Returns its id.

        In frames that were corrected before it is drawn for the first time it is unknown, and not absent: its
        propagation continues past them.
        """
        known = {*self.objects, *self.state.deleted}
        label = max(known, default=0) + 1 if label is None else int(label)
        self.check_new(label)
        waiting = self.state.waiting | {label}
        self._change(objects=(*self.objects, label), waiting=waiting, draft=None)
        return label

    def check_new(self, label: int) -> None:
        """Raise ValueError if no object can be added with this id."""
        _check_id(label)
        if label in self.objects:
            raise ValueError(f"there is an object {label} already")
        if label in self.state.deleted:
            raise ValueError(f"object {label} was deleted: undo brings it back, or add another one")

    def delete_object(self, label: int) -> None:
        """Remove an object from all frames; ``undo`` brings it back."""
        if self._row(label) is None:
            raise ValueError("the background cannot be deleted")
        self._check_free(label)
        objects = tuple(other for other in self.objects if other != label)
        state = self.state
        self._change(objects=objects, deleted=state.deleted | {label}, waiting=state.waiting - {label}, draft=None)

    def lock(self, label: int, locked: bool = True) -> None:
        """Protect an object's pixels from interactions and propagation. Locks are not undone by ``undo``."""
        if self._row(label) is None:
            raise ValueError("the background cannot be locked")
        self.locked = self.locked | {label} if locked else self.locked - {label}

    # Interactions on one frame

    def scribble(self, frame: int, strokes: Sequence[Stroke], box: Corners | None = None) -> np.ndarray:
        """Scribbles to a mask. Strokes on the same frame add up until ``keep`` or another kind of interaction.

        box: (top, left, bottom, right) in pixels; the mask outside stays, see ``local_control``. Returns the frame's
        labels (H, W). Raises ValueError for a frame, an object or a box that does not exist.
        """
        if self.s2m is None:
            raise ValueError("scribbles need a scribble-to-mask network")
        for stroke in strokes:
            self._check_free(stroke.object_id)
        with self._computing(frame, "scribble"):
            self._become(self._corrector.scribble(self.state, self.locked, frame, strokes, box))
            return self.labels(frame)

    def click(
        self, frame: int, label: int, y: int, x: int, positive: bool = True, box: Corners | None = None
    ) -> np.ndarray:
        """Clicks to a mask: one more click on the object ``label`` or beside it, at a pixel. As ``scribble``.

        The object's mask is made from its clicks alone.
        """
        if self.clicks is None:
            raise ValueError("clicks need a click network")
        self._check_free(label)
        if label == 0:
            raise ValueError("click on an object, or negatively beside it; the background has no clicks")
        top, left, bottom, right = box or (0, 0, *self.size)
        if not (max(0, top) <= y < min(bottom, self.size[0]) and max(0, left) <= x < min(right, self.size[1])):
            where = f"box {tuple(box)}" if box else f"frames of {self.size[1]}x{self.size[0]}"
            raise ValueError(f"click at row {y}, column {x} lies outside of {where}")
        with self._computing(frame, "click"):
            click = Click(y, x, bool(positive))
            self._become(self._corrector.click(self.state, self.locked, frame, label, click, box))
            return self.labels(frame)

    def brush(
        self, frame: int, label: int, path: Path2D, radius: float = 5.0, box: Corners | None = None
    ) -> np.ndarray:
        """Paint ``label`` (0 erases) along a path of (x, y) from 0 to 1, within ``radius`` pixels."""
        self._check_free(label)
        with self._computing(frame, "brush"):
            self._become(self._corrector.brush(self.state, self.locked, frame, label, path, radius, box))
            return self.labels(frame)

    def fill(self, frame: int, label: int, path: Path2D, box: Corners | None = None) -> np.ndarray:
        """Paint ``label`` (0 erases) over a closed outline of (x, y) from 0 to 1 and what is inside."""
        self._check_free(label)
        with self._computing(frame, "fill"):
            self._become(self._corrector.fill(self.state, self.locked, frame, label, path, box))
            return self.labels(frame)

    def set_mask(self, frame: int, mask: np.ndarray | Tensor) -> np.ndarray:
        """Use a mask from elsewhere: (H, W) integer ids, or (O, H, W) probabilities of the objects."""
        with self._computing(frame, "mask"):
            self._become(self._corrector.set_mask(self.state, self.locked, frame, mask))
            return self.labels(frame)

    def keep(self) -> None:
        """End the current interaction; its mask stays, and the next strokes start from it."""
        if self.state.draft:
            self._change(draft=None)

    # The video

    def propagate(
        self,
        frame: int | None = None,
        progress: Progress | None = None,
        direction: Direction = "both",
        first: int = 0,
        last: int | None = None,
    ) -> None:
        """Propagate a corrected frame, up to frames that were corrected before.

        An object that is unknown in such a frame, because it was added later, continues past it.

        Args:
            frame: a corrected frame; None: the last one.
            progress: called with the number of each finished frame and its maps. An exception ends the propagation
                and leaves the session unchanged.
            direction, first, last: the direction and the range of frames; ``last`` None: to the video's end.

        Raises ValueError for a frame that was not corrected, and a range that the video does not have.
        """
        if self._propagation is None:
            raise ValueError("propagation needs a propagation network")
        state, end = self.state, len(self.frames) - 1
        last = end if last is None else last
        if not 0 <= first <= last <= end:
            raise ValueError(f"there is no range of frames {first} to {last}: the video has frames 0 to {end}")
        if frame is None:
            frame = next(reversed(list(state.corrected)), None)
        if frame is None or frame not in {*state.corrected, *state.interacted}:
            where = "no frame was" if frame is None else f"frame {frame} was not"
            raise ValueError(f"{where} corrected since the last propagation: interact with a frame first")
        if self.log:
            self.log.since_last("pause")
        with self._event("compute", round=state.rounds + 1, frame=frame) as about:
            shown, locked = newest_maps(state, frame, self.device), self.locked
            self._become(self._propagation.round(state, frame, shown, locked, progress, direction, first, last))
            self._score(about)

    def undo(self) -> bool:
        """Undo the last interaction or propagation. False if there is none."""
        state = self.history.undo(self.state)
        self.state = state or self.state
        return state is not None

    def redo(self) -> bool:
        """Redo what was undone last. False if there is nothing."""
        state = self.history.redo(self.state)
        self.state = state or self.state
        return state is not None

    def save(self, path: str | Path) -> None:
        """Write the state to an ``.npz`` file, without the history of undo."""
        write_state(path, self.state, self.size)

    def load(self, path: str | Path) -> None:
        """Continue a saved session of this video, with its objects.

        Raises UserError if the file is of another video, or damaged.
        """
        self.state = read_state(path, self.size, self.state)
        self.history.clear()

    def search(self, frame: int) -> None:
        """Log that the user has been searching for this frame."""
        if self.log:
            self.log.since_last("search", frame=self._number(frame))

    # Internal

    def image(self, frame: int) -> Tensor:
        """(3, H, W), normalised. Raises UserError if the frame's size is not that of the first."""
        pixels = self.frames[frame]
        if pixels.shape[:2] != self.size:
            sizes = f"{describe_size(pixels.shape)}, the first one {describe_size(self.size)}"
            raise UserError(f"frame {frame} is {sizes}", "all frames of a video have one size")
        return normalise(pixels, self.device)

    def _padded(self, frame: int) -> Tensor:
        """(1, 3, h, w), normalised, at the working size, padded."""
        return self.view.image(self.image(frame))

    def _change(self, **changes) -> None:
        self._become(replace(self.state, **changes))

    def _become(self, new: State) -> None:
        old, self.state = self.state, new
        self.history.push(old, new)

    def _row(self, label: int) -> int | None:
        """The object's row; None for the background."""
        if label == 0:
            return None
        if label not in self.objects:
            raise ValueError(
                f"there is no object {label}: the session has {', '.join(map(str, self.objects)) or 'none'}"
            )
        return self.objects.index(label)

    def _check_free(self, label: int) -> None:
        """Raises ValueError if there is no such object (0 is the background), or it is locked."""
        self._row(label)
        if label in self.locked:
            raise ValueError(f"object {label} is locked: unlock it first")

    def _number(self, frame: int) -> int:
        if not 0 <= frame < len(self.frames):
            raise ValueError(f"there is no frame {frame}: the video has {len(self.frames)}, from 0")
        return frame

    @contextmanager
    def _computing(self, frame: int, tool: str) -> Iterator[None]:
        """Log the user's interaction, and in the block the computation."""
        self._number(frame)
        if self.log:
            self.log.since_last("interact", frame=frame, tool=tool)
        with self._event("compute", frame=frame) as about:
            yield
            self._score(about)

    def _event(self, kind: str, **about) -> AbstractContextManager:
        return self.log.event(kind, **about) if self.log else nullcontext(about)

    def _score(self, about: dict[str, Any]) -> None:
        """Add the mean J over frames and objects to a logged event, if the truth is known."""
        if self.log is None or self.truth is None:
            return
        for t, true in enumerate(self.truth):
            maps, objects = self.shown(t), self.objects
            if self._scores.get(t, ())[:2] != (maps, objects):  # a correction changes one frame
                mask = self.labels(t)
                self._scores[t] = maps, objects, [jaccard(true == label, mask == label) for label in objects]
        about["iou"] = float(np.mean([scores for _, _, scores in self._scores.values()]))


def _check_id(label: int) -> None:
    if label < 1:
        raise ValueError(f"objects are numbered from 1 to 254, not {label}")
    if label > 254:
        raise ValueError(f"object {label} does not fit into a palette mask: ids go to 254")
