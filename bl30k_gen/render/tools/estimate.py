"""Estimates time and disk space of a build from timing a few of its scenes here, with confidence intervals.

A scene is built as in a real build and then rendered at a few frames: two at the start, of which the first is slower
because it loads the scene, and two at the end. Empty files stand in for the other frames, so that the child skips
them as it does when it continues an interrupted video.
"""

import math
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import METADATA, Layout, frame_name
from bl30k_gen.dataset.masks import read_values
from bl30k_gen.dataset.metadata import dumps
from bl30k_gen.dataset.modalities import MODALITIES
from bl30k_gen.dataset.pack import SUFFIX, write_shard
from bl30k_gen.dataset.shards import index_path, index_shard
from bl30k_gen.errors import UserError
from bl30k_gen.library.cache import cached_model
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.child import BlenderChild, ChildDied, Event
from bl30k_gen.render.dataset import sampler
from bl30k_gen.render.staging import write_scene
from bl30k_gen.render.supervisor import Describe, Execution, video_metadata
from bl30k_gen.scene import raster
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.scene.spec import SceneSpec
from bl30k_gen.text import Unit, aligned, byte_unit, plural, time_unit

WANTED_SCENES = 3  # with fewer, the intervals are very wide
MIN_SCENES = 2  # with fewer, there is no spread to estimate
CONFIDENCE = 0.95
BLOCK = 4096  # bytes: a file in a folder takes a multiple of it
LOG_LINE = 60  # bytes of a line of a log in addition to its event: time, host, process
STORES = ("folder", *SUFFIX)


@dataclass(frozen=True)
class Scene:
    """The cost of one whole video, extrapolated from a few frames."""

    seconds: float  # of a worker
    cpu_seconds: float  # of its processors; 0 where the system has no /proc
    frame_seconds: float  # mean, without the first frame
    bytes: dict[str, float]  # by store
    files: int  # in a folder


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval (``CONFIDENCE``), from the spread of the timed scenes."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> "Interval":
        return Interval(self.value * factor, self.low * factor, self.high * factor)

    def plus(self, term: float) -> "Interval":
        return Interval(self.value + term, self.low + term, self.high + term)


@dataclass(frozen=True)
class Estimate:
    videos: int
    frames: int  # a video
    size: tuple[int, int]  # width, height
    device: str
    threads: int  # a worker
    workers: int  # a node
    nodes: int
    scenes: int  # number of timed scenes
    seconds_spent: float
    load: float  # of this machine before the estimate, processes a processor
    start_seconds: float  # of a Blender process
    frame_seconds: Interval
    video_seconds: Interval
    worker_hours: Interval
    cpu_hours: Interval | None  # processor time used
    gpu_hours: Interval | None  # with one GPU a node
    wall_hours: Interval
    bytes: dict[str, Interval]  # by store
    files: int  # in a folder

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def lines(self) -> list[str]:
        width, height = self.size
        hours = Unit("h", 1.0)
        rows = [
            ("a frame", _range(self.frame_seconds, time_unit(self.frame_seconds.value))),
            ("a video", _range(self.video_seconds, time_unit(self.video_seconds.value))),
            ("worker hours", _range(self.worker_hours, hours)),
        ]
        if self.cpu_hours is not None:
            rows.append(("CPU hours", _range(self.cpu_hours, hours)))
        if self.gpu_hours is not None:
            rows.append(("GPU hours", _range(self.gpu_hours, hours) + ", one GPU a node"))
        wall, where = self.wall_hours.times(3600), f"{plural(self.nodes, 'node')} of {plural(self.workers, 'worker')}"
        rows.append(("wall time", f"{_range(wall, time_unit(wall.value))} on {where}"))
        for store, size in self.bytes.items():
            files = f", {self.files:,} files" if store == "folder" else ""
            rows.append((f"disk, {store}", _range(size, byte_unit(size.value)) + files))
        how = f"{self.device}, {plural(self.threads, 'thread')} a worker"
        lines = [
            f"{self.videos:,} videos of {self.frames} frames, {width}x{height}; {how}",
            *aligned(rows, indent="  "),
            f"in brackets: {CONFIDENCE:.0%} intervals from the spread of {self.scenes} scenes, "
            f"timed in {self.seconds_spent:.0f} s",
        ]
        if self.load > 0.5:
            lines.append(f"this machine was busy ({self.load:.1f} processes a processor): its times are upper bounds")
        return lines


def estimate(
    config: Config,
    count: int,
    nodes: int,
    execution: Execution,
    seconds: float,
    progress: Callable[[float, int], None] = lambda seconds, scenes: None,
) -> Estimate:
    """Time scenes for ``seconds`` with as many parallel workers as a node will have.

    Args:
        count: number of videos in the build; the scenes are spread over them.
        seconds: time after which unfinished scenes are abandoned. At least three are timed, or two where three take
            more than twice as long.
        progress: called with the seconds spent and the number of scenes timed.

    Raises:
        UserError: Blender does not start here, or a scene cannot be rendered.
    """
    begin = time.monotonic()
    load = os.getloadavg()[0] / (os.cpu_count() or 1)
    run = _Run(config, execution, seconds, progress)
    scenes = run.measure(spread(max(count, WANTED_SCENES)))
    ready, workers = run.ready, execution.workers
    video = interval([scene.seconds for scene in scenes], None)
    starts = max(min(count, nodes * workers), math.ceil(count / config.runtime.videos_per_child))
    worker_seconds = interval([scene.seconds for scene in scenes], count).plus(starts * run.start_seconds)
    minimum = run.start_seconds + video.value  # workers cannot share a video
    wall = [max(minimum, value / (nodes * workers)) for value in asdict(worker_seconds).values()]
    cpu_seconds = [scene.cpu_seconds for scene in scenes]
    return Estimate(
        videos=count,
        frames=config.video.frames,
        size=(config.video.width, config.video.height),
        device=ready["device_name"],
        threads=ready["threads"],
        workers=workers,
        nodes=nodes,
        scenes=len(scenes),
        seconds_spent=time.monotonic() - begin,
        load=load,
        start_seconds=run.start_seconds,
        frame_seconds=interval([scene.frame_seconds for scene in scenes], None),
        video_seconds=video,
        worker_hours=worker_seconds.times(1 / 3600),
        cpu_hours=(
            interval(cpu_seconds, count).plus(starts * run.start_cpu).times(1 / 3600) if all(cpu_seconds) else None
        ),
        gpu_hours=None if ready["device"] == "cpu" else worker_seconds.times(1 / 3600 / workers),
        wall_hours=Interval(*wall).times(1 / 3600),
        bytes={store: interval([scene.bytes[store] for scene in scenes], count) for store in STORES},
        files=count * scenes[0].files,
    )


def interval(values: Sequence[float], count: int | None) -> Interval:
    """The mean of a population from measured ``values``, or the sum of ``count`` further ones, by Student's t.

    The variance of a sum of N further values, estimated from n: s^2 (N^2 / n + N).
    """
    from scipy.stats import t

    mean, number = statistics.fmean(values), len(values)
    error = t.ppf(0.5 + CONFIDENCE / 2, number - 1) * statistics.stdev(values)
    if count is None:
        return Interval(mean, max(0.0, mean - error / math.sqrt(number)), mean + error / math.sqrt(number))
    error *= math.sqrt(count**2 / number + count)
    return Interval(mean * count, max(0.0, mean * count - error), mean * count + error)


def spread(count: int) -> Iterator[int]:
    """Every index below ``count`` once, in van der Corput order: every prefix is spread evenly."""
    seen, bits = set(), max(1, (count - 1).bit_length())
    for number in range(1 << bits):
        index = int(f"{number:0{bits}b}"[::-1], 2) * count >> bits
        if index not in seen:
            seen.add(index)
            yield index


def timed_frames(frames: int) -> list[int]:
    """Two frames at the start and two at the end; all frames of a shorter video."""
    return sorted({0, 1, frames - 2, frames - 1} & set(range(frames)))


class _Run:
    """Workers that time scenes until ``seconds`` are over."""

    def __init__(self, config: Config, execution: Execution, seconds: float, progress: Callable[[float, int], None]):
        self.config, self.execution, self.seconds, self.progress = config, execution, seconds, progress
        self.begin = time.monotonic()
        self._over = False  # the time is over; the children are being killed
        self.describe: Describe = sampler(config, open_catalogue(config.assets))
        self.ready: Event = {}
        self.start_seconds = self.start_cpu = 0.0
        self._lock = threading.Lock()
        self._children: set[BlenderChild] = set()
        self._scenes: list[Scene] = []
        self._error: BaseException | None = None
        self._overhead: dict[str, float] = {}

    def measure(self, indices: Iterator[int]) -> list[Scene]:
        """Time the scenes of ``indices``. Raises UserError if a scene cannot be rendered."""
        threads = [threading.Thread(target=self._work, args=(indices,)) for _ in range(self.execution.workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                try:
                    thread.join(0.2)
                    self.progress(time.monotonic() - self.begin, len(self._scenes))
                    self._end_in_time()
                except KeyboardInterrupt as interrupt:
                    self._error = interrupt
                    for child in list(self._children):
                        child.kill()
        if self._error is not None:
            raise self._error
        return self._scenes

    def _end_in_time(self) -> None:
        spent = time.monotonic() - self.begin
        minimum = WANTED_SCENES if spent < 2 * self.seconds else MIN_SCENES
        if not self._over and spent >= self.seconds and len(self._scenes) >= minimum:
            self._over = True
            for child in list(self._children):
                child.kill()

    def _work(self, indices: Iterator[int]) -> None:
        child = None
        try:
            begin = time.monotonic()
            runtime, execution = self.config.runtime, self.execution
            child = BlenderChild(execution.device, execution.threads, runtime.frame_timeout, execution.scratch)
            self._children.add(child)
            self.start_seconds, self.start_cpu = time.monotonic() - begin, child.processor_seconds()
            self.ready = child.ready
            self._scene(child, 0, [0])  # warm-up: the first video of a process is slower
            while self._error is None:
                with self._lock:
                    index = None if self._over else next(indices, None)
                if index is None:
                    return
                scene = self._scene(child, index, timed_frames(self.config.video.frames))
                with self._lock:
                    self._scenes.append(scene)
        except ChildDied as death:
            if self._over:
                return
            last = " | ".join(death.log[-3:])
            self._error = self._error or UserError(death.reason, last or "try `generate.py doctor`")
        except BaseException as error:
            if not self._over:
                self._error = self._error or error
        finally:
            if child is not None:
                child.close()

    def _scene(self, child: BlenderChild, index: int, chosen: list[int]) -> Scene:
        """Render and check the frames ``chosen`` of a scene; extrapolate to all its frames."""
        config, frames = self.config, self.config.video.frames
        begin, busy = time.monotonic(), time.thread_time()
        spec = self.describe(video_name(index, config.dataset.videos_per_segment)).spec
        described, described_cpu = time.monotonic() - begin, time.thread_time() - busy
        with tempfile.TemporaryDirectory(dir=child.scratch) as folder:
            layout = Layout(Path(folder))
            scene_file = write_scene(layout, spec)
            for frame in set(range(frames)) - set(chosen):
                for folder_name in MODALITIES:
                    path = layout.staged_frame(folder_name, spec.name, frame)
                    path.parent.mkdir(exist_ok=True)
                    path.touch()
            begin, cpu = time.monotonic(), [child.processor_seconds()]
            events = []
            for event in child.render(scene_file):
                if event["event"] == "failed":
                    raise UserError(event["what"], event["remedy"])
                cpu.append(child.processor_seconds())
                events.append(event)
            rendered = time.monotonic() - begin
            drawn = [event["total_seconds"] for event in events if event["event"] == "frame"]
            spent = np.diff(cpu)  # processor seconds up to each event: built, each frame, done
            begin, busy = time.monotonic(), time.thread_time()
            areas = self._check_masks(layout, spec, chosen)
            checked, checked_cpu = time.monotonic() - begin, time.thread_time() - busy
            sizes, files = self._sizes(layout, spec, chosen, areas, events, child.ready)
        rest, further = drawn[1:] or drawn, frames - len(drawn)  # frames after the first, and those not drawn
        per_frame, cpu_per_frame = statistics.fmean(rest), float(spent[-1 - len(rest) : -1].mean())
        factor = frames / len(drawn)
        return Scene(
            seconds=described + rendered + per_frame * further + checked * factor,
            cpu_seconds=described_cpu + float(spent.sum()) + cpu_per_frame * further + checked_cpu * factor,
            frame_seconds=per_frame,
            bytes=sizes,
            files=files,
        )

    def _check_masks(self, layout: Layout, spec: SceneSpec, chosen: list[int]) -> np.ndarray:
        """Do the work of the mask check, to time it. Returns the mean visible area of each object, (O,)."""
        models = {o.model.id: cached_model(o.model.path, spec.limits) for o in spec.objects}
        counts = np.zeros(256)
        for frame in chosen:
            mask = read_values(layout.staged_mask(spec.name, frame))
            raster.compare(mask, spec, models, frame, self.config.check)
            counts += np.bincount(mask.ravel(), minlength=256)
        return counts[[described.id for described in spec.objects]] / len(chosen)

    def _sizes(
        self, layout: Layout, spec: SceneSpec, chosen: list[int], areas: np.ndarray, events: list[Event], ready: Event
    ) -> tuple[dict[str, float], int]:
        """Bytes of the video in each store, and its number of files in the folder store."""
        frames, name = spec.video.frames, spec.name
        means = {
            folder: statistics.fmean(layout.staged_frame(folder, name, frame).stat().st_size for frame in chosen)
            for folder in MODALITIES
        }
        members = {
            f"{folder}/{name}/{frame_name(folder, frame)}": round(size)
            for folder, size in means.items()
            for frame in range(frames)
        }
        described = {path: {"bytes": size, "sha256": "0" * 64} for path, size in members.items()}
        tiled = np.tile(areas.astype(np.int64), (frames, 1))
        metadata = dumps(video_metadata(spec, tiled, described, "0" * 64, ready))
        members[f"{METADATA}/{name}.json"] = len(metadata)
        with self._lock:
            if not self._overhead:
                self._overhead = _overheads(layout.root, members)
        payload = sum(means.values()) * frames + len(metadata)
        lines = sum(len(str(event)) + LOG_LINE for event in events) / len(events) * (frames + 3)  # one for each event
        blocks = (math.ceil(size / BLOCK) * BLOCK for size in (*members.values(), lines))
        shards = {kind: payload + overhead * len(members) for kind, overhead in self._overhead.items()}
        return {"folder": float(sum(blocks)), **shards}, len(members) + 1


def _overheads(folder: Path, members: dict[str, int]) -> dict[str, float]:
    """Bytes that each kind of shard, with its index, adds to a file: measured on one with files of these sizes."""
    found: dict[str, float] = {}
    for kind, suffix in SUFFIX.items():
        shard = folder / f"shard{suffix}"
        write_shard(shard, kind, ((path, bytes(size)) for path, size in members.items()))
        index_shard(shard)
        written = shard.stat().st_size + index_path(shard).stat().st_size
        found[kind] = (written - sum(members.values())) / len(members)
        shard.unlink()
    return found


def _range(interval: Interval, unit: Unit) -> str:
    """An interval in base units as text in ``unit``."""
    scaled = asdict(interval.times(1 / unit.factor)).values()
    value, low, high = (f"{x:,.0f}" if x >= 1000 else f"{x:.3g}" for x in scaled)
    return f"{value} {unit.name} ({low} to {high})"
