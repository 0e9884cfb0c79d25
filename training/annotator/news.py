"""The messages to the page about the session: its objects, and the frames that have changed."""

from typing import Any
from weakref import WeakKeyDictionary

from bl30k_gen.dataset.masks import palette
from training.annotator.timeline import Lane, changed_in_last_round, drift_ranges, lanes, ranges
from training.annotator.work import News
from training.evaluation.scribbles import Stroke
from training.interactive.session import InteractiveSession
from training.interactive.state import Draft, Maps, significant

BRIGHT = ("ff4d5e", "2fb8ff", "ffc23d", "3ddc84", "c77dff", "ff8a3d", "2ee6d6", "ff7ac6")


class Reporter:
    """Tracks what the page has been told: a version and the lanes of each frame.

    live: maps of the current propagation, by frame. looks: the user's choices of how objects are shown, by id: name,
    colour, hidden.
    """

    def __init__(self, session: InteractiveSession, looks: dict[int, dict[str, Any]]):
        self.session, self.looks = session, looks
        self.live: dict[int, Maps] = {}
        self.versions = [0] * len(session.frames)
        self._described: list[dict[int, Lane]] = [{} for _ in self.versions]
        self._numbers: WeakKeyDictionary[Maps, dict[tuple[int, ...], int]] = WeakKeyDictionary()
        self._last_number = 0

    def watch(self, frame: int, maps: Maps) -> News:
        """Record a frame's maps from the current propagation. Returns the message about the frame."""
        self.live[frame] = maps
        self.versions[frame] = self._version(maps)
        areas = {label: [significant(area), 0.0, ""] for label, area in zip(maps.objects, maps.areas, strict=True)}
        return {str(frame): [self.versions[frame], areas]}

    def report(self, everything: bool) -> News:
        """The session's state, with the frames that have changed since the last report, or all frames."""
        session = self.session
        state = session.state
        shown = [session.shown(t, state) for t in range(len(self.versions))]
        versions = [self._version(maps) for maps in shown]
        for t, maps in list(self.live.items()):
            versions[t] = self._version(maps)
        described = lanes(state, shown)
        changed = [
            t
            for t, (version, lane) in enumerate(zip(versions, described, strict=True))
            if everything or version != self.versions[t] or lane != self._described[t]
        ]
        if not everything:  # that is for one page, and the others still need what has changed
            self.versions, self._described = versions, described
        return {
            "objects": [self._object(label) for label in session.objects],
            "next": max({*session.objects, *state.deleted}, default=0) + 1,
            "frames": {
                t: [
                    versions[t],
                    {k: [significant(v.area), round(v.doubt, 3), v.drift] for k, v in described[t].items()},
                ]
                for t in changed
                if not everything or versions[t] or described[t]
            },
            "interacted": sorted(set(state.interacted)),
            "corrected": list(state.corrected),
            "last_round": ranges(sorted(changed_in_last_round(state, session.history))),
            "drift": drift_ranges(described),
            "rounds": state.rounds,
            "undo": session.history.past,
            "redo": session.history.future,
            "draft": state.draft and self._draft(state.draft),
        }

    def _draft(self, draft: Draft) -> News:
        """Strokes and clicks of the current interaction; positions are (x, y) from 0 to 1."""
        (rows, columns), (top, left) = self.session.view.working, draft.box[:2] if draft.box else (0, 0)
        strokes, clicks = [], []
        for mark in draft.marks:
            if isinstance(mark, Stroke):
                strokes.append({"object": mark.object_id, "path": mark.path.round(4).tolist()})
            else:
                label, click = mark
                at = [(click.x + left + 0.5) / columns, (click.y + top + 0.5) / rows]
                clicks.append({"object": label, "at": at, "positive": click.positive})
        return {"frame": draft.frame, "kind": draft.kind, "strokes": strokes, "clicks": clicks}

    def colour(self, label: int) -> tuple[int, int, int]:
        """The colour that the user has chosen, else one of ``BRIGHT``, then those of the palette."""
        own = self.looks.get(label, {}).get("colour")
        if own or label <= len(BRIGHT):
            red, green, blue = bytes.fromhex(own[1:] if own else BRIGHT[label - 1])
        else:
            red, green, blue = map(int, palette()[label])
        return red, green, blue

    def _object(self, label: int) -> News:
        look = self.looks.get(label, {})
        red, green, blue = self.colour(label)
        return {
            "id": label,
            "name": look.get("name") or f"Object {label}",
            "colour": f"#{red:02x}{green:02x}{blue:02x}",
            "hidden": look.get("hidden", False),
            "locked": label in self.session.locked,
        }

    def _version(self, maps: Maps) -> int:
        """A number that changes when the maps or the objects do; 0 if no object is visible."""
        alive = tuple(label for label in self.session.objects if label in maps.objects)
        if not alive or not (any(maps.areas) or any(maps.doubts)):
            return 0
        numbers = self._numbers.setdefault(maps, {})
        if alive not in numbers:
            self._last_number += 1
            numbers[alive] = self._last_number
        return numbers[alive]
