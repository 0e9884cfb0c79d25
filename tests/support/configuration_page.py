"""Generate the page of all configuration keys from the schemas: type and range, published value, meaning.

    python -m tests.support.configuration_page        # writes docs/configuration.md

What a key means is the comment behind it in the schema; a test compares the page with the schemas.
"""

import inspect
import io
import json
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import BaseMetadata
from pydantic.fields import FieldInfo

from bl30k_gen.config import Config, Range, load_config
from bl30k_gen.settings import Section, flatten
from training.schema.data import SOURCES
from training.schema.stage import Stage, load_stage

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/configuration.md"
STAGE = "stcn/bl30k"
WORDS = {int: "integer", float: "number", str: "text", bool: "true or false", Any: "any", dict: "mapping"}
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "multiple_of": "a multiple of", "min_length": "at least"}

Row = tuple[str, str, str, str]


def page() -> str:
    """The whole page as Markdown."""
    published = flatten(json.loads(json.dumps(load_config(ROOT / "render_configs/bl30k.yaml").flat())))
    stage = flatten(load_stage(STAGE).model_dump(mode="json"))
    lines = [
        "# All configuration keys",
        "",
        "Made from the schemas by `python -m tests.support.configuration_page`; a test compares. Unknown keys are",
        "refused, with the nearest known one. Any key can be given on the command line: `--set render.samples=32`.",
        "",
        "## Rendering",
        "",
        "The keys of a YAML in `render_configs/`, with their values in `bl30k.yaml`. *Optional* keys may be absent.",
        "",
        *_table("`bl30k.yaml`", rows(Config, "", published)),
        "",
        "## Training",
        "",
        f"The keys of a stage in `training/configs/stages/`, with their values in `{STAGE}`.",
        "",
        *_table(f"`{STAGE}`", rows(Stage, "", stage)),
    ]
    for kind, schema in SOURCES.items():
        lines += ["", f"A source of kind `{kind}`, under `data.NAME`:", ""]
        values = {f"data.NAME.{k.split('.', 2)[2]}": v for k, v in stage.items() if k.startswith("data.bl30k.")}
        own = values if kind == "videos" else {}
        lines += _table(f"`{STAGE}`" if own else "value", rows(schema, "data.NAME.", own))
    return "\n".join([*lines, ""])


def _table(value: str, found: Iterator[Row]) -> list[str]:
    return [f"| key | type | {value} | meaning |", "|---|---|---|---|", *(f"| {' | '.join(row)} |" for row in found)]


def rows(schema: type[Section], prefix: str, values: dict[str, Any]) -> Iterator[Row]:
    """(key, type, value, meaning) of every key of a section and of the sections in it."""
    comments = _comments(schema)
    for name, field in schema.model_fields.items():
        key = prefix + name
        inner = _section(field.annotation)
        optional = ", *optional*" if not field.is_required() and field.default is None else ""
        if inner is None:
            said = values.get(key, None if field.is_required() or not values else field.default)
            value = f"`{json.dumps(said, ensure_ascii=False)}`" if key in values or said is not None else ""
            yield f"`{key}`", _type(field) + optional, value, comments.get(name, "")
        else:
            about = (inner.__doc__ or "").split("\n\n")[0].replace("\n", " ").strip()
            yield f"**`{key}`**", f"section{optional or _or_null(field.annotation)}", "", comments.get(name) or about
            yield from rows(inner, f"{key}.", values)


def _comments(schema: type[Section]) -> dict[str, str]:
    """The comment behind each key in the source of a section, and of the sections that it extends."""
    found: dict[str, str] = {}
    for owner in reversed(schema.__mro__):
        if not issubclass(owner, Section) or owner.__module__ == Section.__module__:
            continue
        name = ""
        for token in tokenize.generate_tokens(io.StringIO(textwrap.dedent(inspect.getsource(owner))).readline):
            if token.type == tokenize.NAME and token.start[1] == 4:
                name = token.string
            elif token.type == tokenize.COMMENT and name in owner.model_fields:
                found.setdefault(name, token.string.lstrip("# ").replace("|", "\\|"))
    return found


def _section(annotation: Any) -> type[Section] | None:
    kinds = [annotation, *get_args(annotation)] if get_origin(annotation) in (Union, UnionType) else [annotation]
    return next((k for k in kinds if isinstance(k, type) and issubclass(k, Section)), None)


def _or_null(annotation: Any) -> str:
    return " or null" if type(None) in get_args(annotation) else ""


def _type(field: FieldInfo) -> str:
    return _words(field.annotation, field.metadata)


def _words(kind: Any, limits: list[Any]) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(parts[0], [*_flat(parts[1:]), *limits])
    if kind is Range:
        return "[smallest, largest]"
    if origin in (Union, UnionType):
        kinds = [part for part in parts if part is not type(None)]
        text = " or ".join(dict.fromkeys(_words(part, limits) for part in kinds))
        return text + _or_null(kind)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin in (list, tuple):
        inner = _words(parts[0], [])
        return f"list of {inner}" if origin is list or Ellipsis in parts else f"[{', '.join([inner] * len(parts))}]"
    if origin is dict:
        return "mapping"
    bounds = [
        f"{sign} {getattr(limit, k):g}" for limit in _flat(limits) for k, sign in SIGNS.items() if hasattr(limit, k)
    ]
    return " ".join([WORDS.get(kind, getattr(kind, "__name__", str(kind))), ", ".join(bounds)]).strip()


def _flat(limits: Any) -> list[Any]:
    """Constraints, including those within a pydantic Field."""
    found: list[Any] = []
    for limit in limits:
        found += (
            limit.metadata if isinstance(limit, FieldInfo) else [limit] if isinstance(limit, BaseMetadata) else []
        )
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
