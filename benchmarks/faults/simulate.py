"""Simulate a build of 30,000 videos on 200 nodes in virtual time; check that no video is lost, and measure the cost.

    python -m benchmarks.faults.simulate --results docs/results/simulation.md

The project's own commands divide, submit, render, watch and resubmit the work, on a real folder. Blender, time and
Slurm are replaced by ``tests/support/virtual_task.py`` and ``virtual_cluster.py``. Nodes die, hang and come back,
tasks are preempted, killed and stopped by their time limit, Blender crashes. When Slurm's queue is empty, `resubmit`
submits the missing videos, until there are none. The seed determines everything.
"""

import argparse
import contextlib
import io
import math
import os
import shlex
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from bl30k_gen.cluster import prune, slurm
from bl30k_gen.cluster.status import status
from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset.layout import Layout, frame_name, list_visible
from bl30k_gen.dataset.modalities import MASK
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.verify import verify
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render import dataset
from bl30k_gen.render.output.journal import run_entries
from bl30k_gen.render.output.lease import Leases
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.seeding import rng
from tests.support import operations, virtual_task
from tests.support.virtual_cluster import Cluster, Faults

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "render_configs/demo.yaml"
SMALL = ["video={frames: 1, width: 32, height: 32}", "objects.count=[1, 1]"]
STORES = ("folder", "tar")
FRAME_SECONDS, SPREAD = 1.0, 0.3  # of a frame on a normal node: median of the videos, and spread (log-normal)
MAX_RESUBMISSIONS = 20
EVENTS = ("preempted", "time limit", "node died", "node hung, and came back", "killed, not requeued")


@dataclass(frozen=True)
class Plan:
    """The parameters of a simulation."""

    videos: int = 30_000
    nodes: int = 200
    videos_per_task: int = 50
    time: str = "04:00:00"
    store: str = "folder"
    seed: int = 0
    faults: Faults = Faults()


@dataclass
class Result:
    """The outcome of a simulation; ``faults`` is empty if every video was built exactly once."""

    plan: Plan
    faults: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    failed: int = 0  # videos, at the end of the first submission
    missing: int = 0  # videos, failed or not, at the end of the first submission
    resubmissions: int = 0
    hours: float = 0.0
    first_hours: float = 0.0  # until the first submission has ended
    ideal_hours: float = 0.0
    wasted: float = 0.0  # frames rendered more than once, as a fraction of those needed
    operations: float = 0.0  # on the shared file system, per video, without heartbeats
    heartbeats: float = 0.0  # per video
    status_seconds: tuple[float, float] = (0.0, 0.0)  # in the middle, at the end
    shards: int = 0
    published: list[float] = field(default_factory=list)  # hours, sorted
    took: float = 0.0  # seconds of real time


def simulate(plan: Plan, folder: Path) -> Result:
    """Build the dataset in ``folder`` and check it."""
    begin, root, result = time.monotonic(), folder / "dataset", Result(plan)
    config = load_config(CONFIG, [*SMALL, f"runtime.store={plan.store}"])
    names = [video_name(index, config.dataset.videos_per_segment) for index in range(plan.videos)]
    spec = dataset.sampler(config, open_catalogue(config.assets))(names[0]).spec
    draws = rng(plan.seed, "frame seconds").lognormal(math.log(FRAME_SECONDS), SPREAD, plan.videos)
    seconds = dict(zip(names, draws.tolist(), strict=True))

    def start(task, node, connection, now):
        named = spec.model_copy(update={"seed": plan.seed})
        virtual_task.run(task, node, connection, now, root, named, seconds.__getitem__, plan.faults.crash)

    cluster = Cluster(plan.nodes, plan.seed, plan.faults, start, FRAME_SECONDS * virtual_task.FRAMES)
    work = draws * virtual_task.FRAMES + virtual_task.BUILD + virtual_task.FINISH
    result.ideal_hours = cluster.ideal_seconds(work) / 3600
    middle = [0.0]
    cluster.at(result.ideal_hours / 2 * 3600, lambda: middle.append(_timed_status(root)))
    asked, slurm._ask = slurm._ask, cluster.ask
    try:
        _submit(plan, root, folder / "scratch")
        cluster.run()
        result.first_hours = cluster.now / 3600
        found = status(root)
        result.failed, result.missing = len(found.failed), found.wanted - found.done
        while found.done < found.wanted and result.resubmissions < MAX_RESUBMISSIONS:
            result.resubmissions += 1
            _generate("resubmit", root)
            cluster.run()
            found = status(root)
    finally:
        slurm._ask = asked
        cluster.end()
    result.hours = cluster.now / 3600
    result.status_seconds = middle[-1], _timed_status(root)
    tally = cluster.tally
    result.events, result.starts = tally.events, tally.starts
    result.wasted = tally.frames / (virtual_task.FRAMES * plan.videos) - 1
    result.heartbeats = tally.operations.pop("heartbeat", 0) / plan.videos
    result.operations = tally.operations.total() / plan.videos
    result.faults += tally.faults
    _check_dataset(result, root, config, names, folder / "scratch")
    result.took = time.monotonic() - begin
    return result


def _check_dataset(result: Result, root: Path, config: Config, names: list[str], scratch: Path) -> None:
    """Prune the dataset, then add faults unless it has every index exactly once, complete, and nothing else."""
    layout, skipped = Layout(root), [0.0]
    vars(prune)["Leases"] = lambda places, timeout: Leases(places, timeout, lambda: skipped[0])
    try:
        prune.prune(layout, config, scratch, lambda seconds: skipped.append(skipped.pop() + seconds))
    finally:
        vars(prune)["Leases"] = Leases
    published = Counter(layout.published())
    result.faults += [f"{name} is lost" for name in names if not published[name]]
    result.faults += [f"{name} was not asked for" for name in published.keys() - set(names)]
    result.faults += [f"{name} is there {n} times" for name, n in published.items() if n > 1]
    ends = [entry for entry in run_entries(layout) if entry["event"] == "published"]
    twice = (name for name, n in Counter(entry["name"] for entry in ends).items() if n > 1)
    result.faults += [f"{name} was published twice" for name in twice]
    result.published = sorted(entry["time"] / 3600 for entry in ends)
    if not published:
        return
    result.faults += [f"{p.video} {p.kind}: {p.detail}" for p in verify(root).problems]
    store, whole = open_dataset(root), f"{virtual_task.FRAMES:03d}".encode()
    cut = [name for name in store.videos if store.tree.read(f"{MASK}/{name}/{frame_name(MASK, 0)}") != whole]
    result.faults += [f"{name} has not all its frames" for name in cut]
    folders = (layout.staging_root, layout.shards.staging_root, layout.shards.interrupted)
    result.faults += [f"{folder / name} is left over" for folder in folders for name in list_visible(folder)]
    result.shards = len({shard for _, shard in filter(None, map(layout.shards.committed, published))})


def _submit(plan: Plan, root: Path, scratch: Path) -> None:
    flags = ["--count", plan.videos, "--out", root, "--store", plan.store, "--videos-per-task", plan.videos_per_task]
    slurm_flags = _sets(f"time={plan.time}", f"scratch={scratch}", flag="--slurm-set")
    _generate("submit", "--config", CONFIG, *_sets(*SMALL), *flags, *slurm_flags)


def _generate(*words: object) -> None:
    """Run a command of ``generate.py`` in this process, without its output."""
    with contextlib.redirect_stdout(io.StringIO()):
        virtual_task.COMMAND([str(word) for word in words], standalone_mode=False)


def _sets(*values: str, flag: str = "--set") -> list[str]:
    return [word for value in values for word in (flag, value)]


def _timed_status(root: Path) -> float:
    begin = time.perf_counter()
    status(root)
    return time.perf_counter() - begin


def frame_operations(folder: Path) -> float | None:
    """File operations that each further frame costs a real render into a folder; None without strace."""
    counts = []
    for frames in (2, 8):
        root = folder / f"render{frames}"
        command = [sys.executable, str(ROOT / "generate.py"), "render", "--config", str(CONFIG), "--count", "1"]
        command += ["--out", str(root)]
        command += ["--set", f"video={{frames: {frames}, width: 64, height: 48}}", "--set", "render.samples=1"]
        try:
            counts.append(operations.count([*command, "--device", "cpu"], root, folder / "trace"))
        except FileNotFoundError:
            return None
    return (counts[1] - counts[0]) / 6


# --- The page ---------------------------------------------------------------------------------------------------


def table(results: list[Result]) -> str:
    """Quantities by run."""
    rows: dict[str, list[Any]] = {
        "store": [r.plan.store for r in results],
        "seed": [r.plan.seed for r in results],
        "videos asked for": [f"{r.plan.videos:,}" for r in results],
        "**lost, doubled, not whole, or anything left over**": [f"**{len(r.faults)}**" for r in results],
        "tasks started": [f"{r.starts:,}" for r in results],
        **{f"- {event}": [r.events[event] for r in results] for event in EVENTS},
        "missing when the queue was empty first": [r.missing for r in results],
        "- of which Blender crashed at twice": [r.failed for r in results],
        "`resubmit` was needed": [f"{r.resubmissions} times" for r in results],
        "wall time, h": [f"{r.hours:.1f}" for r in results],
        "- until the queue was empty first, h": [f"{r.first_hours:.1f}" for r in results],
        "- ideal, h": [f"{r.ideal_hours:.1f}" for r in results],
        "- 99 % of the videos after, times ideal": [f"{_hours_until(r, 0.99) / r.ideal_hours:.2f}" for r in results],
        "frames rendered in vain": [f"{r.wasted:.2%}" for r in results],
        "shared-file-system operations a video": [f"{r.operations:.1f}" for r in results],
        "- heartbeats a video, beside them": [f"{r.heartbeats:.1f}" for r in results],
        "shards": [r.shards or "-" for r in results],
        "`status` in the middle, s": [f"{r.status_seconds[0]:.1f}" for r in results],
        "`status` at the end, s": [f"{r.status_seconds[1]:.1f}" for r in results],
        "the simulation took, s": [f"{r.took:.0f}" for r in results],
    }
    lines = [[name, *map(str, values)] for name, values in rows.items()]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _hours_until(result: Result, fraction: float) -> float:
    """Hours until that fraction of the videos was published."""
    return float(np.quantile(result.published, fraction))


def plot(results: list[Result], path: Path) -> None:
    """Plot the number of published videos over time."""
    from matplotlib.figure import Figure  # of the extra `train`: only this plot needs it

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="hours", ylabel="videos published")
    for result in results:
        counts = np.arange(1, len(result.published) + 1)
        style = "-" if result.plan.store == "folder" else "--"
        axes.plot(result.published, counts, style, label=f"{result.plan.store}, seed {result.plan.seed}", lw=1)
    first = results[0]
    axes.plot([0, first.ideal_hours], [0, first.plan.videos], "k:", label="ideal, seed 0")
    axes.legend()
    axes.grid(alpha=0.3)
    figure.savefig(path, dpi=110)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=int, default=Plan.videos)
    parser.add_argument("--nodes", type=int, default=Plan.nodes)
    parser.add_argument("--videos-per-task", type=int, default=Plan.videos_per_task)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--stores", nargs="+", choices=("folder", "tar", "hdf5"), default=STORES)
    parser.add_argument("--at-once", type=int, default=1, help="Number of simulations that run in parallel.")
    parser.add_argument("--folder", type=Path, default=None, help="Default: in memory (/dev/shm) if possible.")
    parser.add_argument("--results", type=Path, help="Markdown file to write, and a plot beside it.")
    arguments = parser.parse_args()
    plans = [
        Plan(arguments.videos, arguments.nodes, arguments.videos_per_task, store=store, seed=seed)
        for store in arguments.stores
        for seed in arguments.seeds
    ]
    parent = arguments.folder or next((p for p in (Path("/dev/shm"),) if os.access(p, os.W_OK)), None)
    with ProcessPoolExecutor(arguments.at_once, get_context("spawn"), max_tasks_per_child=1) as pool:
        results = list(pool.map(_in_a_folder, plans, [parent] * len(plans)))
    faults = [f"{r.plan.store}, seed {r.plan.seed}: {fault}" for r in results for fault in r.faults]
    print("\n".join([table(results), *(f"FAULT: {fault}" for fault in faults)]))
    if arguments.results:
        with tempfile.TemporaryDirectory(prefix="bl30k-simulate-", dir=parent) as folder:
            each = frame_operations(Path(folder))
        picture = arguments.results.with_suffix(".png")
        plot(results, picture)
        page = PAGE.format(
            command=shlex.join(["python", "-m", "benchmarks.faults.simulate", *sys.argv[1:]]),
            plan=plans[0],
            faults=plans[0].faults,
            median=FRAME_SECONDS,
            spread=SPREAD,
            start=virtual_task.START,
            build=virtual_task.BUILD,
            finish=virtual_task.FINISH,
            table=table(results),
            frames=virtual_task.FRAMES,
            each="?" if each is None else f"{each:.0f}",
            all="?" if each is None else f"{each * virtual_task.FRAMES:,.0f}",
            picture=picture.name,
            processors=os.cpu_count(),
            load=" ".join(f"{load:.0f}" for load in os.getloadavg()),
        )
        arguments.results.write_text("\n".join([page, *(f"FAULT: {fault}" for fault in faults)]), encoding="utf-8")
    return 1 if faults else 0


def _in_a_folder(plan: Plan, parent: Path | None) -> Result:
    with tempfile.TemporaryDirectory(prefix="bl30k-simulate-", dir=parent) as folder:
        result = simulate(plan, Path(folder))
    print(f"{plan.store}, seed {plan.seed}: {result.took:.0f} s, {len(result.faults)} faults", flush=True)
    return result


PAGE = """# A build of a whole dataset, simulated

`{command}`

{plan.videos:,} videos of {frames} frames on {plan.nodes} nodes, {plan.videos_per_task} videos a task. The
commands are the real ones, with their work lists, leases, shards, journals and lists, on a real folder: each task is
a process that runs the command of the script that `submit` wrote, and is really killed. Virtual time passes
instead of Blender's work, and one small file stands for a video's frames; Slurm is a scheduler of virtual nodes. When
its queue is empty, `resubmit` submits the missing videos, until there are none.

| what happens | how often |
|---|---|
| a frame on a usual node | {median} s, the median of the videos, log-normal with a spread of {spread} |
| Blender starts; a scene is built; checks, publishing | {start:.0f} s; {build:.0f} s; {finish:.0f} s |
| a node is three times as slow | {faults.slow_nodes:.0%} of the nodes |
| preempted: SIGTERM, requeued; the node is away for half an hour | {faults.preempted:.0%} of the started tasks |
| the node dies, scratch and all; requeued | {faults.node_dies:.0%} of the started tasks |
| the task is killed, and not requeued | {faults.killed:.0%} of the started tasks |
| the node hangs: Slurm starts the task elsewhere, the first wakes up | {faults.node_hangs:.1%} of the started tasks |
| time limit: stopped and requeued | after {plan.time} |
| Blender crashes; in half of the cases twice, which sets the video aside | {faults.crash:.0%} of the videos |

{table}

The final check requires every index exactly once in the dataset, no video published twice according to the journals,
`verify` without a finding, all {frames} frames in each video, and nothing left over after `prune`. *Ideal*: all nodes
always work and nothing goes wrong; the difference is mostly the end, when the last tasks run, above all on slow
nodes, and all other nodes are idle. Operations are calls that name a path of the dataset or have something on its
disk, with all retries, requeues and lists; listing many names counts once for each thousand. In a folder, each frame
costs {each} operations more, {all} a video (strace, a real render of 2 and of 8 frames); in shards frames never touch
the shared file system.

![videos over time]({picture})

Simulated on {processors} processors, load {load} at the end; only *`status`* and *took* depend on that.
"""

if __name__ == "__main__":
    sys.exit(main())
