"""The output of rendering: a progress bar, and a summary at the end."""

import statistics
import sys

from tqdm import tqdm

from bl30k_gen.dataset.preview import GrowingSheet
from bl30k_gen.render.child import Event
from bl30k_gen.render.supervisor import RenderSummary
from bl30k_gen.text import plural

LOG_SECONDS = 60.0  # between two updates where the output is no terminal, as in the log of a job


def update_seconds() -> float:
    """Seconds between two updates of a progress bar."""
    return 0.1 if sys.stderr.isatty() else LOG_SECONDS


class ProgressBar:
    """A bar of frames with frames/s and the time left; a Supervisor's ``on_event``.

    Args:
        videos, frames: number of videos to render, and of frames in each.
        sheet: contact sheet to which every finished video is added.
    """

    def __init__(self, videos: int, frames: int, sheet: GrowingSheet | None = None):
        self.frames, self.sheet = frames, sheet
        pause = update_seconds()
        self.bar = tqdm(total=videos * frames, unit="frame", smoothing=0.05, dynamic_ncols=True, mininterval=pause)
        self.timed = self.shown = False
        self.counted: dict[str, int] = {}  # unfinished video: its frames that the bar has counted

    def __call__(self, event: Event) -> None:
        name = str(event.get("name"))
        match event["event"]:
            case "ready":
                self._say(f"device {event['device']} ({event['device_name']}), {plural(event['threads'], 'thread')}")
            case "built":
                self.bar.set_description(name)
            case "frame":
                self.counted[name] = self.counted.get(name, 0) + 1
                self.bar.update()
                if not self.timed:
                    self.timed = True
                    self._say(f"first frame: {event['total_seconds']:.2f} s")
            case "published":
                self.bar.update(self.frames - self.counted.pop(name, 0))
            case "already":
                self.bar.update(self.frames)
            case "quarantined":
                self.bar.update(self.frames - self.counted.pop(name, 0))
                self._say(f"{name} failed: {event['reason']}")
        if self.sheet is not None and event["event"] in ("published", "already") and self.sheet.add(name):
            if not self.shown:
                self._say(f"{self.sheet.path} shows {name}, and then every video that is finished")
            self.shown = True

    def _say(self, line: str) -> None:
        self.bar.write(line, file=sys.stderr)  # standard output is for the result

    def close(self) -> None:
        self.bar.close()


def summary_lines(summary: RenderSummary, out: str) -> list[str]:
    """The lines that are printed at the end of a run."""
    lines = [f"{plural(len(summary.rendered), 'video')} rendered, {len(summary.already)} there already, in {out}"]
    if summary.frames:
        rate = summary.frames / summary.seconds
        lines.append(f"{plural(summary.frames, 'frame')} in {summary.seconds:.0f} s: {rate:.2f} frames/s")
    if summary.refusals:
        lines.append(f"{plural(len(summary.refusals), 'asset')} refused, and others taken:")
        lines += [f"  {reason}" for _, reason in sorted(summary.refusals.items())]
    if summary.failed:
        lines.append(f"{plural(len(summary.failed), 'video')} failed (see the logs; the same command tries again):")
        lines += [f"  {name}: {reason}" for name, reason in sorted(summary.failed.items())]
    if summary.elsewhere:
        lines.append(f"{plural(len(summary.elsewhere), 'video')} left to other workers, which render them now")
    if summary.stopped:
        lines.append("stopped; the same command continues")
    return lines


def median_frame_seconds(events: list[Event]) -> float:
    """Median time of the frames in a list of child events. Raises ValueError without a frame."""
    return statistics.median(event["total_seconds"] for event in events if event["event"] == "frame")
