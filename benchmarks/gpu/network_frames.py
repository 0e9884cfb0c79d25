"""Frames a second of the networks' propagation: plain, eager, as a CUDA graph, compiled."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.gpu.network_setup import NetworkSizes, exact, model_config, release_memory, stage_of
from benchmarks.gpu.run import Row, Run

if TYPE_CHECKING:
    from torch import Tensor

    from benchmarks.speed.propagation import Case

MEMORY_EVERY = 5

Frame = Callable[[bool], object]
"""Segments one frame; the argument says whether it enters memory."""
Rates = dict[tuple[str, int, int], float]
"""Frames a second by network, frames in memory and objects."""


def frames_per_second(frame: Frame, device: str, seconds: float) -> tuple[float, float]:
    """Median and slowest of blocks of five frames, the last of which enters memory. Two blocks are for warming up."""
    import torch

    def block() -> None:
        for number in range(MEMORY_EVERY):
            frame(number == MEMORY_EVERY - 1)

    def timed() -> float:
        if device == "cpu":
            began = time.perf_counter()
            block()
            return time.perf_counter() - began
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        block()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / 1000

    if seconds:
        block()
    once = timed()
    times = [timed() for _ in range(max(3, min(40, int(seconds / once))))] if seconds else [once]
    return MEMORY_EVERY / statistics.median(times), MEMORY_EVERY / max(times)


def as_graph(frame: Frame) -> Frame:
    """The same frame as a replay of its recorded kernels: one CUDA graph with and one without its memory."""
    import torch

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        frame(True)
    torch.cuda.current_stream().wait_stream(side)
    graphs = {}
    for remember in (False, True):
        graphs[remember] = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graphs[remember]):
            frame(remember)
    return lambda remember: graphs[remember].replay()


def _frame_of(run: "Callable[..., Tensor]") -> Frame:
    """Adapt a method of ``Case``."""
    return lambda remember: run(remember=remember)


def measure_eager(run: Run, sizes: NetworkSizes, device: str) -> Rates:
    """Record frames a second of all networks, without compiling; returns those of the plain formulation."""
    import torch

    from benchmarks.speed.propagation import build_pair, make_case

    plain_rates: Rates = {}
    for name in sizes.networks:
        pair = build_pair(name, torch.device(device), model_config(sizes))
        for frames in sizes.memory_sizes(name):
            for objects in sizes.objects:
                case = make_case(pair, frames, objects, "top-k", sizes.frame, None)
                half = make_case(pair, frames, objects, "top-k", sizes.frame, torch.bfloat16)
                modes: list[tuple[str, str, Frame]] = [
                    ("plain", "float32", _frame_of(case.run_plain)),
                    ("eager", "float32", _frame_of(case.run_fast)),
                    ("eager", "bfloat16", _frame_of(half.run_fast)),
                ]
                if device == "cuda":
                    modes.append(("graph", "bfloat16", _frame_of(half.run_fast)))
                for mode, dtype, frame in modes:
                    if run.left() < 20:
                        return plain_rates
                    row = _row(name, case, mode, dtype)
                    with run.attempt("frames", **row), torch.inference_mode(), exact(dtype == "float32"):
                        _measure(run, row, frame, device, sizes.seconds, plain_rates)
        del pair
        release_memory(device)
    return plain_rates


def _row(name: str, case: "Case", mode: str, dtype: str) -> Row:
    frames, objects = case.memory.frames, case.masks.shape[1]
    return {"network": name, "frames": frames, "objects": objects, "way": mode, "dtype": dtype}


def _measure(run: Run, row: Row, frame: Frame, device: str, seconds: float, plain_rates: Rates) -> None:
    """Complete a row and record it; a plain one goes into ``plain_rates``, others are compared with it."""
    import torch

    from benchmarks.speed.propagation import peak_bytes

    key = row["network"], row["frames"], row["objects"]
    work = as_graph(frame) if row["way"] == "graph" else frame
    rate, slowest = frames_per_second(work, device, seconds)
    if row["way"] == "plain":
        plain_rates[key] = rate
    elif key in plain_rates:
        row["times_plain"] = rate / plain_rates[key]
    if row["way"] in ("plain", "eager"):
        row["peak_bytes"] = peak_bytes(partial(frame, True), torch.device(device))
    run.record("frames", **row, frames_per_second=rate, slowest=slowest)


def measure_compiled(
    run: Run, sizes: NetworkSizes, device: str, order: list[tuple[str, str]], plain_rates: Rates
) -> None:
    """Record frames a second of compiled networks.

    Args:
        order: network and type; the time may not suffice for the last ones.
    """
    for name, dtype in order:
        if run.left() < 45:
            return
        with run.attempt("frames", network=name, way="compiled", dtype=dtype):
            _measure_compiled_network(run, sizes, device, name, dtype, plain_rates)


def _measure_compiled_network(
    run: Run, sizes: NetworkSizes, device: str, name: str, dtype: str, plain_rates: Rates
) -> None:
    """The network's parts are compiled once for each number of objects."""
    import torch

    from benchmarks.speed.propagation import build_pair, make_case
    from training.tasks import speed

    plain, fast = build_pair(name, torch.device(device), model_config(sizes))
    fast = speed.prepare(fast, stage_of(name, sizes, ["runtime.compile=true"]).runtime, sizes.compile_backend)
    half = torch.bfloat16 if dtype == "bfloat16" else None
    for objects in sizes.objects:
        torch.compiler.reset()  # otherwise the second number of objects is compiled for dynamic shapes
        for frames in sizes.memory_sizes(name):
            if run.left() < 30:
                return
            case = make_case((plain, fast), frames, objects, "top-k", sizes.frame, half)
            row = _row(name, case, "compiled", dtype)
            with run.attempt("frames", **row), torch.inference_mode(), exact(dtype == "float32"):
                began = time.perf_counter()
                case.run_fast()
                row["compiled_in"] = time.perf_counter() - began
                _measure(run, row, _frame_of(case.run_fast), device, sizes.seconds, plain_rates)
    release_memory(device)
