"""Reports of scores: a table class for text, CSV and LaTeX, and the files of a scoring run."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bl30k_gen.dataset.files import write_atomically, write_json
from bl30k_gen.text import aligned
from training.evaluation.semi_supervised import Results

Cell = str | float | None


@dataclass(frozen=True)
class Table:
    """Rows of words and numbers under a header. None is an empty cell; floats have ``digits`` decimals."""

    header: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    digits: int = 1

    def text(self) -> str:
        """Aligned columns: words to the left, numbers to the right."""
        cells = [list(self.header)] + [[self._print(cell) for cell in row] for row in self.rows]
        cells.insert(1, ["-" * max(len(row[column]) for row in cells) for column in range(len(self.header))])
        return "\n".join(aligned(cells, self._numeric())) + "\n"

    def csv(self) -> str:
        """Numbers in full, for spreadsheets and scripts."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(["" if cell is None else cell for cell in row] for row in self.rows)
        return out.getvalue()

    def latex(self) -> str:
        """A LaTeX ``tabular`` for the booktabs package."""
        numeric = self._numeric()
        columns = "".join("r" if column in numeric else "l" for column in range(len(self.header)))
        lines = [f"\\begin{{tabular}}{{{columns}}}", "\\toprule"]
        lines.append(" & ".join(map(_escape, self.header)) + r" \\")
        lines.append("\\midrule")
        lines += [" & ".join(_escape(self._print(cell)) for cell in row) + r" \\" for row in self.rows]
        return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"]) + "\n"

    def write(self, stem: str | Path) -> None:
        """Write ``stem.txt``, ``stem.csv`` and ``stem.tex``."""
        for suffix, content in (("txt", self.text()), ("csv", self.csv()), ("tex", self.latex())):
            write_atomically(f"{stem}.{suffix}", content)

    def _numeric(self) -> set[int]:
        """The columns that hold a number."""
        return {i for i in range(len(self.header)) if any(isinstance(row[i], (int, float)) for row in self.rows)}

    def _print(self, cell: str | float | None) -> str:
        if cell is None:
            return ""
        return f"{cell:.{self.digits}f}" if isinstance(cell, float) else str(cell)


def summary_table(results: Mapping[str, Results]) -> Table:
    """One row for each entry, with its ``Results.summary``."""
    rows = [(label, entry.summary()) for label, entry in results.items()]
    columns = list(dict.fromkeys(column for _, numbers in rows for column in numbers))
    return Table(["", *columns], [[label, *(numbers.get(column) for column in columns)] for label, numbers in rows])


def object_table(results: Mapping[str, Results]) -> Table:
    """One row for each object of each entry."""
    header = ["", "video", "object", "group", "frames", "J&F"]
    header += [f"{metric} {kind}" for metric in "JF" for kind in ("mean", "recall", "decay")]
    rows: list[list[Cell]] = [
        [label, s.video, s.object, s.group, len(s.frames), (s.j.mean + s.f.mean) / 2, *s.j, *s.f]
        for label, entry in results.items()
        for s in entry.objects
    ]
    return Table(header, rows)


def frame_table(results: Mapping[str, Results]) -> Table:
    """One row for each scored frame of each object of each entry."""
    rows: list[list[Cell]] = [
        [label, s.video, s.object, frame, float(j), float(f)]
        for label, entry in results.items()
        for s in entry.objects
        for frame, (j, f) in zip(s.frames, s.values, strict=True)
    ]
    return Table(["", "video", "object", "frame", "J", "F"], rows)


def write_report(results: Mapping[str, Results], folder: str | Path) -> str:
    """Write ``scores.txt``, ``scores.csv``, ``scores.tex``, ``objects.csv``, ``frames.csv`` and ``scores.json``.

    ``results`` maps the name of each row to its results, all of one protocol. Returns the text.
    """
    folder, summary = Path(folder), summary_table(results)
    protocol = next(iter(results.values())).protocol
    heading = f"Protocol {protocol.name}, per cent, means over objects. Frames left out: {protocol.leaves_out}.\n\n"
    notes = "".join(f"\n{label}: {note}" for label, entry in results.items() for note in entry.notes)
    text = heading + summary.text() + (notes and notes + "\n")
    machine = {
        label: {
            "protocol": entry.protocol.name,
            "summary": entry.summary(),
            "objects": [
                {
                    "video": s.video,
                    "object": s.object,
                    "group": s.group,
                    "J": s.j._asdict(),
                    "F": s.f._asdict(),
                }
                for s in entry.objects
            ],
            "left_out": entry.left_out,
            "notes": entry.notes,
        }
        for label, entry in results.items()
    }
    write_atomically(folder / "scores.txt", text)
    write_atomically(folder / "scores.csv", summary.csv())
    write_atomically(folder / "scores.tex", summary.latex())
    write_atomically(folder / "objects.csv", object_table(results).csv())
    write_atomically(folder / "frames.csv", frame_table(results).csv())
    write_json(folder / "scores.json", machine)
    return text


def _escape(text: str) -> str:
    return "".join("\\" + character if character in "&%$#_{}" else character for character in text)
