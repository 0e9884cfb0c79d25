"""BOP: ``<split>/<scene>/`` with ``scene_camera.json``, ``scene_gt.json``, ``scene_gt_info.json``, rgb, mask_visib.

A scene is a video; ``scenes.json`` names it. Lengths are millimetres, axes of a camera are x right, y down, z
forwards, and the centre of the top left pixel is (0, 0), so that the principal point lies half a pixel before ours.
Our models have a scale, which may change over time and differ along their axes: a pose's rotation and translation
are rigid, and the scale stands beside as ``scale``. Models are not exported; ``objects.json`` of a scene says which
they are. Definition: docs/bop_datasets_format.md of thodan/bop_toolkit.
"""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from bl30k_gen.dataset.files import write_json
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders.png import png
from bl30k_gen.export.source import SourceVideo, VideoEntry

_MM = 1000.0  # of a metre
_IDS = 1 << 8  # object ids of a video: its number * 256 + the id in the masks, which is at most 254
_UNSEEN = [-1, -1, -1, -1]  # the box of what is not seen, as the toolkit has it


@register("bop", "BOP scenes: cameras, poses, visible masks")
class Bop(Format):
    frames: bool = True
    amodal: bool = False  # with the whole silhouettes, which follow from the models

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            place = folder / video.split / f"{video.number:06d}"
            place.mkdir(parents=True)
            _write(place / "scene_camera.json", _cameras(video))
            poses = _poses(video)
            _write(place / "scene_gt.json", poses)
            _write(place / "objects.json", _objects(video))
            info = {str(i): self._write_masks(video, i, place) for i in video.annotated}
            _write(place / "scene_gt_info.json", info)
            for i in range(len(video.frames)) if self.frames else ():
                suffix = PurePosixPath(video.file_name(i)).suffix
                video.place_frame(i, place / "rgb" / f"{i:06d}{suffix}")

    def _write_masks(self, video: SourceVideo, i: int, place: Path) -> list[dict[str, Any]]:
        """Write the masks of a frame; returns what ``scene_gt_info.json`` says of it."""
        ids = video.ids(i)
        visible = np.stack([ids == described["id"] for described in video.metadata["objects"]])
        info: list[dict[str, Any]] = [
            {"bbox_visib": _box(seen), "px_count_visib": int(seen.sum())} for seen in visible
        ]
        _write_silhouettes(place / "mask_visib", i, visible)
        if self.amodal:
            # What is seen counts as whole, should a pixel on an edge differ between the render and the geometry.
            whole = video.derived.read_amodal(video.name, i) | visible
            _write_silhouettes(place / "mask", i, whole)
            for entry, silhouette in zip(info, whole, strict=True):
                count = int(silhouette.sum())
                entry |= {
                    "bbox_obj": _box(silhouette),
                    "px_count_all": count,
                    "px_count_valid": count,
                    "visib_fract": entry["px_count_visib"] / count if count else 0.0,
                }
        return info

    def finish(self, store: VideoStore, videos: Sequence[VideoEntry], out: Path, folder: Path) -> None:
        write_json(folder / "scenes.json", {f"{video.number:06d}": video.name for video in videos})


def _write_silhouettes(folder: Path, i: int, silhouettes: npt.NDArray[np.bool_]) -> None:
    folder.mkdir(exist_ok=True)
    for number, silhouette in enumerate(silhouettes):
        image = png(np.where(silhouette, 255, 0).astype(np.uint8))
        (folder / f"{i:06d}_{number:06d}.png").write_bytes(image)


def _cameras(video: SourceVideo) -> dict[str, dict[str, Any]]:
    camera = video.metadata["camera"]
    k = np.array(camera["intrinsics"], np.float64) - [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]]
    return {
        str(i): {
            "cam_K": k.ravel().tolist(),
            "depth_scale": 1.0,
            "cam_R_w2c": pose[:3, :3].ravel().tolist(),
            "cam_t_w2c": (pose[:3, 3] * _MM).tolist(),
        }
        for i, pose in enumerate(np.array(camera["extrinsics"], np.float64))
    }


def _poses(video: SourceVideo) -> dict[str, list[dict[str, Any]]]:
    world_to_camera = np.array(video.metadata["camera"]["extrinsics"], np.float64)
    found: dict[str, list[dict[str, Any]]] = {str(i): [] for i in range(len(video.frames))}
    for described in video.metadata["objects"]:
        for i, pose in enumerate(world_to_camera @ np.array(described["poses"], np.float64)):
            scale = np.linalg.norm(pose[:3, :3], axis=0)
            found[str(i)].append(
                {
                    "obj_id": _object_id(video, described["id"]),
                    "cam_R_m2c": (pose[:3, :3] / scale).ravel().tolist(),
                    "cam_t_m2c": (pose[:3, 3] * _MM).tolist(),
                    "scale": scale.tolist(),
                }
            )
    return found


def _objects(video: SourceVideo) -> dict[str, dict[str, Any]]:
    return {
        str(_object_id(video, described["id"])): {
            "mask_id": described["id"],
            "model": described["model"],
            "texture": described["texture"],
        }
        for described in video.metadata["scene"]["objects"]
    }


def _object_id(video: SourceVideo, number: int) -> int:
    return video.number * _IDS + number


def _box(seen: npt.NDArray[np.bool_]) -> list[int]:
    """x, y, width, height as the toolkit counts them: the last pixel less the first."""
    if not seen.any():
        return _UNSEEN
    y, x = np.nonzero(seen)
    return [int(v) for v in (x.min(), y.min(), x.max() - x.min(), y.max() - y.min())]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value) + "\n")
