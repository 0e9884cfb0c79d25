"""A simulated Slurm cluster in virtual time: the scheduler, the nodes, and their faults.

Its tasks are real processes (``tests/support/virtual_task.py``), forked from this one, which run the command that
the sbatch script of a submission names. At most one of them runs at any moment; all others wait for the clock, so the
seed determines everything. Faults are real: a dead task is killed by SIGKILL.
"""

import heapq
import itertools
import multiprocessing
import os
import re
import shlex
import signal
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from bl30k_gen.cluster.slurm import JOB_NAME
from bl30k_gen.seeding import rng

MAX_ARRAY_SIZE = 1001  # Slurm's default MaxArraySize
REQUEUE_DELAY = 120.0  # seconds until a requeued task may start again
REBOOT = 1800.0  # seconds that a dead node is away
PREEMPTED_FOR = 1800.0  # seconds that another job uses the node
NODE_TIMEOUT = 300.0  # seconds after which Slurm marks a silent node as down and requeues its task
HANG = 1800.0  # seconds that a node hangs, e.g. because its network file system does
GRACE = 60.0  # seconds that a task continues after its node came back, before Slurm kills it


@dataclass(frozen=True)
class Faults:
    """Probabilities of the faults of a started task; they happen at a random moment of its work."""

    preempted: float = 0.1  # SIGTERM; requeued
    node_dies: float = 0.01  # immediately, with its scratch; requeued
    killed: float = 0.01  # SIGKILL by the node, e.g. for memory; not requeued: its videos wait for `resubmit`
    node_hangs: float = 0.005  # Slurm starts the task on another node; then the first one resumes
    crash: float = 0.01  # of a video: Blender crashes at a random frame, and half of the time there again
    slow_nodes: float = 0.05  # fraction of the nodes, which take three times as long


@dataclass
class Node:
    name: str
    factor: float  # of all times on this node
    busy_until: float = 0.0


@dataclass(eq=False)
class Task:
    """A task of an array, which may be started several times."""

    job: str
    number: int
    count: int
    words: list[str]  # of its command
    videos: int
    ready: float = 0.0  # time before which it is not started
    starts: int = 0


@dataclass(eq=False)
class Run:
    """One start of a task on a node."""

    task: Task
    node: Node
    process: int
    connection: Connection
    begin: float
    sleeps: int = 0  # number of its sleeps and wake-ups
    hung: bool = False
    requeue: bool = False
    abandoned: bool = False  # its node is marked as down
    over: bool = False


Start = Callable[[Task, Node, Connection, float], None]


@dataclass
class Tally:
    """Counts of the events on the cluster."""

    events: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    operations: Counter[str] = field(default_factory=Counter)  # on the dataset's file system
    frames: float = 0.0  # rendered, also repeatedly
    busy: float = 0.0  # node seconds
    faults: list[str] = field(default_factory=list)


class Cluster:
    """The cluster.

    Args:
        start: runs a task in a forked process; it never returns.
        typical: seconds of a video.
    """

    def __init__(self, nodes: int, seed: int, faults: Faults, start: Start, typical: float):
        draws = rng(seed, "nodes")
        slow = set(draws.permutation(nodes)[: round(nodes * faults.slow_nodes)].tolist())
        factors = draws.lognormal(0.0, 0.1, nodes)
        self.nodes = [Node(f"node{n:03d}", float(factors[n]) * (3.0 if n in slow else 1.0)) for n in range(nodes)]
        self.seed, self.faults, self._start, self._typical = seed, faults, start, typical
        self.now = 0.0
        self.tally = Tally()
        self.pending: deque[Task] = deque()
        self.runs: list[Run] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._jobs = itertools.count(1000)

    def ask(self, *command: str, timeout: float = 0.0) -> str:
        """The output of a Slurm command (replaces ``cluster.slurm._ask``)."""
        match command[0]:
            case "scontrol":
                return f"MaxArraySize            = {MAX_ARRAY_SIZE}\n"
            case "sbatch":
                return self._submit(Path(command[-1]).read_text(encoding="utf-8"))
            case "squeue":
                assert f"--name={JOB_NAME}" in command
                running = [(run.task, "RUNNING") for run in self.runs if not run.abandoned]
                states = [(task, "PENDING") for task in self.pending] + running
                return "".join(f"{task.job} {task.number} {state}\n" for task, state in states)
        raise AssertionError(command)

    def _submit(self, script: str) -> str:
        job = str(next(self._jobs))
        count = int(_option(r"--array=0-(\d+)", script)) + 1
        self.limit = _seconds(_option(r"--time=(\S+)", script))
        self.stop_before = float(_option(r"--signal=B:USR1@(\d+)", script))
        words = shlex.split(script.splitlines()[-1])
        words = words[words.index("render") :]
        listed = Path(words[words.index("--indices") + 1]).read_text().split()
        self.pending += (Task(job, n, count, words, len(listed[n::count]), self.now) for n in range(count))
        return f"{job}\n"

    def ideal_seconds(self, work: np.ndarray) -> float:
        """Wall time of this work (seconds on a normal node) if all nodes always worked without faults."""
        return float(work.sum() / sum(1.0 / node.factor for node in self.nodes))

    def at(self, time: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), action))

    def run(self) -> None:
        """Process events until no task is left."""
        self._begin_tasks()
        while self._events and (self.pending or self.runs):
            self.now, _, action = heapq.heappop(self._events)
            action()

    def end(self) -> None:
        """Kill all remaining processes."""
        for run in self.runs:
            os.kill(run.process, signal.SIGKILL)
            os.waitpid(run.process, 0)

    # --- Tasks --------------------------------------------------------------------------------------------------

    def _begin_tasks(self) -> None:
        """Start ready tasks on idle nodes; called whenever one may have become ready or idle."""
        idle = [node for node in self.nodes if node.busy_until <= self.now]
        ready = [task for task in self.pending if task.ready <= self.now]
        for task, node in zip(ready, idle, strict=False):
            self.pending.remove(task)
            self._begin(task, node)

    def _begin(self, task: Task, node: Node) -> None:
        task.starts += 1
        self.tally.starts += 1
        node.busy_until = float("inf")
        ours, theirs = multiprocessing.Pipe()
        process = os.fork()
        if process == 0:
            for run in self.runs:
                run.connection.close()
            ours.close()
            self._start(task, node, theirs, self.now)
        theirs.close()
        run = Run(task, node, process, ours, self.now)
        self.runs.append(run)
        self._draw_faults(run)
        self._listen(run)

    def _draw_faults(self, run: Run) -> None:
        task, faults = run.task, self.faults
        draws = rng(self.seed, "fate", task.job, task.number, task.starts)
        length = min(task.videos * self._typical * run.node.factor, self.limit)
        kinds = [(faults.preempted, self._preempt), (faults.node_dies, self._die), (faults.killed, self._kill)]
        for probability, fault in [*kinds, (faults.node_hangs, self._hang)]:
            moment = self.now + float(draws.uniform(0.0, length))
            if draws.random() < probability:
                self.at(moment, partial(self._apply, run, fault))
        self.at(self.now + self.limit - self.stop_before, lambda: None if run.over else self._reach_time_limit(run))

    def _apply(self, run: Run, fault: Callable[[Run], None]) -> None:
        if not run.over and not run.requeue:
            fault(run)

    def _say(self, run: Run, word: str) -> None:
        """Wake a task up with a message, and wait until it sleeps again or ends."""
        run.sleeps += 1
        run.connection.send((word, self.now))
        self._listen(run)

    def _listen(self, run: Run) -> None:
        word, value = self._hear(run)
        while word == "look":
            for other in self.runs:
                if other.node.name == value and other is not run and not other.hung:
                    other.connection.send(("beat", self.now))
                    self._hear(other)
            run.connection.send(("go", self.now))
            word, value = self._hear(run)
        if word == "sleep":
            self.at(float(value), partial(self._wake, run, run.sleeps))
        else:
            self._ended(run, int(value) if isinstance(value, float) else value)

    def _hear(self, run: Run) -> tuple[str, float | str]:
        word, value, frames, operations = run.connection.recv()
        self.tally.frames += frames
        self.tally.operations.update(operations)
        return word, value

    def _wake(self, run: Run, number: int) -> None:
        """Wake a task up, unless something else has woken it before."""
        if number == run.sleeps and not run.over:
            self._say(run, "go")

    def _ended(self, run: Run, code: int | str) -> None:
        os.waitpid(run.process, 0)
        run.connection.close()
        run.over = True
        self.runs.remove(run)
        self.tally.busy += self.now - run.begin
        run.node.busy_until = max(self.now, run.node.busy_until if run.node.busy_until < float("inf") else 0.0)
        if code not in (0, 1, 143, -signal.SIGKILL):
            self.tally.faults.append(f"task {run.task.job}_{run.task.number} ended with {code}")
        if run.requeue and code != 0 and not run.abandoned:
            self._requeue(run.task)
        self.at(run.node.busy_until, self._begin_tasks)

    def _requeue(self, task: Task) -> None:
        task.ready = self.now + REQUEUE_DELAY
        self.pending.append(task)
        self.at(task.ready, self._begin_tasks)

    # --- Faults -----------------------------------------------------------------------------------------------------

    def _note(self, kind: str) -> None:
        self.tally.events[kind] += 1

    def _preempt(self, run: Run) -> None:
        self._note("preempted")
        run.requeue, run.node.busy_until = True, self.now + PREEMPTED_FOR
        self._say(run, "stop")

    def _reach_time_limit(self, run: Run) -> None:
        if not run.abandoned and not run.requeue:
            self._note("time limit")
            run.requeue = True
            self._say(run, "stop")

    def _die(self, run: Run) -> None:
        self._note("node died")
        run.requeue, run.node.busy_until = True, self.now + REBOOT
        self._say(run, "die")

    def _kill(self, run: Run) -> None:
        self._note("killed, not requeued")
        self._say(run, "die")

    def _hang(self, run: Run) -> None:
        """Stop the node for a while, with its heartbeat; its task is started on another node."""
        self._note("node hung, and came back")
        run.requeue = run.hung = True
        run.sleeps += 1

        def mark_as_down() -> None:
            run.abandoned = True
            self._requeue(run.task)

        def come_back() -> None:
            run.hung = False
            self._say(run, "late")

        def end() -> None:
            if not run.over:
                self._say(run, "die")

        self.at(self.now + NODE_TIMEOUT, mark_as_down)
        self.at(self.now + HANG, come_back)
        self.at(self.now + HANG + GRACE, end)


def _option(pattern: str, script: str) -> str:
    """The value of an option in a batch script."""
    [found] = re.findall(pattern, script)
    return found


def _seconds(limit: str) -> float:
    """Seconds of ``hours:minutes:seconds``."""
    hours, minutes, seconds = (int(part) for part in limit.split(":"))
    return 3600.0 * hours + 60.0 * minutes + seconds
