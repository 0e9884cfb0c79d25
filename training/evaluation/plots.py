"""The figures of interactive evaluation, as PNG or whatever the file's suffix says."""

import io
from collections.abc import Mapping
from pathlib import Path

from bl30k_gen.dataset.files import write_atomically
from training.evaluation.interactive import Report
from training.evaluation.study import Study


def plot_reports(reports: Mapping[str, Report], out: str | Path, metric: str = "J&F", until: float = 60.0) -> None:
    """A metric against time up to ``until`` seconds, one line for each report (MiVOS, figure 11)."""
    figure, axes = _axes(f"time (s), mean of the samples, first {until:g} s", f"{metric} (%)", until)
    for label, report in reports.items():
        times, values = report.curve(metric)
        axes.plot(times, values, marker="o", markersize=3, label=f"{label}: AUC {report.auc(metric):.1f}")
    _save(figure, out)


def plot_study(study: Study, out: str | Path) -> None:
    """Mean IoU against user time and the band between the quartiles, a colour for each method (MiVOS, figure 13)."""
    figure, axes = _axes("user time (s)", "IoU (%)", study.horizon)
    for method in study.methods:
        curve = study.curve(method)
        (line,) = axes.plot(curve.seconds, curve.mean, label=f"{method}: AUC {study.auc(method):.1f}")
        axes.fill_between(curve.seconds, curve.lower, curve.upper, color=line.get_color(), alpha=0.2, linewidth=0)
    _save(figure, out)


def _axes(x: str, y: str, until: float):
    from matplotlib.figure import Figure  # here, as importing it takes long and most commands draw nothing

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot(xlabel=x, ylabel=y, xlim=(0, until), ylim=(0, 102))
    axes.grid(alpha=0.3)
    return figure, axes


def _save(figure, out: str | Path) -> None:
    figure.legend(loc="outside upper left", frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(out).suffix.lstrip(".") or "png", dpi=150)
    write_atomically(out, buffer.getvalue())
