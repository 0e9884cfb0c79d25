"""A user study on the page (MiVOS, section 6.3): see the truth, then come as close to it as the time allows."""

from pathlib import Path
from time import perf_counter, strftime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from training.evaluation.session_log import SessionLog
from training.interactive.session import InteractiveSession

Phase = Literal["truth", "work", "over"]


class Study:
    """Its phases, its clock and its log, which ``train.py study`` reads.

    Args:
        truth: (T, H, W) true masks.
        limit: seconds of the user's own time; what the program computes does not count.
        folder: for the log.
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
        """The program begins or ends to compute."""
        now = perf_counter()
        if self._since is not None:
            self._computed += now - self._since
        self._since = now if busy else None

    @property
    def seconds(self) -> float:
        """The user's own time so far."""
        if self.phase == "truth":
            return 0.0
        now = perf_counter()
        running = now - self._since if self._since is not None else 0.0
        return min(self.limit, now - self._began - self._computed - running)

    def check(self) -> bool:
        """Whether the time is up now, for the first time."""
        if self.phase == "work" and self.seconds >= self.limit:
            self.phase = "over"
            return True
        return False
