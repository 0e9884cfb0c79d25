"""Annotations as data: their kinds, the arrays of each kind, and the reader of stored ones.

``bl30k_gen.annotations`` derives them from a scene; it is imported only to read an annotation that is not stored.
Stored ones lie in a folder of their own as ``<kind>/<video>.h5``, see docs/annotations.md.
"""

import abc
import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from bl30k_gen.errors import UserError, nearest
from bl30k_gen.inputs import read_json

VERSION = 1  # of the files, and of the rules by which annotations are derived from a scene
MARKER = "annotations.json"  # in the root of a folder of annotations

Array = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int32]
Ids = npt.NDArray[np.uint8]
Axes = Literal["camera", "world"]
"""``camera``: OpenCV's (x right, y down, z forward). ``world``: Blender's (x right, y into the image, z up)."""


# ``KINDS`` defines the meaning of the arrays. Shapes here are those of one frame for kinds with ``of_frames``.


class Flow(NamedTuple):
    """Motion in the image."""

    flow: Array  # (H, W, 2)
    valid: Bools  # (H, W)
    occluded: Bools  # (H, W)


class SceneFlow(NamedTuple):
    """Motion in space."""

    scene_flow: Array  # (H, W, 3)
    valid: Bools  # (H, W)


class Tracks(NamedTuple):
    """N points on F frames."""

    queries: Array  # (N, 3)
    ids: Ids  # (N,)
    places: Array  # (N, F, 2)
    visible: Bools  # (N, F)
    depth: Array  # (N, F)
    points: Array  # (N, F, 3)


class OcclusionOrder(NamedTuple):
    """Occlusion between O objects, in pixels of the image; the backdrop hides objects behind it."""

    in_front: Counts  # (O, O)
    visible: Counts  # (O,)
    amodal: Counts  # (O,)
    visible_fraction: Array  # (O,)


class Boxes(NamedTuple):
    """Bounding boxes of O objects."""

    visible: Array  # (O, 4)
    amodal: Array  # (O, 4)
    corners: Array  # (O, 8, 3)


class Cameras(NamedTuple):
    """The camera of a video of F frames."""

    intrinsics: Floats  # (3, 3)
    extrinsics: Floats  # (F, 4, 4)
    blender: Floats  # (F, 4, 4)


class Poses(NamedTuple):
    """Positions and orientations of O objects on F frames."""

    ids: Ids  # (O,)
    to_world: Floats  # (F, O, 4, 4)
    to_camera: Floats  # (F, O, 4, 4)
    rotation: Floats  # (F, O, 3, 3)
    translation: Floats  # (F, O, 3)
    scale: Floats  # (F, O, 3)


class Field(NamedTuple):
    """One array of a kind. F frames, O objects in the order of their ids in ``Metadata/``, N points."""

    dtype: str
    shape: str
    unit: str
    meaning: str
    invalid: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of annotation."""

    fields: Mapping[str, Field]  # its arrays by name
    result: Callable[..., Any] | None = None  # the named tuple of its arrays; None: one array alone
    of_frames: bool = True  # the first axis of each array is F; read frame by frame
    between: bool = False  # relates a frame to another one, ``Wanted.offset`` frames later


_NOWHERE = "NaN where no surface is"
_CAMERA, _WORLD = "x right, y down, z forward", "x right, y into the image, z up"
_PIXELS = "pixels, origin top left, centres of pixels at +0.5"


def _vectors(unit: str, meaning: str) -> Field:
    return Field("float32", "(F, H, W, 3)", unit, meaning, _NOWHERE)


def _scene_flow(meaning: str) -> Kind:
    fields = {
        "scene_flow": _vectors("metres", meaning),
        "valid": Field("bool", "(F, H, W)", "", "there is a surface, and there is the other frame"),
    }
    return Kind(fields, SceneFlow, between=True)


KINDS: dict[str, Kind] = {
    "depth": Kind(
        {"depth": Field("float32", "(F, H, W)", "metres", "along the camera's axis (planar)", _NOWHERE)},
    ),
    "distance": Kind(
        {"distance": Field("float32", "(F, H, W)", "metres", "from the camera's centre along the ray", _NOWHERE)},
    ),
    "normals": Kind({"normals": _vectors("", f"unit normal of the triangle, towards the camera; {_CAMERA}")}),
    "normals_world": Kind({"normals_world": _vectors("", f"the same in the world; {_WORLD}")}),
    "object_coordinates": Kind(
        {
            "object_coordinates": _vectors(
                "model's diagonal",
                "where on its object, before it is deformed and posed; z up, front towards -y; the backdrop is the "
                "square of side 1 in the plane y = 0",
            )
        }
    ),
    "flow": Kind(
        {
            "flow": Field(
                "float32", "(F, H, W, 2)", "pixels", "motion of the surface's point; x right, y down",
                "NaN where not valid",
            ),
            "valid": Field(
                "bool", "(F, H, W)", "", "there is a surface, and on the other frame its point is before the camera"
            ),
            "occluded": Field(
                "bool", "(F, H, W)", "", "valid, but on the other frame behind a surface or beyond the image"
            ),
        },
        Flow,
        between=True,
    ),
    "scene_flow": _scene_flow(f"place in the other frame's camera less that in this one's; {_CAMERA}"),
    "scene_flow_world": _scene_flow(f"the point's own motion in the world; {_WORLD}"),
    "tracks": Kind(
        {
            "queries": Field("float32", "(N, 3)", f"frame, x, y: {_PIXELS}", "where each point was chosen"),
            "ids": Field("uint8", "(N,)", "", "id of the object that it lies on; 0: the backdrop"),
            "places": Field(
                "float32", "(N, F, 2)", f"x, y: {_PIXELS}", "where it is, also hidden and beyond the image",
                "NaN behind the camera",
            ),
            "visible": Field("bool", "(N, F)", "", "in the image and behind no surface"),
            "depth": Field("float32", "(N, F)", "metres", "along the camera's axis"),
            "points": Field("float32", "(N, F, 3)", "metres", f"in the world; {_WORLD}"),
        },
        Tracks,
        of_frames=False,
    ),
    "amodal": Kind({"amodal": Field("bool", "(F, O, H, W)", "", "the mask of each object, were it alone")}),
    "order": Kind(
        {
            "in_front": Field(
                "int32", "(F, O, O)", "pixels", "where both would be and the first is nearer than the second"
            ),
            "visible": Field("int32", "(F, O)", "pixels", "where the object is seen"),
            "amodal": Field("int32", "(F, O)", "pixels", "where it would be in the image, were it alone"),
            "visible_fraction": Field("float32", "(F, O)", "", "visible / amodal", "NaN where amodal is 0"),
        },
        OcclusionOrder,
    ),
    "boxes": Kind(
        {
            "visible": Field(
                "float32", "(F, O, 4)", "pixels", "left, top, right, bottom of what is seen, edge to edge",
                "NaN where nothing is seen",
            ),
            "amodal": Field(
                "float32", "(F, O, 4)", "pixels", "the same of the whole object, also beyond the image",
                "NaN behind the camera",
            ),
            "corners": Field(
                "float32", "(F, O, 8, 3)", "metres",
                f"in the world, of the box along the object's own axes, z fastest and x slowest; {_WORLD}",
            ),
        },
        Boxes,
    ),
    "cameras": Kind(
        {
            "intrinsics": Field("float64", "(3, 3)", "pixels", "camera matrix K; origin at the top left corner"),
            "extrinsics": Field("float64", "(F, 4, 4)", "metres", f"world to camera; {_CAMERA}"),
            "blender": Field("float64", "(F, 4, 4)", "metres", "camera (x right, y up, z backward) to world"),
        },
        Cameras,
        of_frames=False,
    ),
    "poses": Kind(
        {
            "ids": Field("uint8", "(O,)", "", "the objects' pixel values in the masks"),
            "to_world": Field("float64", "(F, O, 4, 4)", "metres", "model to world, scale included"),
            "to_camera": Field("float64", "(F, O, 4, 4)", "metres", f"model to camera, scale included; {_CAMERA}"),
            "rotation": Field("float64", "(F, O, 3, 3)", "", "of `to_camera`"),
            "translation": Field("float64", "(F, O, 3)", "metres", "of `to_camera`"),
            "scale": Field("float64", "(F, O, 3)", "", "along the model's axes; its bounding box has the diagonal 1"),
        },
        Poses,
        of_frames=False,
    ),
}  # fmt: skip


class Wanted(NamedTuple):
    """A requested kind of annotation."""

    name: str
    offset: int = 0  # frames to the other frame, for kinds that are ``between`` two frames

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    def __str__(self) -> str:
        return f"{self.name}{self.offset:+d}" if self.kind.between else self.name


def every_kind() -> list[Wanted]:
    """All kinds; those between two frames for the next and for the previous frame."""
    offsets = {True: (1, -1), False: (0,)}
    return [Wanted(name, offset) for name, kind in KINDS.items() for offset in offsets[kind.between]]


def parse_wanted(text: str) -> Wanted:
    """Parse a name such as ``depth``, or ``flow-1`` for flow to the previous frame; ``flow`` means ``flow+1``.

    Raises:
        UserError: there is no such kind, or it takes no offset.
    """
    match = re.fullmatch(r"([a-z_]+)([+-]\d+)?", text.strip())
    name, offset = (match[1], match[2]) if match else (text, None)
    if name not in KINDS:
        raise UserError(f"no annotation {text.strip()!r}", nearest(name, KINDS, f"there is {', '.join(KINDS)}"))
    if not KINDS[name].between:
        if offset is not None:
            raise UserError(f"annotation {text.strip()}", f"{name} is of one frame: leave {offset} out")
        return Wanted(name)
    if offset is not None and int(offset) == 0:
        raise UserError(f"annotation {text.strip()}", "give a number of frames other than 0")
    return Wanted(name, int(offset or 1))


def other_frame(video: str, frames: int, frame: int, offset: int) -> int:
    """The frame ``offset`` frames after ``frame``. Raises UserError where the video lacks one of the two."""
    if not 0 <= frame < frames:
        raise UserError(f"video {video} has no frame {frame}", f"ask for one of 0 to {frames - 1}")
    if not 0 <= frame + offset < frames:
        raise UserError(f"frame {frame} of {video} has none {offset:+d} from it", f"there are 0 to {frames - 1}")
    return frame + offset


def stored_path(folder: Path, wanted: Wanted, video: str) -> Path:
    return folder / str(wanted) / f"{video}.h5"


def is_stored(path: Path, digest: str) -> bool:
    """Whether a file exists that was made with this ``VERSION`` from metadata with this digest."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return file.attrs.get("version") == VERSION and file.attrs.get("digest") == digest
    except OSError:  # missing or damaged
        return False


class Annotated(abc.ABC):
    """The part of a ``VideoStore`` that reads annotations, stored or derived on demand.

    All readers raise UserError: the video or frame does not exist, has no metadata, or one of its models is missing
    or has changed; with ``annotations``, the annotation is not stored there, or belongs to another rendering.
    """

    annotations: Path | None = None  # folder of stored annotations; None: derive them

    @abc.abstractmethod
    def frames(self, name: str) -> list[str]:
        """As ``VideoStore``."""

    @abc.abstractmethod
    def metadata(self, name: str) -> dict[str, Any] | None:
        """As ``VideoStore``."""

    def read_depth(self, name: str, i: int) -> Array:
        """(H, W) float32 metres along the camera's axis, NaN where no surface is."""
        return self.annotation("depth", name, i)

    def read_distance(self, name: str, i: int) -> Array:
        """(H, W) float32 metres from the camera's centre, NaN where no surface is."""
        return self.annotation("distance", name, i)

    def read_normals(self, name: str, i: int, axes: Axes = "camera") -> Array:
        """(H, W, 3) float32 unit vectors, NaN where no surface is."""
        return self.annotation("normals" if axes == "camera" else "normals_world", name, i)

    def read_object_coordinates(self, name: str, i: int) -> Array:
        """(H, W, 3) float32 in the model's own coordinates, NaN where no surface is."""
        return self.annotation("object_coordinates", name, i)

    def read_flow(self, name: str, i: int, offset: int = 1) -> Flow:
        """Optical flow to the frame ``offset`` frames later."""
        return self.annotation(f"flow{offset:+d}", name, i)

    def read_scene_flow(self, name: str, i: int, offset: int = 1, axes: Axes = "camera") -> SceneFlow:
        """Motion in space to the frame ``offset`` frames later."""
        return self.annotation(f"scene_flow{'' if axes == 'camera' else '_world'}{offset:+d}", name, i)

    def read_amodal(self, name: str, i: int) -> Bools:
        """(O, H, W) the mask of each object, were it alone."""
        return self.annotation("amodal", name, i)

    def read_order(self, name: str, i: int) -> OcclusionOrder:
        """Occlusion order of the objects."""
        return self.annotation("order", name, i)

    def read_boxes(self, name: str, i: int) -> Boxes:
        """Boxes around objects, in the image and in space."""
        return self.annotation("boxes", name, i)

    def read_tracks(self, name: str) -> Tracks:
        """Points tracked through the video; ``annotations.tracks.tracks`` takes query points of your own."""
        return self.annotation("tracks", name)

    def read_cameras(self, name: str) -> Cameras:
        """The camera's matrices."""
        return self.annotation("cameras", name)

    def read_poses(self, name: str) -> Poses:
        """The objects' matrices."""
        return self.annotation("poses", name)

    def annotation(self, kind: str, name: str, i: int | None = None) -> Any:
        """The annotation of a kind such as ``depth`` or ``flow-1``: an array, or a named tuple of several.

        Args:
            i: number of the frame, for kinds with ``of_frames``.
        """
        wanted = parse_wanted(kind)
        if wanted.kind.of_frames:
            if i is None:
                raise ValueError(f"{kind} is of a frame: give its number")
            other_frame(name, len(self.frames(name)), i, wanted.offset)
        if self.annotations is not None:
            return self._stored(self.annotations, wanted, name, i)
        # Imported on demand: reading a dataset needs no scenes and assets unless annotations are derived.
        derive = importlib.import_module("bl30k_gen.annotations.derive")
        return derive.derive(self, wanted, name, i)

    def _stored(self, folder: Path, wanted: Wanted, name: str, i: int | None) -> Any:
        import h5py

        path = stored_path(folder, wanted, name)
        try:
            with h5py.File(path, "r") as file:
                if file.attrs["version"] != VERSION or file.attrs["digest"] != self._digest(name):
                    raise UserError(f"{path} was made of another rendering of {name}", "make it again")
                at = i if wanted.kind.of_frames else ()
                arrays = {field: file[field][at] for field in wanted.kind.fields}
        except FileNotFoundError:
            raise UserError(
                f"{path} does not exist", f"make it with `generate.py annotations --kinds {wanted}`"
            ) from None
        except (OSError, KeyError) as error:
            raise UserError(f"{path} is damaged ({error})", "make it again") from None
        if wanted.kind.result is None:
            return arrays[wanted.name]
        return wanted.kind.result(**arrays)

    def _digest(self, name: str) -> str:
        return _digest_of(self, name)


@lru_cache(maxsize=64)  # of videos, which are read frame by frame
def _digest_of(store: Annotated, name: str) -> str:
    metadata = store.metadata(name)
    if metadata is None:
        raise UserError(f"video {name} has no metadata", "annotations follow from the scene that is recorded there")
    return str(metadata["digest"])


def open_annotations(folder: str | Path) -> Path:
    """The folder, if annotations of this version are stored in it. Raises UserError."""
    folder = Path(folder)
    try:
        version = read_json(folder / MARKER, "")["version"]
    except (OSError, UserError, KeyError):
        raise UserError(
            f"{folder} holds no annotations", "give the folder of `generate.py annotations --out`"
        ) from None
    if version != VERSION:
        raise UserError(f"{folder} holds annotations of version {version}, not {VERSION}", "make them again")
    return folder
