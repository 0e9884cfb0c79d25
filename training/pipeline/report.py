"""The report of a recipe: one Markdown file with tables and images, beside the folders of its steps."""

import os
from pathlib import Path

from bl30k_gen.dataset.files import write_atomically
from training.evaluation.report import Table
from training.pipeline.steps import PlannedEvaluation, PlannedStep, PlannedTraining
from training.runs.folder import RunFolder
from training.schema.recipe import Recipe

STRIPS = 2
"""Videos whose masks are shown."""


def write_pipeline_report(recipe: Recipe, work: list[PlannedStep], out: Path) -> str:
    """Write ``out/report.md``, ``out/stages.csv`` and images of masks. Returns the tables as text."""
    stages = stage_table([step for step in work if isinstance(step, PlannedTraining)])
    write_atomically(out / "stages.csv", stages.csv())
    lines = [f"# {recipe.about}", "", "```", stages.text().rstrip(), "```", ""]
    lines += ["The loss counts fewer and fewer pixels, the hardest ones, so it may grow although the IoU grows.", ""]
    for step in work:
        if isinstance(step, PlannedTraining) and RunFolder(step.folder).samples.exists():
            lines += [f"{step.name}: the last samples with the predictions of the network", ""]
            lines += [_image(RunFolder(step.folder).samples, out), ""]
    text = [stages.text()]
    for step in work:
        if isinstance(step, PlannedEvaluation):
            section, tables = _evaluation_section(step, out)
            lines += section
            text += tables
    write_atomically(out / "report.md", "\n".join(lines))
    return "\n".join([*text, f"{out / 'report.md'} shows it with images"])


def stage_table(steps: list[PlannedTraining]) -> Table:
    """One row for each stage: its loss and IoU at the beginning and at the end, each a mean of a tenth of its log."""
    rows = []
    for step in steps:
        records = [record for record in RunFolder(step.folder).records() if "loss" in record]
        tenth = max(1, len(records) // 10)
        numbers = [
            sum(record[key] for record in part) / len(part) if part and key in part[0] else None
            for key in ("loss", "iou")
            for part in (records[:tenth], records[-tenth:])
        ]
        best = max((r["J&F"] for r in RunFolder(step.folder).records() if "J&F" in r), default=None)
        rows.append([step.name, step.stage.iterations, step.stage.batch, *numbers, best])
    header = ["stage", "iterations", "batch", "first loss", "last loss", "first IoU", "last IoU", "best J&F"]
    return Table(header, rows, digits=3)


def _evaluation_section(step: PlannedEvaluation, out: Path) -> tuple[list[str], list[str]]:
    """Lines of the report, and the tables alone as text."""
    semi, interactive = step.folder / "semi_supervised", step.folder / "interactive"
    split, note = step.split()
    scores = (semi / "scores.txt").read_text(encoding="utf-8")
    lines = [f"## Evaluation on {step.dataset}, list {split or 'of all videos'}", ""] + ([note, ""] if note else [])
    lines += ["Masks propagated from those of the first frames:", "", "```", scores.rstrip(), "```", ""]
    tables = [scores]
    for image in sorted((semi / "strips").glob("*.png"))[:STRIPS]:
        lines += [f"{image.stem}: annotation, prediction, errors (blue missed, red invented)", ""]
        lines += [_image(image, out), ""]
    if step.step.interactive:
        table = (interactive / "interactive.txt").read_text(encoding="utf-8")
        how = "scribbles" if step.s2m else "perfect correction of the scribbled frame (no S2M)"
        joined = "the fusion network" if step.fusion else "linear blending"
        lines += [f"The interactive benchmark, with {how} and {joined}:", "", "```", table.rstrip(), "```", ""]
        lines += [_image(interactive / "interactive.png", out), ""]
        tables.append(table)
    return lines, tables


def _image(path: Path, out: Path) -> str:
    return f"![]({Path(os.path.relpath(path, out)).as_posix()})"
