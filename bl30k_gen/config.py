"""Typed, validated render configuration: YAML in, one frozen ``Config`` out.

Every number of a recipe stands in its YAML. The classes below have no defaults, so that a recipe can be read in one
place; only filters of assets, and features that the published recipe lacks, may be absent. ``extends:`` names another
YAML (relative to its own) that gives the values of absent keys. Units: metres, radians, watts; see each field.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_serializer,
    model_validator,
)

from bl30k_gen import settings
from bl30k_gen.errors import UserError, printable
from bl30k_gen.resources import config_names, find_config
from bl30k_gen.settings import Count, CountInterval, NonNegative, Positive, Share, Whole

MAX_LIGHTS = 1000
DRAFT_FRAMES, DRAFT_WIDTH, DRAFT_SAMPLES = 8, 256, 8
Device = Literal["auto", "cpu", "cuda", "optix", "hip", "oneapi", "metal"]
Store = Literal["folder", "tar", "hdf5"]


class Section(settings.Section):
    """Optional keys are stored only where they differ from their default: a new one changes no existing dataset."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            k: v for k, v in handler(self).items() if fields[k].is_required() or getattr(self, k) != fields[k].default
        }


class Range(BaseModel):
    """A closed interval, written ``[smallest, largest]`` in YAML."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)
    low: float
    high: float

    @model_validator(mode="before")
    @classmethod
    def _from_pair(cls, value: Any) -> Any:
        if isinstance(value, (Range, dict)):
            return value
        low, high = settings.require_pair(value)
        return {"low": low, "high": high}

    @model_validator(mode="after")
    def _in_order(self) -> "Range":
        settings.require_ordered((self.low, self.high))
        return self


class Video(Section):
    frames: Annotated[int, Field(ge=1, le=100_000)]  # a frame's name has five digits
    width: Annotated[int, Field(ge=16, le=8192)]  # pixels
    height: Annotated[int, Field(ge=16, le=8192)]  # pixels


class Motion(Section):
    degree: Annotated[int, Field(ge=1, le=8)]  # of the polynomials; they pass through degree + 1 control points
    location_speed: NonNegative  # metres a frame: a move is at most abs(Normal(0, this x its frames)) long, per axis
    rotation_speed: NonNegative  # radians a frame, standard deviation, per axis
    scale_change: Range  # factor over the whole video; a step draws from its degree-th root
    static: Literal["drift", "hold"]  # what a curve does between equal control points
    static_enter: Share  # probability that a moving path turns static, at the start and after each move
    static_stay: Share  # probability that a static path stays static


class Frustum(Section):
    """The space of the objects: between two depths, with a width that grows linearly from the apex."""

    near: float  # depth y, metres
    far: float  # depth y, metres
    apex: float  # depth y at which the frustum has no width
    half_width: Positive  # |x| and |z| at ``near``

    @model_validator(mode="after")
    def _in_order(self) -> "Frustum":
        if not self.apex < self.near < self.far:
            raise ValueError("needs apex < near < far")
        return self


class Deformation(Section):
    """Objects that change their shape; see ``scene/deformation.py``. Lengths are fractions of a model's diagonal."""

    chance: Share  # probability that an object deforms
    kinds: list[Literal["lattice", "wave", "bend"]] = Field(min_length=1)  # equally likely
    cycles: Range  # oscillations over the whole video
    displacement: Range  # lattice: maximum for its control points
    amplitude: Range  # wave
    wavelength: Range  # wave
    angle: Range  # bend: between the ends of the model, radians

    @model_validator(mode="after")
    def _positive(self) -> "Deformation":
        if self.wavelength.low <= 0:
            raise ValueError("wavelength: must be above 0")
        return self


class Objects(Section):
    count: CountInterval  # minimum and maximum a video
    frustum: Frustum
    scale: Range  # at the start, per axis, of a model with a unit diagonal
    clearance: NonNegative  # metres between two paths below which the later one is redrawn
    clearance_tries: Whole  # redraws before it is kept as it is, and recorded
    retexture_mapped: Share  # probability of a new texture for a model that has its own
    retexture_unmapped: Share  # the same for one that has none
    max_thickness: Positive | None = None  # models that are thicker are skipped; see ``scene/thickness.py``
    deformation: Deformation | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "Objects":
        if self.count[1] > 254:
            raise ValueError("count: a mask has ids for 254 objects at most")
        if self.scale.low <= 0:
            raise ValueError("scale: must be above 0")
        return self


class Block(Section):
    """An axis-aligned box, metres."""

    x: Range  # metres to the right
    y: Range  # metres into the image
    z: Range  # metres up


class Shake(Section):
    """Smooth noise of the viewing direction, as of a hand-held camera."""

    angle: Range  # radians, root mean square over time, of pitch and of yaw
    roll: NonNegative  # root mean square about the line of sight, as a factor of ``angle``
    cycles: Range  # slowest and fastest oscillation, in oscillations over the whole video
    waves: Count  # sines that make up the noise

    @model_validator(mode="after")
    def _positive(self) -> "Shake":
        if self.cycles.low <= 0:
            raise ValueError("cycles: must be above 0")
        return self


class Camera(Section):
    field_of_view: Range  # radians, horizontal
    location: Block
    target: Block  # point that the camera looks at
    speed: NonNegative  # metres a frame, as ``motion.location_speed``
    shake: Shake | None = None


def _limited(count: tuple[int, int]) -> tuple[int, int]:
    if count[1] > MAX_LIGHTS:
        raise ValueError(f"a scene has {MAX_LIGHTS} lights at most")
    return count


class Lights(Section):
    count: Annotated[CountInterval, AfterValidator(_limited)]  # minimum and maximum a video
    radius: Positive  # metres, of the sphere on which they sit
    size: NonNegative  # metres, radius of a lamp itself: larger ones cast softer shadows
    power: Range  # watts
    colour_floor: Share  # minimum of a channel before the colour is divided by its largest channel
    ambient: NonNegative  # grey light from everywhere


class Backdrop(Section):
    distance: float  # depth y of the plane, metres
    size: Positive  # edge of the square plane, metres; used by ``fit: plane``
    strength: Range  # of its emission
    fit: Literal["plane", "cover"]  # stretch the image over the plane, or fill every view, aspect kept


class Bounces(Section):
    total: Whole  # of a path of light
    minimum: Whole  # before Cycles may end a path early
    diffuse: Whole  # of rough surfaces
    glossy: Whole  # of shiny surfaces; 0 shows no reflections of other objects
    transmission: Whole  # through glass
    volume: Whole  # in smoke and fog


class Bright(Section):
    """Light from which on a scene counts as bright."""

    lamps: Positive  # power of all lamps together, watts
    backdrop: Positive | None = None  # strength of the backdrop; null: does not matter


class Render(Section):
    """How a frame is rendered. A video depends on it, so every SceneSpec contains it."""

    engine: Literal["cycles", "eevee"]  # path tracing, or Blender's real-time engine
    samples: Annotated[int, Field(ge=1, le=1_000_000)]  # paths of light for each pixel, at most
    adaptive_threshold: NonNegative  # noise level at which a pixel is done; 0 turns adaptive sampling off
    adaptive_bright: Bright | None  # scenes darker than this are rendered to less noise, in proportion
    adaptive_minimum: Whole  # samples before a pixel may be done
    sampling_pattern: Literal["sobol", "blue_noise"]  # blue noise looks finer with few samples
    bounces: Bounces
    backdrop_as_light: bool  # sample the backdrop as a light source, too
    denoiser: Literal["none", "openimagedenoise", "optix"]  # optix ignores the next two keys
    denoise_prefilter: Literal[
        "none", "fast", "accurate"
    ]  # of the surface colours and normals that guide the denoiser
    denoise_quality: Literal["fast", "balanced", "high"]  # of the denoiser
    view_transform: Literal["Filmic", "AgX", "Standard"]  # how light becomes sRGB
    alpha: Literal["opaque", "clip"]  # transparent texels: ignored, or cut out of image and mask
    motion_blur: Annotated[float, Field(gt=0, le=1)] | None = None  # shutter time in frames, centred on each frame
    backdrop: Literal["traced", "composited"] = "traced"  # by Cycles with the objects, or drawn behind them later

    @field_validator("backdrop")
    @classmethod
    def _cycles_composites(cls, value: str, others: ValidationInfo) -> str:
        if value == "composited" and others.data.get("engine") == "eevee":
            raise ValueError("must be traced with render.engine eevee")
        return value


class Image(Section):
    """How an RGB frame is stored."""

    quality: Annotated[int, Field(ge=1, le=100)]  # JPEG
    subsampling: Literal["4:4:4", "4:2:2", "4:2:0"]  # of JPEG's colours


class Check(Section):
    """How far rendered masks may differ from the predicted ones; see ``scene/raster.py``."""

    grid: Annotated[int, Field(ge=16)]  # cells along the width; one pixel of each is compared
    slack: NonNegative  # fraction of an object's predicted boundary cells that may be wrong
    floor: Whole  # number of wrong cells that is always accepted


class Dataset(Section):
    val_share: Share  # fraction of the videos; they draw from models and backgrounds of their own
    videos_per_segment: Annotated[int, Field(ge=1, le=100_000)]  # a name is a segment's letter and five digits


class Limits(Section):
    """Limits beyond which an asset is refused, or an image scaled down."""

    max_faces: Count  # of a model; one with more is refused
    max_image_side: Annotated[int, Field(ge=16)]  # larger images are scaled down, pixels
    max_megapixels: Positive  # larger images are refused before they are decoded

    @property
    def mesh_bytes(self) -> int:
        """Maximum size of a mesh file: 1 KiB a face, and room for textures inside a GLB."""
        return self.max_faces * 1024 + (64 << 20)

    @property
    def image_bytes(self) -> int:
        """Maximum size of an image file: no encoding needs more for the allowed pixels."""
        return int(self.max_megapixels * 8e6) + (1 << 20)


class _Sources(Section):
    """A section whose lists may be written as one value."""

    @model_validator(mode="before")
    @classmethod
    def _one_or_many(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {k: [v] if isinstance(v, str) else v for k, v in value.items()}
        return value


class Selection(_Sources):
    """Which models a build draws from; an absent key filters nothing."""

    categories: list[str] | None = None  # only these: folder names, built-in families, synsets or their names
    hold_out: list[str] | None = None  # all categories but these
    category_share: Range | None = None  # categories whose fixed number in 0..1 lies in it; see assets.md
    include: list[str] | None = None  # only these ids; * and ? as in file names
    exclude: list[str] | None = None  # all ids but these
    max_faces: Count | None = None  # by the folder's index; a model without a count is an error

    @model_validator(mode="before")
    @classmethod
    def _synsets_are_text(cls, value: Any) -> Any:
        for key, names in value.items() if isinstance(value, dict) else ():
            if key != "category_share" and isinstance(names, list) and any(isinstance(n, int) for n in names):
                raise ValueError(f"{key}: write numbers in quotes, as in '02747177'")
        return value


class Assets(_Sources):
    """Sources of assets: ``builtin`` or folders, one or several."""

    models: list[str] = Field(min_length=1)  # `builtin`, or folders of meshes
    textures: list[str] = Field(min_length=1)  # `builtin`, or folders of images for objects
    backgrounds: list[str] = Field(min_length=1)  # `builtin`, or folders of images for backdrops
    limits: Limits
    select: Selection | None = None  # of the models
    licences: list[str] | None = None  # only assets under these licences, such as cc0 or cc-by-4.0


class Runtime(Section):
    """How the work is done; nothing here changes a video."""

    device: Device  # that renders; auto takes a GPU if there is one
    videos_per_child: Count  # before the Blender process is replaced by a fresh one
    child_memory_gb: Positive  # above which the Blender process is replaced after the current video
    frame_timeout: Positive  # seconds without an event before the Blender process is killed
    lease_timeout: Positive  # seconds without a heartbeat before another worker takes over its video
    store: Store = "folder"  # files in folders, or shards; fixed once a dataset is begun


class Config(Section):
    seed: int  # of the dataset; another one gives other videos
    video: Video
    motion: Motion
    objects: Objects
    camera: Camera
    lights: Lights
    backdrop: Backdrop
    render: Render
    image: Image
    check: Check
    dataset: Dataset
    assets: Assets
    runtime: Runtime

    def identity(self) -> dict[str, Any]:
        """Everything that videos depend on, as ``{dotted key: value}``: all but ``runtime``."""
        return {key: value for key, value in self.flat().items() if not key.startswith("runtime.")}

    def flat(self) -> dict[str, Any]:
        """All keys, as ``{dotted key: value}``; a section in which nothing is set counts as absent."""
        flat = settings.flatten(_ranges_to_pairs(self.model_dump(mode="json")))
        return {key: value for key, value in flat.items() if value != {}}

    def digest(self) -> str:
        """SHA-256 of ``identity()``; equal digests mean the same dataset (given the same assets)."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()

    def to_yaml(self) -> str:
        """The resolved configuration, loadable again."""
        plain = self.model_dump(mode="json")
        return yaml.safe_dump(_ranges_to_pairs(plain), sort_keys=False, default_flow_style=None, width=100)


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a render configuration by path or name; follow ``extends:``, apply overrides, validate.

    Raises:
        UserError: a file is missing or no YAML, a key is unknown (with the nearest known one), a value is out of
            range.
    """
    remedy = f"give --config a YAML, or one of {', '.join(config_names())}"
    return settings.load_section(Config, find_config(path), overrides, remedy)


def parse_config(text: bytes, source: object, overrides: Sequence[str] = ()) -> Config:
    """The resolved configuration that is stored in a dataset. Raises UserError naming ``source`` if it is invalid."""
    try:
        values = settings.parse_yaml(text.decode("utf-8-sig"), source)
        for override in overrides:
            settings.apply_override(values, override)
        return Config.model_validate(values)
    except ValidationError as error:
        key, mistake = settings.first_mistake(error)
        raise UserError(f"{source} is not valid ({key or 'it'}: {mistake})", "restore the file") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{source} is not valid ({printable(str(error))})", "restore the file") from None


def draft_of(config: Config) -> Config:
    """The configuration of a draft: few small frames along the same paths, with few samples."""
    frames = min(config.video.frames, DRAFT_FRAMES)
    scale = min(1.0, DRAFT_WIDTH / config.video.width)
    step = config.video.frames / frames  # frames of the video per frame of the draft; speeds are per frame
    motion, camera, render = config.motion, config.camera, config.render
    width, height = (round(side * scale) for side in (config.video.width, config.video.height))
    small = {"frames": frames, "width": width, "height": height}
    speeds = {k: getattr(motion, k) * step for k in ("location_speed", "rotation_speed")}
    rough = {"samples": min(render.samples, DRAFT_SAMPLES), "denoise_prefilter": "none", "backdrop_as_light": False}
    if render.motion_blur is not None:
        rough["motion_blur"] = render.motion_blur / step
    return config.model_copy(
        update={
            "video": config.video.model_copy(update=small),
            "motion": motion.model_copy(update=speeds),
            "camera": camera.model_copy(update={"speed": camera.speed * step}),
            "render": render.model_copy(update=rough),
        }
    )


def _ranges_to_pairs(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"low", "high"}:
            return [value["low"], value["high"]]
        return {k: _ranges_to_pairs(v) for k, v in value.items()}
    return value
