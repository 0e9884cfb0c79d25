"""Video files: ``<split>/<video>.mp4``, and lossless masks in ``<split>/<video>_masks.mkv``.

Frame i of either file is frame i of the video. Grey values of the mask video are object ids.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders import movie
from bl30k_gen.export.source import SourceVideo
from bl30k_gen.settings import Positive

Quality = Annotated[int, Field(ge=0, le=51)]


def write_movie(video: SourceVideo, path: Path, fps: float, codec: movie.Codec, crf: int) -> None:
    """Write a video's frames as MP4. Raises UserError where its size is odd or its frames differ in size."""
    try:
        movie.write_rgb(path, _images(video), video.size, fps, codec, crf)
    except ValueError as error:
        raise UserError(f"{video.source}: video {video.name}", f"{error}; another format keeps its frames") from None


@register("video", "MP4 (AV1 or H.264), and lossless mask videos (FFV1)", requires=("av",))
class Movies(Format):
    codec: movie.Codec = "av1"
    crf: Quality = 18
    fps: Positive = 24

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            if len(video.annotated) != len(video.frames):
                raise UserError(
                    f"{video.source}: {video.name} has masks on {len(video.annotated)} of {len(video.frames)} frames",
                    "a mask video needs them all: choose another format",
                )
            write_movie(video, folder / video.split / f"{video.name}.mp4", self.fps, self.codec, self.crf)
            path = folder / video.split / f"{video.name}_masks.mkv"
            movie.write_ids(path, _masks(video), video.size, self.fps)


def _images(video: SourceVideo) -> Iterator[npt.NDArray[np.uint8]]:
    for i, frame in enumerate(video.frames):
        image = video.rgb(i)
        if image.shape[:2] != video.size:
            raise ValueError(f"frame {frame} has another size than the first")
        yield image


def _masks(video: SourceVideo) -> Iterator[npt.NDArray[np.uint8]]:
    for i in range(len(video.frames)):
        ids = video.ids(i)
        if ids.max(initial=0) > 255:
            raise UserError(f"{video.source}: {video.name} has ids above 255", "choose a format that keeps PNG masks")
        yield ids.astype(np.uint8, copy=False)
