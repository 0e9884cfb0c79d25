"""SA-V: ``sav_<split>/<video>.mp4`` and ``<video>_manual.json``, as in the training set of SA-V.

The frames lie beside these in ``JPEGImages_24fps/<video>/``, where the training of SAM 2 expects them. An object is a
masklet, in the order of the ids in the masks; where it is not visible, its mask is empty. Definition:
``sav_dataset/README.md`` of facebookresearch/sam2.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders.rle import Encoded, encode
from bl30k_gen.export.movies import Quality, write_movie
from bl30k_gen.export.source import SourceVideo
from bl30k_gen.settings import Count

FPS = 24
_BUCKETS = ((32**2, "small"), (96**2, "medium"))  # names of sizes below these numbers of pixels; else large


@register("sav", "SA-V: MP4 (H.264) and masklet JSON with RLE masks", requires=("av", "pycocotools"))
class Sav(Format):
    every: Count = 1  # step between frames with masks; 4 in SA-V itself
    crf: Quality = 18
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            target = folder / f"sav_{video.split}"
            write_movie(video, target / f"{video.name}.mp4", FPS, "h264", self.crf)
            (target / f"{video.name}_manual.json").write_text(json.dumps(masklets(video, self.every)))
            for i in range(len(video.frames)) if self.frames else ():
                video.place_frame(i, target / "JPEGImages_24fps" / video.name / video.file_name(i))


def masklets(video: SourceVideo, every: int) -> dict[str, Any]:
    """The JSON of a video, with the masks of every ``every``-th frame. Raises UserError if one of them is missing."""
    chosen = range(0, len(video.frames), every)
    if missing := sorted(set(chosen) - set(video.annotated)):
        raise UserError(
            f"{video.source}: frame {video.frames[missing[0]]} of {video.name} has no mask",
            f"masks are needed on every frame number that --set every={every} divides",
        )
    seen = [encode(video.ids(i)) for i in chosen]
    objects = sorted(set().union(*seen))
    empty = _empty(video.size)
    shown = np.array([[number in frame for number in objects] for frame in seen]).reshape(len(seen), len(objects))
    areas = [float(np.mean([frame[number].area for frame in seen if number in frame])) for number in objects]
    height, width = video.size
    return {
        "video_id": video.name,
        "video_duration": len(video.frames) / FPS,
        "video_frame_count": float(len(video.frames)),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "video_environment": [],
        "video_split": video.split,
        "masklet": [[frame[n].rle if n in frame else empty.rle for n in objects] for frame in seen],
        "masklet_id": objects,
        "masklet_size_rel": [area / (height * width) for area in areas],
        "masklet_size_abs": areas,
        "masklet_size_bucket": [next((name for limit, name in _BUCKETS if area < limit), "large") for area in areas],
        "masklet_visibility_changes": [_changes(shown[:, k]) for k in range(len(objects))],
        "masklet_first_appeared_frame": [int(shown[:, k].argmax()) * every for k in range(len(objects))],
        "masklet_frame_count": [len(seen)] * len(objects),
        "masklet_edited_frame_count": [0] * len(objects),
        "masklet_type": ["manual"] * len(objects),
        "masklet_stability_score": None,
        "masklet_num": len(objects),
    }


def _changes(shown: np.ndarray) -> int:
    """Number of times that an object disappears or reappears after it was first visible."""
    since = shown[shown.argmax() :]
    return int((since[1:] != since[:-1]).sum())


def _empty(size: tuple[int, int]) -> Encoded:
    from pycocotools import mask as coco

    rle = coco.encode(np.zeros(size, np.uint8, order="F"))
    return Encoded(rle["counts"].decode(), size, 0, [0, 0, 0, 0])
