"""COCO: ``annotations/instances_<split>.json`` with RLE masks, frames in ``<split>/``.

Each frame is an image. ``video_id``, ``frame_id`` and ``track_id`` (the object's id in the masks) relate the images
and annotations of a video, as in COCO-VID. Definition: https://cocodataset.org/#format-data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bl30k_gen.export.base import register
from bl30k_gen.export.encoders.rle import encode
from bl30k_gen.export.listing import CATEGORY, INFO, Items, Listing, annotation_id, image_id, video_id
from bl30k_gen.export.source import SourceVideo


@register("coco", "COCO instance JSON with RLE masks, one image a frame", requires=("pycocotools",))
class Coco(Listing):
    def listings(self, split: str) -> Mapping[str, tuple[dict[str, Any], Sequence[str]]]:
        header = {**INFO, "categories": [CATEGORY]}
        return {f"annotations/instances_{split}.json": (header, ("videos", "images", "annotations"))}

    def frame_path(self, video: SourceVideo, i: int) -> str:
        return f"{video.split}/{video.name}/{video.file_name(i)}"

    def items(self, video: SourceVideo) -> Mapping[str, Items]:
        height, width = video.size
        size = {"height": height, "width": width}
        images, annotations = [], []
        for i in video.annotated:
            images.append(
                {
                    "id": image_id(video, i),
                    "file_name": f"{video.name}/{video.file_name(i)}",
                    **size,
                    "video_id": video_id(video),
                    "frame_id": i,
                }
            )
            annotations += [
                {
                    "id": annotation_id(video, i, number),
                    "image_id": image_id(video, i),
                    "category_id": CATEGORY["id"],
                    "segmentation": seen.rle,
                    "area": seen.area,
                    "bbox": seen.box,
                    "iscrowd": 0,
                    "video_id": video_id(video),
                    "track_id": number,
                }
                for number, seen in encode(video.ids(i)).items()
            ]
        clip = {"id": video_id(video), "name": video.name, **size, "length": len(video.frames)}
        return {"videos": [clip], "images": images, "annotations": annotations}
