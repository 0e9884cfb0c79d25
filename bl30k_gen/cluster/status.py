"""Progress of a build, from a few listings and the journals of the runs; frames are not read.

The cost is O(videos) lines to read and O(videos in staging) files to look at.
"""

import math
import os
import statistics
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bl30k_gen.cluster.slurm import Submissions
from bl30k_gen.cluster.worklist import MAX_VIDEOS
from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.render import process
from bl30k_gen.render.dataset import open_existing
from bl30k_gen.render.failures import failed_videos
from bl30k_gen.render.output.journal import ASKED, run_entries
from bl30k_gen.render.output.lease import FREE, HEARTBEAT, holders
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.text import duration, plural

Entry = dict[str, Any]  # a line of a journal

RECENT = 3600.0  # seconds of work, the last ones, over which the speed is measured
SLOW = 2.0  # a node is slow above this multiple of the median over all nodes


@dataclass(frozen=True)
class Status:
    wanted: int
    done: int
    running: list[str]
    interrupted: list[str]  # begun by a worker that sends no heartbeat
    failed: dict[str, str]  # {video: reason}
    pending: int  # without a worker; frames of some may exist
    frames_per_second: float  # of all nodes together, in the last hour of work
    seconds_left: float | None  # at this speed; None: unknown
    slow_nodes: dict[str, float]  # {node: its seconds a frame, as a multiple of the nodes' median}

    @property
    def ended(self) -> bool:
        """Whether every video is done or failed; False where none is known yet."""
        return 0 < self.wanted == self.done + len(self.failed)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        fraction = self.done / self.wanted if self.wanted else 0.0
        lines = [
            f"{self.done} of {plural(self.wanted, 'video')} done ({fraction:.1%}), {len(self.running)} running, "
            f"{len(self.failed)} failed, {len(self.interrupted)} interrupted, {self.pending} pending"
        ]
        if self.frames_per_second:
            left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left at this speed"
            lines.append(f"{self.frames_per_second:.2f} frames/s{left}")
        for reason, count in Counter(self.failed.values()).most_common():
            first = next(name for name in self.failed if self.failed[name] == reason)
            lines.append(f"failed: {count} x {reason} (e.g. {first})")
        for node, factor in self.slow_nodes.items():
            lines.append(f"slow: {node} takes {factor:.1f} times the median of the nodes")
        return lines


def wanted_indices(layout: Layout, count: int | None, entries: Iterable[Entry]) -> list[int]:
    """Indices of all videos that the dataset will have: the first ``count``; None: those that runs were asked for.

    Args:
        entries: events in the journals of all runs.
    """
    if count is not None:
        return list(range(count))
    asked = max((entry["count"] for entry in entries if entry["event"] == ASKED), default=0)
    return sorted({*range(min(asked, MAX_VIDEOS)), *Submissions(layout.root).wanted()})


def wanted_names(layout: Layout, config: Config, count: int | None, entries: Iterable[Entry]) -> list[str]:
    """As ``wanted_indices``; where nothing tells, the videos that were begun."""
    if indices := wanted_indices(layout, count, entries):
        return [video_name(index, config.dataset.videos_per_segment) for index in indices]
    return sorted({*layout.published(), *holders(layout), *failed_videos(layout)})


def status(root: Path, count: int | None = None) -> Status:
    """The status of a dataset now. Raises UserError where there is none."""
    layout, config = open_existing(root)
    entries = sorted(run_entries(layout), key=lambda entry: entry["time"])
    wanted = wanted_names(layout, config, count, entries)
    done = set(layout.published()).intersection(wanted)
    missing = set(wanted) - done
    failed = {name: reason for name, reason in failed_videos(layout).items() if name in missing}
    held = {name: lease for name, lease in holders(layout).items() if name in missing and lease.name != FREE}
    running = [name for name, lease in held.items() if _is_alive(lease, config.runtime.lease_timeout)]
    interrupted = sorted(held.keys() - set(running))
    pending = len(wanted) - len(done | failed.keys() | held.keys())
    speed, slow = _speeds(entries)
    frames = (len(wanted) - len(done) - len(failed)) * config.video.frames
    return Status(
        wanted=len(wanted),
        done=len(done),
        running=running,
        interrupted=interrupted,
        failed={name: reason for name, reason in failed.items() if name not in running},
        pending=pending,
        frames_per_second=speed,
        seconds_left=frames / speed if speed and frames else None,
        slow_nodes=slow,
    )


def watch(root: Path, count: int | None = None, pause: float = 5.0) -> Iterator[Status]:
    """The status now and after every change, checked every ``pause`` seconds; ends with the last video.

    Raises UserError as ``status``.
    """
    before = None
    while True:
        now = status(root, count)
        if now != before:
            yield now
        if now.ended:
            return
        before = now
        time.sleep(pause)


def _is_alive(lease: Path, timeout: float) -> bool:
    """Whether a worker has sent a heartbeat lately, by the clocks of both machines (workers never compare clocks)."""
    if process.surely_dead(lease.name):
        return False
    try:
        return time.time() - os.stat(lease / HEARTBEAT).st_mtime < timeout
    except OSError:
        return False


def _speeds(entries: list[Entry]) -> tuple[float, dict[str, float]]:
    """Frames/s in the last hour of work, and the slow nodes; from journal entries sorted by time.

    Frames count when their video ends. Pauses, in which no video was rendered, are no work.
    """
    videos = [entry for entry in entries if entry.get("frames")]
    begin, busy = _recent(videos)
    frames = sum(entry["frames"] for entry in videos if entry["time"] > begin)
    frame_seconds: dict[str, list[float]] = {}  # node: the median of each of its videos
    for entry in videos:
        frame_seconds.setdefault(entry["host"], []).append(entry["frame_seconds"])
    medians = {node: statistics.median(seconds) for node, seconds in sorted(frame_seconds.items())}
    typical = statistics.median(medians.values()) if medians else 0.0
    slow = {node: round(median / typical, 2) for node, median in medians.items() if median > SLOW * typical}
    return (frames / busy if busy else 0.0), slow


def _recent(videos: list[Entry]) -> tuple[float, float]:
    """When the last ``RECENT`` seconds of work began, and how many seconds of work there are since then."""
    busy, begin = 0.0, math.inf
    for entry in reversed(videos):
        end, start = min(entry["time"], begin), entry["time"] - entry["seconds"]
        if end - start > RECENT - busy:
            return end - (RECENT - busy), RECENT
        if start < end:
            busy, begin = busy + end - start, start
    return begin, busy
