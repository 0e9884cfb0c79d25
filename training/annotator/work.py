"""Long work such as a propagation: its progress, and pausing, resuming and cancelling it."""

import threading
from collections.abc import Callable
from time import perf_counter
from typing import Any

News = dict[str, Any]


class Cancelled(Exception):
    """The user has cancelled the work in progress."""


class Work:
    """At most one task at a time, run by one thread and controlled by others. ``tell`` gets the messages."""

    def __init__(self, tell: Callable[[News], None]):
        self.progress: News | None = None
        self._tell = tell
        self._go = threading.Event()
        self._go.set()
        self._cancel = threading.Event()

    def check_free(self) -> None:
        """Raise ValueError while a task is running."""
        if self.progress:
            raise ValueError(f"{self.progress['what']} is running: wait for it, or cancel it")

    def control(self, what: str) -> None:
        """Pause, resume or cancel."""
        if not self.progress:
            raise ValueError("nothing is running")
        if what == "cancel":
            self._cancel.set()
        (self._go.clear if what == "pause" else self._go.set)()
        self.progress |= {"paused": what == "pause"}
        self._tell({"progress": self.progress})

    def cancel(self) -> None:
        """Cancel the running task at its next step."""
        self._cancel.set()
        self._go.set()

    def begin(self, what: str, total: int) -> Callable[[int, int | None, News], None]:
        """Begin a task. Returns a function to call after each step; it waits while paused, raises ``Cancelled``."""
        self._cancel.clear()
        self._go.set()
        began = perf_counter()
        waited = 0.0
        self.progress = {"what": what, "done": 0, "total": total, "paused": False, "left": None, "frame": None}
        self._tell({"progress": self.progress})

        def tick(done: int, frame: int | None, frames: News) -> None:
            nonlocal waited
            each = (perf_counter() - began - waited) / done
            left = round(each * max(0, total - done), 1)
            paused = not self._go.is_set()
            self.progress = {**(self.progress or {}), "done": done, "frame": frame, "left": left, "paused": paused}
            self._tell({"progress": self.progress, "frames": frames})
            start = perf_counter()
            self._go.wait()
            waited += perf_counter() - start
            if self._cancel.is_set():
                raise Cancelled

        return tick

    def end(self) -> None:
        self.progress = None
        self._tell({"progress": None})
