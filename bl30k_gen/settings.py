"""Settings in YAML, for render configurations and training stages alike.

A file is read over the one that it ``extends``, ``key=value`` changes it, and a ``Section`` validates the outcome: a
typed, frozen group of keys.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from bl30k_gen.errors import UserError, nearest

Values = dict[str, Any]

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Whole = Annotated[int, Field(ge=0)]


def ordered(pair: tuple[float, float]) -> tuple[float, float]:
    """``pair``, if its smaller number is the first. Raises ValueError."""
    if pair[0] > pair[1]:
        raise ValueError("must be [smallest, largest]")
    return pair


Interval = Annotated[tuple[float, float], AfterValidator(ordered)]
WholeInterval = Annotated[tuple[Whole, Whole], AfterValidator(ordered)]  # both ends count
CountInterval = Annotated[tuple[Count, Count], AfterValidator(ordered)]


class Section(BaseModel):
    """A group of keys: unknown ones are refused, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


def read_yaml(path: Path, remedy: str) -> Values:
    """The mapping that a YAML file holds.

    Raises:
        UserError: the file is missing (``remedy`` says what to give instead), no YAML, or holds no keys.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", remedy) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read", str(getattr(error, "strerror", None) or error)) from None
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise UserError(f"{path}{line} is not YAML", str(getattr(error, "problem", error))) from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no keys", remedy)
    return values


def read_layers(
    path: Path, remedy: str, locate: Callable[[Path, str], Path] = Path.joinpath, seen: tuple[Path, ...] = ()
) -> Values:
    """A YAML over the one that its key ``extends`` names, over the one that that extends, and so on.

    Args:
        locate: (folder of a file, what it extends) -> path; by default relative to that folder.

    Raises:
        UserError: as ``read_yaml``, or a file extends itself.
    """
    values = read_yaml(path, remedy)
    base = values.pop("extends", None)
    if base is None:
        return values
    seen = (*seen, path.resolve())
    base_path = locate(path.parent, str(base)).resolve()
    if base_path in seen:
        raise UserError(f"{path} extends itself through {base}", "remove one `extends:`")
    return merge(read_layers(base_path, remedy, locate, seen), values)


def merge(base: Values, changes: Values) -> Values:
    """``changes`` over ``base``, section by section."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def set_key(values: Values, key: str, value: Any) -> None:
    """Set a dotted key. Raises UserError where the way leads through a value."""
    *sections, leaf = key.split(".")
    node = values
    for section in sections:
        inner = node.setdefault(section, {})
        if not isinstance(inner, dict):
            if inner is None:
                remedy = f"give all of it at once: --set '{section}={{{leaf}: {value}, ...}}'"
                raise UserError(f"--set {key}: {section} is null", remedy)
            raise UserError(f"--set {key}: {section} is a value, not a section", "look at the resolved configuration")
        node = inner
    node[leaf] = value


def apply_override(values: Values, override: str) -> None:
    """Apply one ``key=value``; the value is YAML. Raises UserError."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set {override} has no '='", "write --set key=value, e.g. --set seed=1")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override} has a value that is not YAML", "quote it, or write [a, b]") from None
    set_key(values, key, _number(value) if isinstance(value, str) else value)


def _number(text: str) -> float | str:
    """YAML 1.1 reads ``1e-4`` as text; people mean a number."""
    try:
        return float(text)
    except ValueError:
        return text


def load_section(kind: type[AnySection], path: Path, overrides: Iterable[str], remedy: str) -> AnySection:
    """Read a YAML, follow ``extends:``, apply ``key=value`` overrides, validate.

    Raises:
        UserError: as ``read_layers``, or a key is unknown (with the nearest known one), or a value is out of range.
    """
    values = read_layers(path, remedy)
    for override in overrides:
        apply_override(values, override)
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise explain(error, f"config {path}", known_keys(kind)) from None


def known_keys(kind: type[Section], prefix: str = "") -> list[str]:
    """Every key that may be set in a section, and in the sections in it, with dots."""
    keys: list[str] = []
    for name, field in kind.model_fields.items():
        keys.append(prefix + name)
        for inner in _sections_of(field.annotation):
            keys += known_keys(inner, f"{prefix}{name}.")
    return keys


def _sections_of(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType):
        return [inner for part in get_args(annotation) for inner in _sections_of(part)]
    return []


def explain(error: ValidationError, source: str, known: list[str], key: str | None = None) -> UserError:
    """The first mistake in what was read, in one line.

    Args:
        source: what was read.
        known: the keys that there are.
        key: the mistake's place, where pydantic's own has more in it than keys.
    """
    first, (found, message) = error.errors(include_url=False)[0], first_mistake(error)
    key = found if key is None else key
    if first["type"] == "extra_forbidden":
        hint = nearest(key, known, "known are " + ", ".join(k for k in known if "." not in k))
        return UserError(f"{source}: unknown key {key}", hint)
    if first["type"] == "missing":
        return UserError(f"{source}: key {key} is missing", "add it, or `extends:` a file that has it")
    what = f"{source}: {key} = {first['input']!r}" if key else source
    return UserError(what, message[0].lower() + message[1:])


def first_mistake(error: ValidationError) -> tuple[str, str]:
    """(its key with dots, what is wrong); the key is empty where it is the whole that does not fit."""
    first = error.errors(include_url=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"].removeprefix("Value error, ")


def flatten(values: Values, prefix: str = "") -> Values:
    """Nested mappings as one mapping with dotted keys."""
    flat: Values = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def difference(ours: Values, theirs: Values) -> dict[str, tuple[Any, Any]]:
    """``{dotted key: (our value, their value)}`` where two flat mappings differ; a missing value is None."""
    keys = sorted(ours.keys() | theirs.keys())
    return {k: (ours.get(k), theirs.get(k)) for k in keys if ours.get(k) != theirs.get(k)}
