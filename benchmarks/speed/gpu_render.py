"""Speed of rendering on a GPU: by recipe, number of workers that share it, and device of the denoiser.

    python -m benchmarks.speed.gpu_render --results docs/results/gpu_render.md

Needs no installation, no internet and no data: it runs from a folder with this repository, in any Python 3.11 that
can import bpy, BlenderProc and their dependencies (`pip install --target FOLDER`, then `PYTHONPATH=FOLDER`). It takes
less than six minutes; rows that there was no time for are named. All workers render the same video of built-in assets
in parallel, each a few consecutive frames; a frame is the RGB image alone. Processors are divided evenly among the
workers.

`--dry-run` runs all steps on processors with tiny images, to test the benchmark itself.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from benchmarks.page import ROOT, command, machine, parser_of, publish, table
from bl30k_gen.config import load_config
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.dataset import sampler
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.scene.spec import SceneSpec

RECIPES = ("bl30k", "bl30k_fast", "bl30k_turbo")
WORKERS = (1, 2, 4, 8)
FRAMES = 3  # rendered by each worker for one row of the table, after one that is not timed
MAX_SECONDS = 330.0  # after which no row is begun
TINY = ("video.width=96", "video.height=64", "video.frames=8", "render.samples=4")
HEAD = ("workers", "recipe", "denoising on", "s a frame", "frames/s", "x", "GPU memory, GiB", "PSNR to CPU, dB")


@dataclass(frozen=True)
class Job:
    """Frames for a worker to render."""

    spec: SceneSpec
    frames: tuple[int, ...]
    denoise_on_gpu: bool


@dataclass(frozen=True)
class Rendered:
    """The result of a ``Job``."""

    seconds: list[float]  # of each frame
    last: np.ndarray  # the last frame, (H, W, 3) uint8


@dataclass(frozen=True)
class Ready:
    """The devices that a worker found; ``fault`` says why it cannot work."""

    device: str = ""
    device_name: str = ""
    denoising: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Row:
    """One measurement."""

    workers: int
    recipe: str
    denoising: str
    seconds: float  # median of all frames of all workers
    rate: float  # frames/s of all workers together
    memory: float | None  # GiB of all of them on the GPU
    psnr: float  # of one frame, compared with the processor's


class Worker:
    """A child process with a scene in Blender.

    Raises:
        UserError: the process cannot start, or died.
    """

    def __init__(self, device: str, threads: int, spec: SceneSpec, folder: Path):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.folder = Path(tempfile.mkdtemp(dir=folder))
        arguments = (theirs, device, threads, spec.dumps(), self.folder)
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        self.process.start()
        theirs.close()

    def ready(self) -> Ready:
        found = self._answer()
        assert isinstance(found, Ready)
        if found.fault:
            raise UserError("a worker cannot start", found.fault)
        return found

    def begin(self, job: Job) -> None:
        self.pipe.send(job)

    def rendered(self) -> Rendered:
        answer = self._answer()
        assert isinstance(answer, Rendered)
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.join()

    def _answer(self) -> object:
        try:
            return self.pipe.recv()
        except EOFError:
            log = self.folder / "blender.log"
            last = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
            raise UserError("a worker died", " ".join(last) or "it printed nothing") from None


def _work(pipe: Connection, device: str, threads: int, described: str, folder: Path) -> None:
    """The main function of the child process, which alone imports Blender."""
    log = os.open(folder / "blender.log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, 1)
    os.dup2(log, 2)
    from bl30k_gen.blender import runtime
    from bl30k_gen.scene.spec import parse_spec

    try:
        started = runtime.start(device, threads)
    except UserError as error:
        pipe.send(Ready(fault=str(error)))
        return
    import bpy

    from bl30k_gen.blender import build, passes

    built = build.build(parse_spec(json.loads(described), "of the benchmark"))
    pipe.send(Ready(started.device, started.device_name, started.denoising))
    while True:
        job: Job = pipe.recv()
        draw = passes.set_up(job.spec, built, threads)
        if not job.denoise_on_gpu:
            bpy.context.scene.cycles.denoising_use_gpu = False
        seconds = []
        for frame in job.frames:
            begin = time.perf_counter()
            pixels = draw(frame, folder)
            seconds.append(time.perf_counter() - begin)
        pipe.send(Rendered(seconds, pixels))


def main() -> int:
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="bl30k-gpu-render-"))
    try:
        page = _measure(options, folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    publish(page, options.results)
    return 0


def _options() -> argparse.Namespace:
    parser = parser_of(__doc__ or "")
    parser.add_argument("--device", default="auto", help="as of generate.py: auto, cuda, optix, hip, oneapi, metal")
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS), metavar="N")
    parser.add_argument("--recipes", nargs="+", default=list(RECIPES), metavar="RECIPE")
    parser.add_argument("--video", type=int, default=1, metavar="INDEX")
    parser.add_argument("--dry-run", action="store_true", help="on processors, with tiny images")
    return parser.parse_args()


def _measure(options: argparse.Namespace, folder: Path) -> str:
    begin = time.monotonic()
    tiny = TINY if options.dry_run else ()
    configs = {name: load_config(ROOT / f"render_configs/{name}.yaml", tiny) for name in options.recipes}
    first = next(iter(configs.values()))
    name = video_name(options.video, first.dataset.videos_per_segment)
    described = sampler(first, open_catalogue(first.assets))(name).spec
    specs = {recipe: described.model_copy(update={"render": c.render}) for recipe, c in configs.items()}
    middle = first.video.frames // 2
    warm, frames = (middle - 1,), tuple(range(middle, middle + FRAMES))
    cores, counts = os.cpu_count() or 1, sorted(set(options.workers))
    device = "cpu" if options.dry_run else options.device

    memory_before = _gpu_memory()
    threads = max(1, cores // counts[-1])
    workers = [Worker(device, threads, described, folder)]
    rows: list[Row] = []
    left_out: list[str] = []
    try:
        ready = workers[0].ready()
        if ready.device == "cpu" and not options.dry_run:
            raise UserError("Cycles finds no GPU here", "run this where there is one, or try --dry-run")
        denoisers = [True, False] if ready.denoising != "cpu" else [False]
        cold = _render(workers, Job(specs[options.recipes[0]], warm * 2, denoisers[0]))[0].seconds
        references = _on_processor(specs, frames[-1:], cores, folder)
        for count in counts:
            fresh = [Worker(device, threads, described, folder) for _ in range(count - len(workers))]
            workers += fresh
            for worker in fresh:
                worker.ready()
            for recipe, spec in specs.items():
                for on_gpu in denoisers:
                    place = "GPU" if on_gpu else "processor"
                    if time.monotonic() - begin > MAX_SECONDS:
                        left_out.append(f"{recipe}, {count} workers, denoising on the {place}")
                        continue
                    _render(workers, Job(spec, warm, on_gpu))
                    since = time.perf_counter()
                    rendered = _render(workers, Job(spec, frames, on_gpu))
                    rate = count * len(frames) / (time.perf_counter() - since)
                    seconds = statistics.median(s for worker in rendered for s in worker.seconds)
                    memory = None if memory_before is None else (_gpu_memory() or 0.0) - memory_before
                    rows.append(
                        Row(count, recipe, place, seconds, rate, memory, _psnr(references[recipe], rendered[0].last))
                    )
    finally:
        for worker in workers:
            worker.close()
    return _page(options, ready, described, rows, left_out, cold, time.monotonic() - begin)


def _render(workers: Sequence[Worker], job: Job) -> list[Rendered]:
    """Let all workers do the same job in parallel."""
    for worker in workers:
        worker.begin(job)
    return [worker.rendered() for worker in workers]


def _on_processor(
    specs: dict[str, SceneSpec], frames: tuple[int, ...], threads: int, folder: Path
) -> dict[str, np.ndarray]:
    """The last of ``frames`` by each recipe, rendered on the processor."""
    worker = Worker("cpu", threads, next(iter(specs.values())), folder)
    try:
        worker.ready()
        return {recipe: _render([worker], Job(spec, frames, False))[0].last for recipe, spec in specs.items()}
    finally:
        worker.close()


def _gpu_memory() -> float | None:
    """GiB in use on all visible GPUs; None without nvidia-smi."""
    call = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        output = subprocess.run(call, capture_output=True, text=True, check=True, timeout=30).stdout
        return sum(float(line) for line in output.split()) / 1024
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def _psnr(reference: np.ndarray, image: np.ndarray) -> float:
    error = float(np.mean((reference.astype(np.float64) - image) ** 2))
    return float("inf") if error == 0 else 10 * float(np.log10(255**2 / error))


def _page(
    options: argparse.Namespace,
    ready: Ready,
    described: SceneSpec,
    rows: Sequence[Row],
    left_out: Sequence[str],
    cold: Sequence[float],
    seconds: float,
) -> str:
    alone = {(row.recipe, row.denoising): row.rate for row in rows if row.workers == rows[0].workers}
    cells = [
        [
            str(row.workers),
            row.recipe,
            row.denoising,
            f"{row.seconds:.2f}",
            f"{row.rate:.2f}",
            f"{row.rate / alone[row.recipe, row.denoising]:.2f}",
            "not known" if row.memory is None else f"{row.memory:.1f}",
            f"{row.psnr:.1f}",
        ]
        for row in rows
    ]
    video = described.video
    lines = [
        "# Rendering on a GPU",
        "",
        *(["**A dry run on processors: the numbers say nothing about any GPU.**", ""] if options.dry_run else []),
        f"`{command()}`",
        "",
        f"{ready.device_name} ({ready.device}), OpenImageDenoise on the "
        f"{'processor' if ready.denoising == 'cpu' else 'GPU where the table says so'}; {machine('bpy')}. Video "
        f"{described.name} of built-in assets, {video.width}x{video.height}; each worker {FRAMES} frames in a row, "
        "all workers side by side; RGB stills alone. Frames/s are of all workers together, and x is their ratio to "
        f"those of {rows[0].workers}. Memory is what the GPU holds more than before. {seconds:.0f} s in all.",
        "",
        table(HEAD, cells),
        "",
        f"The very first frame took {cold[0]:.1f} s and the same one again {cold[1]:.1f} s; in between, kernels are "
        "loaded or compiled, once for a machine.",
        "",
        f"Left out for lack of time: {'; '.join(left_out) or 'nothing'}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
