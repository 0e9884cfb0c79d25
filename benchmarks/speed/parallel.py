"""Speed-up by a second worker or thread, and the overhead of a warm worker between its frames.

Renders the same few videos with 1 worker of 1 thread, 1 of 2, and 2 of 1, round by round, each into a new folder:

    python -m benchmarks.speed.parallel --videos 8 --rounds 2 --results docs/results/parallel.md

Frames/s are measured over the whole command, and again without each worker's first video, which includes Blender's
start. The time of a warm video is from acquiring to publishing it: sampling, building, frames, check, checksums.
"""

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchmarks.page import ROOT, command, load, machine, parser_of, publish, spread, table
from bl30k_gen.config import load_config
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.errors import run_entry_point
from bl30k_gen.render.output.journal import run_entries

HEAD = ("workers x threads", "wall, s", "frames/s", "x", "frames/s, warm", "x", "warm video / its frames")
MODES = ((1, 1), (1, 2), (2, 1))  # workers, threads of each


@dataclass(frozen=True)
class Run:
    """Measurements of one command."""

    workers: int
    threads: int
    seconds: float  # of the whole command
    frames: int
    warm_rate: float  # frames/s of all workers together, each without its first video
    overhead: list[float]  # of each warm video: ratio of its seconds to the sum of its frames'
    load: float  # of the machine before: processes a processor


def render(config: Path, overrides: Sequence[str], videos: int, workers: int, threads: int, folder: Path) -> Run:
    out = folder / f"{workers}x{threads}"
    call = [sys.executable, str(ROOT / "generate.py"), "render", "--config", str(config), "--out", str(out)]
    call += ["--count", str(videos), "--workers", str(workers), "--threads-per-worker", str(threads), "--json"]
    call += ["--device", "cpu", *(word for override in overrides for word in ("--set", override))]
    busy = load()
    done = subprocess.run(call, check=True, capture_output=True, text=True)
    summary = json.loads(done.stdout)
    layout = Layout(out)
    published = sorted((e for e in run_entries(layout) if e["event"] == "published"), key=lambda entry: entry["time"])
    cold = {entry["name"] for entry in published if _began_first(layout, entry["name"])}
    warm = [entry for entry in published if entry["name"] not in cold]
    ratios = [entry["seconds"] / _frame_seconds(layout, entry["name"]) for entry in warm]
    # The sum of the workers' rates, since they run in parallel.
    rate = workers * sum(entry["frames"] for entry in warm) / sum(entry["seconds"] for entry in warm)
    shutil.rmtree(out)
    return Run(workers, threads, summary["seconds"], summary["frames"], rate, ratios, busy)


def speeds(runs: Sequence[Run]) -> str:
    rows = []
    base = [run for run in runs if (run.workers, run.threads) == MODES[0]]
    for mode in MODES:
        mine = [run for run in runs if (run.workers, run.threads) == mode]
        cells = [f"{mode[0]} x {mode[1]}", spread([run.seconds for run in mine], ".1f")]
        for speed in (_whole_rate, _warm_rate):
            factor = statistics.median(map(speed, mine)) / statistics.median(map(speed, base))
            cells += [spread([speed(run) for run in mine]), f"{factor:.2f}"]
        rows.append([*cells, spread([ratio for run in mine for ratio in run.overhead], ".3f")])
    return table(HEAD, rows)


def page(runs: Sequence[Run], videos: int, frames: int, size: str) -> str:
    loads = [run.load for run in runs]
    return f"""# Workers side by side

`{command()}`: {videos} videos of {frames} frames, {size}, on {machine()}.
Load before each run: {min(loads):.1f} to {max(loads):.1f} processes a processor.
Medians of {len(runs) // len(MODES)} rounds, smallest and largest in brackets; x: as a multiple of 1 x 1.

{speeds(runs)}

"Warm" leaves out each worker's first video, with which it starts Blender. The last column is the time from acquiring
a warm video to publishing it, as a multiple of the sum of its frames' times; the rest is sampling, building the
scene, the check of the masks, and checksums."""


def _whole_rate(run: Run) -> float:
    return run.frames / run.seconds


def _warm_rate(run: Run) -> float:
    return run.warm_rate


def _began_first(layout: Layout, name: str) -> bool:
    """Whether Blender was started for this video: its log then has the event "ready"."""
    return any(event["event"] == "ready" for event in _events(layout, name))


def _frame_seconds(layout: Layout, name: str) -> float:
    return sum(event["total_seconds"] for event in _events(layout, name) if event["event"] == "frame")


def _events(layout: Layout, name: str) -> list[dict]:
    return [json.loads(line) for line in layout.log(name).read_text(encoding="utf-8").splitlines()]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--config", type=Path, default=ROOT / "render_configs/demo.yaml")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--videos", type=int, default=8, help="4 or more: each worker needs a warm video")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    if options.videos < 4:
        parser.error("--videos must be 4 or more")
    video = load_config(options.config, options.set).video
    with tempfile.TemporaryDirectory(prefix="bl30k-parallel-") as folder:
        runs = [
            render(options.config, options.set, options.videos, workers, threads, Path(folder))
            for workers, threads in tqdm(MODES * options.rounds, unit="run")
        ]
    publish(page(runs, options.videos, video.frames, f"{video.width}x{video.height}"), options.results)


if __name__ == "__main__":
    run_entry_point(main)
