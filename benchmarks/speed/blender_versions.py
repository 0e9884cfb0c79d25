"""Compare two versions of Blender: videos of the demo recipe, rendered by two environments alternately.

    python -m benchmarks.speed.blender_versions --other out/blender_4.5/bin/python --results docs/results/blender.md

Masks are compared byte by byte, RGB as it is stored. Times are processor seconds of whole commands, each of which
starts Blender and renders one video with one thread; they hardly depend on the load of the machine. Videos that an
earlier run has finished are not rendered again, and have no times. Exit code 1: a mask differs, or the PSNR is too
low.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.page import ROOT, command, load, machine, parser_of, processor_seconds, publish, spread, table
from bl30k_gen.dataset.reader import VideoStore, open_dataset

MIN_PSNR = 45.0  # dB of every RGB frame


@dataclass
class Environment:
    """One environment: its Python, the dataset that it renders, and the processor seconds of each command."""

    python: Path
    out: Path
    seconds: list[float] = field(default_factory=list)

    def render(self, index: int, config: str) -> None:
        video = self.out / f"Metadata/a{index:05d}.json"
        if video.exists():
            return
        before = processor_seconds()
        call = [str(self.python), str(ROOT / "generate.py"), "render", "--config", config, "--out", str(self.out)]
        subprocess.run([*call, "--index", str(index), "--threads-per-worker", "1", "--device", "cpu"], check=True)
        self.seconds.append(processor_seconds() - before)

    def blender(self) -> str:
        store = open_dataset(self.out)
        return str(store.required_metadata(store.videos[0])["versions"]["bpy"])


def compare(here: VideoStore, there: VideoStore, name: str) -> tuple[int, list[float], int]:
    """Number of masks whose bytes differ; PSNR of each RGB frame (inf if equal); largest difference, of 255."""
    masks, decibels, largest = 0, [], 0
    for i in range(len(here.frames(name))):
        masks += here.mask_bytes(name, i) != there.mask_bytes(name, i)
        difference = here.read_rgb(name, i).astype(np.float64) - there.read_rgb(name, i)
        error = float(np.mean(difference**2))
        decibels.append(float(10 * np.log10(255**2 / error)) if error else np.inf)
        largest = max(largest, int(np.abs(difference).max()))
    return masks, decibels, largest


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--other", type=Path, required=True, metavar="PYTHON", help="Python of the other environment")
    parser.add_argument("--config", default="demo")
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--work", type=Path, default=Path("out/blender_versions"))
    options = parser.parse_args()
    environments = [
        Environment(Path(sys.executable), options.work / "here"),
        Environment(options.other, options.work / "there"),
    ]
    busy = load()
    for index in range(options.videos):
        for environment in environments if index % 2 else environments[::-1]:
            environment.render(index, options.config)
    here, there = (open_dataset(environment.out) for environment in environments)
    names = [f"a{index:05d}" for index in range(options.videos)]
    found = {name: compare(here, there, name) for name in names}
    rows = [
        [name, str(masks), f"{min(decibels):.1f}", f"{np.median(decibels):.1f}", str(largest)]
        for name, (masks, decibels, largest) in found.items()
    ]
    versions = [environment.blender() for environment in environments]
    lowest, different = min(min(d) for _, d, _ in found.values()), sum(masks for masks, _, _ in found.values())
    times = [
        [version, spread(environment.seconds, ".1f") if environment.seconds else "-"]
        for version, environment in zip(versions, environments, strict=True)
    ]
    lines = [
        f"# Blender {versions[0]} and {versions[1]}",
        f"`{command()}`; on {machine('numpy')}, one thread, load (processes a processor) {busy:.1f} at the start and "
        f"{load():.1f} at the end. {options.videos} videos of `{options.config}`.",
        f"Masks that differ: {different}. RGB frames have a PSNR of at least {lowest:.1f} dB (goal: {MIN_PSNR:.0f}).",
        table(["Blender", "processor seconds a video"], times),
        table(["video", "masks that differ", "RGB, lowest dB", "median dB", "largest difference, of 255"], rows),
    ]
    publish("\n\n".join(lines), options.results)
    return int(different > 0 or lowest < MIN_PSNR)


if __name__ == "__main__":
    sys.exit(main())
