"""Derive annotations by name: a table of all kinds, and a video of a dataset as geometry."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from bl30k_gen.annotations import dense, motion, objects, tracks
from bl30k_gen.annotations.view import VideoGeometry, View
from bl30k_gen.dataset.derived import KINDS, Annotated, Wanted
from bl30k_gen.errors import UserError
from bl30k_gen.scene.assets import load_models
from bl30k_gen.scene.spec import parse_spec

OF_FRAME: dict[str, Callable[[View], Any]] = {
    "depth": dense.depth,
    "distance": dense.distance,
    "normals": dense.normals,
    "normals_world": lambda view: dense.normals(view, "world"),
    "object_coordinates": dense.object_coordinates,
    "amodal": objects.amodal,
    "order": objects.order,
    "boxes": objects.boxes,
}
BETWEEN_FRAMES: dict[str, Callable[[View, int], Any]] = {
    "flow": motion.flow,
    "scene_flow": motion.scene_flow,
    "scene_flow_world": lambda view, offset: motion.scene_flow(view, offset, "world"),
}
OF_VIDEO: dict[str, Callable[[VideoGeometry], Any]] = {
    "tracks": tracks.tracks,
    "cameras": lambda video: objects.cameras(video.geometry),
    "poses": lambda video: objects.poses(video.geometry),
}


def open_video(store: Annotated, name: str) -> VideoGeometry:
    """Load the geometry of a published video from its metadata and models.

    Raises:
        UserError: it has no metadata, or one of its models is missing, has changed, or has holes at unknown places.
    """
    metadata = store.metadata(name)
    if metadata is None:
        raise UserError(f"video {name} has no metadata", "annotations follow from the scene that is recorded there")
    spec = parse_spec(metadata.get("scene", {}), f"of video {name}")
    return VideoGeometry(spec, load_models(spec))


def derive(store: Annotated, wanted: Wanted, name: str, i: int | None) -> Any:
    """Derive one annotation of video ``name``, for ``Annotated.annotation``; see ``annotation``."""
    return annotation(_cached_video(store, name), wanted, i)


def annotation(video: VideoGeometry, wanted: Wanted, i: int | None) -> Any:
    """Derive one kind: an array, or a named tuple of arrays.

    Args:
        i: the frame; None for kinds that describe the whole video.
    """
    if wanted.name in OF_VIDEO:
        return OF_VIDEO[wanted.name](video)
    if i is None:
        raise ValueError(f"{wanted} is of a frame: give its number")
    return of_view(video.view(i), wanted)


def of_view(view: View, wanted: Wanted) -> Any:
    """Derive one kind of a frame."""
    if wanted.name in BETWEEN_FRAMES:
        return BETWEEN_FRAMES[wanted.name](view, wanted.offset)
    return OF_FRAME[wanted.name](view)


def by_field(wanted: Wanted, result: Any) -> dict[str, np.ndarray]:
    """The arrays of a result of ``annotation``, by their names in ``KINDS``."""
    return {wanted.name: result} if KINDS[wanted.name].result is None else result._asdict()


@lru_cache(maxsize=1)  # videos are mostly read one after the other
def _cached_video(store: Annotated, name: str) -> VideoGeometry:
    return open_video(store, name)
