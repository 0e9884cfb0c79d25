"""BOP: ``<split>/<scene>/`` with ``scene_camera.json``, ``scene_gt.json``, ``scene_gt_info.json``, rgb, mask_visib.

A scene is a video; ``scenes.json`` has its name. Lengths are millimetres, axes of a camera are x right, y down, z
forwards. The centre of the top left pixel is (0, 0), so the principal point differs from ours by half a pixel.

Our models have a scale, which may change over time and differ between axes. Rotation and translation of a pose are
rigid, and the scale is an additional key ``scale``. With ``models`` each object of each video is a model of its own,
``models/obj_<id>.ply`` with ``models_info.json``, in its size on the first frame of the video; ``scale`` is then
relative to this size: 1 where it does not change. ``objects.json`` of a scene names the original models.
Definition: docs/bop_datasets_format.md of thodan/bop_toolkit.
"""

import json
import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import trimesh
from trimesh.exchange.ply import export_ply

from bl30k_gen.annotations.derive import open_video
from bl30k_gen.dataset.files import write_json
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders.png import png
from bl30k_gen.export.source import SourceVideo, VideoEntry
from bl30k_gen.inputs import read_json

log = logging.getLogger(__name__)

_MM = 1000.0  # millimetres in a metre
_IDS = 1 << 8  # an object's id is the number of its video * 256 + its id in the masks, which is at most 254
_DIRECTIONS = 512  # in which extreme vertices are searched for the diameter of a model
_UNSEEN = [-1, -1, -1, -1]  # the toolkit's box of an invisible object


@register("bop", "BOP scenes: cameras, poses, visible masks")
class Bop(Format):
    frames: bool = True
    amodal: bool = False  # also write amodal masks, which are derived from the models
    models: bool = False  # also write the models

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            scene = folder / video.split / f"{video.number:06d}"
            scene.mkdir(parents=True)
            _write(scene / "scene_camera.json", _cameras(video))
            _write(scene / "scene_gt.json", _poses(video, self.models))
            if self.models:
                _write(scene / "models_info.json", _write_models(video, folder / "models"))
            _write(scene / "objects.json", _objects(video))
            info = {str(i): self._write_masks(video, i, scene) for i in video.annotated}
            _write(scene / "scene_gt_info.json", info)
            for i in range(len(video.frames)) if self.frames else ():
                suffix = PurePosixPath(video.file_name(i)).suffix
                video.place_frame(i, scene / "rgb" / f"{i:06d}{suffix}")

    def _write_masks(self, video: SourceVideo, i: int, scene: Path) -> list[dict[str, Any]]:
        """Write the masks of a frame; return its entries of ``scene_gt_info.json``."""
        ids = video.ids(i)
        numbers = np.array([described["id"] for described in video.metadata["objects"]], ids.dtype)
        visible = ids == numbers[:, None, None]
        info: list[dict[str, Any]] = [
            {"bbox_visib": _box(seen), "px_count_visib": int(seen.sum())} for seen in visible
        ]
        _write_silhouettes(scene / "mask_visib", i, visible)
        if self.amodal:
            # The union with the rendered mask: pixels on edges may differ between rendering and geometry.
            amodal = video.derived.read_amodal(video.name, i) | visible
            _write_silhouettes(scene / "mask", i, amodal)
            for entry, silhouette in zip(info, amodal, strict=True):
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
        if self.models:
            scenes = [out / video.split / f"{video.number:06d}" for video in videos]
            infos = [read_json(scene / "models_info.json", "export it again") for scene in scenes]
            write_json(
                folder / "models/models_info.json", {id: model for info in infos for id, model in info.items()}
            )


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


def _write_models(video: SourceVideo, folder: Path) -> dict[str, dict[str, float]]:
    """Write the undeformed models of a video in millimetres; return the entries of ``models_info.json``."""
    folder.mkdir(exist_ok=True)
    info = {}
    geometry = open_video(video.derived, video.name).geometry
    bodies = {body.id: body for body in geometry.bodies}
    for described in video.metadata["objects"]:
        body, id = bodies[described["id"]], _object_id(video, described["id"])
        if body.deformation is not None:
            log.warning("%s: object %d changes its shape; its model is that at rest", video.name, body.id)
        vertices = body.rest.astype(np.float64) * _scales(described["poses"])[0] * _MM
        mesh = trimesh.Trimesh(vertices, body.faces, process=False)
        (folder / f"obj_{id:06d}.ply").write_bytes(export_ply(mesh))
        low, size = vertices.min(axis=0), np.ptp(vertices, axis=0)
        named = zip(("min_x", "min_y", "min_z", "size_x", "size_y", "size_z"), [*low, *size], strict=True)
        info[str(id)] = {"diameter": _diameter(vertices)} | {name: float(value) for name, value in named}
    return info


def _diameter(vertices: npt.NDArray[np.float64]) -> float:
    """Approximate diameter: the largest distance between vertices that are extreme in evenly spread directions."""
    steps = np.arange(_DIRECTIONS) + 0.5
    height, turn = 1 - 2 * steps / _DIRECTIONS, np.pi * (1 + 5**0.5) * steps  # a Fibonacci spiral on the sphere
    ring = np.sqrt(1 - height**2)
    along = vertices @ np.stack([ring * np.cos(turn), ring * np.sin(turn), height])
    outer = vertices[np.unique(np.concatenate([along.argmax(axis=0), along.argmin(axis=0)]))]
    return float(np.linalg.norm(outer[:, None] - outer, axis=-1).max())


def _scales(poses: Any) -> npt.NDArray[np.float64]:
    """(F, 3) scales along the axes of the model."""
    return np.linalg.norm(np.array(poses, np.float64)[:, :3, :3], axis=1)


def _poses(video: SourceVideo, scaled: bool) -> dict[str, list[dict[str, Any]]]:
    world_to_camera = np.array(video.metadata["camera"]["extrinsics"], np.float64)
    found: dict[str, list[dict[str, Any]]] = {str(i): [] for i in range(len(video.frames))}
    for described in video.metadata["objects"]:
        model_scale = _scales(described["poses"])[0] if scaled else np.ones(3)  # contained in the written model
        for i, pose in enumerate(world_to_camera @ np.array(described["poses"], np.float64)):
            scale = np.linalg.norm(pose[:3, :3], axis=0)
            found[str(i)].append(
                {
                    "obj_id": _object_id(video, described["id"]),
                    "cam_R_m2c": (pose[:3, :3] / scale).ravel().tolist(),
                    "cam_t_m2c": (pose[:3, 3] * _MM).tolist(),
                    "scale": (scale / model_scale).tolist(),
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


def _box(mask: npt.NDArray[np.bool_]) -> list[int]:
    """x, y, width, height as in the toolkit, where a size is the last pixel minus the first."""
    if not mask.any():
        return _UNSEEN
    y, x = np.nonzero(mask)
    return [int(v) for v in (x.min(), y.min(), x.max() - x.min(), y.max() - y.min())]


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value) + "\n")
