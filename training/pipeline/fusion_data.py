"""Makes fusion sets: a trained network propagates true masks of reference frames both ways through videos.

The layout is that of ``training/data/fusion.py``. What the published sets were made with is not recorded anywhere, so
every set carries a record of its own: weights, dataset, list of videos, and all numbers below.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image
from tqdm import tqdm

from bl30k_gen.dataset.claim import claim
from bl30k_gen.dataset.files import clear_disk_errors, replace, sha256, sha256_bytes
from bl30k_gen.dataset.masks import Meaning
from bl30k_gen.dataset.pack import SUFFIX, write_shard
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.dataset.shards import index_shard
from bl30k_gen.dataset.trees import FolderTree, ShardTree
from models.propagation import PropagationNetwork
from training.data.fusion import PROVENANCE, shards_in
from training.inference.load import load_network
from training.inference.options import published_options
from training.inference.propagate import propagate
from training.runs.folder import network_file

SMALLEST, MOST = 100, 5
"""Objects of a reference frame: those of more pixels than this, and the first so many of them."""

PER_SHARD = 100
"""Videos in a packed file."""


def make_fusion_data(
    checkpoint: Path,
    dataset: Path,
    out: Path,
    videos: Sequence[str] | None = None,
    separation: int = 20,
    reach: int | None = None,
    memory_every: int = 5,
    shard: tuple[int, int] = (0, 1),
    to: Literal["folder", "tar", "hdf5"] = "folder",
    device: str = "auto",
    say: Callable[[str], None] = print,
    masks: Meaning | None = None,
) -> int:
    """Write a fusion set. Videos that are there are left alone, so that the same command continues.

    Args:
        checkpoint: weights of a propagation network, or the folder of a finished run.
        videos: names of those to take; None takes all.
        separation: frames between two reference frames.
        reach: frames to propagate either way; None goes to the ends of the video.
        memory_every: as in inference; the previous frame is in memory, too.
        shard: (i, n) takes every n-th video, beginning with the i-th, so that n machines may share the work.
        to: leave a folder for each video, or pack ``PER_SHARD`` of them at a time.
        masks: what the dataset's masks mean, for this command and where the set is trained on; None: that is decided
            over the dataset.

    Returns: videos of this shard.

    Raises:
        UserError: weights or data cannot be read, or the folder holds a set that was made otherwise.
    """
    store = open_dataset(dataset, masks_mean=masks)
    every = list(store.videos if videos is None else videos)
    names = every[shard[0] :: shard[1]]
    checkpoint = network_file(checkpoint)
    network = load_network(checkpoint, PropagationNetwork, device=device)
    record = {
        "dataset": str(Path(dataset).resolve()),
        "videos": len(every),
        "list": sha256_bytes("\n".join(every).encode()),
        "checkpoint": sha256(checkpoint),
        "separation": separation,
        "reach": reach,
        "memory_every": memory_every,
        "smallest": SMALLEST,
        "objects": MOST,
        "masks": masks,
    }
    claim(out, "make-fusion-data", record, [store.path], PROVENANCE)
    options = published_options(network, memory_every=memory_every, previous=True)
    packed = set(ShardTree(shards_in(out)).folders(""))
    for number, name in enumerate(names, 1):
        if name in packed:
            shutil.rmtree(out / name, ignore_errors=True)  # left over where packing was interrupted
        elif not (out / name).is_dir():
            _make_video(network, options, store, name, separation, reach, out)
            say(f"{name}: {len(list((out / name).iterdir()))} references; video {number} of {len(names)}")
        if to != "folder" and len(loose := _loose(out, names)) >= PER_SHARD:
            _pack(out, loose, to)
    if to != "folder" and (loose := _loose(out, names)):
        _pack(out, loose, to)
    return len(names)


def references(store: VideoStore, name: str, separation: int) -> list[int]:
    """Annotated frames, ``separation`` apart at least."""
    chosen: list[int] = []
    for frame in store.mask_frames(name):
        if not chosen or frame - chosen[-1] >= separation:
            chosen.append(frame)
    return chosen


def frames_to_propagate(store: VideoStore, name: str, separation: int, reach: int | None) -> int:
    """How many frames a video's references are carried to, both ways."""
    last = len(store.frames(name)) - 1
    reach = last if reach is None else reach
    return sum(min(reach, last - one) + min(reach, one) for one in references(store, name, separation))


def _make_video(
    network, options, store: VideoStore, name: str, separation: int, reach: int | None, out: Path
) -> None:
    staged = out / f".{name}.part"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        with clear_disk_errors(staged):
            staged.mkdir(parents=True)
            chosen = references(store, name, separation)
            # A bar on terminals alone: a reference of a long video takes minutes.
            for reference in tqdm(chosen, desc=name, unit="reference", leave=False, disable=None):
                _propagate_from(network, options, store, name, reference, reach, staged / f"{reference:05d}")
            replace(staged, out / name)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _loose(out: Path, names: list[str]) -> list[str]:
    return [name for name in names if (out / name).is_dir()]


def _pack(out: Path, names: list[str], kind: Literal["tar", "hdf5"]) -> None:
    """Videos' folders become one file, which is complete before they go."""
    tree = FolderTree(out)

    def members() -> Iterator[tuple[str, bytes]]:
        yield PROVENANCE, tree.read(PROVENANCE)
        for name in names:
            for path in sorted((out / name).rglob("*.png")):
                place = str(path.relative_to(out))
                yield place, tree.read(place)

    path = out / f"fusion_{names[0]}{SUFFIX[kind]}"
    write_shard(path, kind, members())
    index_shard(path)
    for name in names:
        shutil.rmtree(out / name)


def _propagate_from(
    network, options, store: VideoStore, name: str, reference: int, reach: int | None, out: Path
) -> None:
    ids = store.read_mask(name, reference).ids
    labels, areas = np.unique(ids[ids > 0], return_counts=True)
    kept = labels[areas > SMALLEST][:MOST]
    if not len(kept):
        return
    given = {reference: np.where(np.isin(ids, kept), ids, 0)}
    last = len(store.frames(name)) - 1
    reach = last if reach is None else reach
    ways = range(reference, min(last, reference + reach) + 1), range(reference, max(0, reference - reach) - 1, -1)
    for way in ways:
        frames = ((number, store.read_rgb(name, number)) for number in way)
        for result in propagate(network, frames, given, options, say=lambda text: None):
            if result.number == reference:
                continue
            soft = (result.prob[1:].float().cpu().numpy() * 255).astype(np.uint8)
            for label, mask in zip(result.objects, soft, strict=True):
                path = out / f"{label:05d}" / f"{result.number:05d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(path)
