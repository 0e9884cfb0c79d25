"""Networks on one GPU: frames and training steps a second, memory, and the same outputs as on the processor.

    python3 -m benchmarks.gpu.networks                      # at most five minutes
    python3 -m benchmarks.gpu.networks --dry-run            # every step once, small, on the processor

From the folder of the project, without installation: PyTorch with torchvision, pydantic and pyyaml must be
importable. The most important measurements come first; rows that the time did not suffice for are missing on the
page.

A frame is: encode the query, read the memory, decode, aggregate; every fifth frame enters memory. The plain
formulation is that of benchmarks/speed/propagation.py, in float32. "graph" replays the kernels of the eager frame as
a CUDA graph. A training step is forward, backward and Adam, at the published batch and crop, on drawn discs; the
plain one is that of benchmarks/speed/train_step.py. Float32 is exact: TF32 is off unless a row says so.
"""

import time
from pathlib import Path

from benchmarks.gpu.network_frames import measure_compiled, measure_eager
from benchmarks.gpu.network_outputs import compare_outputs
from benchmarks.gpu.network_setup import DRY_NETWORKS, NetworkSizes
from benchmarks.gpu.network_training import measure_loader, measure_steps
from benchmarks.gpu.networks_page import describe
from benchmarks.gpu.run import Run, device_of, hardware, parser_of, require

MINUTES = 5.0


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of(__doc__, MINUTES)
    options = parser.parse_args(arguments)
    require("torch", "torchvision", "pydantic", "yaml")
    device, sizes = device_of(options.dry_run), DRY_NETWORKS if options.dry_run else NetworkSizes()
    from benchmarks.page import command

    head = {
        "command": command(),
        "hardware": hardware(device),
        "date": time.strftime("%Y-%m-%d"),
        "device": device,
        "frame": sizes.frame,
        "crop": sizes.crop,
        "batch": sizes.batch,
    }
    page = options.results or Path("out/gpu/gpu_networks.md")
    run = Run(page, page.with_suffix(".json"), options.minutes, head, describe)
    print(head["hardware"], flush=True)
    plain_rates = measure_eager(run, sizes, device)
    measure_steps(run, sizes, device, compiled=False)
    compare_outputs(run, sizes, device)
    measure_loader(run, sizes, device)
    order = [(name, dtype) for dtype in ("bfloat16", "float32") for name in sizes.networks]
    measure_compiled(run, sizes, device, order[:1], plain_rates)
    if not options.dry_run:
        measure_steps(run, sizes, device, compiled=True)
        measure_compiled(run, sizes, device, order[1:], plain_rates)
    return run.close()


if __name__ == "__main__":
    raise SystemExit(main())
