"""Seconds a frame and peak memory of the propagation networks, against a plain formulation of the same networks.

    python -m benchmarks.speed.propagation                                   # everything, about an hour on two cores
    python -m benchmarks.speed.propagation --networks stm --frames 20 --objects 1 --readings top-k
    python -m benchmarks.speed.propagation --device cuda --dtype bfloat16

A frame is: encode the query, read the memory, decode, aggregate, and a fifth of a memory encoding (every fifth frame
enters memory). The plain formulation loops over the objects, forms the whole THW x HW affinity of each, takes the
softmax or scatters the top k into zeros, multiplies densely, and shares nothing. Both are timed alternately in one
run; their difference and the medians are printed. RDE's memory is constant (four frames), whatever ``--frames`` says.
Weights are random: they do not influence the time.
"""

import argparse
import copy
import functools
import json
import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bl30k_gen.errors import run_entry_point
from models import checkpoint
from models.aggregate import aggregate
from models.backbone import prepare_for_inference
from models.memory import Reading
from models.propagation import Entry, PropagationNetwork, Query
from models.rde import RDE
from models.stcn import STCN
from models.stm import STM

MEMORY_EVERY = 5
KMN_SIGMA = 7.0  # width of the Gaussian in KMN's paper, in positions at stride 16
STAGES = ("query", "read", "decode", "memory")


# The plain formulation.


def plain_read(network: PropagationNetwork, memory: Entry, query: Query, reading: Reading) -> Tensor:
    """(1, O, Cv, h, w) with a whole weight matrix (THW x HW) of each object."""
    height, width = query.key.shape[-2:]
    readouts = []
    for o in range(memory.value.shape[1]):
        keys = memory.key[0, min(o, memory.key.shape[1] - 1)].flatten(1)
        queries = query.key[0].flatten(1)
        if network.similarity == "dot":
            scores = keys.T @ (queries / math.sqrt(len(keys)))
        else:
            scores = (2 * keys.T @ queries - keys.square().sum(0)[:, None]) / math.sqrt(len(keys))
        if reading.sigma is not None:
            best = scores.argmax(dim=1, keepdim=True)
            position = torch.arange(height * width, device=scores.device)[None]
            squares = (position // width - best // width) ** 2 + (position % width - best % width) ** 2
            scores = (scores - scores.max(dim=0, keepdim=True).values).exp() * (
                -squares / (2 * reading.sigma**2)
            ).exp()
            kept, index = scores.topk(min(reading.top_k or len(scores), len(scores)), dim=0)
            weights = torch.zeros_like(scores).scatter_(0, index, kept / kept.sum(dim=0, keepdim=True))
        elif reading.top_k is not None:
            kept, index = scores.topk(min(reading.top_k, len(scores)), dim=0)
            kept = (kept - kept[:1]).exp()
            weights = torch.zeros_like(scores).scatter_(0, index, kept / kept.sum(dim=0, keepdim=True))
        else:
            weights = scores.softmax(dim=0)
        readouts.append((memory.value[0, o].flatten(1) @ weights).view(-1, height, width))
    return torch.stack(readouts)[None]


def plain_memory(network: PropagationNetwork, image: Tensor, query: Query, masks: Tensor) -> Entry:
    """One memory frame, object by object."""
    keys, values = [], []
    for x in network.memory_input(image, masks).split(1):
        if isinstance(network, STM):
            key, value = network.memory_head(network.memory_encoder(x)[0])
            keys.append(key)
        else:
            assert isinstance(network, STCN)
            value = network.value_encoder(x, query.f16)
        values.append(value)
    key = torch.stack(keys or [query.key], dim=1)
    return Entry(key.unsqueeze(3), torch.stack(values, dim=1).unsqueeze(3))


def plain_decode(network: PropagationNetwork, readout: Tensor, query: Query) -> Tensor:
    return torch.cat([network.decode(one, query) for one in readout.split(1, dim=1)], dim=1)


# Timing.


class Clock:
    """Seconds by stage of one frame."""

    def __init__(self, device: torch.device):
        self.device, self.seconds, self._start = device, dict[str, float](), 0.0
        self.lap(None)

    def lap(self, stage: str | None) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if stage is not None:
            self.seconds[stage] = now - self._start
        self._start = now


@dataclass(frozen=True)
class Case:
    """Both formulations of a network, and what they run on.

    image: (1, 3, H, W). masks: (1, O, H, W). dtype: of the fast formulation's autocast; None for float32.
    """

    plain: PropagationNetwork
    fast: PropagationNetwork
    image: Tensor
    masks: Tensor
    memory: Entry
    reading: Reading
    dtype: torch.dtype | None

    def run_plain(self, lap: Callable[[str], None] = lambda stage: None, remember: bool = True) -> Tensor:
        """Probabilities (1, O + 1, H, W) of one frame; it also enters memory if ``remember``."""
        query = self.plain.encode_query(self.image)
        lap("query")
        readout = plain_read(self.plain, self.memory, query, self.reading)
        lap("read")
        prob = aggregate(plain_decode(self.plain, readout, query).sigmoid())
        lap("decode")
        if remember:
            entry = plain_memory(self.plain, self.image, query, self.masks)
            if isinstance(self.plain, RDE):
                self.plain.update(entry, entry)
            lap("memory")
        return prob

    def run_fast(self, lap: Callable[[str], None] = lambda stage: None, remember: bool = True) -> Tensor:
        """The same by the fast formulation."""
        image = self.fast_image
        with torch.autocast(image.device.type, self.dtype, enabled=self.dtype is not None):
            query = self.fast.encode_query(image)
            lap("query")
            readout = self.fast.read(self.fast_memory, query, self.reading)
            lap("read")
            prob = aggregate(self.fast.decode(readout, query).sigmoid())
            lap("decode")
            if remember:
                entry = self.fast.encode_memory(image, query, self.masks)
                if isinstance(self.fast, RDE):
                    self.fast.update(entry, entry)
                lap("memory")
        return prob

    @functools.cached_property
    def fast_image(self) -> Tensor:
        """Channels last."""
        return self.image.contiguous(memory_format=torch.channels_last)

    @functools.cached_property
    def fast_memory(self) -> Entry:
        """In the memory layout of ``Entry.cat``, with values in the type that the network writes."""
        memory = Entry.cat([self.memory])
        return memory if self.dtype is None else memory._replace(value=memory.value.to(self.dtype))


def build_pair(
    name: str, device: torch.device, config: dict[str, Any] | None = None
) -> tuple[PropagationNetwork, PropagationNetwork]:
    """A network with random weights as it is, and prepared for inference."""
    torch.manual_seed(0)
    plain = checkpoint.build(name, config).eval().requires_grad_(False)
    assert isinstance(plain, PropagationNetwork)
    plain = plain.to(device)
    return plain, prepare_for_inference(copy.deepcopy(plain))


def make_case(
    pair: tuple[PropagationNetwork, PropagationNetwork],
    frames: int,
    objects: int,
    reading: str,
    size: tuple[int, int],
    dtype: torch.dtype | None,
) -> Case:
    """A case with a random image of a size (height, width) and random memory; RDE's memory has four frames."""
    plain, fast = pair
    device = next(plain.parameters()).device
    name, (height, width) = checkpoint.name_of(plain), size
    grid = (4 if name == "rde" else frames, height // 16, width // 16)
    image = torch.randn(1, 3, height, width, device=device)
    masks = torch.rand(1, objects, height, width, device=device)
    key = torch.randn(1, objects if name == "stm" else 1, plain.config.key_dim, *grid, device=device)
    memory = Entry(key, torch.randn(1, objects, plain.config.value_dim, *grid, device=device))
    top_k = None if reading == "softmax" else plain.evaluation.top_k
    return Case(plain, fast, image, masks, memory, Reading(top_k, KMN_SIGMA if reading == "kernel" else None), dtype)


def peak_bytes(call: Callable[[], object], device: torch.device) -> int | None:
    """Peak memory of a call beyond what was allocated before it. None where the system does not report it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        return torch.cuda.max_memory_allocated() - before
    try:
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak (Linux)
        before = _status_bytes("VmRSS")
        call()
        return _status_bytes("VmHWM") - before
    except OSError:
        return None


def _status_bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


def convolution_fraction(call: Callable[[], object], device: torch.device) -> float | None:
    """Fraction of convolutions in the operators' own time. None where the device cannot be profiled."""
    cuda = device.type == "cuda"
    try:
        with profile(activities=[ProfilerActivity.CUDA if cuda else ProfilerActivity.CPU]) as profiler:
            call()
        times = {e.key: e.self_device_time_total if cuda else e.self_cpu_time_total for e in profiler.key_averages()}
    except RuntimeError:  # the user may not read the GPU's counters
        return None
    if not sum(times.values()):
        return None
    words = ("conv", "cudnn", "xmma")
    return sum(t for key, t in times.items() if any(s in key.lower() for s in words)) / sum(times.values())


def compare(case: Case, repeats: int) -> dict[str, Any]:
    """Run both formulations alternately; returns medians, their difference, and their peak memory."""
    device = case.image.device
    with torch.inference_mode():
        difference = (case.run_plain() - case.run_fast()).abs().max().item()
        laps: dict[str, list[dict[str, float]]] = {"plain": [], "fast": []}
        for _ in range(repeats):
            for kind, run in (("plain", case.run_plain), ("fast", case.run_fast)):
                clock = Clock(device)
                run(clock.lap)
                laps[kind].append(clock.seconds)
        row: dict[str, Any] = {"frames": case.memory.frames, "objects": case.masks.shape[1]}
        for kind, seconds in laps.items():
            row[kind] = {stage: statistics.median(lap[stage] for lap in seconds) for stage in STAGES}
            frames = [sum(lap[s] for s in STAGES[:3]) + lap["memory"] / MEMORY_EVERY for lap in seconds]
            row[kind]["frame"] = statistics.median(frames)
        row["plain"]["bytes"] = peak_bytes(case.run_plain, device)
        row["fast"]["bytes"] = peak_bytes(case.run_fast, device)
        row["convolutions"] = convolution_fraction(case.run_fast, device)
    return row | {"difference": difference}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", default=["stm", "stcn", "rde"], choices=["stm", "stcn", "rde"])
    parser.add_argument("--frames", nargs="+", type=int, default=[5, 20, 50], help="memory frames")
    parser.add_argument("--objects", nargs="+", type=int, default=[1, 3])
    readings = ["softmax", "top-k", "kernel"]
    parser.add_argument("--readings", nargs="+", default=readings, choices=readings, help="kernel includes top-k")
    parser.add_argument("--size", nargs=2, type=int, default=[480, 864], metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16"], help="of the fast formulation")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    gpu = options.device.startswith("cuda")
    if gpu and not torch.cuda.is_available():
        parser.error(f"PyTorch {torch.__version__} finds no GPU here: leave --device out")
    hardware = torch.cuda.get_device_name() if gpu else f"{options.threads} threads"
    print(f"torch {torch.__version__}, {hardware}, {options.dtype}, {options.size[0]}x{options.size[1]}; seconds, MB")
    print(
        f"{'network':7} {'frames':>6} {'objects':>7} {'reading':8} | {'read':>7} {'plain':>7} {'ratio':>5} "
        f"| {'frame':>7} {'plain':>7} {'ratio':>5} {'fps':>6} | {'peak':>6} {'plain':>6} | {'conv':>4} {'differ':>7}"
    )
    rows = []
    dtype = torch.bfloat16 if options.dtype == "bfloat16" else None
    for name in options.networks:
        pair = build_pair(name, torch.device(options.device))
        for frames in options.frames if name != "rde" else options.frames[:1]:
            for objects in options.objects:
                for reading in options.readings:
                    case = make_case(pair, frames, objects, reading, tuple(options.size), dtype)
                    row = {"network": name, "reading": reading} | compare(case, options.repeats)
                    rows.append(row)
                    print(_line(row), flush=True)
    if options.json:
        result = {"torch": torch.__version__, "hardware": hardware, "dtype": options.dtype, "rows": rows}
        options.json.write_text(json.dumps(result, indent=1))


def _line(row: dict[str, Any]) -> str:
    fast, plain = row["fast"], row["plain"]
    peaks = [f"{x['bytes'] / 1e6:6.0f}" if x["bytes"] is not None else f"{'-':>6}" for x in (fast, plain)]
    share = f"{row['convolutions']:4.0%}" if row["convolutions"] is not None else f"{'-':>4}"
    times = [
        f"{fast[stage]:7.4f} {plain[stage]:7.4f} {fast[stage] / plain[stage]:5.2f}" for stage in ("read", "frame")
    ]
    return (
        f"{row['network']:7} {row['frames']:6} {row['objects']:7} {row['reading']:8} | {times[0]} | {times[1]} "
        f"{1 / fast['frame']:6.2f} | {' '.join(peaks)} | {share} {row['difference']:7.0e}"
    )


if __name__ == "__main__":
    run_entry_point(main)
