"""Figures have integer ticks where numbers are integers."""

import json
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from training.evaluation.interactive import Interaction, InteractiveReport
from training.evaluation.plots import plot_curves, plot_reports
from training.runs.compare import Run, plot
from training.runs.folder import RunFolder


@pytest.fixture
def figures(monkeypatch):
    """The list of all figures written."""
    written: list[Figure] = []
    save = Figure.savefig

    def savefig(self: Figure, *args: Any, **more: Any) -> None:
        written.append(self)
        save(self, *args, **more)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return written


def ticks(figure: Figure) -> np.ndarray:
    return np.concatenate([axes.get_xticks() for axes in figure.axes])


def test_the_interaction_axis_has_integer_ticks(figures, tmp_path):
    plot_curves({"one": ([1, 2, 3], [50, 60, 70])}, "interactions", "J&F (%)", tmp_path / "interactive.png")
    assert len(ticks(figures[0])) > 2 and (ticks(figures[0]) % 1 == 0).all()


def test_reports_show_iou_after_each_interaction(figures, tmp_path):
    scores = [np.full((2, 1, 2), value) for value in (0.25, 0.5, 0.75)]
    for array in scores:
        array[..., 1] = 0.1  # the plot of IoU has no F
    rounds = [Interaction("a", 1, number, 4.0, (1,), array) for number, array in enumerate(scores, 1)]
    plot_reports({"mine": InteractiveReport(3, 240.0, [("a", 1, (1,))], rounds)}, tmp_path / "interactive.png")
    timed, counted = figures[0].axes
    assert counted.get_ylabel() == "IoU (%)" and timed.get_ylabel() == "J&F (%)"
    assert counted.lines[0].get_xydata().tolist() == [[1, 25], [2, 50], [3, 75]]
    assert (ticks(figures[0]) % 1 == 0).all()


def test_the_iteration_axis_has_integer_ticks(figures, tmp_path, monkeypatch):
    monkeypatch.setattr(RunFolder, "stage", lambda self: None)
    records = [{"iteration": i, "loss": 2.0 / i, "J&F": 40.0 + i} for i in (1, 2, 3)]
    (tmp_path / "run").mkdir()
    RunFolder(tmp_path / "run").log.write_text("".join(json.dumps(record) + "\n" for record in records))
    plot([Run(tmp_path / "run", "run")], tmp_path / "compare.png")
    assert len(ticks(figures[0])) > 4 and (ticks(figures[0]) % 1 == 0).all()
