"""What is printed while videos are rendered, and at the end."""

import statistics
import sys

from tqdm import tqdm

from bl30k_gen.dataset.preview import GrowingSheet
from bl30k_gen.render.child import Event
from bl30k_gen.render.supervisor import RenderSummary
from bl30k_gen.text import plural

LOG_SECONDS = 60.0  # between two bars without a terminal, as in a job's log


def update_seconds() -> float:
    """Between two updates of a bar."""
    return 0.1 if sys.stderr.isatty() else LOG_SECONDS


class ProgressBar:
    """A bar of frames with frames/s and the time left; to be given to a Supervisor as ``on_event``.

    Args:
        videos, frames: how many videos there are to do, and frames a video.
        sheet: gets every finished video.
    """

    def __init__(self, videos: int, frames: int, sheet: GrowingSheet | None = None):
        self.frames, self.sheet = frames, sheet
        often = update_seconds()
        self.bar = tqdm(total=videos * frames, unit="frame", smoothing=0.05, dynamic_ncols=True, mininterval=often)
        self.timed = self.shown = False
        self.in_hand: dict[str, int] = {}

    def __call__(self, event: Event) -> None:
        name = str(event.get("name"))
        match event["event"]:
            case "ready":
                self._say(f"device {event['device']} ({event['device_name']}), {event['threads']} threads")
            case "built":
                self.bar.set_description(name)
            case "frame":
                self.in_hand[name] = self.in_hand.get(name, 0) + 1
                self.bar.update()
                if not self.timed:
                    self.timed = True
                    self._say(f"first frame: {event['total_seconds']:.2f} s")
            case "published":
                self.bar.update(self.frames - self.in_hand.pop(name, 0))
            case "already":
                self.bar.update(self.frames)
            case "quarantined":
                self.bar.update(self.frames - self.in_hand.pop(name, 0))
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
    """The lines that end a run."""
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
    """Of a list of child events. Raises ValueError if there is no frame among them."""
    return statistics.median(event["total_seconds"] for event in events if event["event"] == "frame")
