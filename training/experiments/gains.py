"""The gain of pretraining on renders with the published schedule: cost, progress, and comparison with papers.

The arms share their stages, each a run folder of ``slurm/experiment.sbatch`` in one folder, with its scores on
DAVIS-2017's validation videos beside it in ``<stage>-davis17/``.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bl30k_gen.errors import UserError
from training.evaluation.report import Cell, Table
from training.runs.folder import RunFolder
from training.schema.stage import Stage, load_stage


@dataclass(frozen=True)
class Step:
    """A run of the experiment: its stage with changes, and the run it starts from."""

    folder: str
    stage: str
    arm: str
    start: str | None = None
    changes: tuple[str, ...] = ()

    def load(self) -> Stage:
        return load_stage(self.stage, self.changes)


STEPS = (
    Step("static", "stcn/static", "static"),
    Step("static-bl30k", "stcn/bl30k", "static > renders", "static"),
    Step("static-bl30k-vos", "stcn/vos", "static > renders > real", "static-bl30k"),
    Step(
        "static-vos",
        "stcn/vos",
        "static > real",
        "static",
        ("iterations=800000", "optimiser.decay_at=[750000]"),  # the sum of those on renders and on real videos
    ),
)
"""In an order in which they can be trained. ``static-bl30k`` is published by STCN's authors as s01."""


@dataclass(frozen=True)
class Anchor:
    """A published range of J&F: of the score of a run, or of its gain over the run ``less``. Bounds are inclusive."""

    run: str
    less: str | None
    low: float
    high: float
    source: str

    @property
    def words(self) -> str:
        return self.run if self.less is None else f"{self.run} less {self.less}"


ANCHORS = (
    Anchor("static-bl30k", None, 67.4, 73.4, "STCN's s01 has 70.4; 3 either way"),
    Anchor("static-bl30k", "static", 0.0, 100.0, "renders after still images gain without any real video"),
    Anchor("static-bl30k-vos", "static-vos", 0.5, 4.0, "published gains are 1.4 to 2.3 (STM), 1.9 (RDE), 1.5 (XMem)"),
)


def scores(out: Path) -> dict[str, float]:
    """J&F in per cent of the runs that have been evaluated."""
    found = {}
    for step in STEPS:
        file = out / f"{step.folder}-davis17" / "scores.csv"
        if file.exists():
            rows = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
            try:
                found[step.folder] = float(rows[1][rows[0].index("J&F")])
            except (IndexError, ValueError):
                raise UserError(f"{file} has no J&F", "write it again with train.py evaluate") from None
    return found


def cost_table(out: Path, gpus: int) -> Table:
    """Iterations, seconds per iteration and hours of each step; unknown values are empty.

    hours = iterations x seconds per iteration / 3600; GPU hours = hours x number of GPUs. Batches are totals, so the
    iterations do not depend on the number of GPUs, but the seconds do.
    """
    rows: list[list[Cell]] = []
    for step in STEPS:
        stage, seconds = step.load(), seconds_an_iteration(out / step.folder)
        hours = None if seconds is None else stage.iterations * seconds / 3600
        rows.append(
            [
                step.arm,
                step.folder,
                iterations_done(out / step.folder),
                stage.iterations,
                seconds,
                hours,
                None if hours is None else hours * gpus,
            ]
        )
    known = [row[5] for row in rows]
    if all(isinstance(hours, float) for hours in known):
        total = sum(hours for hours in known if isinstance(hours, float))
        rows.append(["all", "", None, sum(step.load().iterations for step in STEPS), None, total, total * gpus])
    return Table(["arm", "run", "done", "iterations", "s/it", "hours", "GPU hours"], rows, digits=2)


def seconds_an_iteration(folder: Path) -> float | None:
    """The median over a run's log, which ignores its first iterations and pauses; None without a log."""
    values = sorted(record["seconds"] for record in _log(folder) if "seconds" in record)
    return values[len(values) // 2] if values else None


def iterations_done(folder: Path) -> int:
    return max((record["iteration"] for record in _log(folder) if "seconds" in record), default=0)


def _log(folder: Path) -> list[dict]:
    return RunFolder(folder).records() if RunFolder(folder).config.exists() else []


def verdicts(found: Mapping[str, float]) -> list[tuple[Anchor, float | None, bool | None]]:
    """Each anchor with the measured value and whether it is reached; None if a run has not been evaluated."""
    rows: list[tuple[Anchor, float | None, bool | None]] = []
    for anchor in ANCHORS:
        if anchor.run not in found or anchor.less not in (None, *found):
            rows.append((anchor, None, None))
            continue
        value = found[anchor.run] - (found[anchor.less] if anchor.less else 0.0)
        rows.append((anchor, value, anchor.low <= value <= anchor.high))
    return rows


def verdict_table(found: Mapping[str, float]) -> Table:
    words = {True: "reached", False: "MISSED", None: "not evaluated yet"}
    rows = [
        [one.words, f"{one.low:g} to {one.high:g}", value, words[reached], one.source]
        for one, value, reached in verdicts(found)
    ]
    return Table(["J&F of", "asked for", "found", "", "why"], rows)
