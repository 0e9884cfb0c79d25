"""Corrections of one frame by scribbles, clicks, brush, outlines and given masks (MiVOS, section 3.1).

A state goes in and a new one comes out, as in ``propagation``; the session checks the arguments and remembers the old
state. All work happens at the working size of the video's frames.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from models.clicks import Click, ClickNetwork
from models.s2m import S2M
from training.evaluation.scribbles import NO_STROKE, Stroke, rasterise
from training.inference.options import Options, autocast
from training.inference.tensors import PaddedView, one_hot
from training.interactive import interaction
from training.interactive.local_control import MARGIN, Box, check_box, stitch
from training.interactive.merging import give_way
from training.interactive.state import Draft, Maps, State, Tool, pack, unpack

Corners = tuple[int, int, int, int]
"""A box (top, left, bottom, right) in pixels of the video's frames, as users give it."""
Path2D = Sequence[tuple[float, float]]
"""Points (x, y), each from 0 to 1."""


def newest_maps(state: State, frame: int, device: torch.device) -> Maps:
    """A frame's maps with its correction. Objects that the correction lacks come from the last propagation."""
    before, corrected = state.probs[frame], state.corrected.get(frame)
    return before if corrected is None else _merged(before, corrected, state.objects, device)


class ShownMaps:
    """``newest_maps`` for display: made once for the same maps, so that equal ones are one object.

    Several threads may use it at the same time.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._lock = threading.Lock()
        self._merged: dict[int, tuple[tuple[Maps, Maps, tuple[int, ...]], Maps]] = {}

    def of(self, state: State, frame: int) -> Maps:
        """A frame's maps with its correction; merged ones are not kept in memory, but merged again on access."""
        before, corrected = state.probs[frame], state.corrected.get(frame)
        with self._lock:
            if corrected is None:
                self._merged.pop(frame, None)
                return before
            sources = before, corrected, state.objects
            if frame not in self._merged or self._merged[frame][0] != sources:
                maps = _merged(*sources, self._device)
                if maps is not corrected:
                    maps.leave_memory(lambda: _merged(*sources, self._device).array)
                self._merged[frame] = sources, maps
            return self._merged[frame][1]


def _merged(before: Maps, corrected: Maps, objects: tuple[int, ...], device: torch.device) -> Maps:
    lacking = [label for label in before.objects if label in objects and label not in corrected.objects]
    if not lacking:
        return corrected
    own = unpack(corrected, corrected.objects, device)
    others = give_way(unpack(before, lacking, device), own)
    return pack(torch.cat([own, others]), (*corrected.objects, *lacking))


class Corrector:
    """Applies interactions to the frames of one video.

    Args:
        view: from frames to the working size and back.
        image: frame number -> (1, 3, h, w), normalised and padded.
        s2m, clicks: networks for ``scribble`` and ``click``, if these are used.
        options: for their precision.

    In all methods ``locked`` are the objects that must not change, and ``box`` limits the change (``local_control``).
    They raise ValueError for a box outside of the frame.
    """

    def __init__(
        self,
        view: PaddedView,
        image: Callable[[int], Tensor],
        s2m: S2M | None,
        clicks: ClickNetwork | None,
        options: Options,
        device: torch.device,
    ):
        self.view, self.s2m, self.clicks = view, s2m, clicks
        self.options, self.device = options, device
        self._padded_image = image
        self._click_sessions: dict[tuple[int, Box | None, int], interaction.ObjectClicks] = {}

    def scribble(
        self, state: State, locked: frozenset[int], frame: int, strokes: Sequence[Stroke], box: Corners | None
    ) -> State:
        """Add strokes to those of the interaction that continues, and make the mask of all of them by S2M."""
        assert self.s2m is not None
        draft = self._draft(state, frame, "scribble", box)
        draft = replace(draft, marks=(*draft.marks, *strokes))
        canvas = self._canvas([mark for mark in draft.marks if isinstance(mark, Stroke)], state.objects)
        image, before = self._image(frame), self._before(draft, state.objects)
        with torch.inference_mode(), autocast(self.options, self.device):
            answer = interaction.scribble(self.s2m, *_inside(draft.box, image, before, canvas))
        return self._corrected(state, locked, draft, before, answer)

    def click(
        self, state: State, locked: frozenset[int], frame: int, label: int, click: Click, box: Corners | None
    ) -> State:
        """Add a click, in pixels of the frame, and make the mask of each clicked object from its clicks."""
        assert self.clicks is not None
        draft = self._draft(state, frame, "click", box)
        top, left = draft.box[:2] if draft.box else (0, 0)
        (height, width), (rows, columns) = self.view.size, self.view.working
        placed = Click(click.y * rows // height - top, click.x * columns // width - left, click.positive)
        draft = replace(draft, marks=(*draft.marks, (label, placed)))
        before = self._before(draft, state.objects)
        image, inside = _inside(draft.box, self._image(frame), before)
        clicks: dict[int, list[Click]] = {}
        for owner, mark in (mark for mark in draft.marks if not isinstance(mark, Stroke)):
            clicks.setdefault(owner, []).append(mark)
        answers = {
            state.objects.index(owner): self._click_session(draft, owner, image).answer(own)
            for owner, own in clicks.items()
        }
        return self._corrected(state, locked, draft, before, interaction.click(inside, answers))

    def brush(
        self,
        state: State,
        locked: frozenset[int],
        frame: int,
        label: int,
        path: Path2D,
        radius: float,
        box: Corners | None,
    ) -> State:
        """Paint an object (0 erases) within ``radius`` pixels of a path."""
        line = self._canvas([Stroke(_points(path), 0)], state.objects) != NO_STROKE
        area = interaction.widen(line, radius * self.view.working[0] / self.view.size[0])
        return self._paint(state, locked, self._draft(state, frame, "brush", box), label, area)

    def fill(
        self, state: State, locked: frozenset[int], frame: int, label: int, path: Path2D, box: Corners | None
    ) -> State:
        """Paint an object (0 erases) over a closed outline and what is inside."""
        area = interaction.polygon(_points(path), *self.view.working)
        return self._paint(state, locked, self._draft(state, frame, "fill", box), label, area)

    def set_mask(self, state: State, locked: frozenset[int], frame: int, mask: np.ndarray | Tensor) -> State:
        """Take (H, W) integer ids, or (O, H, W) probabilities of the objects.

        Raises ValueError for another shape, and for ids of other objects.
        """
        objects = state.objects
        draft = self._draft(state, frame, "mask", None)
        if mask.ndim == 2:
            ids = mask.cpu().numpy() if isinstance(mask, Tensor) else mask
            if unknown := sorted({int(label) for label in np.unique(ids)} - {0, *objects}):
                raise ValueError(f"the mask shows {unknown}, and the session's objects are {sorted(objects)}")
            maps = one_hot(ids, objects)
        else:
            maps = torch.as_tensor(mask)
        if maps.shape != (len(objects), *self.view.size):
            raise ValueError(
                f"the mask is {tuple(mask.shape)}, but frames are {self.view.size} (height, width) and objects "
                f"{len(objects)}"
            )
        answer = self.view.cut(self.view.masks(maps.to(self.device).float()))[0]
        return self._corrected(state, locked, draft, self._before(draft, objects), answer)

    def _paint(self, state: State, locked: frozenset[int], draft: Draft, label: int, area: np.ndarray) -> State:
        """Paint an area (h, w) bool. Each stroke starts from the newest mask, so the draft keeps no marks."""
        draft = replace(draft, base=newest_maps(state, draft.frame, self.device), marks=())
        before = self._before(draft, state.objects)
        inside, painted = _inside(draft.box, before, area)
        row = state.objects.index(label) if label else None
        return self._corrected(state, locked, draft, before, interaction.paint(inside, painted, row), margin=0)

    def _draft(self, state: State, frame: int, kind: Tool, box: Corners | None) -> Draft:
        """The interaction that continues, or a new one where frame, kind or box are others."""
        scaled = check_box(box, self.view.size).scaled(self.view.size, self.view.working) if box is not None else None
        draft = state.draft
        if draft and (draft.frame, draft.kind, draft.box) == (frame, kind, scaled):
            return draft
        return Draft(frame, kind, scaled, newest_maps(state, frame, self.device))

    def _image(self, frame: int) -> Tensor:
        """(3, h, w), normalised."""
        return self.view.cut(self._padded_image(frame))[0]

    def _before(self, draft: Draft, objects: Sequence[int]) -> Tensor:
        """Probabilities (O, h, w) before the interaction."""
        return self.view.cut(unpack(draft.base, objects, self.device))

    def _canvas(self, strokes: Sequence[Stroke], objects: Sequence[int]) -> np.ndarray:
        """Strokes as pixels (h, w): 0 for the background, else the object's row plus one."""
        numbered = {0: 0} | {label: row + 1 for row, label in enumerate(objects)}
        return rasterise(
            [replace(stroke, object_id=numbered[stroke.object_id]) for stroke in strokes], *self.view.working
        )

    def _click_session(self, draft: Draft, label: int, image: Tensor) -> interaction.ObjectClicks:
        """The clicks on an object so far; those on another frame or in another box are dropped."""
        assert self.clicks is not None
        key = draft.frame, draft.box, label
        if key not in self._click_sessions:
            self._click_sessions = {k: v for k, v in self._click_sessions.items() if k[:2] == key[:2]}
            self._click_sessions[key] = interaction.ObjectClicks(self.clicks, image)
        return self._click_sessions[key]

    def _corrected(
        self,
        state: State,
        locked: frozenset[int],
        draft: Draft,
        before: Tensor,
        answer: Tensor,
        margin: int = MARGIN,
    ) -> State:
        """The state with the answer of an interaction as the frame's correction; locked objects keep their pixels."""
        if draft.box:
            answer = stitch(before, answer, draft.box, margin)
        if firm := [row for row, label in enumerate(state.objects) if label in locked]:
            # Not those of the draft's base: an object may have been drawn, and then locked, since it began.
            newest = self.view.cut(unpack(newest_maps(state, draft.frame, self.device), state.objects, self.device))
            answer = give_way(answer, interaction.hard(newest)[firm])
            answer[firm] = newest[firm]
        drawn = {label for label, prob in zip(state.objects, answer, strict=True) if (prob > 0.5).any()}
        waiting = state.waiting - drawn
        rows = [row for row, label in enumerate(state.objects) if label not in waiting]
        mask = pack(F.pad(answer.float(), self.view.padding)[rows], [state.objects[row] for row in rows])
        corrected = {frame: maps for frame, maps in state.corrected.items() if frame != draft.frame}
        return replace(state, draft=draft, corrected=corrected | {draft.frame: mask}, waiting=waiting)


def _points(path: Path2D) -> np.ndarray:
    """(N, 2) float64"""
    return np.asarray(path, float).reshape(-1, 2)


def _inside(box: Box | None, *maps: Any) -> list[Any]:
    """The box of every map (..., h, w), or the maps themselves."""
    return [box.crop(x) if box else x for x in maps]
