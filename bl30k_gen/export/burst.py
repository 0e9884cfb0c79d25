"""BURST: ``annotations/<split>/all_classes.json`` and ``first_frame_annotations.json``, frames in ``frames/``.

Masks are the ``counts`` of an RLE; every mask is ground truth. The second file has each object in the first frame
that shows it, with its box and one point on it. Definition: ANNOTATION_FORMAT.md of Ali2500/BURST-benchmark.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bl30k_gen.export.base import register
from bl30k_gen.export.encoders.rle import Encoded, decode, encode
from bl30k_gen.export.listing import CATEGORY, Items, Listing
from bl30k_gen.export.source import SourceVideo

DATASET = "BL30K"  # BURST collects videos of several datasets
FPS = 24  # our videos have no frame rate
_FIRST = "first/sequences"


@register("burst", "BURST JSON with RLE masks, and its first-frame annotations", requires=("pycocotools",))
class Burst(Listing):
    def listings(self, split: str) -> Mapping[str, tuple[dict[str, Any], Sequence[str]]]:
        header = {"split": split, "categories": [CATEGORY]}
        return {
            f"annotations/{split}/all_classes.json": (header, ("sequences",)),
            f"annotations/{split}/first_frame_annotations.json": (header, (_FIRST,)),
        }

    def frame_path(self, video: SourceVideo, i: int) -> str:
        return f"frames/{video.split}/{DATASET}/{video.name}/{video.file_name(i)}"

    def items(self, video: SourceVideo) -> Mapping[str, Items]:
        height, width = video.size
        seen = [encode(video.ids(i)) for i in video.annotated]
        objects = sorted(set().union(*seen))
        sequence = {
            "id": video.number,
            "seq_name": video.name,
            "dataset": DATASET,
            "width": width,
            "height": height,
            "fps": FPS,
            "all_image_paths": [video.file_name(i) for i in range(len(video.frames))],
            "annotated_image_paths": [video.file_name(i) for i in video.annotated],
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [],
            "track_category_ids": {str(number): CATEGORY["id"] for number in objects},
        }
        first = {number: min(i for i, frame in enumerate(seen) if number in frame) for number in objects}
        return {
            "sequences": [sequence | {"segmentations": [{str(n): _mask(s) for n, s in f.items()} for f in seen]}],
            _FIRST: [
                sequence
                | {
                    "segmentations": [
                        {str(n): _first(s) for n, s in frame.items() if first[n] == i} for i, frame in enumerate(seen)
                    ]
                }
            ],
        }


def _mask(seen: Encoded) -> dict[str, Any]:
    return {"rle": seen.counts, "is_gt": True, "score": 1.0}


def _first(seen: Encoded) -> dict[str, Any]:
    y, x = np.nonzero(decode(seen))
    central = int(np.argmin((y - y.mean()) ** 2 + (x - x.mean()) ** 2))  # the object's pixel nearest to its centroid
    return _mask(seen) | {"bbox": seen.box, "point": [int(x[central]), int(y[central])]}
