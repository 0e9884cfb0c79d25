"""Makes fusion sets: a trained network propagates true masks of reference frames both ways through videos.

The layout is that of ``training/data/fusion.py``. No record exists of how the published sets were made, so every set
records its weights, its dataset, its list of videos, and all numbers below.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
from training.inference.options import Options, published_options
from training.inference.propagate import propagate
from training.runs.folder import network_file

MIN_AREA, MAX_OBJECTS = 100, 5
"""A reference frame's objects: the first ``MAX_OBJECTS`` of those with more than ``MIN_AREA`` pixels."""

PER_SHARD = 100
"""Videos in a packed file."""

Packing = Literal["folder", "tar", "hdf5"]


def make_fusion_data(
    checkpoint: Path,
    dataset: str | Path,
    out: Path,
    videos: Sequence[str] | None = None,
    separation: int = 20,
    reach: int | None = None,
    memory_every: int = 5,
    shard: tuple[int, int] = (0, 1),
    to: Packing = "folder",
    device: str = "auto",
    say: Callable[[str], None] = print,
    masks: Meaning | None = None,
) -> int:
    """Write a fusion set. Videos that are complete are skipped, so the same command continues.

    Args:
        checkpoint: weights of a propagation network, or the folder of a finished run.
        videos: names of the videos to use; None: all.
        separation: frames between two reference frames.
        reach: frames to propagate either way; None goes to the ends of the video.
        memory_every: frames between memory frames; the previous frame is in memory, too.
        shard: (i, n): every n-th video from the i-th on, so that n machines can share the work.
        to: keep a folder for each video, or pack ``PER_SHARD`` videos at a time.
        masks: what the dataset's masks mean, here and in training on the set; None: decided over the whole dataset.

    Returns: the number of videos in this shard.

    Raises:
        UserError: weights or data cannot be read, or the folder holds a set that was made with other settings.
    """
    store = open_dataset(dataset, masks_mean=masks)
    selected = list(store.videos if videos is None else videos)
    names = selected[shard[0] :: shard[1]]
    checkpoint = network_file(checkpoint)
    network = load_network(checkpoint, PropagationNetwork, device=device)
    record = {
        "dataset": str(store.path.resolve()),
        "videos": len(selected),
        "list": sha256_bytes("\n".join(selected).encode()),
        "checkpoint": sha256(checkpoint),
        "separation": separation,
        "reach": reach,
        "memory_every": memory_every,
        "smallest": MIN_AREA,
        "objects": MAX_OBJECTS,
        "masks": masks,
    }
    claim(out, "make-fusion-data", record, [store.path], PROVENANCE)
    options = published_options(network, memory_every=memory_every, previous=True)
    writer = VideoWriter(network, options, store, separation, reach, out)
    packed = set(ShardTree(shards_in(out)).folders(""))
    unpacked: list[str] = []
    for number, name in enumerate(names, 1):
        if name in packed:
            shutil.rmtree(out / name, ignore_errors=True)  # left by packing that was interrupted
            continue
        if not (out / name).is_dir():
            writer.write(name)
            say(f"{name}: {len(list((out / name).iterdir()))} references; video {number} of {len(names)}")
        unpacked.append(name)
        if to != "folder" and len(unpacked) == PER_SHARD:
            _pack(out, unpacked, to)
            unpacked = []
    if to != "folder" and unpacked:
        _pack(out, unpacked, to)
    return len(names)


def references(store: VideoStore, name: str, separation: int) -> list[int]:
    """Annotated frames, ``separation`` apart at least."""
    chosen: list[int] = []
    for frame in store.mask_frames(name):
        if not chosen or frame - chosen[-1] >= separation:
            chosen.append(frame)
    return chosen


def frames_to_propagate(store: VideoStore, name: str, separation: int, reach: int | None) -> int:
    """Number of frames to propagate to from all references of a video, in both directions."""
    last = len(store.frames(name)) - 1
    reach = last if reach is None else reach
    return sum(min(reach, last - one) + min(reach, one) for one in references(store, name, separation))


@dataclass(frozen=True)
class VideoWriter:
    """Propagates from the references of a video and writes ``out/<video>``, whole or not at all."""

    network: PropagationNetwork
    options: Options
    store: VideoStore
    separation: int
    reach: int | None
    out: Path

    def write(self, name: str) -> None:
        staged = self.out / f".{name}.part"
        shutil.rmtree(staged, ignore_errors=True)
        try:
            with clear_disk_errors(staged):
                staged.mkdir(parents=True)
                chosen = references(self.store, name, self.separation)
                # A bar on terminals alone: a reference of a long video takes minutes.
                for reference in tqdm(chosen, desc=name, unit="reference", leave=False, disable=None):
                    self._propagate_from(name, reference, staged / f"{reference:05d}")
                replace(staged, self.out / name)
        finally:
            shutil.rmtree(staged, ignore_errors=True)

    def _propagate_from(self, name: str, reference: int, out: Path) -> None:
        """Write the soft masks of a reference's objects in all frames within reach."""
        ids = self.store.read_mask(name, reference).ids
        labels, areas = np.unique(ids[ids > 0], return_counts=True)
        objects = labels[areas > MIN_AREA][:MAX_OBJECTS]
        if not len(objects):
            return
        given = {reference: np.where(np.isin(ids, objects), ids, 0)}
        last = len(self.store.frames(name)) - 1
        reach = last if self.reach is None else self.reach
        forward = range(reference, min(last, reference + reach) + 1)
        backward = range(reference, max(0, reference - reach) - 1, -1)
        for numbers in (forward, backward):
            frames = ((number, self.store.read_rgb(name, number)) for number in numbers)
            for result in propagate(self.network, frames, given, self.options, say=lambda text: None):
                if result.number == reference:
                    continue
                soft = (result.prob[1:].float().cpu().numpy() * 255).astype(np.uint8)
                for label, mask in zip(result.objects, soft, strict=True):
                    path = out / f"{label:05d}" / f"{result.number:05d}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(mask).save(path)


def _pack(out: Path, names: list[str], kind: Literal["tar", "hdf5"]) -> None:
    """Write videos into one file, then remove their folders."""
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
