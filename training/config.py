"""Typed, validated training stages: YAML in, one frozen ``Stage`` out.

Every number of a stage stands in ``stages/<network>/<stage>.yaml`` or in the file that it names with ``extends:``
(a path relative to it, or the name of a stage); the classes below hold no defaults. ``presets/`` holds changes that
fit any stage, e.g. for a first try without a GPU. Batches are totals over all processes.
"""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import Field, ValidationError, model_validator

from bl30k_gen.errors import UserError
from bl30k_gen.settings import apply_override, merge, read_layers, set_key
from training.section import Count, Interval, NonNegative, Positive, Range, Section, Share, Whole

ROOT = Path(__file__).parent
STAGES, PRESETS = ROOT / "stages", ROOT / "presets"
START = "see `train.py list` for stages to start from"

PROPAGATION = ("stm", "stcn", "rde")


class Jitter(Section):
    """Colour changes: each factor is uniform in 1 +- its value; hue in turns; grey is a chance."""

    brightness: Share
    contrast: Share
    saturation: Share
    hue: Annotated[float, Field(ge=0, le=0.5)]
    grey: Share


class SequenceChange(Section):
    """What is drawn once for all frames of a sample."""

    flip: Share  # chance of a horizontal flip
    scale: Interval | None  # of still images, before they are cropped
    crop_ratio: Interval | None  # width / height of a video's crop
    jitter: Jitter


class FrameChange(Section):
    """What is drawn for each frame of a sample."""

    rotation: NonNegative  # degrees, either way
    shear: NonNegative  # degrees, either way
    scale: Interval
    jitter: Jitter


class Warp(Section):
    """Thin-plate spline warp of a frame, for still images."""

    chance: Share
    points: Annotated[int, Field(ge=4)]  # control points
    deviation: NonNegative  # standard deviation of their moves, as a share of the side


class HideAndSeek(Section):
    """Cells of a grid that are hidden in still images, so that occlusions and sharp borders are learned (KMN)."""

    cells: Count  # along each side of a frame
    chance: Interval  # that a cell is hidden, drawn from this for each frame but the first


class Augmentation(Section):
    sequence: SequenceChange
    frame: FrameChange | None
    warp: Warp | None
    hide_and_seek: HideAndSeek | None
    first_mask_iou: Interval | None  # RDE: the first mask is perturbed to an IoU drawn from this


class VideoSource(Section):
    kind: Literal["videos"]
    path: str | None  # of the dataset; `--data` fills it in
    weight: NonNegative  # copies in an epoch; 0 leaves the source out
    split: str | None  # list in ImageSets/; null takes every video
    names: str | None  # file with video names, one a line, to take only these
    share: Share  # of the videos, chosen by their names
    annotated_every: Count  # distance of two annotated frames; distances of the curriculum are divided by it
    label_filter: Literal["none", "small"]  # "small" is BL30K's: objects that are hardly seen are no targets
    crop_scale: Interval  # area of the crop as a share of the picture


class ImageSource(Section):
    kind: Literal["images"]
    path: str | None
    weight: NonNegative
    share: Share


class LvisSource(Section):
    """Objects of LVIS, or of any annotations in COCO's JSON; each one is an item."""

    kind: Literal["lvis"]
    path: str | None  # of the JSON, or of the folder that holds it
    images: str | None  # folder of the images, if they do not lie beside the JSON
    weight: NonNegative
    share: Share  # of the images
    smallest: NonNegative  # area of an object in the annotated image, pixels
    scale: Interval | None  # of frames, in the place of augmentation.frame.scale


class FusionSource(Section):
    kind: Literal["fusion"]
    path: str | None  # of what `train.py make-fusion-data` has written
    videos: str | None  # of the dataset it was made of, if that has moved
    weight: NonNegative
    share: Share


SOURCES = {"videos": VideoSource, "images": ImageSource, "lvis": LvisSource, "fusion": FusionSource}
Source = Annotated[VideoSource | ImageSource | LvisSource | FusionSource, Field(discriminator="kind")]


class ScribbleKinds(Section):
    """Weights of the kinds of scribbles."""

    boundary: NonNegative
    thinned: NonNegative
    curves: NonNegative

    @model_validator(mode="after")
    def _some(self) -> "ScribbleKinds":
        if self.boundary + self.thinned + self.curves == 0:
            raise ValueError("kinds: one of them needs a weight above 0")
        return self


class Scribbles(Section):
    """How S2M's mask so far and its scribbles are made.

    Diameters, depths and areas are in pixels of a crop of 480 x 480, and grow with the crop.
    """

    from_zero: Share  # chance of an empty mask so far
    iou: Interval  # else of the mask so far with the true one
    another: Share  # chance of another object of the image, where masks so far are not empty and the source has it
    another_smallest: NonNegative  # its area in the annotated image
    another_negative: Share  # chance of negative scribbles on it; else its mask joins the mask so far
    another_iou: Share  # of the mask that joins, with its true one
    robot: Share  # chance of the benchmark's robot, where masks so far are not empty
    opening: Range  # diameter of the opening that smooths regions for other scribbles than the robot's
    smallest: Range  # area of regions that are scribbled on
    kinds: ScribbleKinds  # of which each region gets one
    second: Share  # chance that it gets another one
    depth: Range  # diameter of the erosion before the boundary is drawn
    curves: Range  # in a region: the longest of ``curves_tried``
    curves_tried: Count
    spill: Range  # diameter of the dilation of a region, beyond which curves are cut off
    free: Share  # chance of curves on the object and beside it that ignore the mask so far
    free_curves: Range
    free_smallest: NonNegative  # area that gets them


class Curriculum(Section):
    """Largest distance of two sampled frames: the next value after each share of the epochs."""

    distances: list[Count] = Field(min_length=1)
    at: list[Share]

    @model_validator(mode="after")
    def _fits(self) -> "Curriculum":
        if len(self.at) != len(self.distances) - 1 or sorted(self.at) != self.at:
            raise ValueError("at: one growing share fewer than distances")
        return self


class Loss(Section):
    warm_up: Range  # iterations between which the kept share falls from 1
    kept: Annotated[float, Field(gt=0, le=1)]  # share of the hardest pixels after the warm-up
    frame_weights: list[Positive]  # of the predicted frames, in order
    guidance: NonNegative  # RDE: unbiased guidance of the recurrent memory
    consistency: NonNegative  # RDE: mask consistency of the first frame


class Optimiser(Section):
    """Adam with steps of decay."""

    learning_rate: Positive
    weight_decay: NonNegative
    decay_at: list[Count]  # iterations
    decay: Annotated[float, Field(gt=0, le=1)]
    warm_up: Whole  # iterations of linear growth from zero
    clip: Positive | None  # largest norm of the gradient


class Validation(Section):
    """Images that are held out, by their names; whole folders (videos, classes) where a source has several."""

    share: Annotated[float, Field(gt=0, lt=1)]  # of a source
    samples: Count  # at most
    every: Count  # iterations


class ValidationVideos(Section):
    """Annotated videos that judge a propagation network while it learns; they change nothing that it learns."""

    path: str | None  # of a dataset; null validates nothing
    split: str | None  # list in ImageSets/; null takes every video
    videos: Count  # at most, evenly spread over the list
    every: Count  # iterations
    short_side: Count | None  # pixels to work at; null keeps the videos' size


class Runtime(Section):
    """How the work is done; nothing here changes what is learned, but for rounding.

    S2M is the exception: its batch norms see the samples that all processes take at once.
    """

    precision: Literal["auto", "fp32", "bf16", "fp16"]  # auto: bf16 on a GPU that has it, else fp32
    channels_last: bool  # lay weights out as convolutions on GPUs like them
    checkpointing: bool  # compute activations again in the backward pass: less memory, about a third more time
    compile: bool  # by torch.compile, which takes minutes at the start and needs a C compiler
    batch_per_step: Count  # samples a process takes at once; the rest is accumulated
    workers: Whole  # loader processes per training process
    log_every: Count  # iterations
    picture_every: Count
    save_every: Count
    keep: Count  # checkpoints; older ones are removed
    bad_steps: Count  # steps in a row without a finite gradient before the run stops
    corrupt_files: Whole  # damaged files that are passed over before the run stops


class Stage(Section):
    network: Literal["stm", "stcn", "rde", "fusion", "s2m"]
    model: dict[str, Any]  # configuration of the network, see models/
    imagenet: str  # where encoders start: torchvision, none, a weights file or a folder of them
    objects: Annotated[int, Field(ge=1, le=2)]  # in a sample; 1 trains the network of single objects
    alignment: str | None  # fusion: weights of the propagation network whose keys carry differences over
    frames: Count  # in a sample; fusion's are the frame and the reference
    size: Annotated[int, Field(ge=32, multiple_of=16)]  # of the square crop, pixels
    seed: int
    iterations: Count
    batch: Count  # samples an iteration, over all processes
    data: dict[str, Source]
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
        """The sources that are not left out."""
        return {name: source for name, source in self.data.items() if source.weight > 0}

    def to_yaml(self) -> str:
        """The resolved stage, loadable again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, default_flow_style=None, width=100)

    def identity(self) -> dict[str, Any]:
        """What a run depends on, as ``{dotted key: value}``: not how it is run and judged, and where the data lie."""
        return {k: v for k, v in flatten(self.model_dump(mode="json")).items() if _is_identity(k)}


def stage_names() -> list[str]:
    """Names of the stages that come with the project, e.g. ``stcn/static``."""
    return sorted(str(path.relative_to(STAGES).with_suffix("")) for path in STAGES.glob("*/*.yaml"))


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def load_stage(
    name: str,
    overrides: Iterable[str] = (),
    data: Iterable[str] = (),
    preset: str | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Stage:
    """A stage by its name, or from a YAML file of one's own.

    Args:
        overrides: ``key=value`` each, with dots: ``optimiser.learning_rate=1e-4``.
        data: where the sources lie. ``NAME=PATH`` each; or one PATH that holds a folder for each source, by its
            name. A PATH with none of these folders is the only source, with the settings of the stage's first one.
        preset: name of a file in ``presets/``, or its path, applied before the overrides. A network may have a file
            of its own for it: ``tiny`` is ``tiny-fusion`` for fusion.
        changes: of a recipe, by dotted key; applied before the preset.

    Raises:
        UserError: a file is missing or no YAML, a key is unknown (with the nearest known one), a value is wrong.
    """
    path = find(name, STAGES, "stage", stage_names())
    values = read_layers(path, START, _locate)
    for key, value in (changes or {}).items():
        set_key(values, key, value)
    if preset is not None:
        known, own = preset_names(), f"{preset}-{values.get('network')}"
        place = find(own if own in known else preset, PRESETS, "preset", known)
        values = merge(values, read_layers(place, START, _locate))
    for override in overrides:
        apply_override(values, override)
    for source, settings in (values.get("data") or {}).items():
        if not isinstance(settings, dict) or "kind" not in settings:
            known = ", ".join(key for key, other in values["data"].items() if key != source)
            raise UserError(f"stage {name}: there is no source {source}", f"sources are {known}")
    _place_data(values, list(data))
    try:
        return Stage.model_validate(values)
    except ValidationError as error:
        raise _explain(error, name, values) from None


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat


def _is_identity(key: str) -> bool:
    place = key.startswith("data.") and key.endswith((".path", ".videos"))
    return not place and not key.startswith(("runtime.", "validation_videos."))


def find(name: str, folder: Path, what: str, known: list[str]) -> Path:
    """A YAML of the project by its name, or the user's own by its path. Raises UserError with the nearest name."""
    if name in known:
        return folder / f"{name}.yaml"
    if Path(name).suffix in (".yaml", ".yml") and Path(name).is_file():
        return Path(name)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(known)}, or give a YAML file"
    raise UserError(f"{what} {name} does not exist", hint)


def _locate(folder: Path, base: str) -> Path:
    """What ``extends`` names: a stage of the project, or a file beside the one that says it."""
    return STAGES / f"{base}.yaml" if base in stage_names() else folder / base


def _place_data(values: dict[str, Any], places: list[str]) -> None:
    """Fill in ``data.<source>.path`` from what ``--data`` says."""
    sources = {k: v for k, v in (values.get("data") or {}).items() if isinstance(v, dict) and v.get("weight") != 0}
    for place in places:
        name, equals, path = place.partition("=")
        if equals and name in sources:
            sources[name]["path"] = path
        elif equals and name.isidentifier():
            left_out = f"it has weight 0; take it in: --set data.{name}.weight=1"
            remedy = left_out if name in (values.get("data") or {}) else f"sources are {', '.join(sources)}"
            raise UserError(f"--data {place}: there is no source {name}", remedy)
        elif any((Path(place) / name).is_dir() for name in sources):
            for name, source in sources.items():
                source["path"] = str(Path(place) / name)
        elif sources:
            first = next(iter(sources.values()))
            if Path(place).suffix == ".json":
                first = next((source for source in sources.values() if source.get("kind") == "lvis"), first)
            name = Path(place).resolve().stem.replace(".", "_")
            values["data"] = {name: first | {"path": place, "weight": 1}}


def _known_keys(values: dict[str, Any], model: Any = Stage, prefix: str = "") -> list[str]:
    """Every key that may be set, with its section; sources by the names that this stage gives them."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(prefix + name)
        for inner in _sections_of(field.annotation):
            keys += _known_keys(values, inner, f"{prefix}{name}.")
    if model is Stage:
        for source in values.get("data") or {}:
            for kind in SOURCES.values():
                keys += _known_keys(values, kind, f"data.{source}.")
    return keys


def _sections_of(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) in (Union, type(int | None)):
        return [inner for part in get_args(annotation) for inner in _sections_of(part)]
    return []


def _explain(error: ValidationError, source: str, values: dict[str, Any]) -> UserError:
    first = error.errors(include_url=False)[0]
    parts = [str(part) for part in first["loc"]]
    if parts[:1] == ["data"]:  # the discriminator is part of the place
        parts = [part for i, part in enumerate(parts) if not (i == 2 and part in SOURCES)]
    key = ".".join(parts)
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(key, _known_keys(values), n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else "see `train.py run STAGE --dry-run` for the known keys"
        return UserError(f"stage {source}: unknown key {key}", hint)
    if first["type"] == "missing":
        return UserError(f"stage {source}: key {key} is missing", "add it, or `extends:` a stage that has it")
    message = first["msg"].removeprefix("Value error, ")
    at = f": {key} = {first['input']!r}" if key else ""
    return UserError(f"stage {source}{at}", message[0].lower() + message[1:])
