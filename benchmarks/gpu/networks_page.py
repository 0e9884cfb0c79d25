"""The page of ``benchmarks.gpu.networks``: a table for each kind of row, and which goals are met."""

from collections.abc import Callable

from benchmarks.gpu.run import Row

GOALS = {1: 100.0, 3: 60.0}
"""Frames a second by objects, STCN in bf16."""
TRAINING_GOAL = 2.0
"""Times the plain float32 step."""
CLOSE, ALIKE = 1e-3, 0.99
"""Limits beside the processor: largest difference of probabilities in float32, fraction of equal labels in bf16."""


def describe(rows: list[Row], head: Row) -> str:
    """The page in Markdown.

    Args:
        head: what was run, where and when.
    """
    from benchmarks.page import table

    parts = [
        "# Networks on one GPU",
        "",
        f"`{head['command']}` on {head['hardware']}, {head['date']}. "
        f"Frames of {head['frame'][1]}x{head['frame'][0]}, reading with top-k; crops of {head['crop']}, "
        f"batches of {head['batch']}.",
        "" if head["device"] == "cuda" else "\n**A dry run on the processor: its numbers mean nothing.**\n",
    ]
    if goals := _goals(rows):
        parts += ["## Goals", "", table(("goal", "found", ""), goals), ""]
    for kind, (heading, columns, cells) in SECTIONS.items():
        if found := [row for row in rows if row["kind"] == kind and "error" not in row]:
            parts += [f"## {heading}", "", table(columns, [cells(row) for row in found]), ""]
    if failed := [row for row in rows if "error" in row]:
        parts += ["## Errors", "", *(f"- {row}" for row in failed), ""]
    return "\n".join(parts)


def _number(row: Row, key: str, form: str = ".1f", scale: float = 1.0) -> str:
    return f"{row[key] / scale:{form}}" if row.get(key) is not None else ""


def _frames(row: Row) -> list[str]:
    return [
        row["network"],
        str(row["frames"]),
        str(row["objects"]),
        row["way"],
        row["dtype"],
        _number(row, "frames_per_second"),
        _number(row, "slowest"),
        _number(row, "times_plain", ".2f"),
        _number(row, "peak_bytes", ".0f", 1e6),
    ]


_STEPS = ("plain float32 exact", "plain float32 TF32", "ours float32 exact", "ours float32 TF32")


def _training(row: Row) -> list[str]:
    times = [_number(row, f"times_{name.replace(' ', '_')}", ".2f") for name in _STEPS]
    named = [row["network"], row["way"], row["dtype"], row["note"], _number(row, "steps_per_second", ".2f")]
    return [*named, *times, _number(row, "peak_bytes", ".1f", 1e9)]


def _loader(row: Row) -> list[str]:
    keys = ("samples_per_second", "steps_per_second", "fed_steps_per_second")
    return [str(row.get("workers", "")), *(_number(row, key) for key in keys), row.get("note", "")]


def _equality(row: Row) -> list[str]:
    return [
        row["network"],
        str(row["objects"]),
        f"{row['float32_difference']:.1e}",
        f"{row['bf16_labels_alike']:.2%}",
        f"{row['object_pixels']:.1%}",
    ]


SECTIONS: dict[str, tuple[str, tuple[str, ...], Callable[[Row], list[str]]]] = {
    "frames": (
        "Propagation",
        ("network", "memory frames", "objects", "way", "type", "frames/s", "slowest", "x plain", "peak MB"),
        _frames,
    ),
    "training": (
        "Training",
        ("network", "way", "type", "", "steps/s", *(f"x {name}" for name in _STEPS), "peak GB"),
        _training,
    ),
    "loader": (
        "The loader",
        ("loader processes", "samples/s", "steps/s it could feed", "steps/s of bf16 training fed", ""),
        _loader,
    ),
    "equality": (
        "Beside the processor's outputs",
        ("network", "objects", "float32: largest difference", "bf16: labels alike", "pixels of objects"),
        _equality,
    ),
}
"""By the kind of rows: heading, columns, and the cells of a row."""


def _goals(rows: list[Row]) -> list[list[str]]:
    """Rows of the table of goals: the goal, the value found, met or missed."""
    found = []
    for objects, goal in GOALS.items():
        rates = [
            r
            for r in rows
            if r["kind"] == "frames"
            and "frames_per_second" in r
            and r["network"] == "stcn"
            and r["objects"] == objects
        ]
        best = max(
            (r for r in rates if r["dtype"] == "bfloat16" and r["way"] != "graph" and r["frames"] <= 5),
            key=lambda r: r["frames_per_second"],
            default=None,
        )
        if best is not None:
            rate = best["frames_per_second"]
            found.append(
                _goal(
                    f"STCN bf16, {objects} objects, 5 memory frames: {goal:g} frames/s", f"{rate:.1f}", rate >= goal
                )
            )
    gains = [
        r.get("times_plain_float32_exact") for r in rows if r["kind"] == "training" and r.get("dtype") == "bfloat16"
    ]
    if known := [gain for gain in gains if gain is not None]:
        name = f"STCN's training step in bf16: {TRAINING_GOAL:g} times the plain float32 step"
        found.append(_goal(name, f"{max(known):.2f}", max(known) >= TRAINING_GOAL))
    if equal := [r for r in rows if r["kind"] == "equality" and "error" not in r]:
        worst, lowest = max(r["float32_difference"] for r in equal), min(r["bf16_labels_alike"] for r in equal)
        found.append(_goal(f"float32 within {CLOSE:g} of the processor", f"{worst:.1e}", worst <= CLOSE))
        found.append(_goal(f"bf16 labels {ALIKE:.0%} those of the processor", f"{lowest:.2%}", lowest >= ALIKE))
    return found


def _goal(name: str, value: str, met: bool) -> list[str]:
    return [name, value, "met" if met else "missed"]
