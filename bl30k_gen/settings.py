"""Layered YAML settings, for render configurations and training stages alike: ``extends:``, then ``key=value``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from bl30k_gen.errors import UserError

Values = dict[str, Any]


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
