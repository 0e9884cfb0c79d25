"""Makes fusion sets: a trained network propagates true masks of reference frames both ways through videos.

The layout is that of ``training/data/fusion.py``. What the published sets were made with is not recorded anywhere, so
every set carries a record of its own: weights, dataset, and all numbers below.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from bl30k_gen.dataset.files import clear_disk_errors, replace, sha256, write_atomically
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.errors import UserError
from training.data.fusion import PROVENANCE
from training.inference.load import PROPAGATION, load_network
from training.inference.options import published_options
from training.inference.propagate import propagate
from training.run_folder import network_file

SMALLEST, MOST = 100, 5
"""Objects of a reference frame: those of more pixels than this, and the first so many of them."""


def make_fusion_data(
    checkpoint: Path,
    dataset: Path,
    out: Path,
    split: str | None = None,
    separation: int = 20,
    reach: int | None = None,
    memory_every: int = 5,
    shard: tuple[int, int] = (0, 1),
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> int:
    """Write a fusion set. Videos that are there are left alone, so that the same command goes on.

    Args:
        checkpoint: weights of a propagation network, or the folder of a finished run.
        split: list in ImageSets whose videos are taken; None takes all.
        separation: frames between two reference frames.
        reach: frames to propagate either way; None goes to the ends of the video.
        memory_every: as in inference; the previous frame is in memory, too.
        shard: (i, n) takes every n-th video, beginning with the i-th, so that n machines may share the work.

    Returns: videos in the set's folder that belong to this shard.

    Raises:
        UserError: weights or data cannot be read, or the folder holds a set that was made otherwise.
    """
    store = open_dataset(dataset)
    names = (store.image_set(split) if split else store.videos)[shard[0] :: shard[1]]
    checkpoint = network_file(checkpoint)
    network = load_network(checkpoint, *PROPAGATION, device=device)
    record = {
        "dataset": str(Path(dataset).resolve()),
        "split": split,
        "checkpoint": sha256(checkpoint),
        "separation": separation,
        "reach": reach,
        "memory_every": memory_every,
        "smallest": SMALLEST,
        "objects": MOST,
    }
    _claim(out / PROVENANCE, record)
    options = published_options(network, memory_every=memory_every, previous=True)
    for name in names:
        if (out / name).is_dir():
            continue
        staged = out / f".{name}.part"
        shutil.rmtree(staged, ignore_errors=True)
        with clear_disk_errors(staged):
            staged.mkdir(parents=True)
            for reference in references(store, name, separation):
                _propagate_from(network, options, store, name, reference, reach, staged / f"{reference:05d}")
            replace(staged, out / name)
        say(f"{name}: {len(list((out / name).iterdir()))} references")
    return len(names)


def references(store: VideoStore, name: str, separation: int) -> list[int]:
    """Annotated frames, ``separation`` apart at least."""
    chosen: list[int] = []
    for frame in store.mask_frames(name):
        if not chosen or frame - chosen[-1] >= separation:
            chosen.append(frame)
    return chosen


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


def _claim(path: Path, record: dict) -> None:
    if path.exists():
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise UserError(f"{path} is damaged", "choose another --out") from None
        for key, value in record.items():
            if before.get(key) != value:
                raise UserError(
                    f"{path.parent} was made with {key} = {before.get(key)}, not {value}", "choose another --out"
                )
    write_atomically(path, json.dumps(record, indent=1) + "\n")
