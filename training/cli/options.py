"""Options that several commands of ``train.py`` share, single ones and groups."""

import contextlib
import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from bl30k_gen.errors import STOPPED

Checkpoint = Annotated[
    Path, typer.Argument(help="Propagation network: a run's folder, a file, or small, the project's own.")
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Out = Annotated[Path, typer.Option("--out", help="Folder for masks, tables and figures.")]
Fusion = Annotated[str, typer.Option("--fusion", help="A checkpoint, or linear, or none.")]
S2m = Annotated[Path | None, typer.Option("--s2m", help="Checkpoint of the scribble-to-mask network.")]
MasksMean = Annotated[
    Literal["ids", "binary", "soft"] | None,
    typer.Option("--masks", help="What masks mean: objects' numbers, one object, or one with soft edges."),
]


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """Options of training a stage or a recipe."""

    data: Annotated[
        list[str] | None,
        typer.Option("--data", metavar="[NAME=]PATH", help="Path of a source, or a folder with all; repeatable."),
    ] = None
    start: Annotated[
        Path | None, typer.Option("--from", metavar="CHECKPOINT", help="Weights, or a run's folder.")
    ] = None
    out: Annotated[Path | None, typer.Option("--out", help="The run's folder; out/runs/<name> by default.")] = None
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change a key; repeatable.")
    ] = None
    preset: Annotated[
        str | None, typer.Option("--preset", help="Named changes for any stage: tiny, for a laptop.")
    ] = None
    device: Device = "auto"
    no_pretrained: Annotated[bool, typer.Option("--no-pretrained", help="Begin without ImageNet's weights.")] = False
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show data, samples, memory and time; train nothing.")
    ] = False

    @property
    def changes(self) -> list[str]:
        """Overrides as ``key=value``."""
        return [*(["imagenet=none"] if self.no_pretrained else []), *(self.overrides or [])]


@dataclass(frozen=True, kw_only=True)
class PropagationOptions:
    """Options of propagation: fields of ``training.inference.options.Options``, which checks them."""

    memory: Annotated[
        str | None, typer.Option("--memory", help="growing, bounded, or one of RDE's: see docs/inference.md.")
    ] = None
    memory_every: Annotated[int | None, typer.Option("--memory-every", help="Frames between memory frames.")] = None
    top_k: Annotated[
        int | None, typer.Option("--top-k", help="Memory positions that a pixel is read from; 0: all, by softmax.")
    ] = None
    sigma: Annotated[float | None, typer.Option("--sigma", help="Width of the reading's kernel, e.g. 5.6 or 7.")] = (
        None
    )
    memory_budget: Annotated[int | None, typer.Option("--memory-budget", help="Bytes that memory may take.")] = None
    short_side: Annotated[int | None, typer.Option("--short-side", help="Pixels to work at, e.g. 480 or 600.")] = None
    scales: Annotated[
        list[float] | None, typer.Option("--scale", help="Average over sizes, factors of the above; repeatable.")
    ] = None
    flip: Annotated[bool | None, typer.Option("--flip", help="Average over mirrored frames.")] = None
    precision: Annotated[str | None, typer.Option("--precision", help="float32, bfloat16 or float16.")] = None

    def given(self) -> dict[str, Any]:
        """The options that the user gave; others are the network's own. ``top_k`` 0 becomes None: full softmax."""
        given = {name: value for name, value in vars(self).items() if value not in (None, [])}
        return given | ({"top_k": None} if self.top_k == 0 else {})


class _Interrupted(BaseException):
    """A signal arrived. Not an ``Exception``, so that only ``stoppable`` catches it."""


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and SIGINT end the block with exit code ``STOPPED``; the same command continues the work.

    Files appear whole, so the work may be interrupted anywhere.
    """

    def stop(number: int, frame: object) -> None:
        for other in signals:  # the command is ending already
            signal.signal(other, signal.SIG_IGN)
        raise _Interrupted

    signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, stop) for number in signals}
    try:
        yield
    except _Interrupted:
        print("stopped; the same command continues", file=sys.stderr)
        raise typer.Exit(STOPPED) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Make a command for Typer in which each parameter that is a dataclass becomes one flag per field."""
    parameters = inspect.signature(command).parameters.values()
    groups: dict[str, Any] = {p.name: p.annotation for p in parameters if is_dataclass(p.annotation)}

    def run(**values: Any) -> None:
        filled = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **filled)

    flags = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for group in groups.values()
        for field in fields(group)
    ]
    own = [p for p in parameters if p.name not in groups]
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    vars(run)["__signature__"] = inspect.Signature([*own, *flags])
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*own, *flags)}
    return run
