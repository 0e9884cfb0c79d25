"""The measures of tables: quality of masks, the interactive benchmark, time, and embeddings in memory.

A measure takes a ``TableRow``, the ``EvaluationContext`` and a folder for the row, and returns a ``Measurement``.
Measures of quality also have baselines: a lower and an upper bound.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.inputs import read_json
from models.fusion import Fusion
from models.policy import RecurrentMemory
from models.rde import RDE
from models.s2m import S2M
from training.evaluation.interactive import MIVOS_ROUNDS, InteractiveBenchmark, baselines, read_samples
from training.evaluation.semi_supervised import PROTOCOLS, Results, score_baselines, score_folders
from training.experiments.components import components, replaced
from training.experiments.context import EvaluationContext, Measurement
from training.experiments.evaluate import open_sessions, segment_dataset_video
from training.inference.propagate import propagate
from training.inference.segment import Speed
from training.schema.table import TableRow

# Quality of masks propagated from given ones


def semi_supervised(row: TableRow, context: EvaluationContext, folder: Path) -> Measurement:
    """Scores of the protocol, frames per second, and mean J by the distance from the given mask."""
    store, names, truth = context.data
    network, options = context.network(row)
    file = folder / "speed.json"
    speeds = read_json(file, "remove it") if file.exists() else {}
    for name in names:
        speed, masks = Speed(), folder / "masks" / name
        segment_dataset_video(network, store, name, masks, PROTOCOLS[context.protocol], options, context.say, speed)
        if speed.frames:
            write_atomically(file, json.dumps(speeds := speeds | {name: asdict(speed)}))
    results = score_folders(
        truth, folder / "masks", context.protocol, names, None, context.workers, lambda line: None, context.masks
    )
    frames, seconds = (sum(speed[key] for speed in speeds.values()) for key in ("frames", "seconds"))
    pace = {"FPS": frames / seconds, "ms": 1000 * seconds / frames} if frames else {}
    return Measurement(results.summary() | pace, by_distance(results, store))


def semi_supervised_baselines(context: EvaluationContext) -> dict[str, Measurement]:
    store, names, truth = context.data
    scored = score_baselines(truth, context.protocol, names, None, context.workers, context.masks)
    return {name: Measurement(results.summary(), by_distance(results, store)) for name, results in scored.items()}


def by_distance(results: Results, store: VideoStore) -> dict[str, list]:
    """Mean J by the number of frames since the given mask, which precedes an object's first scored frame.

    Only distances at which all objects are scored are used, else the curve would jump where short videos end.
    """
    collected: dict[int, list[float]] = {}
    for score in results.objects:
        numbers = {name: number for number, name in enumerate(store.frames(score.video))}
        first = numbers[score.frames[0]] - 1
        for name, (j, _) in zip(score.frames, score.values, strict=True):
            collected.setdefault(numbers[name] - first, []).append(float(j))
    distances = sorted(d for d, values in collected.items() if len(values) == len(results.objects))
    return {"distance (frames)": distances, "J (%)": [float(np.mean(collected[d])) for d in distances]}


# The interactive benchmark


def interactive(row: TableRow, context: EvaluationContext, folder: Path) -> Measurement:
    """AUC and value at 60 s, the system's seconds per sample, and J&F against time."""
    store, _, truth = context.data
    network, options = context.network(row)
    s2m = None if row.s2m == "perfect" else context.load(row.s2m, S2M)
    fusion: Fusion | Literal["linear", "none"]
    match row.fusion:
        case "linear" | "none" as plain:
            fusion = plain
        case checkpoint:
            fusion = context.load(checkpoint, Fusion)
    perfect = baselines(truth, store.rule)["oracle"] if s2m is None else None
    system = open_sessions(network, s2m, fusion, options, store, perfect, context.say)
    return _benchmark(context, system, context.say, folder / "report.csv")


def interactive_baselines(context: EvaluationContext) -> dict[str, Measurement]:
    store, _, truth = context.data
    systems = baselines(truth, store.rule)
    return {name: _benchmark(context, system, lambda line: None) for name, system in systems.items()}


def _benchmark(
    context: EvaluationContext, system: Callable, say: Callable[[str], None], out: Path | None = None
) -> Measurement:
    store, names, truth = context.data
    samples = read_samples(truth, context.scribbles, names, rule=store.rule)
    report = InteractiveBenchmark(new_frame_rounds=MIVOS_ROUNDS).run(samples, system, say)
    if out:
        report.write_csv(out)
    times, values = report.curve()
    seconds = {"seconds": float(times[-2])}
    return Measurement(report.summary() | seconds, {"time (s)": times.tolist(), "J&F (%)": values.tolist()})


# Embeddings in memory over time


def embeddings(row: TableRow, context: EvaluationContext, folder: Path) -> Measurement:
    """The newest value embedding in memory along the first video, as a mean over positions and objects.

    In a recurrent memory it is the merged embedding, in a growing one that of the newest frame. "drift" is the
    distance of the last one from the first, "step" the mean distance of consecutive ones, both in per cent of the
    norm of the first one.
    """
    network, options = context.network(row)
    _, frames, mask, _ = context.first_video()
    seen: list[np.ndarray] = []
    merges = "recurrent" in str(RecurrentMemory.MODES.get(options.memory))

    def note(call: Callable, counts: Callable[[], bool]) -> Callable:
        def noted(*args):
            entry = call(*args)
            if counts():
                seen.append(entry.value.float().mean(dim=(0, 1, 3, 4, 5)).cpu().numpy())
            return entry

        return noted

    methods = {"encode_memory": note(network.encode_memory, lambda: not (merges and seen))}
    if merges:
        assert isinstance(network, RDE)  # no other takes these options
        methods["update"] = note(network.update, lambda: True)
    numbers: list[int] = []
    with replaced(network, methods):
        for result in propagate(network, enumerate(frames), {0: mask}, options, context.say):
            numbers += [result.number] * (len(seen) - len(numbers))
    lengths = np.linalg.norm(np.diff(seen, axis=0), axis=1) if len(seen) > 1 else np.zeros(1)
    unit = 100 / float(np.linalg.norm(seen[0]))
    values = {"embeddings": len(seen), "step": unit * float(lengths.mean())}
    values["drift"] = unit * float(np.linalg.norm(seen[-1] - seen[0]))
    return Measurement(values, {"frame": numbers, "embedding": [vector.tolist() for vector in seen]})


@dataclass(frozen=True)
class Measure:
    """``row`` measures one row, ``baselines`` the lower and the upper bound."""

    row: Callable[[TableRow, EvaluationContext, Path], Measurement]
    baselines: Callable[[EvaluationContext], dict[str, Measurement]] | None = None


MEASURES = {
    "semi-supervised": Measure(semi_supervised, semi_supervised_baselines),
    "interactive": Measure(interactive, interactive_baselines),
    "components": Measure(components),
    "embeddings": Measure(embeddings),
}
