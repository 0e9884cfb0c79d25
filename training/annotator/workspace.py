"""The session that all tabs share, with its worker thread, its queue and its saving.

One thread runs all requests that change the session, one after the other, so that the page always responds. Requests
that change masks are actions of ``training.interactive.script``, so a script can do the same.
"""

import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import decide, encode_mask, read_mask
from bl30k_gen.errors import UserError
from training.annotator.autosave import Autosave, identify
from training.annotator.exports import What, describe_places, export
from training.annotator.images import MAX_UPLOAD, shrink, view_size
from training.annotator.messages import Look
from training.annotator.news import Reporter
from training.annotator.study import Study
from training.annotator.work import Cancelled, News, Work
from training.evaluation.folders import describe_size, object_ids
from training.inference.video import Frames
from training.interactive.script import MaskAction, ObjectAction, PageAction, PropagateAction
from training.interactive.session import InteractiveSession
from training.interactive.state import Maps

RETRY_AFTER = 3.0
"""Seconds after a failed save until the next try."""


class Opened(NamedTuple):
    """The session and its helpers, once the networks are loaded."""

    session: InteractiveSession
    autosave: Autosave
    reporter: Reporter


class Workspace:
    """A session, its requests and its messages to all tabs.

    Args:
        frames: of the video.
        open_session: opens the session; called by the worker, because loading networks takes time.
        objects: number of objects in a new session; a study has those of its true masks.
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
        self.listeners: set[Callable[[News], None]] = set()
        self.queued = 0
        self._counting = threading.Lock()  # of ``queued``
        self._size = tuple(frames[0].shape[:2])
        self._opened: Opened | None = None
        self._unsaved, self._next_try = "", 0.0
        self._took = 0.0, 0.0  # seconds of the last action: to compute, to save
        self._work = Work(self._tell)
        self._lock = threading.Lock()  # of the reporter
        self._claimed = False  # a propagation was asked for, and has not ended
        self._worker = ThreadPoolExecutor(1, "networks")
        self._opening = self._submit(lambda: self._open(open_session, objects, given or {}))

    @property
    def session(self) -> InteractiveSession | None:
        return self._opened.session if self._opened else None

    def close(self) -> None:
        """Cancel the work in progress and close the files."""
        self._work.cancel()
        self._worker.shutdown(wait=True, cancel_futures=True)
        if self._opened:
            self._opened.autosave.close()

    def wait_until_open(self) -> None:
        """Wait for the session. Raises UserError if it cannot be opened."""
        self._opening.result()

    # Requests; each returns the future of the worker's answer

    def act(self, action: PageAction) -> Future[str]:
        """Run an action. Raises ValueError for an impossible one, at once or in the future."""
        self._check_free()
        if not isinstance(action, PropagateAction):
            return self._submit(lambda: self._act(action))
        self._claimed = True  # from now on, and not only from when the worker begins

        def job() -> str:
            try:
                return self._act(action)
            finally:
                self._claimed = False

        return self._submit(job)

    def set_mask(self, frame: int, png: bytes) -> Future[str]:
        """Use an uploaded mask for a frame."""
        self._check_free()

        def job() -> str:
            name = f"for frame {frame}"
            rule = decide([png])
            if rule.meaning == "soft":
                raise ValueError(f"the mask {name} has soft edges: threshold it at one half, to black and white")
            return self._set_mask(frame, read_mask(png, rule, name).ids)

        return self._submit(job)

    def look(self, look: Look) -> Future[str]:
        """Name, colour or hide an object."""
        return self._submit(lambda: self._look(look))

    def export(self, what: What) -> Future[str]:
        """Write masks into the session's folder."""
        return self._submit(lambda: self._export(what))

    def visit(self, frame: int) -> None:
        """Log that the user has gone to a frame."""
        session = self.session
        # While something is computed, the time is not the user's.
        if session and session.log and frame < len(self.frames) and not self.queued:
            session.search(frame)

    def start_study(self) -> None:
        session = self._ready().session
        if self.study is None or self.study.phase != "truth":
            raise ValueError("there is no study to start")
        self.study.start(session)
        self._tell({"study": self._study_news()})

    def control(self, what: str) -> None:
        """Pause, resume or cancel the work in progress."""
        self._work.control(what)

    def tick(self) -> None:
        """Called twice a second: send the gauges and the clock of a study, and retry a failed save."""
        if self.study:
            self.study.check()
            self._tell({"study": self._study_news()})
        self._tell({"gauges": self._gauges()})
        if self._unsaved and not self.queued and perf_counter() > self._next_try:
            self._submit(self._save_missed)

    # Results

    def mask(self, frame: int, which: str = "now") -> tuple[NDArray[np.uint8], int]:
        """A frame's ids at its size on the page, and their version.

        Raises ValueError for a frame that does not exist, and for "before" if that state was dropped.
        """
        if not 0 <= frame < len(self.frames):
            raise ValueError(f"there is no frame {frame}")
        if which == "truth" and self.study and self.study.phase == "truth":
            return shrink(self.study.truth[frame]), 0
        nothing = np.zeros(view_size(self._size), np.uint8)
        if self._opened is None:
            return nothing, 0
        session, _, reporter = self._opened
        if which == "before":
            before = session.before_last_round(frame)
            if before is None:
                raise ValueError("the masks before the last round are not kept any more")
            return shrink(before), 0
        version = reporter.versions[frame]
        live = reporter.live.get(frame)
        return shrink(session.labels_of(live) if live else session.labels(frame)), version

    def hello(self) -> News:
        """The first message to a page."""
        with self._lock:
            session = self.session
            return {
                "epoch": self.epoch,
                "video": self.frames.path.name,
                "names": self.frames.names if len(self.frames) <= 20000 else None,
                "frames": len(self.frames),
                "size": self._size,
                "view": view_size(self._size),
                "working": session.view.working if session else self._size,
                "rate": getattr(self.frames, "rate", 0) or 24,
                "out": str(self.out),
                "places": describe_places(self.out),
                "max_upload": MAX_UPLOAD,
                "ready": session is not None,
                "can": {
                    "propagate": bool(session and session.network),
                    "scribble": bool(session and session.s2m),
                    "click": bool(session and session.clicks),
                },
                "state": self._report(everything=True) if self._opened else None,
                "progress": self._work.progress,
                "study": self._study_news() if self.study else None,
                "gauges": self._gauges(),
            }

    # The worker's side

    def _submit(self, job: Callable[[], str]) -> Future[str]:
        with self._counting:
            self.queued += 1

        def run() -> str:
            try:
                if self.study:
                    self.study.computing(True)
                return job()
            finally:
                with self._counting:
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
            autosave = Autosave(self.out / "session", identify(self.frames, session), session)
            if autosave.restored and not autosave.begun:
                autosave.restart()
            self._opened = Opened(session, autosave, Reporter(session, autosave.looks))
            if autosave.restored and self.study:
                raise UserError(f"session {self.out} is not new, so a study cannot begin in it", "give another --out")
            if autosave.restored:
                what = f"session {self.out} goes on after {session.state.rounds} rounds"
                self.say(what + ("; the masks given are those that it began with" if given else ""))
            else:
                labels = sorted(object_ids(self.study.truth)) if self.study else range(1, objects + 1)
                for label in labels:
                    self._add(label)
                self._check_given(given)
                for frame, ids in given.items():
                    self._set_mask(frame, ids)
                autosave.begin()
            self._refresh()
            self._tell({"hello": self.hello()})
        except UserError as error:
            self._tell({"failure": str(error)})
            raise
        return "open"

    def _add(self, label: int) -> None:
        action = ObjectAction(do="add", object=label)
        action.apply(self._ready().session, self.out)
        self._save(action.model_dump(exclude_defaults=True))

    def _act(self, action: PageAction) -> str:
        session = self._ready().session
        before, began = session.state, perf_counter()
        if isinstance(action, PropagateAction):
            done = self._propagate(action)
        else:
            action.apply(session, self.out)
            done = action.do
        computed = perf_counter()
        if session.state is not before or action.do in ("lock", "unlock"):
            self._save(action.model_dump(exclude_defaults=True))
        self._took = computed - began, perf_counter() - computed
        self._refresh()
        return done

    def _propagate(self, action: PropagateAction) -> str:
        session, autosave, reporter = self._ready()
        tick = self._work.begin("propagation", self._reach(action, session))
        count = 0

        def progress(frame: int, maps: Maps) -> None:
            nonlocal count
            count += 1
            self._guarded(lambda: autosave.keep(maps))
            tick(count, frame, reporter.watch(frame, maps))

        try:
            action.apply(session, self.out, progress)
            return f"Propagated to {count} frame{'s' * (count != 1)}"
        except Cancelled:
            return "Cancelled: nothing has changed"
        finally:
            reporter.live.clear()
            self._end()

    def _reach(self, action: PropagateAction, session: InteractiveSession) -> int:
        """The largest number of frames that the propagation can reach."""
        frame = action.frame if action.frame is not None else next(reversed(list(session.state.corrected)), 0)
        last = len(self.frames) - 1 if action.last is None else action.last
        ahead = 0 if action.direction == "backward" else max(0, last - frame)
        behind = 0 if action.direction == "forward" else max(0, frame - action.first)
        if session.state.waiting or len({maps.objects for _, maps in session.state.references}) > 1:
            return ahead + behind
        others = [f for f in session.state.interacted if f != frame]
        ahead = min([ahead, *(f - frame - 1 for f in others if f > frame)])
        return ahead + min([behind, *(frame - f - 1 for f in others if f < frame)])

    def _check_given(self, given: Mapping[int, NDArray[np.uint8]]) -> None:
        """Raise UserError naming the first mask that does not fit, before any is used."""
        for frame, ids in given.items():
            try:
                self._check_mask(ids)
            except ValueError as error:
                name = self.frames.names[frame]
                raise UserError(f"--masks: frame {name}", str(error)) from None

    def _check_mask(self, ids: NDArray[np.integer]) -> None:
        """Raise ValueError for a mask of another size, or with an object that cannot be added."""
        session = self._ready().session
        if ids.shape != session.size:
            sizes = f"{describe_size(ids.shape)}, and frames are {describe_size(session.size)}"
            raise ValueError(f"the mask is {sizes}: a mask has its frame's size")
        for label in sorted(object_ids(ids) - set(session.objects)):
            session.check_new(label)

    def _set_mask(self, frame: int, ids: NDArray[np.integer]) -> str:
        """Use a mask for a frame and add its new objects. Raises ValueError, and adds none, if it does not fit."""
        session, autosave, _ = self._ready()
        self._check_mask(ids)
        for label in sorted(object_ids(ids) - set(session.objects)):
            self._add(label)
        file = f"given/{len(autosave.actions):05d}.png"
        write_atomically(self.out / file, encode_mask(ids.astype(np.uint8)))
        action = MaskAction(do="mask", frame=frame, file=file)
        action.apply(session, self.out)
        self._save(action.model_dump(exclude_defaults=True))
        self._refresh()
        return "mask"

    def _look(self, look: Look) -> str:
        session, autosave, reporter = self._ready()
        if look.object not in session.objects:
            raise ValueError(f"there is no object {look.object}")
        changes = look.model_dump(exclude_none=True, exclude={"object"})
        reporter.looks[look.object] = reporter.looks.get(look.object, {}) | changes
        self._guarded(lambda: autosave.record(looks=reporter.looks))
        self._refresh()
        return "look"

    def _export(self, what: What) -> str:
        session, autosave, reporter = self._ready()
        tick = self._work.begin("export", len(self.frames))
        colours = {label: reporter.colour(label) for label in session.objects}
        try:
            actions = autosave.actions
            return export(what, session, self.frames, self.out, colours, actions, lambda done: tick(done, None, {}))
        except Cancelled:
            kept = what != "overlay"
            return "Cancelled: " + ("what was written so far stays" if kept else "nothing has changed")
        finally:
            self._end()

    # News

    def _refresh(self) -> None:
        """Send the changes since the last message."""
        with self._lock:
            news = self._report(everything=False)
        self._tell({"state": news})

    def _report(self, everything: bool) -> News:
        return self._ready().reporter.report(everything) | {"unsaved": self._unsaved}

    def _end(self) -> None:
        self._refresh()
        self._work.end()

    def _study_news(self) -> News:
        assert self.study is not None
        return {"phase": self.study.phase, "seconds": round(self.study.seconds, 1), "limit": self.study.limit}

    def _gauges(self) -> News:
        session = self.session
        gauges: News = {"ram": resident_bytes(), "queue": max(0, self.queued - 1)}
        if session:
            gauges |= {
                "memory_frames": len(session.state.references),
                "cached_frames": session.cached_frames,
                "undo_bytes": session.history.nbytes,
                "undo_budget": session.history.budget,
                "computed": round(self._took[0], 4),
                "saved": round(self._took[1], 4),
            }
            if session.device.type == "cuda":
                gauges["gpu"] = torch.cuda.memory_allocated(session.device)
        return gauges

    # Saving

    def _save(self, action: dict[str, Any]) -> None:
        autosave = self._ready().autosave
        self._guarded(lambda: autosave.record(action))

    def _save_missed(self) -> str:
        self._guarded(self._ready().autosave.record)
        self._refresh()
        return "saved"

    def _guarded(self, save: Callable[[], None]) -> None:
        """Save; after a failure, such as a full disk, the page shows it and saving is tried again."""
        before = self._unsaved
        try:
            save()
            if not self._ready().autosave.behind:
                self._unsaved = ""
        except (UserError, OSError) as error:  # OSError: one that is not the user's, as of a network file system
            self._unsaved = error.what if isinstance(error, UserError) else str(error)
            self._next_try = perf_counter() + RETRY_AFTER
        if self._unsaved != before:
            self.say(f"not saved: {self._unsaved}" if self._unsaved else "saved again")

    def _check_free(self) -> None:
        """Raise ValueError while masks cannot be changed."""
        if self.study and self.study.phase != "work":
            truth = self.study.phase == "truth"
            raise ValueError("look at the true masks, then press Start" if truth else "the time of the study is over")
        self._work.check_free()
        if self._claimed:
            raise ValueError("propagation is about to begin: wait for it")

    def _ready(self) -> Opened:
        if self._opened is None:
            raise ValueError("the networks are being loaded: wait a moment")
        return self._opened

    def _tell(self, news: News) -> None:
        for listener in list(self.listeners):
            listener(news)


def resident_bytes() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if Path("/proc/self/statm").exists() else 0
    return pages * 4096
