"""Depth of each frame as files, beside the frames and the cameras."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders import depth
from bl30k_gen.export.encoders.png import put
from bl30k_gen.export.source import SourceVideo
from bl30k_gen.settings import Positive


@register("depth", "planar depth as 16-bit PNG with a scale, or EXR", requires=("OpenEXR",))
class Depth(Format):
    """``<split>/depth/<video>/<frame>.png`` (value / scale in metres, 0: no surface) or ``.exr`` (metres, channel Z).

    Cameras are in ``<split>/cameras/<video>.txt``, one line a frame: fx, fy, cx, cy and the twelve numbers of the
    upper three rows of the matrix world to camera.
    """

    encoding: Literal["png", "exr"] = "png"
    scale: Positive = 1000
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            target = folder / video.split / "depth" / video.name
            target.mkdir(parents=True)
            for i, name in enumerate(video.frames):
                metres = video.derived.read_depth(video.name, i)
                if self.encoding == "exr":
                    depth.exr(target / f"{name}.exr", metres)
                else:
                    (target / f"{name}.png").write_bytes(self._png(video, name, metres))
                if self.frames:
                    video.place_frame(i, folder / video.split / "frames" / video.name / video.file_name(i))
            put(folder / video.split / "cameras" / f"{video.name}.txt", _cameras(video).encode())

    def _png(self, video: SourceVideo, name: str, metres: depth.Array) -> bytes:
        try:
            return depth.png(metres, self.scale)
        except ValueError as error:
            remedy = "choose another --set scale=..., or encoding=exr"
            raise UserError(f"{video.source}: {video.name}/{name}: {error}", remedy) from None


def _cameras(video: SourceVideo) -> str:
    camera = video.metadata["camera"]
    k = np.array(camera["intrinsics"], np.float64)
    shared = [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]
    poses = np.array(camera["extrinsics"], np.float64)[:, :3].reshape(-1, 12)
    return "".join(" ".join(repr(float(v)) for v in (*shared, *pose)) + "\n" for pose in poses)
