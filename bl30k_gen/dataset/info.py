"""Key figures of a dataset."""

import logging
from pathlib import PurePosixPath
from typing import Any

from bl30k_gen.dataset.layout import SPLITS
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError

log = logging.getLogger(__name__)

SAMPLED_VIDEOS = 100  # videos whose first frame is read for its size


def summarise(store: VideoStore) -> dict[str, Any]:
    """Count a dataset; reads every file's size, but opens only the first frames of some videos.

    Returns:
        videos: number of finished videos.
        frames: number of frames in all videos together.
        frames_per_video: [minimum, maximum].
        size: [width, height] of frames, pixels; None without videos, and where sizes differ.
        sizes: all sizes found in about ``SAMPLED_VIDEOS`` videos, evenly spaced.
        splits: number of videos in each existing list.
        bytes: size of all frames, masks and metadata.
    """
    lengths = [len(store.frames(name)) for name in store.videos]
    splits = {}
    for split in SPLITS:
        try:
            splits[split] = len(store.image_set(split))
        except UserError as error:
            if any(PurePosixPath(path).stem == split for path in store.image_set_paths()):
                log.warning("%s", error)
    chosen = store.videos[:: max(1, len(store.videos) // SAMPLED_VIDEOS)]
    shapes = (store.read_rgb(name, 0).shape for name in chosen)
    sizes = sorted({(width, height) for height, width, _ in shapes})
    return {
        "videos": len(store.videos),
        "frames": sum(lengths),
        "frames_per_video": [min(lengths, default=0), max(lengths, default=0)],
        "size": list(sizes[0]) if len(sizes) == 1 else None,
        "sizes": [list(size) for size in sizes],
        "splits": splits,
        "bytes": sum(sum(store.members(name).values()) for name in store.videos),
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """The result of ``summarise`` as lines of text."""
    fewest, most = facts["frames_per_video"]
    sizes = ", ".join(f"{width}x{height}" for width, height in facts["sizes"])
    return [
        f"videos: {facts['videos']}",
        f"frames: {facts['frames']} ({fewest if fewest == most else f'{fewest} to {most}'} a video)",
        f"size: {sizes or 'unknown'}{' (videos differ)' if len(facts['sizes']) > 1 else ''}",
        f"lists: {', '.join(f'{split} {count}' for split, count in facts['splits'].items()) or 'none'}",
        f"bytes: {facts['bytes']:,}",
    ]
