"""Does another Blender draw the same? Videos of the demo recipe, rendered by two environments in turns and compared.

    python -m benchmarks.speed.blender_versions --other out/blender_4.5/bin/python --results docs/results/blender.md

Masks are compared byte by byte, RGB as it is stored. Times are processor seconds of whole commands, each of which
starts Blender and renders one video with one thread, so that a busy machine does not change them much. Videos that a
former run has finished are not rendered again, and have no times then. Exit code 1: a mask differs, or RGB too much.
"""

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.page import ROOT, command, load, machine, parser_of, processor_seconds, publish, spread, table
from bl30k_gen.dataset.reader import VideoStore, open_dataset

LEAST_DB = 45.0


@dataclass
class Side:
    """One environment: the dataset that it fills, and what each of its commands took."""

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
    """Masks whose bytes differ; PSNR of each RGB frame (inf where equal); the largest difference, of 255."""
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
    parser.add_argument("--other", type=Path, required=True, metavar="PYTHON", help="of the other environment")
    parser.add_argument("--config", default="demo")
    parser.add_argument("--videos", type=int, default=10)
    parser.add_argument("--work", type=Path, default=Path("out/blender_versions"))
    options = parser.parse_args()
    sides = [Side(Path(sys.executable), options.work / "here"), Side(options.other, options.work / "there")]
    busy = load()
    for index in range(options.videos):
        for side in sides if index % 2 else sides[::-1]:
            side.render(index, options.config)
    here, there = (open_dataset(side.out) for side in sides)
    names = [f"a{index:05d}" for index in range(options.videos)]
    found = {name: compare(here, there, name) for name in names}
    rows = [
        [name, str(masks), f"{min(decibels):.1f}", f"{np.median(decibels):.1f}", str(largest)]
        for name, (masks, decibels, largest) in found.items()
    ]
    versions = [side.blender() for side in sides]
    lowest, different = min(min(d) for _, d, _ in found.values()), sum(masks for masks, _, _ in found.values())
    times = [[v, spread(s.seconds, ".1f") if s.seconds else "-"] for v, s in zip(versions, sides, strict=True)]
    lines = [
        f"# Blender {versions[0]} and {versions[1]}",
        f"`{command()}`; on {machine('numpy')}, one thread, load (processes a processor) {busy:.1f} at the start and "
        f"{load():.1f} at the end. {options.videos} videos of `{options.config}`.",
        f"Masks that differ: {different}. RGB frames are at least {lowest:.1f} dB alike (asked for: {LEAST_DB:.0f}).",
        table(["Blender", "processor seconds a video"], times),
        table(["video", "masks that differ", "RGB, lowest dB", "median dB", "largest difference, of 255"], rows),
    ]
    publish("\n\n".join(lines), options.results)
    return int(different > 0 or lowest < LEAST_DB)


if __name__ == "__main__":
    sys.exit(main())
