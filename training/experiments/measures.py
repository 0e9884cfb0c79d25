"""What a row of a table measures: quality of masks, the interactive benchmark, time, or what memory holds.

A measure takes a ``Row``, the ``Bench`` and a folder of the row's own, and gives an ``Outcome``. Measures of quality
also give the outcomes of the floor and the ceiling that belong beside every row.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.reader import VideoStore
from models.fusion import Fusion
from models.policy import RecurrentMemory
from models.rde import RDE
from models.s2m import S2M
from training.evaluation.interactive import MIVOS_ROUNDS, InteractiveBenchmark, baselines, read_samples
from training.evaluation.semi_supervised import PROTOCOLS, Results, score_baselines, score_folders
from training.experiments.bench import Bench, Outcome
from training.experiments.components import components, replaced
from training.experiments.evaluate import open_sessions, segment_dataset_video
from training.inference.propagate import propagate
from training.inference.segment import Speed
from training.schema.table import Row

# Quality of masks that are carried from a given one


def semi_supervised(row: Row, bench: Bench, folder: Path) -> Outcome:
    """Scores of the bench's protocol, frames a second, and mean J by the distance from the given mask."""
    store, names, truth = bench.data
    network, options = bench.network(row)
    noted = folder / "speed.json"
    speeds = json.loads(noted.read_text(encoding="utf-8")) if noted.exists() else {}
    for name in names:
        speed, masks = Speed(), folder / "masks" / name
        segment_dataset_video(network, store, name, masks, PROTOCOLS[bench.protocol], options, bench.say, speed)
        if speed.frames:
            write_atomically(noted, json.dumps(speeds := speeds | {name: asdict(speed)}))
    results = score_folders(truth, folder / "masks", bench.protocol, names, None, bench.workers, lambda line: None)
    frames, seconds = (sum(speed[key] for speed in speeds.values()) for key in ("frames", "seconds"))
    pace = {"FPS": frames / seconds, "ms": 1000 * seconds / frames} if frames else {}
    return Outcome(results.summary() | pace, by_distance(results, store))


def semi_supervised_baselines(bench: Bench) -> dict[str, Outcome]:
    store, names, truth = bench.data
    scored = score_baselines(truth, bench.protocol, names, None, bench.workers)
    return {name: Outcome(results.summary(), by_distance(results, store)) for name, results in scored.items()}


def by_distance(results: Results, store: VideoStore) -> dict[str, list]:
    """Mean J by the number of frames from the one before an object's first scored frame.

    Only distances at which every object is scored count: else the curve would jump where short videos end.
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


def interactive(row: Row, bench: Bench, folder: Path) -> Outcome:
    """AUC and value at 60 s, the system's seconds for a sample, and J&F against time."""
    store, _, truth = bench.data
    network, options = bench.network(row)
    drawing = None if row.s2m == "perfect" else bench.load(row.s2m, S2M)
    fusion: Fusion | Literal["linear", "none"]
    match row.fusion:
        case "linear" | "none" as plain:
            fusion = plain
        case checkpoint:
            fusion = bench.load(checkpoint, Fusion)
    perfect = baselines(truth)["oracle"] if drawing is None else None
    system = open_sessions(network, drawing, fusion, options, store, perfect, bench.say)
    return _benchmark(bench, system, bench.say, folder / "report.csv")


def interactive_baselines(bench: Bench) -> dict[str, Outcome]:
    systems = baselines(bench.data[2])
    return {name: _benchmark(bench, system, lambda line: None) for name, system in systems.items()}


def _benchmark(bench: Bench, system: Callable, say: Callable[[str], None], out: Path | None = None) -> Outcome:
    _, names, truth = bench.data
    samples = read_samples(truth, bench.scribbles, names)
    report = InteractiveBenchmark(new_frame_rounds=MIVOS_ROUNDS).run(samples, system, say)
    if out:
        report.write_csv(out)
    times, values = report.curve()
    seconds = {"seconds": float(times[-2])}
    return Outcome(report.summary() | seconds, {"time (s)": times.tolist(), "J&F (%)": values.tolist()})


# What memory holds over time


def embeddings(row: Row, bench: Bench, folder: Path) -> Outcome:
    """The newest value embedding in memory over the first video, as a mean over its positions and objects.

    Of a recurrent memory it is the merged embedding, of a growing one the newest frame's. "drift" is the last one's
    distance from the first, "step" the mean distance of neighbours, in per cent of the first one's length.
    """
    network, options = bench.network(row)
    _, frames, mask, _ = bench.first_video()
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
        for result in propagate(network, enumerate(frames), {0: mask}, options, bench.say):
            numbers += [result.number] * (len(seen) - len(numbers))
    lengths = np.linalg.norm(np.diff(seen, axis=0), axis=1) if len(seen) > 1 else np.zeros(1)
    unit = 100 / float(np.linalg.norm(seen[0]))
    values = {"embeddings": len(seen), "step": unit * float(lengths.mean())}
    values["drift"] = unit * float(np.linalg.norm(seen[-1] - seen[0]))
    return Outcome(values, {"frame": numbers, "embedding": [vector.tolist() for vector in seen]})


@dataclass(frozen=True)
class Measure:
    """``row`` measures one row, ``baselines`` the floor and the ceiling beside it."""

    row: Callable[[Row, Bench, Path], Outcome]
    baselines: Callable[[Bench], dict[str, Outcome]] | None = None


MEASURES = {
    "semi-supervised": Measure(semi_supervised, semi_supervised_baselines),
    "interactive": Measure(interactive, interactive_baselines),
    "components": Measure(components),
    "embeddings": Measure(embeddings),
}
