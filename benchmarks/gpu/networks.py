"""Networks on one GPU: frames and training steps a second, memory, and the same outputs as on the processor.

    python3 -m benchmarks.gpu.networks                      # at most five minutes
    python3 -m benchmarks.gpu.networks --dry-run            # every step once, small, on the processor

From the folder of the project, without installation: PyTorch with torchvision, pydantic and pyyaml must be
importable. What is measured first matters most; rows that the time did not suffice for are missing on the page.

A frame is: encode the query, read the memory, decode, aggregate; every fifth frame enters memory. The plain
formulation is that of benchmarks/speed/propagation.py, in float32. "graph" replays the kernels of the eager frame as
a CUDA graph. A training step is forward, backward and Adam, at the published batch and crop, on drawn discs; the
plain one is that of benchmarks/speed/train_step.py. Float32 is exact: TF32 is off unless a row says so.
"""

import copy
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.networks_page import ALIKE, CLOSE, describe
from benchmarks.gpu.run import Row, Run, device_of, hardware, has, parser_of, require

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from benchmarks.speed.train_step import Variant
    from models.propagation import PropagationNetwork
    from training.schema.stage import Stage

MINUTES = 5.0
MEMORY_EVERY = 5


@dataclass(frozen=True)
class Sizes:
    """Of the published work, and of a dry run."""

    networks: tuple[str, ...] = ("stcn", "rde", "stm")
    frame: tuple[int, int] = (480, 864)
    memory: tuple[int, ...] = (5, 20, 50)
    objects: tuple[int, ...] = (1, 3)
    seconds: float = 0.7  # that a row of frames is timed for
    crop: int = 384
    batch: int = 8
    warm_up: int = 2
    steps: int = 8
    fit_crop: int = 160
    fit_steps: int = 60
    loader_seconds: float = 8.0
    compile_backend: str = "inductor"
    model: tuple[str, ...] = ()


DRY = Sizes(
    frame=(64, 96),
    memory=(2,),
    seconds=0.0,
    crop=64,
    batch=2,
    warm_up=1,
    steps=1,
    fit_crop=64,
    fit_steps=1,
    loader_seconds=0.0,
    compile_backend="eager",
    model=("backbone=resnet18", "memory_backbone=resnet18", "key_dim=16", "value_dim=32", "decoder_dim=32"),
)


@contextmanager
def exact(on: bool) -> Iterator[None]:
    """Float32 convolutions and products without TF32."""
    import torch

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = (False, False) if on else (True, False)
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


# Propagation.


def frames_per_second(frame: Callable[[bool], object], device: str, seconds: float) -> tuple[float, float]:
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


def as_graph(frame: Callable[[bool], "Tensor"]) -> Callable[[bool], object]:
    """Replays of a frame's kernels, without and with its memory."""
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


def _of_memory(run: "Callable[..., Tensor]") -> "Callable[[bool], Tensor]":
    """A frame by whether it is to be remembered."""
    return lambda remember: run(remember=remember)


def propagate(run: Run, sizes: Sizes, device: str) -> dict[tuple[str, int, int], float]:
    """Frames a second of all networks, eager; returns the plain ones by network, frames and objects."""
    import torch

    from benchmarks.speed.propagation import build_pair, make_case, peak_bytes

    plain_rates: dict[tuple[str, int, int], float] = {}
    for name in sizes.networks:
        pair = build_pair(name, torch.device(device), _config(name, sizes))
        for frames in sizes.memory if name != "rde" else sizes.memory[:1]:
            for objects in sizes.objects:
                case = make_case(pair, frames, objects, "top-k", sizes.frame, None)
                half = make_case(pair, frames, objects, "top-k", sizes.frame, torch.bfloat16)
                what = {"network": name, "frames": case.memory.frames, "objects": objects}
                ways: list[tuple[str, str, Callable[[bool], Tensor]]] = [
                    ("plain", "float32", _of_memory(case.run_plain)),
                    ("eager", "float32", _of_memory(case.run_fast)),
                    ("eager", "bfloat16", _of_memory(half.run_fast)),
                ]
                if device == "cuda":
                    ways.append(("graph", "bfloat16", ways[-1][2]))
                for way, dtype, frame in ways:
                    if run.left() < 20:
                        return plain_rates
                    row: Row = {**what, "way": way, "dtype": dtype}
                    with run.attempt("frames", **row), torch.inference_mode(), exact(dtype == "float32"):
                        work = as_graph(frame) if way == "graph" else frame
                        rate, slowest = frames_per_second(work, device, sizes.seconds)
                        if way == "plain":
                            plain_rates[name, case.memory.frames, objects] = rate
                        else:
                            row["times_plain"] = rate / plain_rates[name, case.memory.frames, objects]
                        if way != "graph":
                            row["peak_bytes"] = peak_bytes(partial(frame, True), torch.device(device))
                        run.record("frames", **row, frames_per_second=rate, slowest=slowest)
        del pair
        _empty(device)
    return plain_rates


def propagate_compiled(run: Run, sizes: Sizes, device: str, name: str, dtype: str, rates: dict) -> None:
    """The same of compiled parts, which are compiled once for each number of objects."""
    import torch

    from benchmarks.speed.propagation import build_pair, make_case
    from training.tasks import speed

    plain, fast = build_pair(name, torch.device(device), _config(name, sizes))
    fast = speed.prepare(fast, _stage(name, sizes, ["runtime.compile=true"]).runtime, sizes.compile_backend)
    for objects in sizes.objects:
        torch.compiler.reset()  # else another number of objects would be compiled for any number
        for frames in sizes.memory if name != "rde" else sizes.memory[:1]:
            if run.left() < 30:
                return
            half = torch.bfloat16 if dtype == "bfloat16" else None
            case = make_case((plain, fast), frames, objects, "top-k", sizes.frame, half)
            key = (name, case.memory.frames, objects)
            row: Row = {"network": name, "frames": key[1], "objects": objects, "way": "compiled", "dtype": dtype}
            with run.attempt("frames", **row), torch.inference_mode(), exact(dtype == "float32"):
                began = time.perf_counter()
                case.run_fast()
                row["compiled_in"] = time.perf_counter() - began
                rate, slowest = frames_per_second(_of_memory(case.run_fast), device, sizes.seconds)
                if key in rates:
                    row["times_plain"] = rate / rates[key]
                run.record("frames", **row, frames_per_second=rate, slowest=slowest)
    _empty(device)


# Equality with the processor.


def check_outputs(run: Run, sizes: Sizes, device: str) -> None:
    """Networks that have learned for seconds to follow discs, so that their labels are no coin tosses."""
    import torch

    from benchmarks.speed.train_step import discs, own_variant, random_network

    for name in sizes.networks:
        if run.left() < 40:
            return
        with run.attempt("equality", network=name):
            extra = [f"size={sizes.fit_crop}", "batch=8" if device == "cuda" else "batch=2"]
            stage = _stage(name, sizes, [*extra, "optimiser.learning_rate=1e-4"])
            way = own_variant(stage, random_network(stage), torch.device(device), "bfloat16")
            for number in range(sizes.fit_steps):
                way.iterate(discs(stage, number, torch.device(device)))
            network = copy.deepcopy(way.network).cpu().float().eval().requires_grad_(False)
            batch = discs(stage.model_copy(update={"batch": 1}), 10**6, torch.device("cpu"))
            for objects in (1, 2):
                _compare_outputs(run, network, batch.images, batch.masks[:, :, :objects], name, device)
        _empty(device)


def _compare_outputs(
    run: Run, network: "PropagationNetwork", images: "Tensor", masks: "Tensor", name: str, device: str
) -> None:
    import torch

    from models.aggregate import aggregate
    from models.backbone import prepare_for_inference
    from models.propagation import Entry
    from models.rde import RDE

    def segment(network: "PropagationNetwork", device: str, dtype: "torch.dtype | None") -> "Tensor":
        """The third frame, after two in memory: (1, O + 1, H, W) on the processor."""
        entries = []
        with torch.inference_mode(), torch.autocast(device, dtype, enabled=dtype is not None), exact(dtype is None):
            for t in (0, 1):
                image = images[:, t].to(device)
                entries.append(network.encode_memory(image, network.encode_query(image), masks[:, t].to(device)))
            if isinstance(network, RDE):
                entries.append(network.update(*entries))
            query = network.encode_query(images[:, 2].to(device))
            readout = network.read(Entry.cat(entries), query, network.evaluation)
            return aggregate(network.decode(readout, query).float().sigmoid()).cpu()

    true = segment(network, "cpu", None)
    there = prepare_for_inference(copy.deepcopy(network).to(device))
    single, half = segment(there, device, None), segment(there, device, torch.bfloat16)
    difference = (true - single).abs().max().item()
    agree = (true.argmax(1) == half.argmax(1)).float().mean().item()
    found = (true.argmax(1) > 0).float().mean().item()
    run.record(
        "equality",
        network=name,
        objects=masks.shape[2],
        float32_difference=difference,
        float32_met=difference <= CLOSE,
        bf16_labels_alike=agree,
        bf16_met=agree >= ALIKE,
        object_pixels=found,
    )


# Training.


def train(run: Run, sizes: Sizes, device: str, compiled: bool) -> None:
    """Training steps a second, each way by itself: others' memory must not count."""
    import torch

    from benchmarks.speed.train_step import discs, own_variant, plain_variant, random_network

    for name in ("stcn", "rde"):
        ways = [("ours", "bfloat16", True, "compiled")] if compiled else _training_ways(name)
        for way, dtype, channels_last, note in ways:
            if run.left() < (60 if compiled else 30):
                return
            runtime = [
                f"runtime.channels_last={str(channels_last).lower()}",
                f"runtime.compile={str(compiled).lower()}",
            ]
            stage = _stage(name, sizes, [f"size={sizes.crop}", f"batch={sizes.batch}", *runtime])
            row: Row = {"network": name, "way": way, "dtype": dtype, "note": note}
            with run.attempt("training", **row), exact(note == "exact"):
                began = time.perf_counter()
                network = random_network(stage)
                where = torch.device(device)
                plain = way == "plain"
                trained = plain_variant(stage, network, where) if plain else own_variant(stage, network, where, dtype)
                batches = [discs(stage, number, torch.device(device)) for number in range(2)]
                if device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
                for number in range(sizes.warm_up):
                    trained.iterate(batches[number])
                row["until_timed"] = time.perf_counter() - began
                for number in range(sizes.steps):
                    trained.iterate(batches[number % 2])
                if device == "cuda":
                    row["peak_bytes"] = torch.cuda.max_memory_allocated()
                _record_steps(run, row, trained, sizes)
                del trained, network, batches
            _empty(device)


def _training_ways(name: str) -> list[tuple[str, str, bool, str]]:
    plain = [("plain", "float32", False, "exact"), ("plain", "float32", False, "TF32")] if name == "stcn" else []
    return [
        *plain,
        ("ours", "float32", False, "exact"),
        ("ours", "float32", False, "TF32"),
        ("ours", "bfloat16", False, ""),
        ("ours", "bfloat16", True, "channels last"),
    ]


def _record_steps(run: Run, row: Row, trained: "Variant", sizes: Sizes) -> None:
    seconds = trained.seconds[-sizes.steps :]
    rate = 1 / statistics.median(seconds)
    for kind in ("plain", "ours"):
        for note in ("exact", "TF32"):
            base = [r for r in run.rows if r["kind"] == "training" and r["network"] == row["network"]]
            base = [r for r in base if (r["way"], r["dtype"], r["note"]) == (kind, "float32", note)]
            if base and "steps_per_second" in base[0]:
                row[f"times_{kind}_float32_{note}"] = rate / base[0]["steps_per_second"]
    run.record("training", **row, steps_per_second=rate, slowest=1 / max(seconds), loss=trained.losses[-1])


# The loader.


def load(run: Run, sizes: Sizes, device: str) -> None:
    """Samples a second of a loader process on each core, from drawn JPEGs; and steps a second that it feeds."""
    import torch

    from benchmarks.gpu.drawn import draw_dataset
    from benchmarks.speed.train_step import own_variant, random_network

    if run.left() < 60:
        return
    if not has("cv2"):
        run.record("loader", note="not measured: OpenCV (cv2) is not installed here")
        return
    from training.data.mixture import SampleOrder, loader, open_mixture
    from training.data.sample import Batch

    workers = len(os.sched_getaffinity(0)) if device == "cuda" else 1
    with run.attempt("loader", workers=workers), tempfile.TemporaryDirectory() as folder:
        draw_dataset(Path(folder), sizes.frame, 8 if device == "cuda" else 1)
        options = [f"size={sizes.crop}", f"batch={sizes.batch}", "runtime.channels_last=true", "iterations=100000"]
        stage = _stage("stcn", sizes, [*options, "data.bl30k.split=null"], [f"bl30k={folder}"])
        mixture = open_mixture(stage)
        order = SampleOrder(mixture, stage.iterations, stage.batch, stage.runtime.batch_per_step, stage.curriculum)
        loaded = loader(mixture, order, workers, pin_memory=device == "cuda")
        batches = (batch for batch in loaded if isinstance(batch, Batch))  # as all of videos are
        next(batches)
        count, began = 0, time.perf_counter()
        while not count or time.perf_counter() - began < sizes.loader_seconds:
            count += len(next(batches))
        rate = count / (time.perf_counter() - began)
        run.record("loader", workers=workers, samples_per_second=rate, steps_per_second=rate / stage.batch)
        way = own_variant(stage, random_network(stage), torch.device(device), "bfloat16")
        for _ in range(2 if device == "cuda" else 0):
            way.iterate(next(batches).to(torch.device(device)))
        count, began = 0, time.perf_counter()
        while not count or time.perf_counter() - began < sizes.loader_seconds:
            way.iterate(next(batches).to(torch.device(device)))
            count += 1
        run.record("loader", workers=workers, fed_steps_per_second=count / (time.perf_counter() - began))
        del batches, loaded
    _empty(device)


# The run.


def _config(name: str, sizes: Sizes) -> dict[str, Any]:
    pairs = (item.split("=") for item in sizes.model)
    return {key: int(value) if value.isdigit() else value for key, value in pairs}


def _stage(name: str, sizes: Sizes, settings: list[str], data: list[str] | None = None) -> "Stage":
    from training.schema.stage import load_stage

    model = [f"model.{item}" for item in sizes.model]
    return load_stage(f"{name}/bl30k", ["imagenet=none", *model, *settings], data or [])


def _empty(device: str) -> None:
    import gc

    import torch

    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of(__doc__, MINUTES)
    options = parser.parse_args(arguments)
    require("torch", "torchvision", "pydantic", "yaml")
    device, sizes = device_of(options.dry_run), DRY if options.dry_run else Sizes()
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
    rates = propagate(run, sizes, device)
    train(run, sizes, device, compiled=False)
    check_outputs(run, sizes, device)
    load(run, sizes, device)
    first = [("stcn", "bfloat16")] if options.dry_run else _compiled_order(sizes)
    propagate_compiled_all(run, sizes, device, first[:1], rates)
    if not options.dry_run:
        train(run, sizes, device, compiled=True)
    propagate_compiled_all(run, sizes, device, first[1:], rates)
    return run.close()


def _compiled_order(sizes: Sizes) -> list[tuple[str, str]]:
    return [(name, dtype) for dtype in ("bfloat16", "float32") for name in sizes.networks]


def propagate_compiled_all(
    run: Run, sizes: Sizes, device: str, order: list[tuple[str, str]], rates: dict[tuple[str, int, int], float]
) -> None:
    for name, dtype in order:
        if run.left() < 45:
            return
        with run.attempt("frames", network=name, way="compiled", dtype=dtype):
            propagate_compiled(run, sizes, device, name, dtype, rates)


if __name__ == "__main__":
    raise SystemExit(main())
