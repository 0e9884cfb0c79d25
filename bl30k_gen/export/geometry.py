"""Depth and optical flow of each frame as files, beside the frames."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders import depth, flow
from bl30k_gen.export.encoders.pictures import png
from bl30k_gen.export.source import Video
from bl30k_gen.settings import Positive

log = logging.getLogger(__name__)


def _not_zero(offset: int) -> int:
    if offset == 0:
        raise ValueError("must be another frame: 1 for the next, -1 for the one before")
    return offset


@register("flow", "optical flow as .flo, .flo5 or KITTI's PNG", requires=("cv2",))
class OpticalFlow(Format):
    """``<split>/flow/<video>/<frame>.flo`` to the frame ``offset`` frames later, for frames that have such a one.

    ``<split>/occlusions/`` and ``<split>/invalid/`` have PNGs that are white where a point is hidden there, or where
    there is no flow, as MPI Sintel has them. KITTI's files say the same as ``flow_occ`` and ``flow_noc``.
    """

    encoding: Literal["flo", "flo5", "kitti"] = "flo"
    offset: Annotated[int, AfterValidator(_not_zero)] = 1
    frames: bool = True

    def write(self, unit: str, videos: Sequence[Video], folder: Path) -> None:
        for video in videos:
            lost = 0
            for i, name in enumerate(video.frames):
                if 0 <= i + self.offset < len(video.frames):
                    lost += self._write_flow(video, i, name, folder / video.split)
                if self.frames:
                    video.place_frame(i, folder / video.split / "frames" / video.name / video.file_name(i))
            if lost:
                log.warning("%s: %d pixels move further than KITTI's PNG can tell; not valid", video.name, lost)

    def _write_flow(self, video: Video, i: int, name: str, folder: Path) -> int:
        """Returns how many valid pixels the encoding could not tell."""
        motion, valid, occluded = video.derived.read_flow(video.name, i, self.offset)
        if self.encoding == "kitti":
            occ, lost = flow.kitti(motion, valid)
            noc, _ = flow.kitti(motion, valid & ~occluded)
            _put(folder / "flow_occ" / video.name / f"{name}.png", occ)
            _put(folder / "flow_noc" / video.name / f"{name}.png", noc)
            return lost
        data = flow.flo(motion, valid) if self.encoding == "flo" else flow.flo5(motion, valid)
        _put(folder / "flow" / video.name / f"{name}.{self.encoding}", data)
        for kind, where in (("occlusions", occluded), ("invalid", ~valid)):
            _put(folder / kind / video.name / f"{name}.png", png(np.where(where, 255, 0).astype(np.uint8)))
        return 0


@register("depth", "planar depth as 16-bit PNG with a scale, or EXR", requires=("OpenEXR",))
class Depth(Format):
    """``<split>/depth/<video>/<frame>.png`` (value / scale is metres, 0 is none) or ``.exr`` (metres, channel Z).

    K and poses of the cameras are in ``<split>/cameras/<video>.txt``: a line a frame of fx, fy, cx, cy and the twelve
    numbers of the upper rows of world to camera.
    """

    encoding: Literal["png", "exr"] = "png"
    scale: Positive = 1000
    frames: bool = True

    def write(self, unit: str, videos: Sequence[Video], folder: Path) -> None:
        for video in videos:
            place = folder / video.split / "depth" / video.name
            place.mkdir(parents=True)
            for i, name in enumerate(video.frames):
                metres = video.derived.read_depth(video.name, i)
                if self.encoding == "exr":
                    depth.exr(place / f"{name}.exr", metres)
                else:
                    (place / f"{name}.png").write_bytes(self._png(video, name, metres))
                if self.frames:
                    video.place_frame(i, folder / video.split / "frames" / video.name / video.file_name(i))
            _put(folder / video.split / "cameras" / f"{video.name}.txt", _cameras(video).encode())

    def _png(self, video: Video, name: str, metres: depth.Array) -> bytes:
        try:
            return depth.png(metres, self.scale)
        except ValueError as error:
            remedy = "choose another --set scale=..., or encoding=exr"
            raise UserError(f"{video.source}: {video.name}/{name}: {error}", remedy) from None


def _cameras(video: Video) -> str:
    camera = video.metadata["camera"]
    k = np.array(camera["intrinsics"], np.float64)
    shared = [k[0, 0], k[1, 1], k[0, 2], k[1, 2]]
    poses = np.array(camera["extrinsics"], np.float64)[:, :3].reshape(-1, 12)
    return "".join(" ".join(repr(float(v)) for v in (*shared, *pose)) + "\n" for pose in poses)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
