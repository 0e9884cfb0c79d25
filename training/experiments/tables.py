"""Makes the papers' tables and figures: the rows of a table specification, as a table and an image.

A specification is a YAML in ``training/configs/tables`` with the measure, the checkpoints and the rows. Results of a
row are stored in ``out/rows/<digest of its inputs>``, so a row that was measured before, also for another table, is
not measured again.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import TypeAdapter

from bl30k_gen.dataset import files
from bl30k_gen.dataset.claim import claim
from bl30k_gen.dataset.files import write_json
from bl30k_gen.errors import UserError, nearest
from bl30k_gen.inputs import read_json
from training.evaluation import plots
from training.evaluation.report import Table
from training.experiments.context import EvaluationContext, Measurement
from training.experiments.measures import MEASURES
from training.inference.load import pick_device
from training.runs.folder import network_file
from training.schema.table import TableRow, TableSpec, load_table, word

Rows = list[tuple[TableRow, Measurement | None]]


def ablate(name: str, context: EvaluationContext, out: str | Path) -> Table:
    """Measure the rows of a table and write ``out/<name>.txt``, ``.csv``, ``.tex``, ``.json`` and ``.png``.

    A row whose checkpoint is not given is left out, which is said. Raises UserError if all rows are left out, or if a
    checkpoint is unknown or does not exist.
    """
    spec, out = load_table(name), Path(out)
    _check(spec, context)
    claim(out, "ablate", {}, [context.data[0].path])
    measure = MEASURES[spec.measure]
    rows: Rows = []
    todo = spec.expanded()
    for number, row in enumerate(todo, 1):
        head = f"[{number}/{len(todo)}] {row.name}"
        lacking = [need for need in row.checkpoints() if need not in context.checkpoints]
        if lacking:
            need = f"{lacking[0]} ({spec.checkpoints[lacking[0]]})"
            context.say(f"{head}: left out, there is no {need}: give --checkpoint {lacking[0]}=PATH")
            rows.append((row, None))
            continue

        def compute(folder: Path, row: TableRow = row) -> dict[str, Measurement]:
            return {"": measure.row(row, context, folder)}

        rows.append((row, _once(out, _identity(spec, row, context), compute, head, context.say)[""]))
    if (baselines := measure.baselines) is not None:
        identity = _identity(spec, None, context)
        found = _once(out, identity, lambda folder: baselines(context), "floor and ceiling", context.say)
        rows += [(TableRow(name=label), outcome) for label, outcome in found.items()]
    table, stem = _table(spec, rows), out / Path(name).stem
    table.write(stem)
    machine = {row.name: asdict(outcome) for row, outcome in rows if outcome}
    write_json(f"{stem}.json", machine)
    _draw(spec, rows, Path(f"{stem}.png"))
    context.say(f"\n{spec.about}\n\n{table.text()}\n{stem}.txt, .csv, .tex, .json, .png")
    return table


def _check(spec: TableSpec, context: EvaluationContext) -> None:
    for name, path in context.checkpoints.items():
        if name not in spec.checkpoints:
            hint = nearest(name, spec.checkpoints, f"it takes {', '.join(spec.checkpoints)}")
            raise UserError(f"the table has no checkpoint {name}", hint)
        if not network_file(path).is_file():
            raise UserError(f"checkpoint {name}: there is no {network_file(path)}", "give a file or a finished run")
    rows = [row for row in spec.expanded() if set(row.checkpoints()) <= context.checkpoints.keys()]
    if not rows:
        wanted = ", ".join(f"{name}=PATH ({what})" for name, what in spec.checkpoints.items())
        raise UserError("no row of the table has all its checkpoints", f"give --checkpoint {wanted}")
    context.check(rows)


def _identity(spec: TableSpec, row: TableRow | None, context: EvaluationContext) -> dict[str, Any]:
    """Everything that the result of a row depends on; without a row, that of the baselines."""
    store, names, _ = context.data
    identity = {
        "measure": spec.measure,
        "dataset": str(store.path.resolve()),
        "videos": names,
        **({"masks": context.masks} if context.masks else {}),
        "protocol": context.protocol if spec.measure == "semi-supervised" else "",
        "scribbles": str(context.scribbles and context.scribbles.resolve()) if spec.measure == "interactive" else "",
    }
    if row is None:
        return identity
    device = pick_device(context.device)
    settings = row.model_dump(exclude={"name", "published"})
    return (
        identity
        | settings
        | {
            "options": {**context.options, **row.options},
            "weights": {name: files.sha256(network_file(context.checkpoints[name])) for name in row.checkpoints()},
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        }
    )


def _once(
    out: Path,
    identity: dict[str, Any],
    compute: Callable[[Path], dict[str, Measurement]],
    head: str,
    say: Callable[[str], None],
) -> dict[str, Measurement]:
    """The results of ``compute``, or those stored by an earlier call."""
    folder = out / "rows" / sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    file = folder / "row.json"
    if file.exists():
        try:
            outcomes = TypeAdapter(dict[str, Measurement]).validate_python(read_json(file, "")["outcomes"])
        except (UserError, ValueError, KeyError, TypeError):
            raise UserError(f"{file} is damaged", "remove its folder, and the row is measured again") from None
        say(f"{head}: measured before, {folder}")
        return outcomes
    say(head)
    outcomes = compute(folder)
    content = {"identity": identity, "outcomes": {name: asdict(outcome) for name, outcome in outcomes.items()}}
    write_json(file, content)
    return outcomes


def _table(spec: TableSpec, rows: Rows) -> Table:
    published = [column for column in spec.columns if any(column in row.published for row, _ in rows)]
    header = ["", *spec.columns, *(f"published {column}" for column in published)]
    return Table(
        header,
        [
            [
                row.name,
                *(outcome.values.get(column) if outcome else None for column in spec.columns),
                *(row.published.get(column) for column in published),
            ]
            for row, outcome in rows
        ],
    )


def _draw(spec: TableSpec, rows: Rows, out: Path) -> None:
    done = {row.name: outcome for row, outcome in rows if outcome}
    first, others = spec.columns[0], spec.columns[1:]
    references = done.keys() - {row.name for row in spec.expanded()}
    if spec.figure == "bars":
        plots.plot_bars({name: o.values[first] for name, o in done.items()}, first, out, references)
    elif spec.figure == "parts":
        parts = {name: {c: o.values.get(c, 0.0) for c in others} for name, o in done.items()}
        plots.plot_parts(parts, "ms for a frame and an object", out)
    elif spec.figure in ("distance", "time"):
        x, y = next(iter(done.values())).series
        curves = {name: (o.series[x], o.series[y]) for name, o in done.items()}
        plots.plot_curves(curves, x, y, out, 60.0 if spec.figure == "time" else None, references)
    elif spec.figure == "sweep":
        _draw_sweep(spec, done, out)
    else:
        paths = {name: (o.series["frame"], np.array(o.series["embedding"])) for name, o in done.items()}
        plots.plot_paths(paths, out)


def _draw_sweep(spec: TableSpec, done: dict[str, Measurement], out: Path) -> None:
    ((option, values),) = spec.sweep.items()
    swept = {(row.name, word(v)): spec.swept(row, option, v).name for row in spec.rows for v in values}
    level = {name: outcome for name, outcome in done.items() if name not in swept.values()}

    def number(name: str, column: str) -> float:
        return done[name].values.get(column, np.nan) if name in done else np.nan

    curves = {
        column: {row.name: [number(swept[row.name, word(v)], column) for v in values] for row in spec.rows}
        for column in spec.columns[:2]
    }
    levels = {c: {name: o.values[c] for name, o in level.items() if c in o.values} for c in curves}
    plots.plot_sweep(curves, levels, option, [word(value) for value in values], out)
