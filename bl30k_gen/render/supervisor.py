"""The supervisor: renders a list of videos with one or several Blender children.

A child that crashes or hangs loses the current frame and nothing else: a fresh one continues at the first missing
frame. A video that fails twice without a new frame is recorded as failed, with its reason; the others continue.

Several supervisors, on one machine or many, may work on one dataset: each video has one lease (``output/lease.py``).
"""

import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import Layout, describe_staged
from bl30k_gen.dataset.metadata import build_metadata
from bl30k_gen.errors import FatalError, UserError
from bl30k_gen.library.load import LOADER_VERSION
from bl30k_gen.render import process
from bl30k_gen.render.check import check_masks
from bl30k_gen.render.child import BlenderChild, ChildDied, Event
from bl30k_gen.render.failures import failed_names, forget_failure, record_failure
from bl30k_gen.render.output.journal import EventLog, run_log
from bl30k_gen.render.output.lease import LeaseLost
from bl30k_gen.render.output.store import Claim, Store, open_store
from bl30k_gen.render.staging import discard_damaged, discard_frames, write_scene
from bl30k_gen.scene.sampler import SampledScene
from bl30k_gen.scene.spec import SceneSpec
from bl30k_gen.scene.trajectory import extrinsics, intrinsics, object_poses
from bl30k_gen.version import project_version

ATTEMPTS = 2  # failures in a row without a new frame before a video counts as failed
POLL = 0.5  # seconds between two checks of a video that another worker has
MAX_DETAILS = 20  # lines in the log of a video about its bad frames

Describe = Callable[[str], SampledScene]


@dataclass(frozen=True)
class Execution:
    """The resources for rendering; they change no pixel."""

    device: str
    threads: int  # a worker; 0: all
    workers: int
    scratch: Path | None = None  # for temporary files; None: memory


@dataclass
class RenderSummary:
    """The outcome of the videos of one run."""

    rendered: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)  # published before
    elsewhere: list[str] = field(default_factory=list)  # being rendered by other workers
    failed: dict[str, str] = field(default_factory=dict)  # name: reason
    refusals: dict[str, str] = field(default_factory=dict)  # asset id: reason
    frames: int = 0
    seconds: float = 0.0
    stopped: bool = False


class Failed(Exception):
    """A video cannot be rendered, and trying again will not help."""


class BadFrames(Exception):
    """Rendered frames are damaged, or their masks are not the predicted ones; they were discarded."""

    def __init__(self, reason: str, details: list[str]):
        super().__init__(reason)
        self.reason, self.details = reason, details[:MAX_DETAILS]


class Supervisor:
    """Renders videos into ``layout``.

    Args:
        describe: a video's name -> its scene.
        on_event: called with every event (from the worker threads, one at a time): those of the child, and
            ``{"event": "published" | "already" | "quarantined", "name": ...}``.
    """

    def __init__(
        self,
        config: Config,
        layout: Layout,
        describe: Describe,
        execution: Execution,
        on_event: Callable[[Event], None],
    ):
        self.config, self.describe, self.execution = config, describe, execution
        self.layout = replace(layout, owner=process.new_name())
        self.store: Store[Any]  # from the beginning of ``run``
        self.journal = run_log(self.layout)
        self.config_digest = config.digest()
        self.summary = RenderSummary()
        self.failed_before = failed_names(self.layout)
        self._on_event = on_event
        self._lock = threading.Lock()
        self._postponed: deque[str] = deque()
        self.stopping = threading.Event()
        self._error: BaseException | None = None
        self.children: set[BlenderChild] = set()
        self._spare: BlenderChild | None = None

    def prepare(self) -> None:
        """Start the first child now, before anything is written. Raises UserError if Blender does not start."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                self._spare = self._new_child()
                return
            except ChildDied as death:
                if attempt == ATTEMPTS:
                    raise UserError("Blender does not start", f"{death.reason}: try `generate.py doctor`") from None

    def close(self) -> None:
        """End a child that was prepared and not used."""
        if self._spare is not None:
            self.end_child(self._spare)
            self._spare = None

    def run(self, names: list[str]) -> RenderSummary:
        """Render all; return when they are done, failed, made by another worker, or ``stop`` was called.

        Raises:
            UserError: an error that concerns every video, such as a full disk. Finished frames and videos are kept.
        """
        begin = time.monotonic()
        self.store = open_store(self.config, self.layout, self.execution.scratch, names)
        queue = iter(names)
        threads = [
            threading.Thread(target=self._work, args=(queue,), name=f"worker-{n}")
            for n in range(max(1, min(self.execution.workers, len(names))))
        ]
        try:
            with self.store:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    while thread.is_alive():
                        thread.join(0.2)  # lets the main thread see signals
        except UserError as error:
            self._error = self._error or error
        finally:
            self.close()
        self.summary.seconds = time.monotonic() - begin
        self.summary.stopped = self.stopping.is_set()
        if self._error is not None:
            raise self._error
        return self.summary

    def stop(self) -> None:
        """Finish the current frames, keep them, and return from ``run``. Safe in a signal handler."""
        self.stopping.set()
        for child in list(self.children):
            child.stop()

    def report(self, event: Event) -> None:
        with self._lock:
            self._on_event(event)

    def _work(self, queue: Iterator[str]) -> None:
        worker = _Worker(self)
        try:
            while not self.stopping.is_set():
                with self._lock:
                    name = next(queue, None)
                if name is not None:
                    if not worker.video(name):
                        self._postponed.append(name)
                elif not self._postponed or not self._try_again(worker):
                    return
        except BaseException as error:
            self._error = self._error or error
            self.stop()
        finally:
            worker.close()

    def _try_again(self, worker: "_Worker") -> bool:
        """Check a video that another worker had, waiting for its end or a heartbeat. False if none is left."""
        self.stopping.wait(POLL)
        try:
            name = self._postponed.popleft()
        except IndexError:  # another thread has taken it
            return False
        if not worker.video(name):
            alive = self.store.seen_alive(name)
            (self.summary.elsewhere if alive else self._postponed).append(name)
        return True

    def start_child(self) -> BlenderChild:
        with self._lock:
            child, self._spare = self._spare, None
        child = child or self._new_child()
        self.journal.write(child.ready)
        self.report(child.ready)
        return child

    def _new_child(self) -> BlenderChild:
        execution = self.execution
        child = BlenderChild(
            execution.device, execution.threads, self.config.runtime.frame_timeout, execution.scratch
        )
        self.children.add(child)
        if self.stopping.is_set():  # stop() may have come between the start and the line above
            child.stop()
        return child

    def end_child(self, child: BlenderChild) -> None:
        self.children.discard(child)
        child.close()


class _Worker:
    """A thread that renders videos one after the other with a child of its own."""

    def __init__(self, supervisor: Supervisor):
        self.supervisor = supervisor
        self.layout = supervisor.layout
        self.store = supervisor.store
        self.child: BlenderChild | None = None
        self.frame_seconds: list[float] = []  # of the current video

    def close(self) -> None:
        if self.child is not None:
            self.supervisor.end_child(self.child)
            self.child = None

    def video(self, name: str) -> bool:
        """Render one video, or record its failure. False if another worker has it."""
        if self.store.has(name):
            self._already(name)
            return True
        claim = self.store.acquire(name)
        if claim is None:
            return False
        try:
            if self.store.complete(name):
                self._already(name)
            else:
                self._make(name, claim)
        except (LeaseLost, OSError, UserError):
            if claim.held() or name in self.supervisor.summary.rendered:  # publishing ends a lease, too
                raise
            if self.child is not None:  # it may be in the middle of that video
                self.child.kill()
                self.close()
            return False
        finally:
            self.store.release(claim)
        return True

    def _already(self, name: str) -> None:
        self.supervisor.summary.already.append(name)
        self.supervisor.report({"event": "already", "name": name})

    def _make(self, name: str, claim: Claim) -> None:
        summary = self.supervisor.summary
        scene = self.supervisor.describe(name)
        summary.refusals.update(scene.refusals)
        log = self.store.log(name)
        begin = time.monotonic()
        self.frame_seconds = []
        try:
            if not self._render(scene.spec, log, claim):
                return
            end = {"event": "published", "name": name}
            summary.rendered.append(name)
            if name in self.supervisor.failed_before:
                forget_failure(self.layout, name)
        except Failed as failure:
            claim.require()
            end = {"event": "quarantined", "name": name, "reason": str(failure)}
            record_failure(self.layout, name, str(failure))
            summary.failed[name] = str(failure)
        log.write(end)
        median = round(statistics.median(self.frame_seconds), 4) if self.frame_seconds else None
        spent = {"seconds": round(time.monotonic() - begin, 3), "frames": len(self.frame_seconds)}
        self.supervisor.journal.write({**end, **spent, "frame_seconds": median})
        self.supervisor.report(end)

    def _render(self, spec: SceneSpec, log: EventLog, claim: Claim) -> bool:
        """Render and publish a video, trying again after a failure. False if the run was stopped before."""
        scene_file = write_scene(self.store.frames, spec)
        crashes = mismatches = 0
        while True:
            frames_before = len(self.frame_seconds)
            try:
                if not self._render_frames(scene_file, log, claim):
                    return False
                self.store.publish(claim, self._metadata(spec, self._checked_areas(spec)))
                return True
            except BadFrames as bad:
                mismatches += 1
                reason, details = bad.reason, bad.details
            except ChildDied as death:
                self.close()
                crashes = 1 if len(self.frame_seconds) > frames_before else crashes + 1
                reason, details = death.reason, death.log
            claim.require()
            log.write({"event": "failure", "reason": reason, "details": details})
            if self.supervisor.stopping.is_set():
                return False
            if ATTEMPTS in (crashes, mismatches):
                raise Failed(f"{reason} ({details[-1].strip()})" if details else reason)

    def _render_frames(self, scene_file: Path, log: EventLog, claim: Claim) -> bool:
        """Render the missing frames of a scene; False if the run was stopped before the last.

        Raises:
            ChildDied, Failed, FatalError, LeaseLost
        """
        finished = False
        for event in self._events(scene_file, log):
            if claim.lost:
                raise LeaseLost
            if event["event"] == "frame":
                self.supervisor.summary.frames += 1
                self.frame_seconds.append(event["total_seconds"])
            elif event["event"] == "failed":
                if event["fatal"]:
                    raise FatalError(event["what"], event["remedy"])
                raise Failed(f"{event['what']}: {event['remedy']}")
            finished = event["event"] == "done"
        if not finished and not self.supervisor.stopping.is_set():
            raise ChildDied("Blender alone was told to stop", [])
        return finished

    def _checked_areas(self, spec: SceneSpec) -> np.ndarray:
        """Check all frames; return the visible area of each object, (frames, objects) pixels. Raises BadFrames."""
        frames = self.store.frames
        if faults := discard_damaged(frames, spec):
            raise BadFrames("staged frames are damaged", faults)
        problems, areas = check_masks(spec, self.supervisor.config, frames)
        if problems:
            discard_frames(frames, spec.name)
            raise BadFrames("the masks do not show what the scene says", problems)
        return areas

    def _events(self, scene_file: Path, log: EventLog) -> Iterator[Event]:
        """The events of rendering a scene, by a fresh child where there is none or the old one is due."""
        runtime = self.supervisor.config.runtime
        if self.child is not None and (
            self.child.videos >= runtime.videos_per_child or self.child.memory_gb() > runtime.child_memory_gb
        ):
            self.close()
        if self.child is None:
            self.child = self.supervisor.start_child()
            log.write(self.child.ready)
        for event in self.child.render(scene_file):
            log.write(event)
            self.supervisor.report(event)
            yield event

    def _metadata(self, spec: SceneSpec, areas: np.ndarray) -> dict[str, Any]:
        assert self.child is not None  # it has just rendered the video
        described = describe_staged(self.store.frames, spec.name, spec.video.frames)
        return video_metadata(spec, areas, described, self.supervisor.config_digest, self.child.ready)


def video_metadata(
    spec: SceneSpec, areas: np.ndarray, described: Mapping[str, Any], config_digest: str, ready: Event
) -> dict[str, Any]:
    """The metadata of a video: ``areas`` are those of ``check_masks``, ``described`` those of ``describe_staged``."""
    frames = spec.video.frames
    versions = {"bl30k": project_version(), "loader": str(LOADER_VERSION)}
    return build_metadata(
        spec.to_json(),
        config_digest=config_digest,
        versions=versions | {k: ready[k] for k in ("bpy", "blenderproc")},
        visible_area=areas,
        intrinsics=intrinsics(spec.camera.field_of_view, spec.video.width, spec.video.height),
        extrinsics=extrinsics(spec.camera, frames, spec.static),
        poses=np.array([object_poses(thing, frames, spec.static) for thing in spec.objects]),
        files=described,
    )
