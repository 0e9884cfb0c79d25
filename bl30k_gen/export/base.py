"""What a format is, and which there are."""

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
    """Videos whose files are written together and appear together."""

    name: str
    videos: tuple[VideoEntry, ...]


class Format(Section, ABC):
    """A format, and as its fields the options that it has.

    ``write`` gets one unit after the other, in any order and in several processes; ``finish`` sees all of them.
    """

    name: ClassVar[str]
    summary: ClassVar[str]  # what it writes, in one line
    requires: ClassVar[tuple[str, ...]] = ()  # modules of the extra `export`
    version: ClassVar[int] = 1  # raised with every change of what is written for the same videos

    def units(self, store: VideoStore, videos: Sequence[VideoEntry]) -> list[Unit]:
        """How the videos are divided; by default each is a unit of its own."""
        return [Unit(video.name, (video,)) for video in videos]

    @abstractmethod
    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        """Write a unit's files into an empty folder, under the paths that they get in the output.

        Args:
            unit: its name.

        Raises:
            UserError: a file of the dataset is missing or damaged, or lacks what the format needs.
        """

    def finish(self, store: VideoStore, videos: Sequence[VideoEntry], out: Path, folder: Path) -> None:  # noqa: B027
        """Write what speaks of all videos into an empty folder; what the units wrote is in ``out``."""


_FORMATS: dict[str, type[Format]] = {}

AnyFormat = TypeVar("AnyFormat", bound=type[Format])


def register(name: str, summary: str, requires: tuple[str, ...] = ()) -> Callable[[AnyFormat], AnyFormat]:
    """Decorator: make a Format known by ``name``."""

    def add(kind: AnyFormat) -> AnyFormat:
        kind.name, kind.summary, kind.requires = name, summary, requires
        _FORMATS[name] = kind
        return kind

    return add


def formats() -> dict[str, type[Format]]:
    """All formats by name: every module of this package is looked at once."""
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
