"""MDS shards for `mosaicml-streaming`: ``<split>/shard.00000.mds`` and ``<split>/index.json``; a sample is a frame.

``StreamingDataset(local=..., split="train")`` gives ``video``, ``frame``, and ``image`` and ``mask`` as PIL images,
decoded from the unchanged bytes of the dataset. Frames without a mask are left out.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from bl30k_gen.dataset.files import write_json
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError
from bl30k_gen.export.base import Format, Unit, register
from bl30k_gen.export.encoders import mds
from bl30k_gen.export.grouping import by_size
from bl30k_gen.export.source import SourceVideo, VideoEntry, by_split
from bl30k_gen.settings import Count

# The reader decodes images by their content: "jpeg" or "png" only tells it that a column holds images.
_COLUMNS = {"video": "str", "frame": "int", "image": "jpeg", "mask": "png"}

log = logging.getLogger(__name__)


@register("mds", "MDS shards for mosaicml-streaming, a frame a sample")
class Mds(Format):
    shard_bytes: Count = 1 << 26  # a shard is full when it reaches this size

    def units(self, store: VideoStore, videos: Sequence[VideoEntry]) -> list[Unit]:
        return by_size(store, videos, self.shard_bytes)

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        path = folder / _shard(unit)
        path.parent.mkdir()
        samples = (sample for video in videos for sample in _samples(video))
        try:
            mds.write_shard(path, _COLUMNS, samples, sum(len(video.annotated) for video in videos))
        except ValueError as error:
            raise UserError(f"shard {unit}: {error}", "choose a smaller shard_bytes") from None
        for video in videos:
            video.place_metadata(folder / "metadata")

    def finish(self, store: VideoStore, videos: Sequence[VideoEntry], out: Path, folder: Path) -> None:
        for split, entries in by_split(videos):
            shards = [out / _shard(unit.name) for unit in by_size(store, entries, self.shard_bytes)]
            write_json(folder / split / "index.json", mds.index(_COLUMNS, shards))


def _shard(unit: str) -> PurePosixPath:
    split, _, number = unit.rpartition("-")
    return PurePosixPath(split, f"shard.{int(number):05d}.mds")


def _samples(video: SourceVideo) -> Iterator[dict[str, bytes]]:
    if missing := len(video.frames) - len(video.annotated):
        log.warning("%s: %d frames of %s have no mask and are left out", video.source, missing, video.name)
    for i in video.annotated:
        yield {
            "video": video.name.encode(),
            "frame": np.int64(i).tobytes(),
            "image": video.rgb_bytes(i),
            "mask": video.mask_bytes(i),
        }
