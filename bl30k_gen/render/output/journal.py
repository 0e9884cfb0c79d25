"""What happened, when and where, as JSON lines: one log for each video, one journal for each run.

``Logs/<video>.jsonl`` tells all that befell a video. ``Logs/runs/<worker>.jsonl`` has one line for each video that a
run finished; all of them together tell of a whole dataset without a look at its videos.
"""

import io
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.render.child import Event


class EventLog:
    """A file of JSON lines. Every line has the time (seconds since 1970), the host and the process."""

    def __init__(self, path: Path):
        with files.clear_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file: io.FileIO | None = None  # opened once: a network file system is asked for every opening
        self._where = {"host": socket.gethostname(), "pid": os.getpid()}

    def write(self, event: Event) -> None:
        entry = {"time": time.time(), **self._where, **event}
        with files.clear_disk_errors(self.path):
            if self._file is None:
                self._file = open(self.path, "ab", buffering=0)
            self._file.write(f"{json.dumps(entry)}\n".encode())


def run_log(layout: Layout) -> EventLog:
    """The journal of the run whose name is ``layout.owner``."""
    return EventLog(runs_folder(layout) / f"{layout.owner}.jsonl")


def runs_folder(layout: Layout) -> Path:
    return layout.root / "Logs" / "runs"


def run_entries(layout: Layout) -> Iterator[dict[str, Any]]:
    """All lines of all runs. A line that a killed run left unfinished is passed over."""
    for path in sorted(runs_folder(layout).glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield json.loads(line)
            except ValueError:
                continue
