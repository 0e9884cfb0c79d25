"""The figures of evaluation, in the format of the file's suffix, e.g. PNG."""

import io
from collections.abc import Collection, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import numpy as np

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.errors import UserError
from training.evaluation.interactive import InteractiveReport
from training.evaluation.study import Study

Numbers = Sequence[float] | np.ndarray

GREY = "0.55"
"""Colour of references for comparison."""


def plot_reports(
    reports: Mapping[str, InteractiveReport], out: str | Path, until: float = 60.0, references: Collection[str] = ()
) -> None:
    """J&F against time up to ``until`` seconds (MiVOS, figure 11), and IoU after each interaction, by report."""
    figure, (timed, counted) = _axes(2, ylim=(0, 102))
    labels = {name: f"{name}: AUC {report.auc():.1f}" for name, report in reports.items()}
    curves = {labels[name]: report.curve() for name, report in reports.items()}
    rounds = {labels[name]: report.by_interaction("J") for name, report in reports.items()}
    grey = [labels[name] for name in references]
    _draw(timed, curves, f"time (s), mean of the samples, first {until:g} s", "J&F (%)", grey)
    timed.set_xlim(0, until)
    _draw(counted, rounds, "interactions", "IoU (%)", grey)
    _save(figure, out)


def plot_study(study: Study, out: str | Path) -> None:
    """Mean IoU against user time with the band between the quartiles, for each method (MiVOS, figure 13)."""
    figure, (axes,) = _axes(1, xlabel="user time (s)", ylabel="IoU (%)", xlim=(0, study.horizon), ylim=(0, 102))
    for method in study.methods:
        curve = study.curve(method)
        (line,) = axes.plot(curve.seconds, curve.mean, label=f"{method}: AUC {study.auc(method):.1f}")
        axes.fill_between(curve.seconds, curve.lower, curve.upper, color=line.get_color(), alpha=0.2, linewidth=0)
    _save(figure, out)


def plot_curves(
    curves: Mapping[str, tuple[Numbers, Numbers]],
    x: str,
    y: str,
    out: str | Path,
    until: float | None = None,
    references: Collection[str] = (),
) -> None:
    """A line for each of ``curves`` (x values, y values in per cent); ``until`` is the end of the x axis.

    Curves of ``references``, such as the lower and the upper bound, are grey and dashed.
    """
    figure, (axes,) = _axes(1, ylim=(0, 102))
    _draw(axes, curves, x, y, references)
    axes.set_xlim(0, until)
    _save(figure, out)


def plot_bars(values: Mapping[str, float], label: str, out: str | Path, references: Collection[str] = ()) -> None:
    """A bar for each value, the first on top, with its number; those of ``references`` are grey."""
    figure, (axes,) = _axes(1, xlabel=label)
    colours = [GREY if name in references else "C0" for name in values]
    bars = axes.barh(list(values), list(values.values()), height=0.6, color=colours)
    axes.bar_label(bars, fmt="%.1f", padding=3)
    axes.margins(x=0.16)
    axes.invert_yaxis()
    _save(figure, out)


def plot_parts(parts: Mapping[str, Mapping[str, float]], label: str, out: str | Path) -> None:
    """A stacked bar for each entry; all entries have the same parts."""
    figure, (axes,) = _axes(1, xlabel=label)
    ends = dict.fromkeys(parts, 0.0)
    for part in next(iter(parts.values())):
        values = {name: entry[part] for name, entry in parts.items()}
        axes.barh(list(parts), list(values.values()), left=list(ends.values()), height=0.6, label=part)
        ends = {name: ends[name] + values[name] for name in parts}
    axes.invert_yaxis()
    _save(figure, out)


def plot_sweep(
    curves: Mapping[str, Mapping[str, Numbers]],
    levels: Mapping[str, Mapping[str, float]],
    x: str,
    places: Sequence[str],
    out: str | Path,
) -> None:
    """A panel for each quantity against the values of an option, evenly spaced and labelled ``places``.

    curves: {quantity: {row: a number or NaN for each place}}. levels: {quantity: {name: number}}: horizontal lines.
    """
    figure, panels = _axes(len(curves), xlabel=x)
    for axes, (quantity, rows) in zip(panels, curves.items(), strict=True):
        axes.set_ylabel(quantity)
        for label, values in rows.items():
            axes.plot(range(len(places)), values, marker="o", markersize=4, label=label)
        for label, value in levels[quantity].items():
            axes.axhline(value, linestyle="--", linewidth=1, color=GREY)
            axes.annotate(label, (0, value), (0, 2), textcoords="offset points", fontsize=8, color="0.4")
        axes.set_xticks(range(len(places)), places)
        axes.set_ylim(bottom=0)
    _save(figure, out)


def plot_paths(paths: Mapping[str, tuple[Numbers, np.ndarray]], out: str | Path) -> None:
    """Paths of vectors (N, C) over time, in the first two principal components of all of them (RDE, figure 4).

    paths: {name: (frame numbers, vectors)}. Raises UserError if vectors differ in length.
    """
    if len({vectors.shape[1] for _, vectors in paths.values()}) > 1:
        raise UserError("the rows' embeddings differ in length", "compare networks of one value_dim")
    joined = np.concatenate([vectors for _, vectors in paths.values()])
    mean = joined.mean(axis=0)
    _, sizes, axes_of_change = np.linalg.svd(joined - mean, full_matrices=False)
    share = 100 * sizes[:2] ** 2 / max((sizes**2).sum(), np.finfo(float).tiny)
    labels = [f"component {n + 1} ({part:.0f} % of the variance)" for n, part in enumerate(share)]
    figure, (axes,) = _axes(1, xlabel=labels[0], ylabel=labels[-1])
    for name, (frames, vectors) in paths.items():
        places = (vectors - mean) @ axes_of_change[:2].T
        (line,) = axes.plot(*places.T[:2], marker="o", markersize=3, linewidth=1, label=name)
        for index in sorted({0, len(frames) // 2, len(frames) - 1}):
            axes.annotate(f"{frames[index]}", places[index, :2], fontsize=8, color=line.get_color())
    _save(figure, out)


def _axes(count: int, **settings):
    """A figure with ``count`` panels in a row."""
    from matplotlib.figure import Figure  # here, as importing it takes long and most commands draw nothing

    figure = Figure(figsize=(1.5 + 4.5 * count, 4), layout="constrained")
    panels = [figure.add_subplot(1, count, number + 1, **settings) for number in range(count)]
    for axes in panels:
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
    return figure, panels


def _draw(
    axes, curves: Mapping[str, tuple[Numbers, Numbers]], x: str, y: str, references: Collection[str] = ()
) -> None:
    """A line for each of ``curves``; whole ticks on the x axis."""
    from matplotlib.ticker import MaxNLocator

    dashes = cycle(("--", ":"))
    for label, (places, values) in curves.items():
        style = {"marker": "o", "markersize": 2 + (len(places) < 20)}
        if label in references:
            style = {"linestyle": next(dashes), "color": GREY}
        axes.plot(places, values, label=label, **style)
    axes.set(xlabel=x, ylabel=y)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _save(figure, out: str | Path) -> None:
    """Write the figure with the legend of its first panel."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", frameon=False, ncols=1 + (len(labels) > 3))
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(out).suffix.lstrip(".") or "png", dpi=150)
    write_atomically(out, buffer.getvalue())
