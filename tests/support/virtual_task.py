"""A task on a node of ``tests/support/virtual_cluster.py``: the real ``generate.py render``, with four replacements.

* Blender: a video takes virtual seconds, and one small file in each folder represents all its frames. The file has
  the number of finished frames, so that a stopped video keeps and loses as many frames as a real one.
* The checks of pixels before publishing, and the sampling of scenes: every video has the same scene.
* Time: clocks, waits and the heartbeat follow the cluster's clock.
* Names of nodes, so that processes appear to run on different machines.

Everything else is real, on a real folder: leases, shards, publishing, journals, lists, exit codes. Calls that name a
path of the dataset, or write something to its disk, are counted.
"""

import builtins
import io
import json
import math
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import numpy as np
import tqdm
from typer.main import get_command

from bl30k_gen import cli
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.layout import frame_name
from bl30k_gen.dataset.modalities import MASK, RGB
from bl30k_gen.errors import UserError
from bl30k_gen.render import dataset, process
from bl30k_gen.render import supervisor as worker
from bl30k_gen.render.child import ChildDied, Event
from bl30k_gen.render.output import journal, lease, shard_store, store
from bl30k_gen.scene.sampler import SampledScene, split_of, video_index
from bl30k_gen.scene.spec import SceneSpec
from bl30k_gen.seeding import rng
from tests.support.virtual_cluster import Node, Task

FRAMES = 160  # of a video; on disk it has one file per folder
START, BUILD, FINISH = 12.0, 2.0, 3.0  # seconds of Blender's start, building a scene, checks and publishing
CALLS = ("open", "stat", "lstat", "access", "listdir", "scandir", "mkdir", "rmdir", "rename", "replace", "unlink")
CALLS += ("remove", "symlink", "readlink", "fsync", "ftruncate", "utime")
NAMES_PER_LISTING = 1000  # names in one answer of a file server

COMMAND = get_command(cli.app)  # built once, before the tasks are forked
Seconds = Callable[[str], float]  # of a frame of a video


class Clock:
    """The cluster's time in one task. Only one of the task's threads may use it at any moment."""

    def __init__(self, connection: Connection, now: float, operations: Counter[str]):
        self.now, self.frames = now, 0.0
        self._beating: list[lease.Leases] = []
        self._connection, self._operations = connection, operations
        self._next_beat = math.inf

    def sleep(self, seconds: float, before_kill: Callable[[], None] = lambda: None) -> None:
        """Let time pass; returns early if the task must stop.

        Args:
            before_kill: called when the process is about to be killed.
        """
        if seconds <= 0:
            return
        self._send("sleep", self.now + seconds)
        while (word := self._hear()) == "beat":
            self._catch_up()
            self._send("beaten")
        if word == "late":  # no heartbeat was written meanwhile
            self._next_beat = self.now
        self._catch_up()
        if word == "stop":
            handler = signal.getsignal(signal.SIGTERM)
            assert callable(handler)  # the command's own
            handler(signal.SIGTERM, None)
        elif word == "die":
            before_kill()
            self._send("end", -signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)

    def look(self, node: str) -> None:
        """Let the tasks of a node write the heartbeats that are due."""
        self._send("look", node)
        self._hear()

    def begin_beating(self, leases: lease.Leases) -> None:
        self._beating.append(leases)
        self._next_beat = min(self._next_beat, self.now + leases.timeout / lease.BEATS_PER_TIMEOUT)

    def end_beating(self, leases: lease.Leases) -> None:
        self._beating.remove(leases)
        self._next_beat = self._next_beat if self._beating else math.inf

    def _catch_up(self) -> None:
        """Write the heartbeats that are due. They are written late: when this task wakes, or for ``look``."""
        while self._next_beat <= self.now:
            for leases in self._beating:
                for held in list(leases._held):
                    held.beat()
            self._next_beat += min(leases.timeout for leases in self._beating) / lease.BEATS_PER_TIMEOUT

    def end(self, code: int | str) -> None:
        self._send("end", code)

    def _hear(self) -> str:
        word, self.now = self._connection.recv()
        return word

    def _send(self, word: str, value: float | str = 0) -> None:
        self._connection.send((word, value, self.frames, dict(self._operations)))
        self.frames = 0.0
        self._operations.clear()


class VirtualBlender:
    """Replaces ``child.BlenderChild``.

    Args:
        clock, seconds: of this task, on this node.
        crash: a video's name -> the frame at which Blender crashes now, or None.
    """

    def __init__(self, clock: Clock, seconds: Seconds, crash: Callable[[str], int | None], node: Node):
        self.videos, self.stopped = 0, False
        self._clock, self._seconds, self._crash, self._factor = clock, seconds, crash, node.factor
        self.ready = {"event": "ready", "device": "cpu", "device_name": node.name, "threads": 1}
        self.ready |= {"bpy": "none", "blenderproc": "none"}
        clock.sleep(START * node.factor)

    def render(self, scene: Path) -> Iterator[Event]:
        self.videos += 1
        folder = scene.parent
        name = json.loads(scene.read_text(encoding="utf-8"))["name"]
        try:
            for kind in (RGB, MASK):
                (folder / kind).mkdir(exist_ok=True)
            done = _frames_in(folder)
            self._clock.sleep(BUILD * self._factor)
            yield {"event": "built", "name": name, "seconds": BUILD}
            yield from self._frames(name, folder, done)
        except OSError as error:  # as the real child: its folder has another owner now
            yield {"event": "failed", "name": name, "what": str(error), "remedy": "see the log", "fatal": False}

    def _frames(self, name: str, folder: Path, done: int) -> Iterator[Event]:
        clock, seconds, crash = self._clock, self._seconds(name) * self._factor, self._crash(name)
        last = FRAMES if crash is None else max(crash, done)
        begin = clock.now

        def finished() -> float:
            return min((clock.now - begin) / seconds, last - done + (crash is not None))

        def keep() -> None:
            clock.frames += finished()
            if finished() >= 1.0:
                _write(folder, done + int(finished() + 1e-6))

        wanted = (last - done + (0.5 if crash is not None else 0.0)) * seconds
        if not self.stopped:
            clock.sleep(wanted, keep)
        if self.stopped:
            clock.sleep(math.ceil(finished()) * seconds - (clock.now - begin), keep)  # the current frame
        keep()
        if finished() >= 1.0:
            yield {"event": "frame", "name": name, "frame": 0, "total_seconds": seconds * FRAMES}
        if done + int(finished() + 1e-6) >= FRAMES:
            clock.sleep(FINISH * self._factor)
            yield {"event": "done", "name": name}
        elif self.stopped:
            yield {"event": "stopped", "name": name}
        else:
            raise ChildDied("Blender was ended by SIGSEGV", [])

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        pass

    kill = close

    def memory_gb(self) -> float:
        return 0.0


class VirtualEvent(threading.Event):
    """An event whose ``wait`` with a timeout takes virtual time."""

    clock: Clock

    def wait(self, timeout: float | None = None) -> bool:
        if timeout is None:
            return super().wait()
        self.clock.sleep(timeout)
        return self.is_set()


class VirtualLeases(lease.Leases):
    """Leases whose heartbeat and timeout follow the virtual clock."""

    virtual: Clock

    def __init__(self, layout: Any, timeout: float):
        super().__init__(layout, timeout, lambda: self.virtual.now)

    def __enter__(self) -> "VirtualLeases":
        self.virtual.begin_beating(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.virtual.end_beating(self)

    def _is_stale(self, holder: Path) -> bool:
        self.virtual.look(holder.name.split(".", 1)[0])
        return super()._is_stale(holder)


def run(
    task: Task,
    node: Node,
    connection: Connection,
    now: float,
    root: Path,
    spec: SceneSpec,
    seconds: Seconds,
    crash: float,
) -> NoReturn:
    """Run a task in a forked process.

    Args:
        root: the dataset.
        spec: the scene of every video.
        seconds: a video's name -> seconds a frame, on a node of factor 1.
        crash: fraction of videos at which Blender crashes.
    """
    code: int | str = 99
    try:
        operations: Counter[str] = Counter()
        clock = Clock(connection, now, operations)
        _replace_time(clock)
        _replace_machine(task, node)
        _replace_blender(clock, task, node, spec, seconds, crash)
        _count(operations, root)
        code = COMMAND(task.words, standalone_mode=False) or 0
    except UserError as error:
        code = f"2: {error}"
    except BaseException as error:
        code = f"{type(error).__name__}: {error}"
    finally:
        clock.end(code)
        os._exit(0)


def _replace_time(clock: Clock) -> None:
    VirtualEvent.clock = VirtualLeases.virtual = clock
    now = SimpleNamespace(time=lambda: clock.now, monotonic=lambda: clock.now, sleep=clock.sleep)
    threads = SimpleNamespace(Event=VirtualEvent, Thread=threading.Thread, Lock=threading.Lock)
    vars(worker).update(time=now, threading=threads)
    vars(journal).update(time=now)
    for module in (store, shard_store):
        vars(module).update(Leases=VirtualLeases)


def _replace_machine(task: Task, node: Node) -> None:
    os.environ |= {"SLURM_ARRAY_TASK_ID": str(task.number), "SLURM_ARRAY_TASK_COUNT": str(task.count)}
    socket.gethostname = lambda: node.name
    vars(process).update(_system=lambda: node.name)
    tqdm.tqdm.monitor_interval = 0
    tqdm.tqdm.set_lock(threading.RLock())  # its default is shared by processes, and a kill leaves it locked
    silent = open(os.devnull, "w")
    sys.stdout = sys.stderr = silent


def _replace_blender(clock: Clock, task: Task, node: Node, spec: SceneSpec, seconds: Seconds, crash: float) -> None:
    draws = rng(spec.seed, "crashes", task.job, task.number, task.starts)
    planned: dict[str, list[int]] = {}

    def next_crash(name: str) -> int | None:
        if name not in planned:
            frame, times = int(draws.integers(0, FRAMES)), 1 + int(draws.random() < 0.5)
            planned[name] = [frame] * times if draws.random() < crash else []
        return planned[name].pop() if planned[name] else None

    videos_per_segment, val_share = 0, 0.0

    def describe(name: str) -> SampledScene:
        index = video_index(name, videos_per_segment)
        named = {"name": name, "index": index, "split": split_of(index, val_share)}
        return SampledScene(spec.model_copy(update=named), ())

    def sampler(config: Any, catalogue: object) -> Callable[[str], SampledScene]:
        nonlocal videos_per_segment, val_share
        videos_per_segment, val_share = config.dataset.videos_per_segment, config.dataset.val_share
        return describe

    vars(dataset).update(sampler=sampler)
    vars(worker).update(
        BlenderChild=lambda *_: VirtualBlender(clock, seconds, next_crash, node),
        discard_damaged=lambda *_: [],
        check_masks=lambda spec, *_: ([], np.zeros((spec.video.frames, len(spec.objects)), np.int64)),
    )


def _count(operations: Counter[str], root: Path) -> None:
    """Count calls on the dataset. A long listing counts several times."""
    inside, read_link = f"{root}/", os.readlink

    def concerns(target: Any) -> bool:
        if isinstance(target, int):
            target = f"{read_link(f'/proc/self/fd/{target}')}/"
        return os.fspath(target).startswith(inside)

    def counted(name: str, original: Callable[..., Any], paths: int) -> Callable[..., Any]:
        @wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            at = kwargs.get("dir_fd")
            ours = any(map(concerns, args[:paths] if at is None else [at]))
            operations["heartbeat" if name == "open" and str(args[0]).endswith(lease.HEARTBEAT) else name] += ours
            result = original(*args, **kwargs)
            if name == "listdir":
                operations[name] += ours * (len(result) // NAMES_PER_LISTING)
            return result

        return call

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name), 2 if name in ("rename", "replace", "symlink") else 1))
    builtins.open = io.open = counted("open", builtins.open, 1)


def _frames_in(folder: Path) -> int:
    """The number of finished frames of a video in both files."""
    try:
        return min(int((folder / kind / frame_name(kind, 0)).read_bytes()) for kind in (MASK, RGB))
    except FileNotFoundError:
        return 0


def _write(folder: Path, frames: int) -> None:
    for kind in (MASK, RGB):
        write_atomically(folder / kind / frame_name(kind, 0), f"{frames:03d}", parents=False)
