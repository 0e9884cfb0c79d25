"""COLMAP: ``<split>/<video>/sparse/0/*.txt``, ``images/`` and ``masks/`` of each video.

A video has one PINHOLE camera, and a pose for each frame. Axes of a camera are x right, y down, z forwards, those of
the world x right, y into the image, z up, in metres; the centre of the top left pixel is (0.5, 0.5), as here. Points
lie on the backdrop, which is static, and list the frames that see them; without ``points`` there are none. A mask is
black on the moving objects, so that features are matched only on the static backdrop.
Definition: https://colmap.github.io/format.html.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
from pydantic import Field
from scipy.spatial.transform import Rotation

from bl30k_gen.annotations.derive import open_video
from bl30k_gen.annotations.tracks import tracks
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders.png import png
from bl30k_gen.export.source import SourceVideo
from bl30k_gen.scene.geometry import BACKDROP

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
    points: Annotated[int, Field(ge=0)] = 0  # maximum number of points on the backdrop; derived from the models

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            target = folder / video.split / video.name
            sparse = target / "sparse/0"
            sparse.mkdir(parents=True)
            (sparse / "cameras.txt").write_text(_CAMERAS + _camera(video))
            points = _static_points(video, self.points) if self.points else _Points([""] * len(video.frames), "")
            (sparse / "images.txt").write_text(_IMAGES + "".join(map(_image, *_poses(video), points.of_images)))
            (sparse / "points3D.txt").write_text(_POINTS + points.lines)
            for i in range(len(video.frames)) if self.frames else ():
                video.place_frame(i, target / "images" / video.file_name(i))
            (target / "masks").mkdir()
            for i in video.annotated:
                static = np.where(video.ids(i) == 0, 255, 0).astype(np.uint8)
                (target / "masks" / f"{video.file_name(i)}.png").write_bytes(png(static))


class _Points(NamedTuple):
    of_images: list[str]  # POINTS2D line of each image, for images.txt
    lines: str  # contents of points3D.txt


def _static_points(video: SourceVideo, count: int) -> _Points:
    """Points of the backdrop, sampled on the first, the middle and the last frame, with the frames that see them."""
    geometry, queries = open_video(video.derived, video.name), []
    last = len(video.frames) - 1
    for frame in sorted({0, last // 2, last}):
        surface = geometry.view(frame).surface
        rows, columns = np.nonzero(surface.seen & (surface.ids == BACKDROP))
        chosen = np.unique(np.linspace(0, max(len(rows) - 1, 0), max(count // 3, 1)).astype(int))
        queries += [(frame, columns[k] + 0.5, rows[k] + 0.5) for k in chosen if k < len(rows)]
    tracked = tracks(geometry, queries)
    of_images: list[list[str]] = [[] for _ in video.frames]
    lines = []
    for number, (query, visible) in enumerate(zip(queries, tracked.visible, strict=True), start=1):
        track = []
        for frame in np.flatnonzero(visible).tolist():
            track += [frame + 1, len(of_images[frame])]
            of_images[frame].append(_line(*map(float, tracked.places[number - 1, frame]), number).strip())
        point = tracked.points[number - 1, query[0]].tolist()
        colour = video.rgb(query[0])[int(query[2]), int(query[1])].tolist()
        lines.append(_line(number, *point, *colour, 0.0, *track))
    return _Points([" ".join(points) for points in of_images], "".join(lines))


def _camera(video: SourceVideo) -> str:
    k = np.array(video.metadata["camera"]["intrinsics"], np.float64)
    height, width = video.size
    return _line(1, "PINHOLE", width, height, k[0, 0], k[1, 1], k[0, 2], k[1, 2])


def _poses(video: SourceVideo) -> tuple[range, np.ndarray, list[str]]:
    extrinsics = np.array(video.metadata["camera"]["extrinsics"], np.float64)
    count = len(video.frames)
    return range(1, count + 1), extrinsics, [video.file_name(i) for i in range(count)]


def _image(number: int, pose: np.ndarray, name: str, points: str) -> str:
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat(canonical=True)
    return _line(number, w, x, y, z, *pose[:3, 3], 1, name) + points + "\n"


def _line(*values: object) -> str:
    return " ".join(repr(float(v)) if isinstance(v, float) else str(v) for v in values) + "\n"
