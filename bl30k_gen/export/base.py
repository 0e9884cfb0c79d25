"""The base class and the registry of export formats."""

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, TypeVar

from pydantic import ValidationError

from bl30k_gen import export
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError, nearest
from bl30k_gen.export.source import SourceVideo, VideoEntry
from bl30k_gen.settings import Section, Values, apply_override, explain, known_keys


@dataclass(frozen=True)
class Unit:
    """Videos whose files are written and published together."""

    name: str
    videos: tuple[VideoEntry, ...]


class Format(Section, ABC):
    """An export format; its fields are its options.

    ``write`` is called for each unit, in any order and in several processes; then ``finish``, for all of them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # one line about what it writes
    requires: ClassVar[tuple[str, ...]] = ()  # modules that it needs, of the extra `export`
    version: ClassVar[int] = 1  # increased when the files for the same videos change

    def units(self, store: VideoStore, videos: Sequence[VideoEntry]) -> list[Unit]:
        """The videos divided into units; by default one unit for each video."""
        return [Unit(video.name, (video,)) for video in videos]

    @abstractmethod
    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        """Write the files of a unit into an empty folder, under their future paths in the output.

        Args:
            unit: name of the unit.

        Raises:
            UserError: a file of the dataset is missing or damaged, or lacks what the format needs.
        """

    def finish(self, store: VideoStore, videos: Sequence[VideoEntry], out: Path, folder: Path) -> None:  # noqa: B027
        """Write the files that describe all videos into an empty folder; the files of the units are in ``out``."""


_FORMATS: dict[str, type[Format]] = {}

AnyFormat = TypeVar("AnyFormat", bound=type[Format])


def register(name: str, summary: str, requires: tuple[str, ...] = ()) -> Callable[[AnyFormat], AnyFormat]:
    """Decorator that registers a Format by ``name``."""

    def add(kind: AnyFormat) -> AnyFormat:
        kind.name, kind.summary, kind.requires = name, summary, requires
        _FORMATS[name] = kind
        return kind

    return add


def formats() -> dict[str, type[Format]]:
    """All formats by name; imports every module of this package to register them."""
    for module in pkgutil.iter_modules(export.__path__, f"{export.__name__}."):
        importlib.import_module(module.name)
    return dict(sorted(_FORMATS.items()))


def format_of(name: str, overrides: Sequence[str] = ()) -> Format:
    """The format ``name`` with options as ``key=value``.

    Raises:
        UserError: there is no such format or option, or a package is missing that the format needs.
    """
    known = formats()
    if name not in known:
        raise UserError(f"--to {name}", nearest(name, known, f"give one of {', '.join(known)}"))
    kind, values = known[name], Values()
    for override in overrides:
        apply_override(values, override)
    if missing := [module for module in kind.requires if find_spec(module) is None]:
        raise UserError(f"--to {name} needs the package {missing[0]}", "pip install 'bl30k[export]'")
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise explain(error, f"--to {name}", known_keys(kind)) from None
