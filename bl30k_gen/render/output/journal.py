"""Events with time and host, as JSON lines: one log for each video, one journal for each run.

``Logs/<video>.jsonl`` holds the events of a video. ``Logs/runs/<worker>.jsonl`` has one line for each video that a
run finished; all journals together describe a whole dataset without opening its videos.
"""

import io
import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.inputs import parse_json_lines, read_bytes
from bl30k_gen.render.child import Event

ASKED = "asked"  # event with the number of videos that were asked for
LIMIT = 1 << 30  # bytes of a journal

log = logging.getLogger(__name__)


class EventLog:
    """A file of JSON lines. Every line has the time (seconds since 1970), the host and the process.

    Args:
        root: the folder of the dataset; it must exist.
    """

    def __init__(self, path: Path, root: Path):
        self.path, self.root = path, root
        self._file: io.FileIO | None = None  # stays open: each opening is a request to a network file system
        self._where = {"host": socket.gethostname(), "pid": os.getpid()}

    def write(self, event: Event) -> None:
        entry = {"time": time.time(), **self._where, **event}
        with files.clear_disk_errors(self.path):
            if self._file is None:
                files.make_folder(self.path.parent, self.root)
                self._file = open(self.path, "ab", buffering=0)
            self._file.write(f"{json.dumps(entry)}\n".encode())


def run_log(layout: Layout) -> EventLog:
    """The journal of the run whose name is ``layout.owner``."""
    return EventLog(runs_folder(layout) / f"{layout.owner}.jsonl", layout.root)


def runs_folder(layout: Layout) -> Path:
    return layout.root / "Logs" / "runs"


def run_entries(layout: Layout) -> Iterator[dict[str, Any]]:
    """All events of all runs. Damaged lines are skipped, with a warning that gives their number."""
    for path in sorted(runs_folder(layout).glob("*.jsonl")):
        try:
            entries, skipped = parse_json_lines(read_bytes(path, LIMIT), path)
        except FileNotFoundError:  # pruned meanwhile
            continue
        sound = [entry for entry in entries if _is_entry(entry)]
        skipped += len(entries) - len(sound)
        if skipped:
            log.warning("%s: %d of its lines are damaged and skipped", path, skipped)
        yield from sound


def _is_entry(entry: dict[str, Any]) -> bool:
    """Whether an event has the fields of its kind with values of their types; NaN is none."""
    fields: dict[str, type | tuple[type, ...]] = {"time": (int, float), "host": str, "event": str}
    if entry.get("event") == "ready":
        fields |= {"device_name": str, "threads": int}
    if entry.get("event") == ASKED:
        fields |= {"count": int}
    if entry.get("frames"):
        fields |= {"frames": int, "seconds": (int, float), "frame_seconds": (int, float)}
    return all(isinstance(entry.get(key), kind) and entry[key] == entry[key] for key, kind in fields.items())
