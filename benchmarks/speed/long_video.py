"""Memory of propagation over a long video: frames of moving noise are streamed through the networks.

    python -m benchmarks.speed.long_video [--frames 10000] [--networks stcn,rde] [--budget-mib 4] [--results FILE]

The networks are small and untrained: their memory is as large as that of trained networks of the same shape. Printed
at ten frames of the video: the process's resident memory, the distance of memory frames, and the speed.
"""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.page import command, machine, parser_of, publish
from bl30k_gen.errors import run_entry_point
from models import checkpoint
from models.backbone import prepare_for_inference
from models.propagation import PropagationNetwork
from training.evaluation.report import Table
from training.inference.options import published_options
from training.inference.propagate import propagate

SMALL = {"backbone": "resnet18", "memory_backbone": "resnet18", "key_dim": 16, "value_dim": 64, "decoder_dim": 32}
SIZE = (48, 64)


def drift(count: int) -> Iterator[tuple[int, np.ndarray]]:
    """Numbered (H, W, 3) uint8 frames: a window that moves over a strip of noise."""
    strip = np.random.default_rng(0).integers(0, 256, (SIZE[0], 400, 3), np.uint8)
    for number in range(count):
        start = number % (strip.shape[1] - SIZE[1])
        yield number, strip[:, start : start + SIZE[1]]


def resident_mib() -> float:
    """Resident memory of this process, on Linux."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def stream(name: str, count: int, budget: int) -> list[list]:
    """Rows of network, frame, resident MiB, memory_every, frames a second."""
    torch.manual_seed(0)
    network = prepare_for_inference(checkpoint.build(name, SMALL).eval())
    assert isinstance(network, PropagationNetwork)
    options = published_options(network, memory_budget=budget)
    mask = np.zeros(SIZE, np.uint8)
    mask[8:30, 8:30], mask[20:40, 36:60] = 1, 2
    every, rows, began = [options.memory_every], [], time.perf_counter()
    say = lambda line: every.append(int(line.split("memory_every is ")[1].split()[0]))  # noqa: E731
    for result in propagate(network, drift(count), {0: mask}, options, say):
        done = result.number + 1
        if done % max(1, count // 10) == 0:
            rows.append([name, done, resident_mib(), every[-1], done / (time.perf_counter() - began)])
            print(*rows[-1], flush=True)
    return rows


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--frames", type=int, default=10000)
    parser.add_argument("--networks", default="stcn,rde")
    parser.add_argument("--budget-mib", type=float, default=4)
    given = parser.parse_args()
    torch.set_num_threads(1)
    names = given.networks.split(",")
    rows = [row for name in names for row in stream(name, given.frames, int(given.budget_mib * 2**20))]
    table = Table(["network", "frame", "resident MiB", "memory_every", "frames a second"], rows)
    grown = {name: (own[-1][2] - own[1][2]) for name in names if (own := [r for r in rows if r[0] == name])}
    verdict = ", ".join(f"{name} {mib:+.1f} MiB" for name, mib in grown.items())
    text = f"""# A long video

`{command()}` on {machine("torch")}.

```
{table.text()}```

Growth from the second place to the last: {verdict}."""
    publish(text, given.results)
    if max(grown.values()) > 50:
        sys.exit("memory grows")


if __name__ == "__main__":
    run_entry_point(main)
