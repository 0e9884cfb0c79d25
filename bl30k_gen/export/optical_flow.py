"""Optical flow of each frame as files: MPI Sintel, KITTI, Spring's ``.flo5``."""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator

from bl30k_gen.dataset.derived import Flow
from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders import flow
from bl30k_gen.export.encoders.png import png, put
from bl30k_gen.export.source import SourceVideo

log = logging.getLogger(__name__)


def _not_zero(offset: int) -> int:
    if offset == 0:
        raise ValueError("must be another frame: 1 for the next, -1 for the one before")
    return offset


@register("flow", "optical flow as .flo, KITTI's PNG or .flo5", requires=("cv2",))
class OpticalFlow(Format):
    """Flow to the next frame in the layout of MPI Sintel or KITTI, or to any other frame in Spring's file format.

    For Sintel and KITTI frames are PNGs with the names that their loaders expect. Spring's loaders expect flow at
    twice the resolution of the frames, which ours does not have, so ``.flo5`` files lie in a layout of our own.
    """

    encoding: Literal["flo", "kitti", "flo5"] = "flo"
    offset: Annotated[int, AfterValidator(_not_zero)] = 1  # frames from a frame to the other one
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        if self.offset != 1 and self.encoding != "flo5":
            raise UserError(f"--set offset={self.offset}", "give encoding=flo5: Sintel and KITTI have the next frame")
        for video in videos:
            if abs(self.offset) >= len(video.frames):
                problem = (
                    f"{video.source}: {video.name} has {len(video.frames)} frames, none {self.offset:+d} from another"
                )
                raise UserError(problem, "choose a smaller offset, or other videos with --video")
            files = _LAYOUTS[self.encoding](video, folder / video.split)
            for i in range(len(video.frames)):
                if 0 <= i + self.offset < len(video.frames):
                    files.flow(i, video.derived.read_flow(video.name, i, self.offset))
                if self.frames:
                    files.frame(i)
            files.finish()


class _Layout(ABC):
    """Writes the files of a video to their paths in a layout."""

    def __init__(self, video: SourceVideo, folder: Path):
        self.video, self.folder = video, folder

    @abstractmethod
    def frame(self, i: int) -> None:
        """Write frame number ``i``."""

    @abstractmethod
    def flow(self, i: int, found: Flow) -> None:
        """Write the flow of frame number ``i``."""

    def finish(self) -> None:  # noqa: B027
        """Called after the last frame."""


class _Spring(_Layout):
    """``flow/<video>/<frame>.flo5``, images in ``occlusions/`` and ``invalid/`` (white where true), ``frames/``."""

    def frame(self, i: int) -> None:
        self.video.place_frame(i, self.folder / "frames" / self.video.name / self.video.file_name(i))

    def flow(self, i: int, found: Flow) -> None:
        stem = self.video.frames[i]
        put(self.folder / "flow" / self.video.name / f"{stem}.flo5", flow.flo5(found.flow, found.valid))
        _put_reasons(self.folder, f"{self.video.name}/{stem}.png", found)


class _Sintel(_Layout):
    """``Sintel/training/``: ``clean/<video>/frame_0001.png``, ``flow/<video>/frame_0001.flo`` and the like."""

    def __init__(self, video: SourceVideo, folder: Path):
        super().__init__(video, folder / "Sintel/training")

    def frame(self, i: int) -> None:
        put(self.folder / "clean" / f"{self._name(i)}.png", png(self.video.rgb(i)))

    def flow(self, i: int, found: Flow) -> None:
        put(self.folder / "flow" / f"{self._name(i)}.flo", flow.flo(found.flow, found.valid))
        _put_reasons(self.folder, f"{self._name(i)}.png", found)

    def _name(self, i: int) -> str:
        return f"{self.video.name}/frame_{i + 1:04d}"


class _Kitti(_Layout):
    """``KittiFlow/training/``: ``image_2/<video>_<frame>_10.png`` and ``_11.png`` are the frame and the next one.

    Flow is in ``flow_occ/``, and without occluded pixels in ``flow_noc/``.
    """

    def __init__(self, video: SourceVideo, folder: Path):
        super().__init__(video, folder / "KittiFlow/training")
        self.too_far = 0  # pixels whose flow exceeds the range of the format

    def frame(self, i: int) -> None:
        data = png(self.video.rgb(i))
        for which, pair in ((10, i), (11, i - 1)):
            if 0 <= pair < len(self.video.frames) - 1:
                put(self.folder / "image_2" / self._name(pair, which), data)

    def flow(self, i: int, found: Flow) -> None:
        data, too_far = flow.kitti(found.flow, found.valid)
        put(self.folder / "flow_occ" / self._name(i, 10), data)
        put(self.folder / "flow_noc" / self._name(i, 10), flow.kitti(found.flow, found.valid & ~found.occluded)[0])
        self.too_far += too_far

    def finish(self) -> None:
        if self.too_far:
            log.warning(
                "%s: %d pixels move further than KITTI's PNG can tell; not valid there", self.video.name, self.too_far
            )

    def _name(self, i: int, which: int) -> str:
        return f"{self.video.name}_{self.video.frames[i]}_{which}.png"


_LAYOUTS: dict[str, type[_Layout]] = {"flo": _Sintel, "kitti": _Kitti, "flo5": _Spring}


def _put_reasons(folder: Path, name: str, found: Flow) -> None:
    """Write images that are white where a point is occluded on the other frame, and where flow is not valid."""
    for kind, where in (("occlusions", found.occluded), ("invalid", ~found.valid)):
        put(folder / kind / name, png(np.where(where, 255, 0).astype(np.uint8)))
