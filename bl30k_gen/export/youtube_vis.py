"""YouTube-VIS: ``<split>/instances.json`` and ``<split>/JPEGImages/<video>/``, the layout of the version of 2021.

An annotation is one object in all annotated frames of a video; where it is not visible, its segmentation, box and
area are null. RLEs are uncompressed, as in the published files: some readers accept no others. Definition:
https://youtube-vos.org/dataset/vis/, reader: ``ytvos.py`` of youtubevos/cocoapi.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bl30k_gen.export.base import register
from bl30k_gen.export.encoders.rle import encode
from bl30k_gen.export.listing import CATEGORY, INFO, Items, Listing, track_id, video_id
from bl30k_gen.export.source import SourceVideo


@register("youtube-vis", "YouTube-VIS instance JSON with RLE masks", requires=("pycocotools",))
class YoutubeVis(Listing):
    def listings(self, split: str) -> Mapping[str, tuple[dict[str, Any], Sequence[str]]]:
        return {f"{split}/instances.json": ({**INFO, "categories": [CATEGORY]}, ("videos", "annotations"))}

    def frame_path(self, video: SourceVideo, i: int) -> str:
        return f"{video.split}/JPEGImages/{video.name}/{video.file_name(i)}"

    def items(self, video: SourceVideo) -> Mapping[str, Items]:
        height, width = video.size
        seen = [encode(video.ids(i)) for i in video.annotated]
        annotations = []
        for number in sorted(set().union(*seen)):
            track = [frame.get(number) for frame in seen]
            annotations.append(
                {
                    "id": track_id(video, number),
                    "video_id": video_id(video),
                    "category_id": CATEGORY["id"],
                    "iscrowd": 0,
                    "height": height,
                    "width": width,
                    "length": len(seen),
                    "segmentations": [shown and shown.plain_rle for shown in track],
                    "bboxes": [shown and shown.box for shown in track],
                    "areas": [shown and shown.area for shown in track],
                }
            )
        clip = {
            "id": video_id(video),
            "width": width,
            "height": height,
            "length": len(seen),
            "file_names": [f"{video.name}/{video.file_name(i)}" for i in video.annotated],
        }
        return {"videos": [clip], "annotations": annotations}
