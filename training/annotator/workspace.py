"""The one session that all tabs share: its worker, its queue, what is told to the page, and what is saved.

One thread does everything that changes the session, one request after the other, so that the page always answers.
Requests that change masks are actions of ``training.interactive.script``: the page does nothing that a script cannot.
"""

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import encode_mask, palette, read_mask
from bl30k_gen.errors import UserError
from training.annotator.autosave import Autosave, identify
from training.annotator.exports import What, describe_places, export
from training.annotator.messages import Look
from training.annotator.pictures import shrink, view_size
from training.annotator.study import Study
from training.annotator.timeline import Lane, changed_in_last_round, drift_ranges, lanes
from training.evaluation.folders import object_ids
from training.inference.video import Frames
from training.interactive.script import MaskAction, ObjectAction, PageAction, PropagateAction
from training.interactive.session import InteractiveSession
from training.interactive.state import Maps

News = dict[str, Any]


class Cancelled(Exception):
    """The user has cancelled the work in progress."""


class Workspace:
    """Args:
    frames: of the video.
    open_session: makes the session; called by the worker, because loading networks takes a while.
    objects: how many objects a new session begins with.
    given: masks to begin with, {frame: (H, W) ids}.
    """

    def __init__(
        self,
        frames: Frames,
        open_session: Callable[[], InteractiveSession],
        out: Path,
        objects: int = 1,
        given: Mapping[int, NDArray[np.uint8]] | None = None,
        study: Study | None = None,
        say: Callable[[str], None] = print,
    ):
        self.frames, self.out, self.study, self.say = frames, out, study, say
        self.epoch = secrets.token_hex(6)
        self.session: InteractiveSession | None = None
        self.failure: UserError | None = None
        self.listeners: set[Callable[[News], None]] = set()
        self.queued = 0
        self._size = tuple(frames[0].shape[:2])
        self._autosave: Autosave | None = None
        self._looks: dict[int, dict[str, Any]] = {}
        self._unsaved = ""
        self._live: dict[int, Maps] = {}
        self._numbers: WeakKeyDictionary[Maps, dict[tuple[int, ...], int]] = WeakKeyDictionary()
        self._last_number = 0
        self._versions: list[int] = [0] * len(frames)
        self._described: list[dict[int, Lane]] = [{} for _ in frames.names]
        self._progress: News | None = None
        self._go = threading.Event()
        self._go.set()
        self._cancel = threading.Event()
        self._lock = threading.Lock()
        self._worker = ThreadPoolExecutor(1, "networks")
        self._opening = self._submit(lambda: self._open(open_session, objects, given or {}))

    def close(self) -> None:
        """End the work in progress and let the files go."""
        self._cancel.set()
        self._go.set()
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._autosave:
            self._autosave.close()

    def wait_until_open(self) -> None:
        """Raises UserError if the session cannot be opened."""
        self._opening.result()

    # Requests; each returns what the worker will answer

    def act(self, action: PageAction) -> Future[str]:
        """Do what an action says. Raises ValueError where that is impossible, now or in the future returned."""
        if self.study and self.study.phase != "work":
            truth = self.study.phase == "truth"
            raise ValueError("look at the true masks, then press Start" if truth else "the time of the study is over")
        if self._progress:
            raise ValueError(f"{self._progress['what']} is running: wait for it, or cancel it")
        return self._submit(lambda: self._act(action))

    def set_mask(self, frame: int, png: bytes) -> Future[str]:
        """Take a mask in by the mask rule, for a frame."""
        if self._progress:
            raise ValueError(f"{self._progress['what']} is running: wait for it, or cancel it")
        return self._submit(lambda: self._set_mask(frame, read_mask(png, name=f"for frame {frame}").ids))

    def look(self, look: Look) -> Future[str]:
        """Name, colour or hide an object."""
        return self._submit(lambda: self._look(look))

    def export(self, what: What) -> Future[str]:
        """Write masks into the session's folder."""
        return self._submit(lambda: self._export(what))

    def visit(self, frame: int) -> None:
        """The user has looked for a frame, and found it."""
        if self.session and self.session.log and frame < len(self.frames) and not self._progress:
            self.session.search(frame)

    def start_study(self) -> None:
        session = self._ready()
        if self.study is None or self.study.phase != "truth":
            raise ValueError("there is no study to start")
        self.study.start(session)
        self._tell({"study": self._study_news()})

    def control(self, what: str) -> None:
        """Pause, resume or cancel the work in progress."""
        if not self._progress:
            raise ValueError("nothing is running")
        if what == "cancel":
            self._cancel.set()
        (self._go.clear if what == "pause" else self._go.set)()
        self._progress |= {"paused": what == "pause"}
        self._tell({"progress": self._progress})

    def tick(self) -> None:
        """Called twice a second: gauges and the clock of a study."""
        if self.study:
            self.study.check()
            self._tell({"study": self._study_news()})
        self._tell({"gauges": self._gauges()})

    # What there is to see

    def mask(self, frame: int, which: str = "now") -> tuple[NDArray[np.uint8], int]:
        """A frame's ids at the size in which it is shown, and their version."""
        if not 0 <= frame < len(self.frames):
            raise ValueError(f"there is no frame {frame}")
        session = self.session
        if which == "truth" and self.study and self.study.phase == "truth":
            return shrink(self.study.truth[frame]), 0
        nothing = np.zeros(view_size(self._size), np.uint8)
        if session is None:
            return nothing, 0
        if which == "before":
            before = session.before_last_round(frame)
            return (nothing if before is None else shrink(before)), 0
        version = self._versions[frame]
        live = self._live.get(frame)
        return shrink(session.labels_of(live) if live else session.labels(frame)), version

    def hello(self) -> News:
        """Everything that a page needs to begin with."""
        with self._lock:
            session = self.session
            return {
                "epoch": self.epoch,
                "video": self.frames.path.name,
                "names": self.frames.names if len(self.frames) <= 20000 else None,
                "frames": len(self.frames),
                "size": self._size,
                "view": view_size(self._size),
                "rate": getattr(self.frames, "rate", 0) or 24,
                "out": str(self.out),
                "places": describe_places(self.out),
                "ready": session is not None,
                "can": {
                    "propagate": bool(session and session.network),
                    "scribble": bool(session and session.s2m),
                    "click": bool(session and session.clicks),
                },
                "state": self._news(everything=True) if session else None,
                "progress": self._progress,
                "study": self._study_news() if self.study else None,
                "gauges": self._gauges(),
            }

    # The worker's side

    def _submit(self, job: Callable[[], str]) -> Future[str]:
        self.queued += 1

        def run() -> str:
            try:
                if self.study:
                    self.study.computing(True)
                return job()
            finally:
                self.queued -= 1
                if self.study:
                    self.study.computing(False)

        return self._worker.submit(run)

    def _open(
        self,
        open_session: Callable[[], InteractiveSession],
        objects: int,
        given: Mapping[int, NDArray[np.uint8]],
    ) -> str:
        try:
            session = open_session()
            self._autosave = Autosave(self.out / "session", identify(self.frames, session), session)
            self._looks = {int(label): look for label, look in self._autosave.looks.items()}
            self.session = session
            if self._autosave.restored:
                what = f"session {self.out} goes on after {session.state.rounds} rounds"
                self.say(what + ("; the masks given are those that it began with" if given else ""))
            else:
                for label in range(1, objects + 1):
                    self._do({"do": "add", "object": label})
                for frame, ids in given.items():
                    self._set_mask(frame, ids)
                self._autosave.begin()
            self._refresh()
            self._tell({"hello": self.hello()})
        except UserError as error:
            self.failure = error
            self._tell({"failure": str(error)})
            raise
        return "open"

    def _do(self, action: dict[str, Any]) -> None:
        made = ObjectAction.model_validate(action)
        made.apply(self._ready(), self.out)
        self._save(made.model_dump(exclude_defaults=True))

    def _act(self, action: PageAction) -> str:
        session = self._ready()
        before = session.state
        if isinstance(action, PropagateAction):
            done = self._propagate(action, session)
        else:
            action.apply(session, self.out)
            done = action.do
        if session.state is not before or action.do in ("lock", "unlock"):
            self._save(action.model_dump(exclude_defaults=True))
        self._refresh()
        return done

    def _propagate(self, action: PropagateAction, session: InteractiveSession) -> str:
        total = self._reach(action, session)
        tick = self._begin("propagation", total)
        count = 0

        def progress(frame: int, maps: Maps) -> None:
            nonlocal count
            count += 1
            self._live[frame] = maps
            self._versions[frame] = self._version(maps)
            areas = {label: [round(area, 5), 0.0, ""] for label, area in zip(maps.objects, maps.areas, strict=True)}
            tick(count, frame, {str(frame): [self._versions[frame], areas]})

        try:
            action.apply(session, self.out, progress)
            return f"propagated to {count} frames"
        except Cancelled:
            return "cancelled; nothing has changed"
        finally:
            self._live.clear()
            self._end()

    def _reach(self, action: PropagateAction, session: InteractiveSession) -> int:
        """How many frames the propagation will reach at most."""
        frame = action.frame if action.frame is not None else next(reversed(list(session.state.corrected)), 0)
        last = len(self.frames) - 1 if action.last is None else min(action.last, len(self.frames) - 1)
        ahead = 0 if action.direction == "backward" else max(0, last - frame)
        behind = 0 if action.direction == "forward" else max(0, frame - action.first)
        if session.state.waiting or len({maps.objects for _, maps in session.state.trusted}) > 1:
            return ahead + behind
        others = [f for f in session.state.interacted if f != frame]
        ahead = min([ahead, *(f - frame - 1 for f in others if f > frame)])
        return ahead + min([behind, *(frame - f - 1 for f in others if f < frame)])

    def _set_mask(self, frame: int, ids: NDArray[np.uint8]) -> str:
        """Objects that the session lacks are added."""
        session = self._ready()
        if ids.shape != session.size:
            raise ValueError(f"the mask is {ids.shape[1]}x{ids.shape[0]}, frames {session.size[1]}x{session.size[0]}")
        for label in sorted(object_ids(ids) - set(session.objects)):
            self._do({"do": "add", "object": label})
        assert self._autosave is not None
        file = f"given/{len(self._autosave.actions):05d}.png"
        write_atomically(self.out / file, encode_mask(ids.astype(np.uint8)))
        action = MaskAction(do="mask", frame=frame, file=file)
        action.apply(session, self.out)
        self._save(action.model_dump(exclude_defaults=True))
        self._refresh()
        return "mask"

    def _look(self, look: Look) -> str:
        session = self._ready()
        if look.object not in session.objects:
            raise ValueError(f"there is no object {look.object}")
        changes = look.model_dump(exclude_none=True, exclude={"object"})
        self._looks[look.object] = self._looks.get(look.object, {}) | changes
        autosave = self._autosave
        assert autosave is not None
        self._guarded(lambda: autosave.record(looks={str(k): v for k, v in self._looks.items()}))
        self._refresh()
        return "look"

    def _export(self, what: What) -> str:
        session = self._ready()
        assert self._autosave is not None
        tick = self._begin("export", len(self.frames))
        colours = {label: self._colour_of(label) for label in session.objects}
        try:
            actions = self._autosave.actions
            return export(what, session, self.frames, self.out, colours, actions, lambda done: tick(done, None, {}))
        except Cancelled:
            return "cancelled; what was written so far stays"
        finally:
            self._end()

    # Progress

    def _begin(self, what: str, total: int) -> Callable[[int, int | None, News], None]:
        """Returns what is to be called after each step; it waits while paused, and raises ``Cancelled``."""
        self._cancel.clear()
        self._go.set()
        began = perf_counter()
        waited = 0.0
        self._progress = {"what": what, "done": 0, "total": total, "paused": False, "left": None, "frame": None}
        self._tell({"progress": self._progress})

        def tick(done: int, frame: int | None, frames: News) -> None:
            nonlocal waited
            each = (perf_counter() - began - waited) / done
            left = round(each * max(0, total - done), 1)
            paused = not self._go.is_set()
            self._progress = {**(self._progress or {}), "done": done, "frame": frame, "left": left, "paused": paused}
            self._tell({"progress": self._progress, "frames": frames})
            start = perf_counter()
            self._go.wait()
            waited += perf_counter() - start
            if self._cancel.is_set():
                raise Cancelled

        return tick

    def _end(self) -> None:
        self._progress = None
        self._refresh()
        self._tell({"progress": None})

    # News

    def _refresh(self) -> None:
        """Find out what has changed, and tell it."""
        with self._lock:
            news = self._news(everything=False)
        self._tell({"state": news})

    def _news(self, everything: bool) -> News:
        session = self._ready()
        state = session.state
        versions = [self._version(state.corrected.get(t) or maps) for t, maps in enumerate(state.probs)]
        for t, maps in list(self._live.items()):
            versions[t] = self._version(maps)
        described = lanes(state)
        changed = [
            t
            for t, (version, lane) in enumerate(zip(versions, described, strict=True))
            if everything or version != self._versions[t] or lane != self._described[t]
        ]
        self._versions, self._described = versions, described
        return {
            "objects": [self._describe_object(label) for label in session.objects],
            "next": max({*session.objects, *state.deleted}, default=0) + 1,
            "frames": {
                t: [versions[t], {k: [round(v.area, 5), round(v.doubt, 3), v.drift] for k, v in described[t].items()}]
                for t in changed
                if not everything or versions[t] or described[t]
            },
            "interacted": sorted(set(state.interacted)),
            "corrected": list(state.corrected),
            "last_round": _ranges(sorted(changed_in_last_round(state, session.history))),
            "drift": drift_ranges(described),
            "rounds": state.rounds,
            "undo": session.history.past,
            "redo": session.history.future,
            "draft": state.draft and {"frame": state.draft.frame, "kind": state.draft.kind},
            "unsaved": self._unsaved,
        }

    def _version(self, maps: Maps) -> int:
        """A number that maps have as long as they look the same; 0 if there is nothing to see."""
        alive = tuple(label for label in self._ready().objects if label in maps.objects)
        if not alive or not (any(maps.areas) or any(maps.doubts)):
            return 0
        numbers = self._numbers.setdefault(maps, {})
        if alive not in numbers:
            self._last_number += 1
            numbers[alive] = self._last_number
        return numbers[alive]

    def _describe_object(self, label: int) -> News:
        look = self._looks.get(label, {})
        red, green, blue = self._colour_of(label)
        return {
            "id": label,
            "name": look.get("name") or f"Object {label}",
            "colour": f"#{red:02x}{green:02x}{blue:02x}",
            "hidden": look.get("hidden", False),
            "locked": label in self._ready().locked,
        }

    def _colour_of(self, label: int) -> tuple[int, int, int]:
        own = self._looks.get(label, {}).get("colour")
        red, green, blue = bytes.fromhex(own[1:]) if own else colour(label)
        return red, green, blue

    def _study_news(self) -> News:
        assert self.study is not None
        return {"phase": self.study.phase, "seconds": round(self.study.seconds, 1), "limit": self.study.limit}

    def _gauges(self) -> News:
        session = self.session
        gauges: News = {"ram": resident_bytes(), "queue": max(0, self.queued - 1)}
        if session:
            gauges |= {
                "memory_frames": len(session.state.trusted),
                "cached_frames": session.cached_frames,
                "undo_bytes": session.history.nbytes,
                "undo_budget": session.history.budget,
            }
            if session.device.type == "cuda":
                gauges["gpu"] = torch.cuda.memory_allocated(session.device)
        return gauges

    # Saving

    def _save(self, action: dict[str, Any]) -> None:
        assert self._autosave is not None
        autosave = self._autosave
        self._guarded(lambda: autosave.record(action))

    def _guarded(self, save: Callable[[], None]) -> None:
        """A full disk is no reason to lose what is in memory: the page says it, and the next change tries again."""
        try:
            save()
            self._unsaved = ""
        except UserError as error:
            self._unsaved = str(error)
            self.say(f"not saved: {error}")

    def _ready(self) -> InteractiveSession:
        if self.session is None:
            raise ValueError("the networks are being loaded: wait a moment")
        return self.session

    def _tell(self, news: News) -> None:
        for listener in list(self.listeners):
            listener(news)


BRIGHT = ("ff4d5e", "2fb8ff", "ffc23d", "3ddc84", "c77dff", "ff8a3d", "2ee6d6", "ff7ac6")


def colour(label: int) -> tuple[int, int, int]:
    """An object's colour where none was chosen: some that stand out on photographs, then the palette's."""
    if label <= len(BRIGHT):
        red, green, blue = bytes.fromhex(BRIGHT[label - 1])
    else:
        red, green, blue = map(int, palette()[label])
    return red, green, blue


def resident_bytes() -> int:
    """Memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return pages * 4096


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1] = runs[-1][0], number
        else:
            runs.append((number, number))
    return runs
