"""The cost of an index of assets: to build it, to update it, and to open a catalogue from it.

Copies real models into a ShapeNetCore.v2 tree, indexes 1,000, 2,000 and 5,000 of them; then makes a tree of 51,300
tiny models, indexes it twice, and opens a catalogue from it:

    python -m benchmarks.speed.assets_index --models SHAPENET --scratch SCRATCH --results docs/results/assets_index.md

Times are processor time of all processes, and wall time. Processor time hardly depends on the load of the machine.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.page import ROOT, machine, parser_of, processor_seconds, publish, table
from bl30k_gen.config import load_config
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.catalogue import index
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.library.formats.source import MESH
from bl30k_gen.scene.sampler import split_assets

SIZES = (1000, 2000, 5000)
WHOLE = 51_300
TINY = "v 0 0 0\nv 1 0 0\nv 0 1 {}\nf 1 2 3\n"


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Call ``work``; returns processor seconds (with child processes), wall seconds, and the result."""
    begin, processor = time.perf_counter(), processor_seconds()
    result = work()
    return processor_seconds() - processor, time.perf_counter() - begin, result


def copies(models: list[Path], count: int, root: Path) -> int:
    """Copy models into a tree, each repeatedly, until there are ``count``; returns their size in bytes."""
    total = 0
    for number in range(count):
        source = models[number % len(models)]
        target = root / f"{10000000 + number % 55:08d}/{number:06d}/models"
        shutil.copytree(source.parent, target)
        total += sum(file.stat().st_size for file in target.iterdir())
    return total


def write_tiny_models(root: Path) -> None:
    """Write ``WHOLE`` models of one triangle each."""
    for number in range(WHOLE):
        mesh = root / f"{10000000 + number % 55:08d}/{number:06d}" / MESH
        mesh.parent.mkdir(parents=True)
        mesh.write_text(TINY.format(number))


def start(root: Path) -> int:
    """Do what a build does before its first video: open the catalogue, compute its digest, split the models."""
    config = load_config(ROOT / "render_configs/bl30k.yaml", [f"assets.models={root}"])
    catalogue = open_catalogue(config.assets)
    catalogue.digest()
    return len(split_assets(catalogue.models, "models", config.dataset.val_share, config.seed, "train"))


def main() -> None:
    if sys.argv[1:2] == ["--start"]:  # in a separate process, as for a build
        processor, wall, _ = timed(lambda: start(Path(sys.argv[2])))
        print(processor, wall)
        return
    parser = parser_of(__doc__)
    parser.add_argument("--models", type=Path, required=True, help="A ShapeNetCore.v2 folder to copy models from.")
    parser.add_argument("--scratch", type=Path, required=True, help="A new folder; deleted at the end.")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    models = sorted(p for p in arguments.models.glob(f"*/*/{MESH}"))
    rows = []
    try:
        for count in SIZES:
            root = arguments.scratch / f"copies{count}"
            size = copies(models, count, root)
            processor, wall, _ = timed(partial(index.update, str(root), arguments.workers))
            what, note = (
                f"index {count:,} real models, {size / 1e9:.1f} GB",
                f"{1000 * processor / count:.1f} ms each",
            )
            rows.append((what, processor, wall, note))
            shutil.rmtree(root)
        root = arguments.scratch / "whole"
        write_tiny_models(root)
        processor, wall, _ = timed(lambda: index.update(str(root), arguments.workers))
        rows.append((f"index {WHOLE:,} tiny models", processor, wall, ""))
        processor, wall, (_, changes) = timed(lambda: index.update(str(root), arguments.workers))
        rows.append((f"index them again, {changes.unchanged:,} unchanged", processor, wall, ""))
        bytes_of_index = (root / index.PLACE).stat().st_size
        command = [sys.executable, "-m", "benchmarks.speed.assets_index", "--start", str(root)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        processor, wall = map(float, output.split())
        rows.append((f"start of a sampler from the index of {bytes_of_index / 1e6:.1f} MB", processor, wall, ""))
    finally:
        shutil.rmtree(arguments.scratch, ignore_errors=True)
    called = shlex.join(
        ["python", "-m", "benchmarks.speed.assets_index", "--models", "SHAPENET", "--scratch", "SCRATCH"]
    )
    cells = [(what, f"{processor:.2f}", f"{wall:.2f}", note) for what, processor, wall, note in rows]
    text = f"""# Cost of an index

`{called} --workers {arguments.workers}`, {machine()}.

{table(("Work", "Processor, s", "Wall, s", ""), cells)}"""
    publish(text, arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
