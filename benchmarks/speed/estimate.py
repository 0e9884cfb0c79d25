"""Compare an estimate with the build that it is about.

    python -m benchmarks.speed.estimate --count 12 --results docs/results/estimate.md

The page has the ratio of both for time and for bytes.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.page import ROOT, command, load, machine, parser_of, processor_seconds, publish, table
from bl30k_gen.dataset.layout import METADATA
from bl30k_gen.dataset.modalities import MASK, RGB
from bl30k_gen.dataset.pack import SUFFIX, pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import run_entry_point
from bl30k_gen.render.tools.estimate import BLOCK

SMALL = "video={frames: 12, width: 256, height: 160}"


def generate(*arguments: str) -> dict[str, Any]:
    call = [sys.executable, str(ROOT / "generate.py"), *arguments, "--json"]
    return json.loads(subprocess.run(call, check=True, stdout=subprocess.PIPE, text=True).stdout)


def sizes(root: Path, folder: Path) -> dict[str, int]:
    """Size of a dataset in each store, in bytes."""
    frames = [path for kind in (RGB, MASK, METADATA) for path in (root / kind).rglob("*.*")]
    logs = list((root / "Logs").glob("*.jsonl"))
    found = {"folder": sum(-(-path.stat().st_size // BLOCK) * BLOCK for path in [*frames, *logs])}
    for kind in SUFFIX:
        pack(open_dataset(root), folder / kind, kind)
        found[kind] = sum(path.stat().st_size for path in (folder / kind).glob("BL30K*"))
    return found


def row(name: str, estimate: dict[str, float], real: float, form: str) -> list[str]:
    inside = "yes" if estimate["low"] <= real <= estimate["high"] else "no"
    value, low, high = (format(estimate[key], form) for key in ("value", "low", "high"))
    return [name, f"{value} ({low} to {high})", f"{real:{form}}", f"{real / estimate['value']:.2f}", inside]


def scaled(estimate: dict[str, float], factor: float) -> dict[str, float]:
    return {key: value * factor for key, value in estimate.items()}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--config", default=str(ROOT / "render_configs/demo.yaml"))
    parser.add_argument("--set", action="append", metavar="KEY=VALUE", help=f"default: {SMALL}")
    parser.add_argument("--count", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    flags = ["--config", options.config, "--count", str(options.count), "--threads-per-worker", str(options.threads)]
    flags += ["--device", "cpu", *(word for change in options.set or [SMALL] for word in ("--set", change))]
    loads = [load()]
    estimate = generate("estimate", *flags, "--seconds", str(options.seconds))
    loads.append(load())
    with tempfile.TemporaryDirectory(prefix="bl30k-estimate-") as folder:
        begin, before = time.monotonic(), processor_seconds()
        build = generate("render", *flags, "--out", f"{folder}/build")
        wall, cpu = time.monotonic() - begin, processor_seconds() - before
        loads.append(load())
        stored = sizes(Path(folder, "build"), Path(folder))
    rows = [
        row("processor seconds", scaled(estimate["cpu_hours"], 3600), cpu, ".0f"),
        row("wall seconds", scaled(estimate["wall_hours"], 3600), wall, ".0f"),
        *(
            row(f"{store}, MB", scaled(estimate["bytes"][store], 1e-6), size / 1e6, ".2f")
            for store, size in stored.items()
        ),
    ]
    busy = ", ".join(f"{value:.1f}" for value in loads)
    text = f"""# An estimate and its build

`{command()}`: {len(build["rendered"])} videos of {estimate["frames"]} frames,
{estimate["size"][0]}x{estimate["size"][1]}, one worker of {estimate["threads"]} thread(s) on {machine()}. The
estimate comes from {estimate["scenes"]} scenes, timed in {estimate["seconds_spent"]:.0f} s. Load (processes a
processor) before it, before the build, and after that: {busy}.

{table(("", "estimate (95 %)", "build", "build / estimate", "inside"), rows)}

Processor and wall seconds of the build are of the whole command, with the start of Python and Blender."""
    publish(text, options.results)


if __name__ == "__main__":
    run_entry_point(main)
