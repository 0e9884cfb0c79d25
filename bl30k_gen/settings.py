"""Typed settings in YAML, for render configurations and training stages alike.

The keys of a file override those of the file that it ``extends``, and ``key=value`` overrides both. A ``Section``, a
typed and frozen group of keys, validates the result.
"""

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bl30k_gen.errors import UserError, nearest, printable
from bl30k_gen.inputs import read_text

Values = dict[str, Any]

YAML_LIMIT = 4 << 20  # bytes of a file: a selection may list tens of thousands of models
MAX_NODES = 500_000  # of a YAML, aliases expanded
MAX_DEPTH = 50  # nesting of a YAML
MAX_NUMBER = 1 << 40  # larger numbers are mistakes


_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's gives the same values ten times as fast


class _Loader(_Fastest):
    """Reads numbers such as ``1e-4`` as YAML 1.2 does; for YAML 1.1 they are text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(?:\.[0-9]{1,17}|[0-9]{1,17}\.?[0-9]{0,17})[eE][-+]?[0-9]{1,3}$"),
    list("-+.0123456789"),
)
_COMMENT = re.compile(r"""\s*[^\s\[{'"!&*|>].*\s#""")


def require_plausible(number: int) -> int:
    """``number``, if it is not too large for a count. Raises ValueError."""
    if number > MAX_NUMBER:
        raise ValueError(f"is more than {MAX_NUMBER:,}")
    return number


Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1), AfterValidator(require_plausible)]
Whole = Annotated[int, Field(ge=0), AfterValidator(require_plausible)]


def require_ordered(pair: tuple[float, float]) -> tuple[float, float]:
    """``pair``, if its smaller number is the first. Raises ValueError."""
    if pair[0] > pair[1]:
        raise ValueError("must be [smallest, largest]")
    return pair


def require_pair(value: Any) -> Any:
    """``value``, if it is a list or tuple of two items. Raises ValueError."""
    if not isinstance(value, (list, tuple)) or len(value) != 2:
        raise ValueError("give [smallest, largest]")
    return value


Interval = Annotated[tuple[float, float], BeforeValidator(require_pair), AfterValidator(require_ordered)]
WholeInterval = Annotated[tuple[Whole, Whole], BeforeValidator(require_pair), AfterValidator(require_ordered)]
CountInterval = Annotated[tuple[Count, Count], BeforeValidator(require_pair), AfterValidator(require_ordered)]
"""Closed intervals: both ends belong to them."""


class Section(BaseModel):
    """A group of keys: unknown keys are refused, and values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


AnySection = TypeVar("AnySection", bound=Section)


def read_yaml(path: Path, remedy: str) -> Values:
    """The mapping in a YAML file; ``~/`` at the beginning of a text becomes the user's home.

    Raises:
        UserError: the file is missing (``remedy`` says what to give instead), no YAML, or holds no keys.
    """
    try:
        values = parse_yaml(read_text(path, YAML_LIMIT), path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist", remedy) from None
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no keys", remedy)
    return values


def parse_yaml(text: str, source: object) -> Any:
    """The value in a YAML text; every YAML of the project is read here.

    Raises:
        UserError: naming ``source``: it is no YAML, has a key twice or an invalid value, is nested too deeply, or is
            too long with its aliases expanded.
    """
    try:
        _check_depth(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _check_node(node, {}, set())
        return _with_home(loader.construct_document(node))
    except yaml.YAMLError as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{source}{line} is not YAML", printable(problem)) from None
    except (ValueError, TypeError, OverflowError, AttributeError) as error:  # of a date, a number or a tag
        raise UserError(f"{source} has a value that cannot be", printable(str(error))[:200]) from None


def _check_depth(text: str) -> None:
    """Raises YAMLError for a text that is nested too deeply: composing it would overflow the stack."""
    depth = 0
    for event in yaml.parse(text, _Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise yaml.YAMLError("it is nested too deeply")


def _check_node(node: yaml.Node, sizes: dict[int, int], open_nodes: set[int]) -> int:
    """Number of nodes in ``node``, aliases expanded. Raises YAMLError for too many, a cycle, or a repeated key."""
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in open_nodes:
        raise yaml.MarkedYAMLError(problem="an alias stands for what it is in", problem_mark=node.start_mark)
    open_nodes.add(id(node))
    size = 1
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key)
            if name in keys:
                raise yaml.MarkedYAMLError(problem=f"key {key.value} stands there twice", problem_mark=key.start_mark)
            keys.add(name)
            size += _check_node(key, sizes, open_nodes) + _check_node(value, sizes, open_nodes)
    elif isinstance(node, yaml.SequenceNode):
        size += sum(_check_node(item, sizes, open_nodes) for item in node.value)
    if size > MAX_NODES:
        raise yaml.MarkedYAMLError(problem="it is too long with its aliases", problem_mark=node.start_mark)
    open_nodes.remove(id(node))
    sizes[id(node)] = size
    return size


def _with_home(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_home(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_home(inner) for inner in value]
    return os.path.expanduser(value) if isinstance(value, str) and value.startswith("~/") else value


def read_layers(
    path: Path, remedy: str, locate: Callable[[Path, str], Path] = Path.joinpath, seen: tuple[Path, ...] = ()
) -> Values:
    """The values of a YAML, merged over those of the YAML that its key ``extends`` names, and so on.

    Args:
        locate: (folder of a file, value of its ``extends``) -> path; by default relative to that folder.

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
    if not base_path.exists():
        raise UserError(f"{path} extends {base}, which does not exist", "give a path relative to that file")
    return merge(read_layers(base_path, remedy, locate, seen), values)


def merge(base: Values, changes: Values) -> Values:
    """``base`` with the values of ``changes``, merged section by section."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def set_key(values: Values, key: str, value: Any) -> None:
    """Set a dotted key. Raises UserError where one of its sections is a value."""
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
        # A comment makes no sense here, and paths do have " #" in them.
        value = _with_home(text.strip()) if _COMMENT.match(text) else parse_yaml(text, "it")
    except UserError as error:
        raise UserError(f"--set {override} has a value that is not YAML", f"{error.remedy}; quote it") from None
    set_key(values, key, value)


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
    """Dotted names of all keys of a section and of the sections in it."""
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
    """The first mistake in a configuration, as an error of one line.

    Args:
        source: names the configuration.
        known: all keys.
        key: the mistake's key; None: pydantic's location, which may have more in it than keys.
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
    """(dotted key, what is wrong) of the first mistake; the key is empty where the whole does not fit."""
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
