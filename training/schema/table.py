"""Specifications of tables: what is measured, the checkpoints that it needs, and the rows."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from bl30k_gen.errors import UserError
from bl30k_gen.settings import Section, first_mistake, read_yaml
from training.schema.lookup import TABLES

NO_CHECKPOINT = {None, "perfect", "linear", "none"}
REMEDY = "see `train.py list` for the tables"

_STATISTICS = [f"{metric} {kind}" for metric in "JF" for kind in ("mean", "recall", "decay")]
_INTERACTIVE = [f"AUC {m}" for m in ("J", "F", "J&F")] + [f"{m}@60s" for m in ("J", "F", "J&F")]
COLUMNS = {
    "semi-supervised": ["J&F", *_STATISTICS, "FPS", "ms"],
    "interactive": [*_INTERACTIVE, "seconds"],
    "components": ["ms", "query", "memory", "reading", "decoder", "merging", "other"],
    "embeddings": ["embeddings", "step", "drift"],
}
"""The columns of each measure."""
DRAWN_FROM = {"distance": "semi-supervised", "time": "interactive", "parts": "components", "paths": "embeddings"}
"""The measure that a figure needs; bars and sweep fit all measures."""


class TableRow(Section):
    """One row: networks and their options. ``network``, ``s2m``, ``clicks``, ``fusion`` name checkpoints."""

    name: str
    network: str | None = None
    s2m: str = "perfect"  # or "perfect": the scribbled frame is corrected by the truth
    clicks: str | None = None
    fusion: str = "linear"  # or "linear", "none"
    part: Literal["propagation", "s2m", "clicks", "fusion"] = "propagation"  # what `components` times
    options: dict[str, Any] = {}  # as `train.py evaluate` takes them; top_k: null reads by softmax
    published: dict[str, float] = {}  # what the paper reports, by column

    def checkpoints(self) -> list[str]:
        """The names of the checkpoints that the row needs."""
        named = (self.network, self.s2m, self.clicks, self.fusion)
        return [name for name in named if name is not None and name not in NO_CHECKPOINT]

    @property
    def complete(self) -> bool:
        """Whether the row names all checkpoints of its part."""
        needed: dict[str, list[str | None]]
        needed = {"s2m": [self.s2m], "clicks": [self.clicks], "fusion": [self.network, self.fusion]}
        return not NO_CHECKPOINT & set(needed.get(self.part, [self.network]))


class TableSpec(Section):
    about: str
    measure: Literal["semi-supervised", "interactive", "components", "embeddings"]
    checkpoints: dict[str, str]  # name: what it should be
    columns: Annotated[list[str], Field(min_length=1)]  # the first two are drawn
    figure: Literal["bars", "parts", "distance", "time", "sweep", "paths"]
    sweep: dict[str, list[Any]] = {}  # one option, with each of whose values every row is measured
    rows: Annotated[list[TableRow], Field(min_length=1)]

    @model_validator(mode="after")
    def _fits(self) -> "TableSpec":
        known = COLUMNS[self.measure]
        for column in self.columns:
            if column not in known:
                raise ValueError(f"column {column} is unknown: {self.measure} gives {', '.join(known)}")
        if DRAWN_FROM.get(self.figure, self.measure) != self.measure:
            raise ValueError(f"the figure {self.figure} is drawn from {DRAWN_FROM[self.figure]}")
        for row in self.rows:
            if not row.complete:
                raise ValueError(f"row {row.name} lacks a checkpoint for {row.part}")
            for name in row.checkpoints():
                if name not in self.checkpoints:
                    raise ValueError(f"row {row.name} needs the checkpoint {name}: list it in checkpoints")
        if len(self.sweep) != (self.figure == "sweep"):
            raise ValueError("a figure of the kind sweep needs one option in sweep, others none")
        names = [row.name for row in self.expanded()]
        if len(set(names)) < len(names):
            raise ValueError("two rows have one name")
        return self

    def expanded(self) -> list[TableRow]:
        """The rows; with a sweep, each row with each value."""
        for option, values in self.sweep.items():
            return [self.swept(row, option, value) for row in self.rows for value in values]
        return self.rows

    def swept(self, row: TableRow, option: str, value: Any) -> TableRow:
        """The row with one value of the swept option."""
        name = f"{row.name}, {option} {word(value)}"
        return row.model_copy(update={"name": name, "options": row.options | {option: value}})


def load_table(name: str) -> TableSpec:
    """A table by its name, or from the user's own YAML file. Raises UserError if it is missing or not valid."""
    try:
        return TableSpec.model_validate(read_yaml(TABLES.find(name), REMEDY))
    except ValidationError as error:
        key, mistake = first_mistake(error)
        raise UserError(f"table {name}: {key}" if key else f"table {name} does not fit", mistake) from None


def word(value: Any) -> str:
    """The printed form of a value of a sweep."""
    return "none" if value is None else str(value)
