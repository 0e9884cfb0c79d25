"""Depth and optical flow of each frame as files, beside the frames."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from bl30k_gen.dataset.derived import Flow
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


@register("flow", "optical flow as .flo, KITTI's PNG or .flo5", requires=("cv2",))
class OpticalFlow(Format):
    """Flow to the next frame in the layout of MPI Sintel or KITTI, or to any other frame in Spring's files.

    Sintel and KITTI have frames as PNG, by the names that their loaders look for. Spring's loaders take flow for
    twice as large as the frames, which ours is not: its files lie in folders of our own.
    """

    encoding: Literal["flo", "kitti", "flo5"] = "flo"
    offset: Annotated[int, AfterValidator(_not_zero)] = 1  # how many frames later the other one is
    frames: bool = True

    def write(self, unit: str, videos: Sequence[Video], folder: Path) -> None:
        if self.offset != 1 and self.encoding != "flo5":
            raise UserError(f"--set offset={self.offset}", "give encoding=flo5: Sintel and KITTI have the next frame")
        layout = {"flo": _Sintel, "kitti": _Kitti, "flo5": _Spring}[self.encoding]
        for video in videos:
            files = layout(video, folder / video.split)
            for i in range(len(video.frames)):
                if 0 <= i + self.offset < len(video.frames):
                    files.flow(i, video.derived.read_flow(video.name, i, self.offset))
                if self.frames:
                    files.frame(i)
            files.finish()


class _Spring:
    """``flow/<video>/<frame>.flo5``, and white where it is so in ``occlusions/`` and ``invalid/``; ``frames/``."""

    def __init__(self, video: Video, folder: Path):
        self.video, self.folder = video, folder

    def frame(self, i: int) -> None:
        self.video.place_frame(i, self.folder / "frames" / self.video.name / self.video.file_name(i))

    def flow(self, i: int, found: Flow) -> None:
        self._flow(self.video.frames[i], f"{self.video.frames[i]}.flo5", flow.flo5(found.flow, found.valid), found)

    def finish(self) -> None:
        pass

    def _flow(self, stem: str, file: str, data: bytes, found: Flow) -> None:
        _put(self.folder / "flow" / self.video.name / file, data)
        for kind, where in (("occlusions", found.occluded), ("invalid", ~found.valid)):
            picture = png(np.where(where, 255, 0).astype(np.uint8))
            _put(self.folder / kind / self.video.name / f"{stem}.png", picture)


class _Sintel(_Spring):
    """``Sintel/training/``: ``clean/<video>/frame_0001.png``, ``flow/<video>/frame_0001.flo`` and the like."""

    def __init__(self, video: Video, folder: Path):
        super().__init__(video, folder / "Sintel/training")

    def frame(self, i: int) -> None:
        _put(self.folder / "clean" / self.video.name / f"{_sintel(i)}.png", png(self.video.rgb(i)))

    def flow(self, i: int, found: Flow) -> None:
        self._flow(_sintel(i), f"{_sintel(i)}.flo", flow.flo(found.flow, found.valid), found)


class _Kitti:
    """``KittiFlow/training/``: ``image_2/<video>_<frame>_10.png`` and ``_11.png``, the frame and the next.

    Flow is in ``flow_occ/``, and without what is hidden in ``flow_noc/``.
    """

    def __init__(self, video: Video, folder: Path):
        self.video, self.folder = video, folder / "KittiFlow/training"
        self.lost = 0

    def frame(self, i: int) -> None:
        data = png(self.video.rgb(i))
        for which, pair in ((10, i), (11, i - 1)):
            if 0 <= pair < len(self.video.frames) - 1:
                _put(self.folder / "image_2" / self._name(pair, which), data)

    def flow(self, i: int, found: Flow) -> None:
        data, lost = flow.kitti(found.flow, found.valid)
        _put(self.folder / "flow_occ" / self._name(i, 10), data)
        _put(self.folder / "flow_noc" / self._name(i, 10), flow.kitti(found.flow, found.valid & ~found.occluded)[0])
        self.lost += lost

    def finish(self) -> None:
        if self.lost:
            log.warning(
                "%s: %d pixels move further than KITTI's PNG can tell; not valid there", self.video.name, self.lost
            )

    def _name(self, i: int, which: int) -> str:
        return f"{self.video.name}_{self.video.frames[i]}_{which}.png"


def _sintel(i: int) -> str:
    return f"frame_{i + 1:04d}"


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
