"""The interactive session: correct one frame, propagate, fuse, repeat (MiVOS: Cheng et al., CVPR 2021, section 3).

    session = InteractiveSession(network, frames, [1, 2], s2m=s2m, fusion=fusion)
    session.scribble(12, strokes)  # instant feedback: the frame's new labels
    session.propagate()  # the whole video follows
    session.undo()

Every change makes a new state and leaves the old one as it was, so undoing is going back to it.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bl30k_gen.errors import UserError
from models.clicks import Click, ClickNetwork
from models.fusion import Fusion
from models.propagation import Entry, PropagationNetwork, Query
from models.s2m import S2M
from training.evaluation.folders import describe_size
from training.evaluation.metrics import jaccard
from training.evaluation.scribbles import NO_STROKE, Stroke, rasterise
from training.evaluation.session_log import SessionLog
from training.inference.options import Options, autocast, published_options
from training.inference.tracker import Tracker
from training.inference.view import View, label_map, normalise, one_hot, working_size
from training.interactive import interaction
from training.interactive.cache import EncodedFrames
from training.interactive.local_control import Box, check_box, stitch
from training.interactive.merging import Merger
from training.interactive.state import Draft, State, Tool, pack, read_state, unpack, write_state


class InteractiveSession:
    """One video and its masks while a user or a robot corrects them.

    Args:
        network: propagates; in evaluation mode, its device is used.
        frames: (H, W, 3) uint8 each; read again whenever they are needed.
        objects: ids from 1 to 254.
        s2m, clicks: networks for ``scribble`` and ``click``, if these are used.
        fusion: how an older result and a new propagation become one: a fusion network, "linear" (blending by
            distance), or "none" (the new one counts).
        options: how its paper evaluates the propagation network, if None. Flipping and several scales are not for
            sessions.
        cache: bytes of encoded frames to keep, those used last.
        undo_limit: states to keep.
        log: is told about every event.
        truth: (T, H, W) ids; if given, the log gets the mean J after every round.
        say: is told when memory gets short.
    """

    def __init__(
        self,
        network: PropagationNetwork,
        frames: Sequence[np.ndarray],
        objects: Sequence[int],
        *,
        s2m: S2M | None = None,
        clicks: ClickNetwork | None = None,
        fusion: Fusion | Literal["linear", "none"] = "linear",
        options: Options | None = None,
        cache: int = 4 * 2**30,
        undo_limit: int = 20,
        log: SessionLog | None = None,
        truth: np.ndarray | None = None,
        say: Callable[[str], None] = print,
    ):
        self.network, self.frames, self.objects = network, frames, tuple(map(int, objects))
        self.s2m, self.clicks = s2m, clicks
        self.options = options or published_options(network)
        self.log, self.truth, self.say = log, truth, say
        self.device = next(network.parameters()).device
        if not len(frames):
            raise ValueError("the video has no frames")
        if not self.objects or len(set(self.objects)) < len(self.objects) or not 0 < min(self.objects):
            raise ValueError(f"objects are {list(objects)}: give different ids from 1 to 254")
        if max(self.objects) > 254:
            raise ValueError(f"object {max(self.objects)} does not fit into a palette mask: ids go to 254")
        if self.options.flip or len(self.options.scales) > 1:
            raise ValueError("a session works on frames as they are: leave out flip and several scales")
        self.size = tuple(frames[0].shape[:2])
        working = working_size(self.size, self.options.short_side, self.options.scales[0])
        self.view = View(self.size, working)
        nothing = np.zeros((len(self.objects), *self.view.padded), np.uint16)
        self.state = State((nothing,) * len(frames))
        self._history: deque[State] = deque(maxlen=undo_limit)
        self._encoded = EncodedFrames(self._encode, cache)
        self._merger = Merger(fusion, network, self._encoded, self.options, self.device)
        self._certain: list[tuple[np.ndarray, Entry]] = []
        self._labels: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        self._clicks: dict[tuple, interaction.ObjectClicks] = {}

    # What there is to see

    def labels(self, frame: int) -> np.ndarray:
        """(H, W) uint8 ids of a frame, its newest correction included."""
        shown = self._shown(frame)
        known = self._labels.get(frame)
        if known is None or known[0] is not shown:
            prob = interaction.with_background(self.view.restore(unpack(shown, self.device).unsqueeze(0)))
            known = self._labels[frame] = shown, label_map(prob, self.objects)
        return known[1]

    def masks(self) -> np.ndarray:
        """(T, H, W) uint8 ids of the whole video."""
        return np.stack([self.labels(frame) for frame in range(len(self.frames))])

    def prob(self, frame: int) -> np.ndarray:
        """(1 + O, H, W) float32 of a frame after the last propagation, background first."""
        objects = self.view.restore(unpack(self.state.probs[frame], self.device).unsqueeze(0))
        return interaction.with_background(objects).cpu().numpy()

    # Interactions on one frame

    def scribble(
        self, frame: int, strokes: Sequence[Stroke], box: tuple[int, int, int, int] | None = None
    ) -> np.ndarray:
        """Scribbles to a mask. Strokes on the same frame add up until ``keep`` or another kind of interaction.

        box: (top, left, bottom, right) in pixels; the mask outside stays, see ``local_control``. Returns the frame's
        labels (H, W). Raises ValueError for a frame, an object or a box that is not there.
        """
        if self.s2m is None:
            raise ValueError("scribbles need a scribble-to-mask network")
        for stroke in strokes:
            self._row(stroke.object_id)
        with self._computing(frame, "scribble"):
            draft = self._open(frame, "scribble", box)
            draft = replace(draft, marks=(*draft.marks, *strokes))
            canvas = self._canvas(draft.marks)
            image, prob = self._image_and_base(draft)
            with torch.inference_mode(), autocast(self.options, self.device):
                answer = interaction.scribble(self.s2m, *_inside(draft.box, image, prob, canvas))
            return self._correct(draft, prob, answer)

    def click(
        self,
        frame: int,
        label: int,
        y: int,
        x: int,
        positive: bool = True,
        box: tuple[int, int, int, int] | None = None,
    ) -> np.ndarray:
        """Clicks to a mask: one more click on the object ``label`` or beside it, at a pixel. As ``scribble``.

        The object's mask is made of its clicks alone.
        """
        if self.clicks is None:
            raise ValueError("clicks need a click network")
        row = self._row(label)
        if row is None:
            raise ValueError("click on an object, or negatively beside it; the background has no clicks")
        top, left, bottom, right = box or (0, 0, *self.size)
        if not (max(0, top) <= y < min(bottom, self.size[0]) and max(0, left) <= x < min(right, self.size[1])):
            where = f"box {tuple(box)}" if box else f"frames of {self.size[1]}x{self.size[0]}"
            raise ValueError(f"click at row {y}, column {x} lies outside of {where}")
        with self._computing(frame, "click"):
            draft = self._open(frame, "click", box)
            corner = draft.box or (0, 0)
            (height, width), (rows, columns) = self.size, self.view.working
            mark = Click(y * rows // height - corner[0], x * columns // width - corner[1], bool(positive))
            draft = replace(draft, marks=(*draft.marks, (row, mark)))
            image, prob = self._image_and_base(draft)
            part, base = _inside(draft.box, image, prob)
            answers = {}
            for row in dict.fromkeys(row for row, _ in draft.marks):
                key = frame, draft.box, row
                if key not in self._clicks:
                    self._clicks = {k: v for k, v in self._clicks.items() if k[:2] == key[:2]}
                    self._clicks[key] = interaction.ObjectClicks(self.clicks, part)
                answers[row] = self._clicks[key].answer([mark for owner, mark in draft.marks if owner == row])
            return self._correct(draft, prob, interaction.click(base, answers))

    def brush(
        self,
        frame: int,
        label: int,
        path: Sequence[tuple[float, float]],
        radius: float = 5.0,
        box: tuple[int, int, int, int] | None = None,
    ) -> np.ndarray:
        """Free hand: paint ``label`` (0 erases) along a path of (x, y) from 0 to 1, ``radius`` pixels wide."""
        row = self._row(label)
        with self._computing(frame, "brush"):
            draft = replace(self._open(frame, "brush", box), base=self._shown(frame), marks=())
            line = self._canvas([Stroke(np.asarray(path, float).reshape(-1, 2), label)]) != NO_STROKE
            _, prob = self._image_and_base(draft)
            radius *= self.view.working[0] / self.size[0]
            inside, stroke = _inside(draft.box, prob, line)
            return self._correct(draft, prob, interaction.brush(inside, stroke, row, radius))

    def set_mask(self, frame: int, mask: np.ndarray | Tensor) -> np.ndarray:
        """Take a mask from elsewhere: (H, W) integer ids, or (O, H, W) probabilities of the objects."""
        with self._computing(frame, "mask"):
            draft = self._open(frame, "mask", None)
            maps = one_hot(np.asarray(mask), self.objects) if mask.ndim == 2 else torch.as_tensor(mask)
            if maps.shape != (len(self.objects), *self.size):
                raise ValueError(
                    f"the mask is {tuple(mask.shape)}, but frames are {self.size} (height, width) and objects "
                    f"{len(self.objects)}"
                )
            prob = self.view.cut(self.view.masks(maps.to(self.device).float()))[0]
            return self._correct(draft, prob, prob)

    def keep(self) -> None:
        """Close the interaction that goes on; its mask stays, and the next strokes start from it."""
        if self.state.draft:
            self._change(draft=None)

    # The video

    def propagate(self, frame: int | None = None, progress: Callable[[int], None] | None = None) -> None:
        """Carry a corrected frame to the others, both ways, up to the frames interacted with before.

        Args:
            frame: one that was corrected; the only one or the last one, if None.
            progress: is told the number of every frame that is done.
        """
        state = self.state
        if frame is None:
            frame = next(reversed(list(state.corrected)), None)
        if frame is None or frame not in state.corrected:
            where = "no frame was" if frame is None else f"frame {frame} was not"
            raise ValueError(f"{where} corrected since the last propagation: interact with a frame first")
        if self.log:
            self.log.since_last("pause")
        with self._event("compute", round=state.rounds + 1, frame=frame) as about, torch.inference_mode():
            mask = state.corrected[frame]
            probs = list(state.probs)
            probs[frame] = mask
            trusted = (*state.trusted, (frame, mask))
            interacted = {f for f, _ in trusted}
            certain = self._memory(trusted)
            later = min((f for f in interacted if f > frame), default=len(probs))
            earlier = max((f for f in interacted if f < frame), default=-1)
            for bound, way in ((later, range(frame + 1, later)), (earlier, range(frame - 1, earlier, -1))):
                merge = None
                if bound in interacted:
                    merge = self._merger.between(bound, frame, state.probs[frame], mask, certain[-1].key)
                for t, prob in self._pass(way, certain):
                    if merge:
                        prob = merge(t, unpack(probs[t], self.device).unsqueeze(0), prob)
                    probs[t] = pack(prob[0])
                    if progress:
                        progress(t)
            corrected = {f: m for f, m in state.corrected.items() if f != frame}
            self._change(
                probs=tuple(probs), trusted=trusted, corrected=corrected, draft=None, rounds=state.rounds + 1
            )
            if self.truth is not None:
                about["iou"] = self._mean_j(self.truth)

    def undo(self) -> bool:
        """Take the last interaction or propagation back. False if there is none that is remembered."""
        if not self._history:
            return False
        self.state = self._history.pop()
        return True

    def save(self, path: str | Path) -> None:
        """Write the masks and what was interacted with to an ``.npz`` file; the way there (undo) is not kept."""
        write_state(path, self.state, self.objects, self.size)

    def load(self, path: str | Path) -> None:
        """Go on from a saved session of this video. Raises UserError if it is another's, or damaged."""
        self.state = read_state(path, self.objects, self.size, self.state)
        self._history.clear()

    def search(self, frame: int) -> None:
        """Tell the log that the user has been looking for this frame."""
        if self.log:
            self.log.since_last("search", frame=self._number(frame))

    # Inside

    def image(self, frame: int) -> Tensor:
        """(3, H, W), normalised. Raises UserError if the frame is not of the size of the first."""
        pixels = self.frames[frame]
        if pixels.shape[:2] != self.size:
            sizes = f"{describe_size(pixels.shape)}, the first one {describe_size(self.size)}"
            raise UserError(f"frame {frame} is {sizes}", "all frames of a video have one size")
        return normalise(pixels, self.device)

    def _encode(self, frame: int) -> tuple[Tensor, Query]:
        image = self.view.image(self.image(frame))
        with torch.inference_mode():
            return image, Tracker(self.network, self.options).encode(image)

    def _pass(self, way: range, certain: list[Entry]) -> Iterator[tuple[int, Tensor]]:
        """Unfused probabilities (1, O, h, w) of the frames on the way; they are what memory takes in."""
        if not way:
            return
        tracker = Tracker(self.network, self.options, self.say)
        tracker.trust(Entry.cat(certain), self.objects)
        for t in way:
            image, query = self._encoded[t]
            prob = tracker.segment(query)
            yield t, prob[:, 1:]
            if t != way[-1]:
                tracker.remember(image, query, prob)

    def _memory(self, trusted: Sequence[tuple[int, np.ndarray]]) -> list[Entry]:
        """The memory of interacted frames with their masks. What the rounds before have encoded is used again."""
        for number, (frame, mask) in enumerate(trusted):
            if number == len(self._certain) or self._certain[number][0] is not mask:
                image, query = self._encoded[frame]
                prob = unpack(mask, self.device).unsqueeze(0)
                entry = Tracker(self.network, self.options).memorise(image, query, prob)
                self._certain[number:] = [(mask, entry)]
        return [entry for _, entry in self._certain[: len(trusted)]]

    def _open(self, frame: int, kind: Tool, box: tuple[int, int, int, int] | None) -> Draft:
        """The interaction that goes on, or a new one."""
        self._number(frame)
        if box is not None:
            box = check_box(box, self.size).scaled(self.size, self.view.working)
        draft = self.state.draft
        if draft and (draft.frame, draft.kind, draft.box) == (frame, kind, box):
            return draft
        return Draft(frame, kind, box, self._shown(frame))

    def _image_and_base(self, draft: Draft) -> tuple[Tensor, Tensor]:
        """Image (3, h, w) and probabilities (O, h, w) before the interaction, at the working size."""
        image = self.view.cut(self.view.image(self.image(draft.frame)))[0]
        return image, self.view.cut(unpack(draft.base, self.device))

    def _correct(self, draft: Draft, before: Tensor, answer: Tensor) -> np.ndarray:
        """Take an interaction's answer in; the frame's labels."""
        if draft.box:
            answer = stitch(before, answer, draft.box)
        mask = pack(F.pad(answer.float(), self.view.padding))
        corrected = {f: m for f, m in self.state.corrected.items() if f != draft.frame}
        self._change(draft=draft, corrected=corrected | {draft.frame: mask})
        return self.labels(draft.frame)

    def _change(self, **changes) -> None:
        self._history.append(self.state)
        self.state = replace(self.state, **changes)

    def _shown(self, frame: int) -> np.ndarray:
        return self.state.corrected.get(self._number(frame), self.state.probs[frame])

    def _canvas(self, strokes: Sequence[Stroke]) -> np.ndarray:
        """Strokes as pixels at the working size: 0 for the background, else the object's row plus one."""
        numbered = {0: 0} | {label: row + 1 for row, label in enumerate(self.objects)}
        rows = [replace(stroke, object_id=numbered[stroke.object_id]) for stroke in strokes]
        return rasterise(rows, *self.view.working)

    def _row(self, label: int) -> int | None:
        """The object's row; None for the background."""
        if label == 0:
            return None
        if label not in self.objects:
            raise ValueError(f"there is no object {label}: the session has {', '.join(map(str, self.objects))}")
        return self.objects.index(label)

    def _number(self, frame: int) -> int:
        if not 0 <= frame < len(self.frames):
            raise ValueError(f"there is no frame {frame}: the video has {len(self.frames)}, from 0")
        return frame

    def _computing(self, frame: int, tool: str) -> AbstractContextManager:
        """Log that the user has interacted and that we compute."""
        self._number(frame)
        if self.log:
            self.log.since_last("interact", frame=frame, tool=tool)
        return self._event("compute", frame=frame)

    def _event(self, kind: str, **about) -> AbstractContextManager:
        return self.log.event(kind, **about) if self.log else nullcontext(about)

    def _mean_j(self, truth: np.ndarray) -> float:
        """Mean over frames and objects."""
        masks = self.masks()
        scores = [
            jaccard(true == label, mask == label)
            for true, mask in zip(truth, masks, strict=True)
            for label in self.objects
        ]
        return float(np.mean(scores))


def _inside(box: Box | None, *maps: Any) -> list[Any]:
    """The box of every map (..., h, w), or the maps themselves."""
    return [box.crop(x) if box else x for x in maps]
