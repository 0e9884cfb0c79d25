"""SceneSpec: the complete description of one video, stored as JSON.

It is independent of Blender: it can be planned, read, edited, compared and replayed. Metres, radians, watts;
Blender's axes (x right, y into the image, z up).
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from bl30k_gen.config import MAX_LIGHTS, Image, Limits, Render, Section, Video
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_json
from bl30k_gen.settings import NonNegative, Positive, Whole, first_mistake

SCHEMA_VERSION = 1
DIGITS = 6  # decimals of every sampled number (micrometres): drops the last bits, in which machines may differ

Vec3 = tuple[float, float, float]
ControlPoints = Annotated[tuple[Vec3, ...], Field(min_length=2, max_length=9)]


class AssetRef(Section):
    """A model, texture or background: its id in the catalogue, its path and its digest."""

    id: str
    path: str  # ``builtin:...``, or a file's path, relative if the configuration gives a relative folder
    sha256: str = ""  # "" in a scene that was written by hand: computed when the scene is read


Axis = Literal["x", "y", "z"]  # of the model


class Wave(Section):
    """A travelling wave. Lengths are relative to the model's diagonal; ``phase`` is in turns."""

    kind: Literal["wave"]
    cycles: float  # over the whole video
    phase: float
    along: Axis
    across: Axis
    amplitude: NonNegative
    wavelength: Positive


class Bend(Section):
    """An oscillating bend into an arc."""

    kind: Literal["bend"]
    cycles: float
    phase: float
    along: Axis
    toward: Axis
    angle: float  # amplitude of the angle between the two ends, radians

    @model_validator(mode="after")
    def _two_axes(self) -> "Bend":
        if self.along == self.toward:
            raise ValueError("along and toward are the same axis")
        return self


class Lattice(Section):
    """Free-form deformation by 3 x 3 x 3 oscillating control points on the bounding box, z fastest."""

    kind: Literal["lattice"]
    cycles: float
    phases: Annotated[tuple[float, ...], Field(min_length=27, max_length=27)]
    displacements: Annotated[tuple[Vec3, ...], Field(min_length=27, max_length=27)]  # amplitudes


Deformation = Annotated[Wave | Bend | Lattice, Field(discriminator="kind")]


class ObjectSpec(Section):
    """One moving object. ``location``, ``rotation`` (XYZ Euler) and ``scale`` are control points of its curves."""

    id: Annotated[int, Field(ge=1, le=254)]  # pixel value in the masks
    model: AssetRef
    texture: AssetRef | None  # None: the model's own materials
    location: ControlPoints
    rotation: ControlPoints
    scale: ControlPoints
    deformation: Deformation | None = None  # of the model, before it is scaled, turned and moved
    clearance_failed: bool  # the path comes nearer to that of an earlier object than the configuration allows

    @model_validator(mode="after")
    def _same_length(self) -> "ObjectSpec":
        if not len(self.location) == len(self.rotation) == len(self.scale):
            raise ValueError("location, rotation and scale need equally many control points")
        return self


class ShakeWave(Section):
    """One sine of a camera's shake, about its own x (pitch), y (yaw) and z (roll) axis."""

    cycles: float  # over the whole video
    angles: Vec3  # amplitudes, radians
    phases: Vec3  # turns


class CameraSpec(Section):
    field_of_view: Annotated[float, Field(gt=0, lt=3.14)]  # horizontal
    location: ControlPoints
    target: ControlPoints
    shake: tuple[ShakeWave, ...] | None = None


class LightSpec(Section):
    location: Vec3
    power: Positive  # watts
    radius: NonNegative
    colour: Vec3  # linear RGB, largest channel 1


class BackdropSpec(Section):
    """An emissive rectangle that faces the camera (normal -y), showing an image."""

    image: AssetRef
    centre: Vec3
    width: Positive
    height: Positive
    strength: Positive


class SceneSpec(Section):
    schema_version: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    index: Whole
    seed: int
    split: Literal["train", "val"]
    video: Video
    static: Literal["drift", "hold"]  # see ``scene/trajectory.py``
    camera: CameraSpec
    objects: tuple[ObjectSpec, ...]
    lights: Annotated[tuple[LightSpec, ...], Field(max_length=MAX_LIGHTS)]
    ambient: NonNegative
    backdrop: BackdropSpec
    render: Render
    image: Image
    limits: Limits

    @model_validator(mode="after")
    def _distinct_ids(self) -> "SceneSpec":
        ids = [o.id for o in self.objects]
        if len(set(ids)) != len(ids):
            raise ValueError(f"object ids {ids} are not distinct")
        return self

    @property
    def noise_threshold(self) -> float:
        """Noise level at which the renderer stops sampling a pixel; 0: never. Dark scenes need a lower one."""
        bright, threshold = self.render.adaptive_bright, self.render.adaptive_threshold
        if bright is None:
            return threshold
        light = [sum(light.power for light in self.lights) / bright.lamps]
        if bright.backdrop is not None:
            light.append(self.backdrop.strength / bright.backdrop)
        return threshold * min(1.0, *light)

    def to_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def dumps(self) -> str:
        """JSON text, identical for equal specs."""
        return json.dumps(self.to_json(), indent=1) + "\n"


def parse_spec(values: dict[str, Any], source: str) -> SceneSpec:
    """Validate a decoded SceneSpec. Raises UserError naming ``source`` and the first wrong key."""
    try:
        return SceneSpec.model_validate(values)
    except ValidationError as error:
        key, mistake = first_mistake(error)
        raise UserError(f"scene {source}: {key or 'the scene'}", mistake) from None


def read_spec(path: str | Path) -> SceneSpec:
    """Read a SceneSpec file. Raises UserError if it is missing, no JSON or not valid."""
    remedy = "write scenes with `generate.py plan`"
    try:
        values = read_json(path, remedy)
    except FileNotFoundError:
        raise UserError(f"scene {path} does not exist", remedy) from None
    return parse_spec(values, str(path))
