"""Logs of interactive sessions: timed events of the user and of the program.

A log is a file of JSON lines. The first line describes the session, each other one a finished event:

    {"user": "u1", "video": "camel", "method": "mivos"}
    {"event": "interact", "start": 0.0, "end": 4.5, "frame": 12}
    {"event": "compute", "start": 4.5, "end": 6.0, "round": 1, "iou": 0.81}

Times are seconds since the session began. ``iou`` is the mean J of the masks after the computation, a fraction, in
sessions on an annotated video. ``round`` is the number of a propagation; corrections have none. Other keys are stored
but not interpreted.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

from bl30k_gen.dataset.files import clear_disk_errors
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import parse_json, read_text

#: Events that count as the user's time: drawing, searching for a frame to correct, thinking.
USER_EVENTS = ("interact", "search", "pause")
EVENTS = (*USER_EVENTS, "compute")
_REMEDY = "give the JSON lines that a session wrote"


@dataclass(frozen=True)
class Event:
    """``kind`` is one of ``EVENTS``; times in seconds; ``about`` holds the event's other keys."""

    kind: str
    start: float
    end: float
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """The events of one session in the order of time; they do not overlap."""

    user: str
    video: str
    method: str
    events: tuple[Event, ...]


class SessionLog:
    """Writes the log of a running session event by event, so that a crash loses only the current event.

        log = SessionLog("u1.jsonl", user="u1", video="camel", method="mivos")
        with log.event("compute", round=1) as about:
            masks = propagate()
        ...
        log.since_last("interact", frame=12)

    Keys that the block adds to ``about`` are logged, too; so is a block that ends in an exception. Several threads
    may use it. Raises UserError if the file exists.
    """

    def __init__(
        self, path: str | Path, user: str, video: str, method: str, clock: Callable[[], float] = perf_counter
    ):
        self.path = Path(path)
        self.clock = clock
        self._lock = threading.Lock()
        with clear_disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with open(self.path, "x") as file:
                    file.write(json.dumps({"user": user, "video": video, "method": method}) + "\n")
            except FileExistsError:
                if self.path.is_dir():
                    raise UserError(f"{self.path} is a folder", "give a file's name") from None
                raise UserError(f"log {self.path} exists", "give another file, or remove it") from None
        self.began = self._ended = clock()

    @contextmanager
    def event(self, kind: str, **about: Any) -> Iterator[dict[str, Any]]:
        """Log the time of the block as an event of ``kind``. Raises ValueError for an unknown kind."""
        if kind not in EVENTS:
            raise ValueError(f"event {kind} is none of {', '.join(EVENTS)}")
        start = self.clock()
        try:
            yield about
        finally:  # the time of a computation that was cancelled, or has failed, is not the user's either
            with self._lock:
                self._write(kind, start, about)

    def since_last(self, kind: str, **about: Any) -> None:
        """Log the time since the last event (or the beginning) as an event of ``kind``."""
        if kind not in EVENTS:
            raise ValueError(f"event {kind} is none of {', '.join(EVENTS)}")
        with self._lock:
            self._write(kind, self._ended, about)

    def _write(self, kind: str, start: float, about: dict[str, Any]) -> None:
        self._ended = self.clock()
        line = {"event": kind, "start": start - self.began, "end": self._ended - self.began} | about
        with clear_disk_errors(self.path), open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")


def read_session(path: str | Path) -> Session:
    """Read a log; raises UserError if it is missing, damaged, or its events overlap."""
    path = Path(path)
    try:
        head, *lines = [parse_json(line, path, _REMEDY) for line in read_text(path).splitlines() if line.strip()]
        events = []
        for line in lines:
            kind, start, end = line.pop("event"), float(line.pop("start")), float(line.pop("end"))
            if kind not in EVENTS:
                raise ValueError(f"unknown event {kind}")
            if not 0 <= start <= end:
                raise ValueError(f"{kind} lasts from {start} to {end}")
            if "iou" in line and not 0 <= line["iou"] <= 1:
                raise ValueError(f"an iou of {line['iou']}")
            events.append(Event(kind, start, end, line))
        events.sort(key=lambda event: (event.start, event.end))
        for earlier, later in zip(events, events[1:], strict=False):
            if later.start < earlier.end:
                raise ValueError(f"{later.kind} at {later.start} s begins before {earlier.kind} ends")
        return Session(str(head["user"]), str(head["video"]), str(head["method"]), tuple(events))
    except OSError as error:
        raise UserError(f"log {path} cannot be read", str(error.strerror)) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no session log ({error})", _REMEDY) from None
