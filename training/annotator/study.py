"""A user study on the page (MiVOS, section 6.3): the user sees the truth, then annotates within a time limit."""

from pathlib import Path
from time import perf_counter, strftime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.evaluation.session_log import SessionLog
from training.interactive.session import InteractiveSession

Phase = Literal["truth", "work", "over"]


class Study:
    """The phases, the clock and the log of a study; ``train.py study`` reads the log.

    Args:
        truth: (T, H, W) true masks.
        limit: seconds of user time, without the time of computation.
        folder: of the log.
    """

    def __init__(self, truth: NDArray[np.uint8], limit: float, folder: Path, user: str, video: str, method: str):
        self.truth, self.limit = truth, limit
        self.log_file = folder / f"{user}-{video}-{strftime('%Y%m%d-%H%M%S')}.jsonl"
        self.names = user, video, method
        self.phase: Phase = "truth"
        self._began = 0.0
        self._computed = 0.0
        self._since: float | None = None

    def start(self, session: InteractiveSession) -> None:
        """Hide the truth and start the clock."""
        self.phase = "work"
        session.log = SessionLog(self.log_file, *self.names)
        session.truth = self.truth
        self._began = perf_counter()

    def computing(self, busy: bool) -> None:
        """Note that a computation begins or ends."""
        now = perf_counter()
        if self._since is not None:
            self._computed += now - self._since
        self._since = now if busy else None

    @property
    def seconds(self) -> float:
        """User time so far."""
        if self.phase == "truth":
            return 0.0
        now = perf_counter()
        running = now - self._since if self._since is not None else 0.0
        return min(self.limit, now - self._began - self._computed - running)

    def check(self) -> bool:
        """End the study when the time is up. True only in the call that ends it."""
        if self.phase == "work" and self.seconds >= self.limit:
            self.phase = "over"
            return True
        return False
