"""A dataset in a few numbers."""

from typing import Any

from bl30k_gen.dataset.layout import SPLITS
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError


def summarise(store: VideoStore) -> dict[str, Any]:
    """Count a dataset; takes a look at every file's size, but opens only the first video.

    Returns:
        videos: number of finished videos.
        frames: of all videos together.
        frames_per_video: [fewest, most].
        size: [width, height] of the first video's first frame, pixels; None without videos.
        splits: videos in each list that there is.
        bytes: of all frames, masks and metadata.
    """
    lengths = [len(store.frames(name)) for name in store.videos]
    splits = {}
    for split in SPLITS:
        try:
            splits[split] = len(store.image_set(split))
        except UserError:  # no such list, or one that does not fit; `verify` says more
            continue
    size = None
    if store.videos:
        height, width = store.read_rgb(store.videos[0], 0).shape[:2]
        size = [width, height]
    return {
        "videos": len(store.videos),
        "frames": sum(lengths),
        "frames_per_video": [min(lengths, default=0), max(lengths, default=0)],
        "size": size,
        "splits": splits,
        "bytes": sum(sum(store.members(name).values()) for name in store.videos),
    }
