"""Compares runs: their progress, their results, the differences of their configurations, and their curves."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.claim import claim
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.errors import UserError
from training.evaluation.report import Table
from training.runs.folder import RunFolder
from training.schema.stage import Stage

MAX_POINTS = 50
"""Points of a smoothed curve; each is the mean of consecutive records."""


class Run:
    """A run's folder, read. ``losses`` and ``scores`` are lists of (iteration, value)."""

    def __init__(self, folder: Path, label: str):
        self.label = label
        self.folder = RunFolder(folder)
        self.stage: Stage = self.folder.stage()
        records = self.folder.records() if self.folder.log.exists() else []
        self.losses = [(r["iteration"], r["loss"]) for r in records if "loss" in r]
        self.scores = [(r["iteration"], r["J&F"]) for r in records if "J&F" in r]
        self.last: dict[str, Any] = next((r for r in reversed(records) if "loss" in r), {})

    def summary(self) -> dict[str, Any]:
        """One row of the table; None for unknown values."""
        recent = [value for _, value in self.losses[-max(1, len(self.losses) // 10) :]]
        best = max(self.scores, key=lambda score: score[1], default=(None, None))
        return {
            "network": self.stage.network,
            "iterations": f"{self.last.get('iteration', 0)}/{self.stage.iterations}",
            "loss": sum(recent) / len(recent) if recent else None,
            "IoU": self.last.get("iou"),
            "best J&F": best[1],
            "at": best[0],
            "s/iteration": self.last.get("seconds"),
        }


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs, labelled by the shortest ends of their paths that differ.

    Raises UserError if a folder holds no run.
    """
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UserError("a run is given twice", "name each folder once")
    depth = next(n for n in range(1, max(map(len, parts)) + 1) if len({p[-n:] for p in parts}) == len(parts))
    return [Run(folder, "/".join(path[-depth:])) for folder, path in zip(folders, parts, strict=True)]


def summary_table(runs: list[Run]) -> Table:
    """One row for each run; its loss is the mean of the last tenth of its log."""
    rows = {run.label: run.summary() for run in runs}
    columns = list(next(iter(rows.values())))
    return Table(["run", *columns], [[label, *row.values()] for label, row in rows.items()], digits=3)


def difference_table(runs: list[Run]) -> Table:
    """One row for each key of the configuration in which runs differ."""
    configurations = [run.stage.differing() for run in runs]
    keys = list(dict.fromkeys(key for configuration in configurations for key in configuration))
    rows = []
    for key in keys:
        values = ["" if key not in c else "null" if c[key] is None else str(c[key]) for c in configurations]
        if len(set(values)) > 1:
            rows.append([key, *values])
    return Table(["key", *(run.label for run in runs)], rows)


def compare(folders: Sequence[Path], out: Path) -> str:
    """Write ``out/compare.txt``, ``.csv`` and ``.png``. Returns the text.

    Raises UserError if a folder holds no run, or ``out`` is one of them, or was filled by another command.
    """
    runs = read_runs(folders)
    claim(out, "compare", {}, folders)
    summary, differences = summary_table(runs), difference_table(runs)
    text = summary.text() + "\n" + (differences.text() if differences.rows else "the configurations are the same\n")
    write_atomically(out / "compare.txt", text)
    write_atomically(out / "compare.csv", summary.csv())
    plot(runs, out / "compare.png")
    return text


def plot(runs: list[Run], path: Path) -> None:
    """Loss against iterations, and validation J&F beside it where any run has it."""
    from matplotlib.figure import Figure  # here, as importing it takes long
    from matplotlib.ticker import MaxNLocator

    validated = any(run.scores for run in runs)
    figure = Figure(figsize=(11 if validated else 6, 4), layout="constrained")
    loss, *others = figure.subplots(1, 1 + validated, squeeze=False)[0]
    loss.set(xlabel="iteration", ylabel="loss", yscale="log")
    for number, run in enumerate(runs):
        loss.plot(*smooth(run.losses), color=f"C{number % 10}", label=run.label)
        for axes in others:
            points = zip(*run.scores, strict=True) if run.scores else ([], [])
            axes.plot(*points, "o-", markersize=3, color=f"C{number % 10}")
    for axes in others:
        axes.set(xlabel="iteration", ylabel="validation J&F (%)")
    for axes in (loss, *others):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
    figure.legend(loc="outside upper left", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomically(path, buffer.getvalue())


def smooth(curve: list[tuple[int, float]]) -> tuple[list[float], list[float]]:
    """About ``MAX_POINTS`` points, each the mean of consecutive records."""
    width = max(1, len(curve) // MAX_POINTS)
    parts = [curve[i : i + width] for i in range(0, len(curve), width)]
    means = [[sum(column) / len(part) for column in zip(*part, strict=True)] for part in parts]
    return [x for x, _ in means], [y for _, y in means]
