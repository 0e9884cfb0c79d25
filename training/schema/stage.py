"""Typed, validated training stages: YAML in, one frozen ``Stage`` out.

All settings of a stage are in ``stages/<network>/<stage>.yaml`` or in the file that it names with ``extends:`` (a
path relative to it, or the name of a stage); the classes below have no defaults. ``presets/`` holds changes for any
stage, e.g. for a first test without a GPU. Batches are totals over all processes.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from bl30k_gen.errors import UserError
from bl30k_gen.settings import (
    Count,
    NonNegative,
    Positive,
    Section,
    Whole,
    WholeInterval,
    apply_override,
    explain,
    first_mistake,
    flatten,
    known_keys,
    merge,
    read_layers,
    set_key,
)
from training.schema.data import (
    SOURCES,
    Augmentation,
    Curriculum,
    FusionSource,
    ImageSource,
    LvisSource,
    Scribbles,
    Source,
    VideoSource,
)
from training.schema.lookup import PRESETS, STAGES

START = "see `train.py list` for stages to start from"

PROPAGATION = ("stm", "stcn", "rde")


class Loss(Section):
    warm_up: WholeInterval  # iterations between which the kept share falls from 1
    kept: Annotated[float, Field(gt=0, le=1)]  # share of the hardest pixels after the warm-up
    frame_weights: list[Positive]  # of the predicted frames, in order
    guidance: NonNegative  # RDE: unbiased guidance of the recurrent memory
    consistency: NonNegative  # RDE: mask consistency of the first frame


class Optimiser(Section):
    """Adam with steps of decay."""

    learning_rate: Positive  # of Adam, before it decays
    weight_decay: NonNegative  # of Adam
    decay_at: list[Count]  # iterations
    decay: Annotated[float, Field(gt=0, le=1)]  # factor of the learning rate at each of these
    warm_up: Whole  # iterations of linear growth from zero
    clip: Positive | None  # largest norm of the gradient


class Validation(Section):
    """Images that are held out, by their names; whole folders (videos, classes) where a source has several."""

    share: Annotated[float, Field(gt=0, lt=1)]  # of a source
    samples: Count  # at most
    every: Count  # iterations


class ValidationVideos(Section):
    """Annotated videos that score a propagation network during training; they do not change what it learns."""

    path: str | None  # of a dataset; null validates nothing
    split: str | None  # list in ImageSets/; null takes every video
    videos: Count  # at most, evenly spread over the list
    every: Count  # iterations
    short_side: Count | None  # pixels to work at; null keeps the videos' size


class Runtime(Section):
    """How the work is done; these settings change the result only by rounding.

    S2M is the exception: its batch norms use the samples that all processes take in one step.
    """

    precision: Literal["auto", "fp32", "bf16", "fp16"]  # auto: bf16 on a GPU that has it, else fp32
    channels_last: bool  # store weights in the layout that convolutions on GPUs prefer
    checkpointing: bool  # compute activations again in the backward pass: less memory, about a third more time
    compile: bool  # by torch.compile, which takes minutes at the start and needs a C compiler
    batch_per_step: Count  # samples a process takes at once; the rest is accumulated
    workers: Whole  # loader processes per training process
    log_every: Count  # iterations
    picture_every: Count  # iterations
    save_every: Count  # iterations
    keep: Count  # checkpoints; older ones are removed
    bad_steps: Count  # steps in a row without a finite gradient before the run stops
    corrupt_files: Whole  # damaged files that are skipped before the run stops


class Stage(Section):
    network: Literal["stm", "stcn", "rde", "fusion", "s2m"]  # which one is trained
    model: dict[str, Any]  # configuration of the network, see models/
    imagenet: str  # where encoders start: torchvision, none, a weights file or a folder of them
    objects: Annotated[int, Field(ge=1, le=2)]  # in a sample; 1 trains the network of single objects
    alignment: str | None  # fusion: weights of the propagation network whose keys align differences
    frames: Count  # in a sample; fusion's are the frame and the reference
    size: Annotated[int, Field(ge=32, multiple_of=16)]  # of the square crop, pixels
    seed: int  # of weights and samples
    iterations: Count  # steps of the optimiser
    batch: Count  # samples an iteration, over all processes
    data: dict[str, Source]  # the sources by name; see the tables below
    curriculum: Curriculum | None
    augmentation: Augmentation
    scribbles: Scribbles | None
    validation: Validation | None
    loss: Loss
    optimiser: Optimiser
    validation_videos: ValidationVideos
    runtime: Runtime

    @model_validator(mode="after")
    def _fits(self) -> "Stage":
        predicted = self.frames if self.network == "s2m" else self.frames - 1
        if len(self.loss.frame_weights) != predicted:
            raise ValueError(f"loss.frame_weights needs {predicted} values for {self.frames} frames")
        kinds, change = {source.kind for source in self.data.values()}, self.augmentation
        stills = kinds & {"images", "lvis"}
        if ("fusion" in kinds) != (self.network == "fusion") or len(kinds) > 1 and "fusion" in kinds:
            raise ValueError("sources of kind fusion train the network fusion, and only that")
        if "fusion" not in kinds and (change.frame is None or self.frames < 3 and self.network != "s2m"):
            raise ValueError("samples need 3 frames and augmentation.frame")
        if "videos" in kinds and (self.curriculum is None or change.sequence.crop_ratio is None):
            raise ValueError("videos need curriculum and augmentation.sequence.crop_ratio")
        if stills and (change.sequence.scale is None or self.objects != 1):
            raise ValueError("images need augmentation.sequence.scale, and objects 1")
        if self.network == "s2m" and (stills != kinds or self.scribbles is None or self.frames != 1):
            raise ValueError("the network s2m needs still images, scribbles, and frames 1")
        if self.validation is not None and stills != kinds:
            raise ValueError("validation holds still images out, and the stage has other data")
        if self.validation_videos.path is not None and self.network not in PROPAGATION:
            raise ValueError("validation_videos are for propagation networks")
        return self

    @property
    def sources(self) -> dict[str, VideoSource | ImageSource | LvisSource | FusionSource]:
        """The sources with a weight above 0."""
        return {name: source for name, source in self.data.items() if source.weight > 0}

    def to_yaml(self) -> str:
        """The resolved stage as YAML that ``load_stage`` accepts."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=100)

    def identity(self) -> dict[str, Any]:
        """The settings that determine a run, as ``{dotted key: value}``.

        Without ``runtime``, validation that changes no weights, and paths, which may change while a run continues.
        """
        known = self.differing()
        return {key: "a path" if _is_path(key, known[key]) else known[key] for key in known if _is_identity(key)}

    def differing(self) -> dict[str, Any]:
        """The settings in which runs may differ, as ``{dotted key: value}``: all but how and where they are run."""
        flat = flatten(self.model_dump(mode="json"))
        return {key: value for key, value in flat.items() if not key.startswith(_HOW) and not _is_place(key)}


PUBLISHED_FOLDERS = {
    "static/fss": "fss",
    "static/DUTS-TR": "duts_tr",
    "static/DUTS-TE": "duts_te",
    "static/ecssd": "ecssd",
    "static/BIG_small": "big",
    "static/HRSOD_small": "hrsod",
    "DUTS-TR": "duts_tr",
    "DUTS-TE": "duts_te",
    "BIG_small": "big",
    "HRSOD_small": "hrsod",
    "BL30K": "bl30k",
    "DAVIS/2017/trainval": "davis",
    "YouTube/train_480p": "youtube",
}
"""Folders of sources as the published code of STCN and XMem has them, in its one folder for data or in ``static``."""


def load_stage(
    name: str,
    overrides: Iterable[str] = (),
    data: Iterable[str] = (),
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Stage:
    """A stage by its name, or from the user's own YAML file.

    Args:
        overrides: ``key=value`` with dotted keys: ``optimiser.learning_rate=1e-4``.
        data: paths of the sources: ``NAME=PATH`` for each, or one PATH with a folder for each source, by its name or
            one of ``PUBLISHED_FOLDERS``. A PATH without such folders is the only source, with the settings of the
            stage's first one.
        preset: name of a file in ``presets/``, or a path, applied before the overrides. ``tiny`` is ``tiny-fusion``
            for the network fusion, if that file exists.
        changes: of a recipe, by dotted key, applied before the preset.

    Raises:
        UserError: a file is missing or no YAML, a key is unknown (with the nearest known one), a value is wrong.
    """
    values = read_layers(STAGES.find(name), START, STAGES.locate)
    for key, value in (changes or {}).items():
        set_key(values, key, value)
    if preset is not None:
        own = f"{preset}-{values.get('network')}"
        changes_of_preset = PRESETS.find(own if own in PRESETS.names() else preset)
        values = merge(values, read_layers(changes_of_preset, START, STAGES.locate))
    for override in overrides:
        apply_override(values, override)
    for source, settings in (values.get("data") or {}).items():
        if not isinstance(settings, dict) or "kind" not in settings:
            known = ", ".join(key for key, other in values["data"].items() if key != source)
            remedy = f"sources are {known}" if known else "a new one needs its kind and all its keys"
            raise UserError(f"stage {name}: there is no source {source}", remedy)
    _place_data(values, list(data))
    try:
        return Stage.model_validate(values)
    except ValidationError as error:
        raise _explain(error, name, values) from None


_HOW = ("runtime.", "validation_videos.")


def _is_place(key: str) -> bool:
    return key.startswith("data.") and key.endswith((".path", ".videos", ".images"))


def _is_identity(key: str) -> bool:
    return key not in ("validation.samples", "validation.every")


def _is_path(key: str, value: Any) -> bool:
    return (key == "alignment" and value is not None) or (key == "imagenet" and value not in ("torchvision", "none"))


def _folders_in(root: Path, sources: Iterable[str]) -> dict[str, Path]:
    """The folder of each source in a folder of many, if there is one.

    Folders of the published code count if half of the sources are found: a folder with one of them is the user's own.
    """
    names = {source: [source, *(path for path, s in PUBLISHED_FOLDERS.items() if s == source)] for source in sources}
    found = {s: next((root / path for path in paths if (root / path).is_dir()), None) for s, paths in names.items()}
    found = {source: path for source, path in found.items() if path is not None}
    own = {source: path for source, path in found.items() if path.name == source}
    return found if 2 * len(found) >= len(names) else own


def _place_data(values: dict[str, Any], places: list[str]) -> None:
    """Fill in ``data.<source>.path`` from ``--data``."""
    sources = {k: v for k, v in (values.get("data") or {}).items() if isinstance(v, dict) and v.get("weight") != 0}
    for place in places:
        name, equals, path = place.partition("=")
        if equals and name in sources:
            sources[name]["path"] = path
        elif equals and name.isidentifier():
            left_out = f"it has weight 0; take it in: --set data.{name}.weight=1"
            remedy = left_out if name in (values.get("data") or {}) else f"sources are {', '.join(sources)}"
            raise UserError(f"--data {place}: there is no source {name}", remedy)
        elif folders := _folders_in(Path(place), sources):
            for name, source in sources.items():
                source["path"] = str(folders.get(name, Path(place) / name))
        elif sources:
            if len(places) > 1:
                named = ", ".join(sources)
                remedy = f"give NAME=PATH for each; sources are {named}"
                raise UserError(f"--data {place} is the only source, and others are given beside it", remedy)
            first = next(iter(sources.values()))
            if Path(place).suffix == ".json":
                first = next((source for source in sources.values() if source.get("kind") == "lvis"), first)
            name = Path(os.path.abspath(place)).stem.replace(".", "_")
            values["data"] = {name: first | {"path": place, "weight": 1}}


def _explain(error: ValidationError, name: str, values: dict[str, Any]) -> UserError:
    """The first mistake as a UserError; keys of sources have the names that the stage gives them."""
    parts = first_mistake(error)[0].split(".")
    if parts[0] == "data":  # pydantic puts the kind of a source between its name and its key
        parts = [part for i, part in enumerate(parts) if not (i == 2 and part in SOURCES)]
    known = known_keys(Stage)
    for source in values.get("data") or {}:
        for kind in SOURCES.values():
            known += known_keys(kind, f"data.{source}.")
    return explain(error, f"stage {name}", known, ".".join(parts))
