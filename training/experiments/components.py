"""Times the parts of the system, in milliseconds per frame and object (MiVOS, table 3; RDE, figure 3)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from models.aggregate import aggregate
from models.clicks import Click, ClickNetwork
from models.fusion import Fusion, align
from models.memory import affinity
from models.policy import RecurrentMemory
from models.s2m import S2M
from training.evaluation.robot import BENCHMARK_ROBOT
from training.evaluation.scribbles import rasterise
from training.experiments.context import EvaluationContext, Measurement
from training.inference.load import pick_device
from training.inference.propagate import propagate
from training.inference.tensors import PaddedView, normalise, one_hot, working_size
from training.interactive import interaction
from training.schema.table import TableRow

REPEATS = 8
"""Repeats of a timed interaction or fusion; also the number of clicks."""
METHODS = {"query": "encode_query", "memory": "encode_memory", "reading": "read", "decoder": "decode"}


def components(row: TableRow, context: EvaluationContext, folder: Path) -> Measurement:
    """Milliseconds per frame and object of one part: the total, and by method of the network."""
    parts = {"propagation": _propagation, "s2m": _scribbles, "clicks": _clicks, "fusion": _fusion}
    return parts[row.part](row, context)


def _propagation(row: TableRow, context: EvaluationContext) -> Measurement:
    network, options = context.network(row)
    _, frames, mask, objects = context.first_video()
    methods = METHODS | ({"merging": "update"} if options.memory in RecurrentMemory.MODES else {})
    for _ in propagate(network, enumerate(frames[:3]), {0: mask}, options):
        pass  # warm-up
    with timed(network, *methods.values()) as spent:
        total = sum(r.seconds for r in propagate(network, enumerate(frames), {0: mask}, options, context.say))
    each = 1000 / len(frames) / len(objects)
    parts = {part: each * spent[method] for part, method in methods.items()}
    return Measurement({"ms": each * total} | parts | {"other": each * (total - sum(spent.values()))})


def _scribbles(row: TableRow, context: EvaluationContext) -> Measurement:
    network = context.load(row.s2m, S2M)
    name, _, mask, objects = context.first_video()
    view, image, _ = _working(row, context)
    strokes = BENCHMARK_ROBOT.begin(name, mask[None].astype(np.int16), objects).frames[0]
    rows = {0: 0} | {label: number for number, label in enumerate(objects, 1)}
    canvas = rasterise([replace(stroke, object_id=rows[stroke.object_id]) for stroke in strokes], *view.working)
    image = view.cut(image)[0]
    nothing = image.new_zeros(len(objects), *view.working)
    return _per_call(lambda: interaction.scribble(network, image, nothing, canvas), image.device, len(objects))


def _clicks(row: TableRow, context: EvaluationContext) -> Measurement:
    """Each click is in the middle of the largest error so far."""
    network = context.load(row.clicks, ClickNetwork)
    view, image, masks = _working(row, context)
    truth = view.cut(masks)[0, 0].cpu().numpy() > 0.5
    clicked, answer, clicks = interaction.ObjectClicks(network, view.cut(image)[0]), np.zeros_like(truth), []

    def click() -> None:
        nonlocal answer
        depth = distance_transform_edt(np.pad(answer != truth, 1))[1:-1, 1:-1]
        y, x = map(int, np.unravel_index(depth.argmax(), depth.shape))
        clicks.append(Click(y, x, bool(truth[y, x])))
        answer = (clicked.answer(clicks) > 0.5).cpu().numpy()

    return _per_call(click, image.device, 1, inference=False)


def _fusion(row: TableRow, context: EvaluationContext) -> Measurement:
    network, _ = context.network(row)
    fusion = context.load(row.fusion, Fusion)
    _, image, masks = _working(row, context)
    _, other, _ = _working(row, context, -1)
    nothing, distance = torch.zeros_like(masks), torch.tensor([[0.5, 0.5]], device=image.device)
    with torch.inference_mode():
        query, target = network.encode_query(image), network.encode_query(other)
        key = network.encode_memory(image, query, masks).key

    def fuse() -> None:
        difference = None
        if fusion.config.difference_aware:
            difference = align(affinity(key, target.key, network.similarity), nothing, masks)
        aggregate(fusion(other, nothing, masks, distance, difference).sigmoid(), keep_background=False)

    return _per_call(fuse, image.device, masks.shape[1])


def _working(row: TableRow, context: EvaluationContext, frame: int = 0) -> tuple[PaddedView, Tensor, Tensor]:
    """The view of the first video, one of its frames (1, 3, h, w) and the first masks (1, O, h, w)."""
    _, frames, mask, objects = context.first_video()
    side = {**context.options, **row.options}.get("short_side")
    view, device = PaddedView(mask.shape, working_size(mask.shape, side)), pick_device(context.device)
    return view, view.image(normalise(frames[frame], device)), view.masks(one_hot(mask, objects, device))


def _per_call(call: Callable[[], Any], device: torch.device, objects: int, inference: bool = True) -> Measurement:
    with torch.inference_mode() if inference else nullcontext():
        call()  # warm-up
        _wait(device)
        start = perf_counter()
        for _ in range(REPEATS):
            call()
        _wait(device)
    return Measurement({"ms": 1000 * (perf_counter() - start) / REPEATS / objects})


@contextmanager
def timed(module: torch.nn.Module, *methods: str) -> Iterator[dict[str, float]]:
    """Seconds spent in methods of a module inside the block, with a GPU synchronised."""
    spent = dict.fromkeys(methods, 0.0)
    device = next(module.parameters()).device

    def note(method: str, call: Callable) -> Callable:
        def timed_call(*args, **kwargs):
            _wait(device)
            start = perf_counter()
            result = call(*args, **kwargs)
            _wait(device)
            spent[method] += perf_counter() - start
            return result

        return timed_call

    with replaced(module, {method: note(method, getattr(module, method)) for method in methods}):
        yield spent


@contextmanager
def replaced(module: torch.nn.Module, methods: Mapping[str, Callable]) -> Iterator[None]:
    """Replace methods of a module inside the block."""
    for name, method in methods.items():
        setattr(module, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(module, name)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
