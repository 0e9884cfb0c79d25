"""The page of ``benchmarks.gpu.experiment``: for each repetition the scores, the gains and the trainings."""

from benchmarks.gpu.run import Row

LIMITS = (
    "One run of eight minutes can show whether the arms learn at all, how many iterations a second a GPU does, and "
    "differences of ten points and more. It cannot show gains of one or two points, as the published ones are: it "
    "trains for about a hundredth of the published iterations, from random weights instead of ImageNet, and scores a "
    "few videos with one seed."
)


def describe(rows: list[Row], head: Row) -> str:
    """The page in Markdown.

    Args:
        head: what was run, where and when.
    """
    parts = [
        "# What are renders worth? Minutes on one GPU",
        "",
        f"`{head['command']}` on {head['hardware']}, {head['date']}. {head['what']}",
        "" if head["device"] == "cuda" else "\n**A dry run on the processor: its numbers mean nothing.**\n",
        LIMITS,
        "",
    ]
    for repetition in sorted({row["repetition"] for row in rows if "repetition" in row}):
        own = [row for row in rows if row.get("repetition") == repetition and "error" not in row]
        parts += [f"## Repetition {repetition + 1}", ""]
        for kind, section in (("score", _scores), ("gain", _gains), ("training", _trainings)):
            if found := [row for row in own if row["kind"] == kind]:
                parts += section(found)
    if failed := [row for row in rows if "error" in row]:
        parts += ["## Errors", "", *(f"- {row}" for row in failed), ""]
    return "\n".join(parts)


def _scores(rows: list[Row]) -> list[str]:
    from benchmarks.page import table

    videos = sorted({name for row in rows for name in row["videos"]})
    cells = [
        [str(row["turn"]), row["arm"], f"{row['mean']:.1f}"]
        + [f"{row['videos'][video]:.1f}" if video in row["videos"] else "" for video in videos]
        for row in rows
    ]
    return ["J&F, per cent:", "", table(("turn", "arm", "mean", *videos), cells), ""]


def _gains(rows: list[Row]) -> list[str]:
    from benchmarks.page import table

    cells = [
        [
            str(row["turn"]),
            row["pair"],
            f"{row['mean']:+.1f} ({row['low']:+.1f} to {row['high']:+.1f})",
            "yes" if row["decided"] else "",
        ]
        for row in rows
    ]
    return [table(("turn", "gain", "J&F (95 % over videos)", "decided"), cells), ""]


def _trainings(rows: list[Row]) -> list[str]:
    from benchmarks.page import table

    cells = [
        [
            str(row["turn"]),
            row["arm"],
            row["source"],
            str(row["iterations"]),
            f"{row['iterations_per_second']:.1f}",
            " ".join(f"{loss:.2f}" for loss in row["loss"]),
        ]
        for row in rows
    ]
    columns = ("turn", "arm", "on", "iterations so far", "iterations/s", "loss, in ten parts of the turn")
    return [table(columns, cells), ""]
