"""The cost of models of millions of faces: processor time, wall time and memory of each command.

    python -m benchmarks.speed.huge_meshes --scratch SCRATCH --results docs/results/huge_meshes.md

A rough ball is written as OBJ, PLY and GLB. For each file these commands run: ``assets index``, ``assets check`` with
the limits of the recipe and with higher ones, ``assets add --max-faces``, and a render of three frames.
"""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from benchmarks.page import ROOT, command, load, machine, parser_of, publish, table
from bl30k_gen.errors import run_entry_point
from bl30k_gen.seeding import rng

FORMATS = ("obj", "ply", "glb")
REDUCED = 100_000  # faces after reducing
MAX_FACES = 6_000_000  # the higher limit
MAX_SECONDS = 1200  # after which a command counts as hanging


@dataclass(frozen=True)
class Cost:
    code: int
    processor: float  # seconds, of the command and its children
    wall: float  # seconds
    peak: float  # GiB, of the largest process
    message: str  # the line of its output that names faces or an error, else the last


def ball(faces: int) -> trimesh.Trimesh:
    """A sphere with bumps, with about ``faces`` faces and half as many vertices."""
    side = round((faces / 2) ** 0.5)
    down, around = np.mgrid[: side + 1, :side]
    theta, phi = np.pi * down / side, 2 * np.pi * around / side
    radius = 1 + 0.04 * np.sin(9 * theta) * np.sin(7 * phi) + 0.001 * rng(0, "huge").standard_normal(theta.shape)
    points = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], axis=-1)
    number = np.arange((side + 1) * side).reshape(side + 1, side)
    a, b = number[:-1], np.roll(number, -1, axis=1)[:-1]
    c, d = number[1:], np.roll(number, -1, axis=1)[1:]
    corners = np.concatenate(
        [np.stack([a, c, d], axis=-1).reshape(-1, 3), np.stack([a, d, b], axis=-1).reshape(-1, 3)]
    )
    return trimesh.Trimesh((points * radius[..., None]).reshape(-1, 3), corners, process=False)


def write(mesh: trimesh.Trimesh, path: Path) -> None:
    if path.suffix != ".obj":
        mesh.export(path)
        return
    with path.open("w") as file:
        file.writelines(f"v {x:.6f} {y:.6f} {z:.6f}\n" for x, y, z in mesh.vertices.tolist())
        file.writelines(f"f {a} {b} {c}\n" for a, b, c in (mesh.faces + 1).tolist())


def run(scratch: Path, *words: object) -> Cost:
    """Run a command of ``generate.py``, and measure it."""
    log = scratch / "log.txt"
    begin = time.monotonic()
    with log.open("w") as output:
        call = ["timeout", MAX_SECONDS, sys.executable, ROOT / "generate.py", *words]
        process = subprocess.Popen([str(word) for word in call], stdout=output, stderr=output, cwd=scratch)
        _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = [
        line.strip() for line in log.read_text(errors="replace").replace("\r", "\n").splitlines() if line.strip()
    ]
    message = next((line for line in lines if "faces" in line or "error" in line), lines[-1] if lines else "")
    message = message.replace(str(scratch) + "/", "").replace("|", "/")
    processor = used.ru_utime + used.ru_stime
    return Cost(process.returncode, processor, time.monotonic() - begin, used.ru_maxrss / 2**20, message)


def commands_for(folder: Path, file: Path, scratch: Path) -> list[tuple[str, tuple]]:
    """Name and words of each command line for a file, the only one in its folder."""
    more = ("--set", f"assets.limits.max_faces={MAX_FACES}")
    small = ("--set", "video={frames: 3, width: 384, height: 256}", "--set", "objects.count=[1, 1]")
    new = ("--to", scratch / "kept" / folder.name, "--out", scratch / "kept" / folder.name)
    render = ("render", "--config", ROOT / "render_configs/demo.yaml", "--count", 1, "--device", "cpu", *small)
    return [
        ("index", ("assets", "index", folder)),
        ("check", ("assets", "check", folder)),
        ("check, limit raised", ("assets", "check", folder, *more)),
        (
            f"add --max-faces {REDUCED}",
            ("assets", "add", file, "--max-faces", REDUCED, *new),
        ),
        ("render, limit raised", (*render, *more, "--set", f"assets.models={folder}", "--out", scratch / "video")),
    ]


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--scratch", type=Path, required=True, help="a folder to fill, 2 GB")
    parser.add_argument("--faces", type=int, nargs="+", default=[2_000_000, 5_000_000])
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    options = parser.parse_args()
    scratch, rows, before = options.scratch.resolve(), [], load()
    for faces in options.faces:
        mesh = ball(faces)
        for suffix in options.formats:
            folder = scratch / f"{suffix}{faces}"
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"ball.{suffix}"
            write(mesh, file)
            for name, words in commands_for(folder, file, scratch):
                cost = run(scratch, *words)
                model = (f"{suffix.upper()}, {len(mesh.faces):,} faces", f"{file.stat().st_size / 1e6:.0f}")
                costs = (f"{cost.processor:.1f}", f"{cost.wall:.1f}", f"{cost.peak:.1f}")
                rows.append((*model, name, str(cost.code), *costs, cost.message))
                print(*rows[-1], sep=" | ", flush=True)
            shutil.rmtree(scratch / "video", ignore_errors=True)
            shutil.rmtree(folder)
    text = PAGE.format(command=command(), machine=machine(), before=before, after=load(), rows=table(HEAD, rows))
    publish(text, options.results)


HEAD = ("model", "file, MB", "work", "exit code", "processor, s", "wall, s", "memory, GiB", "it says")
PAGE = """# Models of millions of faces

`{command}` on {machine}, busy with {before:.1f} processes a processor before and {after:.1f} after.

A rough ball without texture coordinates. Processor time includes the command's children; memory is that of its
largest process.

{rows}
"""

if __name__ == "__main__":
    run_entry_point(main)
