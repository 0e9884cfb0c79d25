"""COLMAP: ``<split>/<video>/sparse/0/*.txt``, ``images/`` and ``masks/`` of each video.

One PINHOLE camera, and the pose of each frame. Axes of a camera are x right, y down, z forwards, those of the world
x right, y into the image, z up, in metres; the centre of the top left pixel is (0.5, 0.5), as here. There are no
points: ``points3D.txt`` is empty. A mask is black where an object moves, so that only what stands still is matched.
Definition: https://colmap.github.io/format.html.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders.png import png
from bl30k_gen.export.source import SourceVideo

_CAMERAS = "# Camera list with one line of data per camera:\n#   CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n"
_IMAGES = (
    "# Image list with two lines of data per image:\n"
    "#   IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n#   POINTS2D[] as (X, Y, POINT3D_ID)\n"
)
_POINTS = (
    "# 3D point list with one line of data per point:\n"
    "#   POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[] as (IMAGE_ID, POINT2D_IDX)\n"
)


@register("colmap", "COLMAP text model of each video's cameras, with images and masks")
class Colmap(Format):
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            place = folder / video.split / video.name
            sparse = place / "sparse/0"
            sparse.mkdir(parents=True)
            (sparse / "cameras.txt").write_text(_CAMERAS + _camera(video))
            (sparse / "images.txt").write_text(_IMAGES + "".join(map(_image, *_poses(video))))
            (sparse / "points3D.txt").write_text(_POINTS)
            for i in range(len(video.frames)) if self.frames else ():
                video.place_frame(i, place / "images" / video.file_name(i))
            (place / "masks").mkdir()
            for i in video.annotated:
                still = np.where(video.ids(i) == 0, 255, 0).astype(np.uint8)
                (place / "masks" / f"{video.file_name(i)}.png").write_bytes(png(still))


def _camera(video: SourceVideo) -> str:
    k = np.array(video.metadata["camera"]["intrinsics"], np.float64)
    height, width = video.size
    return _line(1, "PINHOLE", width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2])


def _poses(video: SourceVideo) -> tuple[range, np.ndarray, list[str]]:
    extrinsics = np.array(video.metadata["camera"]["extrinsics"], np.float64)
    count = len(video.frames)
    return range(1, count + 1), extrinsics, [video.file_name(i) for i in range(count)]


def _image(number: int, pose: np.ndarray, name: str) -> str:
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat(canonical=True)
    return _line(number, w, x, y, z, *pose[:3, 3], 1, name) + "\n"  # the second line would hold its points


def _line(*values: object) -> str:
    return " ".join(repr(float(v)) if isinstance(v, float) else str(v) for v in values) + "\n"
