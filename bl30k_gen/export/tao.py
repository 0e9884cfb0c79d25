"""TAO: ``annotations/<split>.json`` of videos, images, tracks and annotations, frames in ``frames/``.

Annotations have the boxes of TAO, and in addition masks as RLE. Definition: ``tao/toolkit/tao/tao.py`` of
TAO-Dataset/tao.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bl30k_gen.export.base import register
from bl30k_gen.export.burst import DATASET
from bl30k_gen.export.encoders.rle import encode
from bl30k_gen.export.listing import (
    CATEGORY,
    INFO,
    Items,
    Listing,
    annotation_id,
    image_id,
    track_id,
    video_id,
)
from bl30k_gen.export.source import SourceVideo


@register("tao", "TAO JSON of boxes and tracks, with RLE masks beside", requires=("pycocotools",))
class Tao(Listing):
    def listings(self, split: str) -> Mapping[str, tuple[dict[str, Any], Sequence[str]]]:
        header = {**INFO, "categories": [CATEGORY]}
        return {f"annotations/{split}.json": (header, ("videos", "images", "tracks", "annotations"))}

    def frame_path(self, video: SourceVideo, i: int) -> str:
        return f"frames/{_folder(video)}/{video.file_name(i)}"

    def items(self, video: SourceVideo) -> Mapping[str, Items]:
        height, width = video.size
        of_video = {"video_id": video_id(video)}
        category = {"category_id": CATEGORY["id"]}
        images: Items = []
        annotations: Items = []
        for i in video.annotated:
            images.append(
                {
                    "id": image_id(video, i),
                    **of_video,
                    "file_name": f"{_folder(video)}/{video.file_name(i)}",
                    "width": width,
                    "height": height,
                    "frame_index": i,
                    "license": 0,
                }
            )
            annotations += [
                {
                    "id": annotation_id(video, i, number),
                    "image_id": image_id(video, i),
                    "track_id": track_id(video, number),
                    **of_video,
                    **category,
                    "bbox": seen.box,
                    "area": seen.area,
                    "segmentation": seen.rle,
                    "iscrowd": 0,
                }
                for number, seen in encode(video.ids(i)).items()
            ]
        clip = {
            "id": video_id(video),
            "name": _folder(video),
            "width": width,
            "height": height,
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [],
            "metadata": {"dataset": DATASET},
        }
        tracks = [{"id": track, **category, **of_video} for track in sorted({a["track_id"] for a in annotations})]
        return {"videos": [clip], "images": images, "tracks": tracks, "annotations": annotations}


def _folder(video: SourceVideo) -> str:
    return f"{video.split}/{DATASET}/{video.name}"
