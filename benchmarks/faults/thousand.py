"""Render a thousand tiny videos through a real Slurm of one node, while tasks are killed, requeued and preempted.

    python -m benchmarks.faults.thousand --results docs/results/thousand.md

Needs root, slurm-wlm and munge; starts the cluster of slurm/one_node_cluster.sh, and stops it at the end. Models and
images are small, so that Slurm and the files are tested rather than Cycles. When the queue is empty, `resubmit`
submits the missing videos, until there are none; then every pixel is verified.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from benchmarks.page import ROOT, command, load, machine, parser_of, publish, table
from bl30k_gen.errors import run_entry_point
from bl30k_gen.seeding import rng

KINDS = ("kill", "requeue", "preempt")
PAUSE = 12.0  # seconds between two disturbances
SMALL = (
    "video={frames: 2, width: 64, height: 48}",
    "render.samples=1",
    "render.denoiser=none",
    "dataset.val_share=0",
)


@dataclass
class Build:
    """Measurements of a build."""

    videos: int
    tasks: int = 0
    seconds: float = 0.0
    disturbed: Counter = field(default_factory=Counter)
    resubmitted: list[int] = field(default_factory=list)  # videos, at each resubmission
    status: dict = field(default_factory=dict)
    status_seconds: float = 0.0
    verified: str = ""


def make_assets(folder: Path, seed: int) -> list[str]:
    """Write a few models and images of a few kilobytes each; returns the settings that use them."""
    for name in ("models", "textures", "backgrounds"):
        (folder / name).mkdir(parents=True)
    meshes = [trimesh.creation.box(), trimesh.creation.icosphere(2), trimesh.creation.torus(1.0, 0.3, 24, 12)]
    meshes += [trimesh.creation.cylinder(0.5, 1.5), trimesh.creation.capsule(), trimesh.creation.cone(0.6, 1.4)]
    for number, mesh in enumerate(meshes):
        mesh.export(folder / f"models/{number}.ply")
    for name in ("textures", "backgrounds"):
        for number in range(8):
            coarse = rng(seed, name, number).integers(0, 256, (6, 8, 3)).astype(np.uint8)
            Image.fromarray(coarse).resize((128, 96)).save(folder / name / f"{number}.png")
    return [f"assets.{name}={folder / name}" for name in ("models", "textures", "backgrounds")]


def ask(*words: str) -> str:
    """The output of a command of Slurm."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def generate(*arguments: object) -> str:
    """The output of ``generate.py``. Raises CalledProcessError if it fails."""
    call = [sys.executable, ROOT / "generate.py", *arguments]
    return subprocess.run(list(map(str, call)), check=True, stdout=subprocess.PIPE, text=True).stdout


def queue(*flags: str) -> list[str]:
    """The tasks in Slurm's queue, array tasks expanded."""
    return ask("squeue", "--noheader", "--array", "--format=%i", *flags).split()


def disturb(kind: str, task: str) -> None:
    """Kill, requeue or preempt a running task."""
    if kind == "kill":
        subprocess.run(["scancel", "--signal=KILL", "--full", task], check=False)  # it may have ended by itself
    elif kind == "requeue":
        subprocess.run(["scontrol", "requeue", task], check=False, capture_output=True)
    else:
        whole_node = [f"--cpus-per-task={os.cpu_count()}", "--mem=100M"]
        ask("sbatch", "--partition=urgent", *whole_node, "--output=/dev/null", "--wrap=sleep 1")


def build(out: Path, assets: list[str], videos: int, per_task: int, events: int, seed: int) -> Build:
    """Submit, disturb, wait and resubmit until every video is published; then call status and verify."""
    settings = [word for change in (*SMALL, *assets) for word in ("--set", change)]
    slurm = ["--slurm-set", "cpus=1", "--slurm-set", "memory=2G", "--slurm-set", "stop_before=10"]
    result, draw, begin = Build(videos), rng(seed, "disturb"), time.monotonic()
    generate(
        "submit",
        "--config",
        ROOT / "render_configs/demo.yaml",
        "--out",
        out,
        "--count",
        videos,
        *settings,
        "--videos-per-task",
        per_task,
        "--store",
        "tar",
        *slurm,
    )
    result.tasks = len(queue())
    while True:
        while queue():
            time.sleep(PAUSE)
            running = queue("--states=RUNNING")
            if running and events > result.disturbed.total():
                kind = KINDS[result.disturbed.total() % len(KINDS)]
                disturb(kind, str(draw.choice(sorted(running))))
                result.disturbed[kind] += 1
            counted = json.loads(generate("status", out, "--json"))
            print(
                f"{time.monotonic() - begin:6.0f} s: {counted['done']} of {videos}, {dict(result.disturbed)}",
                flush=True,
            )
        output = generate("resubmit", out)
        if output.startswith("nothing to submit"):
            break
        result.resubmitted.append(int(output.split()[0]))
    result.seconds = time.monotonic() - begin
    began = time.monotonic()
    result.status = json.loads(generate("status", out, "--json"))
    result.status_seconds = time.monotonic() - began
    result.verified = generate("verify", out, "--deep", "--workers", os.cpu_count() or 1).strip().splitlines()[-1]
    return result


def page(result: Build, per_task: int, busy: float) -> str:
    lost = result.videos - result.status["done"]
    rows = [
        ("videos", f"{result.videos}, 2 frames of 64x48, in tar shards"),
        ("tasks at first", f"{result.tasks} of at most {per_task} videos"),
        ("disturbances", ", ".join(f"{count} x {kind}" for kind, count in result.disturbed.items())),
        ("videos submitted again, each time", ", ".join(map(str, result.resubmitted)) or "none"),
        ("done, failed, lost", f"{result.status['done']}, {sum(result.status['failed'].values())}, {lost}"),
        ("minutes from submission to the last video", f"{result.seconds / 60:.1f}"),
        ("seconds of `status`", f"{result.status_seconds:.1f}"),
        ("`verify --deep`", result.verified),
    ]
    return f"""# A thousand videos through Slurm

`{command()}`

{machine()}, busy with {busy:.1f} processes a processor before and {load():.1f} after. A Slurm of one node
(slurm/one_node_cluster.sh) runs a task on each processor.

{table(("what", "how much"), rows)}

`kill` ends all processes of a running task by SIGKILL, `requeue` is `scontrol requeue`, `preempt` an urgent job that
wants the whole node. Killed tasks fail, so their videos wait for `generate.py resubmit`; requeued and preempted
tasks restart by themselves.
"""


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--videos", type=int, default=1000)
    parser.add_argument("--videos-per-task", type=int, default=50)
    parser.add_argument("--events", type=int, default=12, help="disturbances")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    busy = load()
    with tempfile.TemporaryDirectory(prefix="bl30k-thousand-") as folder:
        os.environ["FOLDER"] = f"{folder}/slurm"
        os.environ["SLURM_CONF"] = f"{folder}/slurm/slurm.conf"
        subprocess.run([ROOT / "slurm/one_node_cluster.sh", "up"], check=True)
        try:
            assets = make_assets(Path(folder, "assets"), arguments.seed)
            result = build(
                Path(folder, "dataset"),
                assets,
                arguments.videos,
                arguments.videos_per_task,
                arguments.events,
                arguments.seed,
            )
        finally:
            subprocess.run([ROOT / "slurm/one_node_cluster.sh", "down"], check=True)
    publish(page(result, arguments.videos_per_task, busy), arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
