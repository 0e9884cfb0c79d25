"""Training steps a second of the networks, and samples a second of the loader that feeds them."""

import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu.network_setup import NetworkSizes, exact, release_memory, stage_of
from benchmarks.gpu.run import Row, Run, has

if TYPE_CHECKING:
    from benchmarks.speed.train_step import Variant

Mode = tuple[str, str, bool, str]
"""Formulation, type, whether channels are last, and a note for the table."""


def measure_steps(run: Run, sizes: NetworkSizes, device: str, compiled: bool) -> None:
    """Record training steps a second. Each mode is built and released by itself: its peak memory is measured."""
    for name in ("stcn", "rde"):
        modes: list[Mode] = [("ours", "bfloat16", True, "compiled")] if compiled else _modes(name)
        for mode in modes:
            if run.left() < (60 if compiled else 30):
                return
            row: Row = {"network": name, "way": mode[0], "dtype": mode[1], "note": mode[3]}
            with run.attempt("training", **row), exact(row["note"] == "exact"):
                _measure_steps(run, sizes, device, row, channels_last=mode[2], compiled=compiled)
            release_memory(device)


def _modes(name: str) -> list[Mode]:
    """The modes that are not compiled."""
    plain: list[Mode] = [("plain", "float32", False, "exact"), ("plain", "float32", False, "TF32")]
    return [
        *(plain if name == "stcn" else []),
        ("ours", "float32", False, "exact"),
        ("ours", "float32", False, "TF32"),
        ("ours", "bfloat16", False, ""),
        ("ours", "bfloat16", True, "channels last"),
    ]


def _measure_steps(run: Run, sizes: NetworkSizes, device: str, row: Row, channels_last: bool, compiled: bool) -> None:
    """Train for the warm-up and the timed steps, complete the row and record it."""
    import torch

    from benchmarks.speed.train_step import discs, own_variant, plain_variant, random_network

    settings = [f"runtime.channels_last={str(channels_last).lower()}", f"runtime.compile={str(compiled).lower()}"]
    stage = stage_of(row["network"], sizes, [f"size={sizes.crop}", f"batch={sizes.batch}", *settings])
    began = time.perf_counter()
    network, target = random_network(stage), torch.device(device)
    if row["way"] == "plain":
        variant = plain_variant(stage, network, target)
    else:
        variant = own_variant(stage, network, target, row["dtype"])
    batches = [discs(stage, number, target) for number in range(2)]
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for number in range(sizes.warm_up):
        variant.iterate(batches[number])
    row["until_timed"] = time.perf_counter() - began
    for number in range(sizes.steps):
        variant.iterate(batches[number % 2])
    if device == "cuda":
        row["peak_bytes"] = torch.cuda.max_memory_allocated()
    _record_steps(run, row, variant, sizes.steps)


def _record_steps(run: Run, row: Row, variant: "Variant", steps: int) -> None:
    """Record a row with its ratios to the float32 rows of the same network."""
    seconds = variant.seconds[-steps:]
    rate = 1 / statistics.median(seconds)
    of_network = [r for r in run.rows if r["kind"] == "training" and r["network"] == row["network"]]
    for formulation in ("plain", "ours"):
        for note in ("exact", "TF32"):
            base = [r for r in of_network if (r["way"], r["dtype"], r["note"]) == (formulation, "float32", note)]
            if base and "steps_per_second" in base[0]:
                row[f"times_{formulation}_float32_{note}"] = rate / base[0]["steps_per_second"]
    run.record("training", **row, steps_per_second=rate, slowest=1 / max(seconds), loss=variant.losses[-1])


def measure_loader(run: Run, sizes: NetworkSizes, device: str) -> None:
    """Record samples a second of one loader process on each core, from drawn JPEGs, and steps a second it feeds."""
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
        stage = stage_of("stcn", sizes, [*options, "data.bl30k.split=null"], [f"bl30k={folder}"])
        mixture = open_mixture(stage)
        order = SampleOrder(mixture, stage.iterations, stage.batch, stage.runtime.batch_per_step, stage.curriculum)
        loaded = loader(mixture, order, workers, pin_memory=device == "cuda")
        batches = (batch for batch in loaded if isinstance(batch, Batch))  # which all batches of videos are
        next(batches)
        count, began = 0, time.perf_counter()
        while not count or time.perf_counter() - began < sizes.loader_seconds:
            count += len(next(batches))
        rate = count / (time.perf_counter() - began)
        run.record("loader", workers=workers, samples_per_second=rate, steps_per_second=rate / stage.batch)
        variant = own_variant(stage, random_network(stage), torch.device(device), "bfloat16")
        for _ in range(2 if device == "cuda" else 0):
            variant.iterate(next(batches).to(torch.device(device)))
        count, began = 0, time.perf_counter()
        while not count or time.perf_counter() - began < sizes.loader_seconds:
            variant.iterate(next(batches).to(torch.device(device)))
            count += 1
        run.record("loader", workers=workers, fed_steps_per_second=count / (time.perf_counter() - began))
        del batches, loaded
    release_memory(device)
