"""The supervisor: renders a list of videos with one or several Blender children.

A child that crashes or hangs loses the frame in hand and nothing else: a fresh one goes on at the first missing
frame. A video that fails twice without getting further is set aside with its reason, and the others go on.
"""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from bl30k_gen.cluster.child import BlenderChild, ChildDied, Event
from bl30k_gen.config import Config, Limits
from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout, describe_staged, finish_publishing, publish
from bl30k_gen.dataset.masks import read_values
from bl30k_gen.dataset.metadata import build_metadata
from bl30k_gen.errors import DiskFull
from bl30k_gen.library.load import Model, Picture, load_asset
from bl30k_gen.scene import raster
from bl30k_gen.scene.sampler import SampledScene
from bl30k_gen.scene.spec import SceneSpec
from bl30k_gen.scene.trajectory import extrinsics, intrinsics, object_poses

ATTEMPTS = 2  # failures in a row without a new frame before a video is set aside

Describe = Callable[[str], SampledScene]


@dataclass(frozen=True)
class Execution:
    """How to render; nothing here changes a pixel."""

    device: str
    threads: int  # a worker; 0: all
    workers: int


@dataclass
class Summary:
    """What became of the videos of one run."""

    rendered: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    set_aside: dict[str, str] = field(default_factory=dict)  # name: reason
    refusals: dict[str, str] = field(default_factory=dict)  # asset id: reason
    frames: int = 0
    seconds: float = 0.0
    stopped: bool = False


class Failed(Exception):
    """This video cannot be rendered, now or by trying again."""


class Supervisor:
    """Renders videos into ``layout``.

    Args:
        describe: a video's name -> its scene.
        on_event: called with every event (from the worker threads, one at a time): those of the child, and
            ``{"event": "published" | "already" | "set_aside", "name": ...}``.
    """

    def __init__(
        self,
        config: Config,
        layout: Layout,
        describe: Describe,
        execution: Execution,
        on_event: Callable[[Event], None],
    ):
        self.config, self.layout, self.describe, self.execution = config, layout, describe, execution
        self.config_digest = config.digest()
        self.summary = Summary()
        self._on_event = on_event
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._error: BaseException | None = None
        self.children: set[BlenderChild] = set()

    def run(self, names: list[str]) -> Summary:
        """Render all; returns when they are done, set aside, or ``stop`` was called.

        Raises:
            UserError: something that concerns every video, such as a full disk. What is finished is kept.
        """
        begin = time.monotonic()
        queue = iter(names)
        threads = [
            threading.Thread(target=self._work, args=(queue,), name=f"worker-{n}")
            for n in range(max(1, min(self.execution.workers, len(names))))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)  # lets the main thread see signals
        self.summary.seconds = time.monotonic() - begin
        self.summary.stopped = self.stopping.is_set()
        if self._error is not None:
            raise self._error
        return self.summary

    def stop(self) -> None:
        """Finish the frames in hand, keep them, and return from ``run``. Safe in a signal handler."""
        self.stopping.set()
        for child in list(self.children):
            child.stop()

    def say(self, event: Event) -> None:
        with self._lock:
            self._on_event(event)

    def _work(self, queue: Iterator[str]) -> None:
        worker = _Worker(self)
        try:
            while not self.stopping.is_set():
                with self._lock:
                    name = next(queue, None)
                if name is None:
                    return
                worker.video(name)
        except BaseException as error:
            self._error = self._error or error
            self.stop()
        finally:
            worker.close()

    def start_child(self) -> BlenderChild:
        execution = self.execution
        child = BlenderChild(execution.device, execution.threads, self.config.runtime.frame_timeout)
        self.children.add(child)
        if self.stopping.is_set():  # stop() may have come between the start and the line above
            child.stop()
        self.say(child.ready)
        return child

    def end_child(self, child: BlenderChild) -> None:
        self.children.discard(child)
        child.close()


class _Worker:
    """One thread's part of the work: its child, and the video in hand."""

    def __init__(self, supervisor: Supervisor):
        self.supervisor = supervisor
        self.layout = supervisor.layout
        self.child: BlenderChild | None = None

    def close(self) -> None:
        if self.child is not None:
            self.supervisor.end_child(self.child)
            self.child = None

    def video(self, name: str) -> None:
        """Bring one video to its end, whatever that is."""
        summary = self.supervisor.summary
        if finish_publishing(self.layout, name):
            summary.already.append(name)
            self.supervisor.say({"event": "already", "name": name})
            return
        scene = self.supervisor.describe(name)
        summary.refusals.update(scene.refusals)
        log = VideoLog(self.layout.log(name))
        try:
            if self._render(scene.spec, log):
                summary.rendered.append(name)
                self.supervisor.say({"event": "published", "name": name})
                _set_aside_note(self.layout, name).unlink(missing_ok=True)
        except Failed as failure:
            log.write({"event": "set_aside", "reason": str(failure)})
            files.write_atomically(_set_aside_note(self.layout, name), json.dumps({"reason": str(failure)}) + "\n")
            summary.set_aside[name] = str(failure)
            self.supervisor.say({"event": "set_aside", "name": name, "reason": str(failure)})

    def _render(self, spec: SceneSpec, log: "VideoLog") -> bool:
        """Whether the video is published now; False if the run was stopped before."""
        scene_file = stage(self.layout, spec)
        crashes = mismatches = 0
        while True:
            try:
                finished, progress = False, False
                for event in self._events(scene_file, log):
                    if event["event"] == "frame":
                        progress = True
                        self.supervisor.summary.frames += 1
                    elif event["event"] == "failed":
                        raise (
                            DiskFull(event["what"], event["remedy"])
                            if event["disk_full"]
                            else Failed(f"{event['what']}: {event['remedy']}")
                        )
                    finished = event["event"] == "done"
                if not finished:
                    return False
                problems, areas = examine(spec, self.supervisor.config, self.layout)
                if not problems:
                    publish(self.layout, spec.name, self._metadata(spec, areas))
                    log.write({"event": "published"})
                    return True
                discard_frames(self.layout, spec.name)
                mismatches += 1
                reason, details = "the masks do not show what the scene says", problems[:20]
            except ChildDied as death:
                self.close()
                crashes = 1 if progress else crashes + 1
                reason, details = death.reason, death.log
            log.write({"event": "failure", "reason": reason, "details": details})
            if self.supervisor.stopping.is_set():
                return False
            if ATTEMPTS in (crashes, mismatches):
                raise Failed(f"{reason} ({details[-1].strip()})" if details else reason)

    def _events(self, scene_file: Path, log: "VideoLog") -> Iterator[Event]:
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
            self.supervisor.say(event)
            yield event

    def _metadata(self, spec: SceneSpec, areas: np.ndarray) -> dict[str, Any]:
        frames = spec.video.frames
        return build_metadata(
            spec.to_json(),
            config_digest=self.supervisor.config_digest,
            versions={"bl30k": project_version(), **{k: self.child.ready[k] for k in ("bpy", "blenderproc")}},
            visible_area=areas,
            intrinsics=intrinsics(spec.camera.field_of_view, spec.video.width, spec.video.height),
            extrinsics=extrinsics(spec.camera, frames, spec.static),
            poses=np.array([object_poses(described, frames, spec.static) for described in spec.objects]),
            files=describe_staged(self.layout, spec.name, frames),
        )


class VideoLog:
    """``Logs/<video>.jsonl``: what happened, when and where."""

    def __init__(self, path: Path):
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def write(self, event: Event) -> None:
        entry = {"time": time.time(), "host": socket.gethostname(), "pid": os.getpid(), **event}
        with files.clear_disk_errors(self.path), open(self.path, "a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")


def stage(layout: Layout, spec: SceneSpec) -> Path:
    """Put the scene where the child reads it; frames of another scene of this name are discarded."""
    path = layout.staged_scene(spec.name)
    text = spec.dumps()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        discard_frames(layout, spec.name)
        files.write_atomically(path, text)
    return path


def discard_frames(layout: Layout, name: str) -> None:
    for folder in ("JPEGImages", "Annotations"):
        for path in (layout.staging(name) / folder).glob("*"):
            path.unlink(missing_ok=True)


def examine(spec: SceneSpec, config: Config, layout: Layout) -> tuple[list[str], np.ndarray]:
    """Compare every staged mask with what the scene predicts.

    Returns:
        Problems, empty for a sound video; and the visible area of each object, (frames, objects) pixels.
    """
    models = {o.model.id: cached_asset(o.model.path, "model", spec.limits) for o in spec.objects}
    ids = [described.id for described in spec.objects]
    problems: list[str] = []
    areas = np.zeros((spec.video.frames, len(ids)), dtype=np.int64)
    for frame in range(spec.video.frames):
        mask = read_values(layout.staged_mask(spec.name, frame))
        areas[frame] = np.bincount(mask.ravel(), minlength=256)[ids]
        problems += (f"frame {frame}: {line}" for line in raster.compare(mask, spec, models, frame, config.check))
    return problems, areas


@lru_cache(maxsize=24)
def cached_asset(path: str, kind: str, limits: Limits) -> Model | Picture:
    """``load_asset``, remembering the latest: the sampler, the check and neighbouring videos ask for the same."""
    return load_asset(path, kind, limits)


def set_aside(layout: Layout) -> dict[str, str]:
    """``{name: reason}`` of the videos that were given up."""
    notes = sorted((layout.root / "Logs").glob("*.failed.json"))
    return {note.name.removesuffix(".failed.json"): json.loads(note.read_text())["reason"] for note in notes}


def project_version() -> str:
    """Version of this project, also where it runs uninstalled."""
    try:
        return version("bl30k")
    except PackageNotFoundError:
        return "uninstalled"


def _set_aside_note(layout: Layout, name: str) -> Path:
    return layout.root / "Logs" / f"{name}.failed.json"
