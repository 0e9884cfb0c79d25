"""Division of videos into shards of about equal size."""

from collections.abc import Sequence

from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.export.base import Unit
from bl30k_gen.export.source import VideoEntry, by_split


def by_size(store: VideoStore, videos: Sequence[VideoEntry], limit: int) -> list[Unit]:
    """Units ``<split>-000000`` of consecutive videos of one split.

    The video that brings a unit to ``limit`` bytes is its last. So appending videos to a dataset changes only the
    last unit.
    """
    units = []
    for split, entries in by_split(videos):
        groups: list[list[VideoEntry]] = [[]]
        size = 0
        for entry in entries:
            if size >= limit:
                groups.append([])
                size = 0
            groups[-1].append(entry)
            size += sum(store.members(entry.name).values())
        units += [Unit(f"{split}-{number:06d}", tuple(group)) for number, group in enumerate(groups)]
    return units
