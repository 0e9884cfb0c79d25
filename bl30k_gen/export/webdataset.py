"""WebDataset: tar shards ``<split>-000000.tar`` in which a sample is a video.

The members ``<video>.<frame>.jpg``, ``<video>.<frame>.png`` and ``<video>.json`` of a video are consecutive: its name
is the key of the sample, ``00000.jpg`` a field. No member needs pickle. Images and masks are the unchanged bytes of
the dataset.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.dataset.writers import write_shard
from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format, Unit, register
from bl30k_gen.export.grouping import by_size
from bl30k_gen.export.source import SourceVideo, VideoEntry
from bl30k_gen.settings import Count


@register("webdataset", "WebDataset tar shards, a video a sample, no pickles")
class WebDataset(Format):
    shard_bytes: Count = 1_000_000_000  # a shard is full when it reaches this size

    def units(self, store: VideoStore, videos: Sequence[VideoEntry]) -> list[Unit]:
        return by_size(store, videos, self.shard_bytes)

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            if "." in video.name:
                raise UserError(f"{video.source}: video {video.name}", "WebDataset ends a key at the first dot")
        write_shard(folder / f"{unit}.tar", "tar", (member for video in videos for member in _members(video)))


def _members(video: SourceVideo) -> Iterator[tuple[str, bytes]]:
    annotated = set(video.annotated)
    for i, frame in enumerate(video.frames):
        suffix = PurePosixPath(video.file_name(i)).suffix
        yield f"{video.name}.{frame}{'.rgb.png' if suffix == '.png' else suffix}", video.rgb_bytes(i)
        if i in annotated:
            yield f"{video.name}.{frame}.png", video.mask_bytes(i)
    height, width = video.size
    described = {
        "name": video.name,
        "split": video.split,
        "frames": video.frames,
        "annotated": [video.frames[i] for i in video.annotated],
        "height": height,
        "width": width,
        "metadata": video.recorded,
    }
    yield f"{video.name}.json", json.dumps(described).encode()
