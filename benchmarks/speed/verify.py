"""Speed of `verify` compared with reading the disk: GB a minute, plain and deep, with two workers.

    python -m benchmarks.speed.verify --gb 2 --results docs/results/verify.md

Writes a dataset of full-size videos (768x512, 160 frames; images and masks of about the size of rendered ones), as
files and packed as tar and HDF5, and verifies each of them cold (with its pages dropped from the page cache before)
and warm (directly after). The disk's speed is measured by reading the same files without doing anything.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import page
from benchmarks.page import ROOT, command, load, machine, parser_of, processor_seconds, spread, table
from bl30k_gen.config import load_config
from bl30k_gen.dataset import files, masks
from bl30k_gen.dataset.layout import Layout, frame_name, publish, write_image_sets
from bl30k_gen.dataset.metadata import build_metadata
from bl30k_gen.dataset.modalities import MASK, MODALITIES, RGB
from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.verify import verify
from bl30k_gen.dataset.writers import ShardFormat
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.dataset import sampler
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.scene.spec import SceneSpec
from bl30k_gen.seeding import rng

SHARDS: tuple[ShardFormat, ...] = ("tar", "hdf5")
STORES = ("folder", *SHARDS)
WORKERS = 2
DISTINCT = 20  # frames that are drawn; a video repeats them
NOISE = 0.4  # standard deviation; it sets the size of a JPEG
GOALS = {False: 5.0, True: 1.5}  # GB a minute, plain and deep


def draw(frame: int, ids: list[int], width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw an RGB image and its mask: smooth shading, a little noise, an ellipse for each object."""
    y, x = np.mgrid[:height, :width]
    shade = np.stack([np.sin(x / 90 + frame / 9), np.cos(y / 70), np.sin((x + y) / 110)], -1) * 60 + 120
    mask = np.zeros((height, width), np.uint8)
    for number, value in enumerate(ids):
        angle = frame / 7 + number * 1.3
        cx, cy = width * (0.5 + 0.3 * np.cos(angle)), height * (0.5 + 0.3 * np.sin(angle))
        inside = ((x - cx) / (width / 7)) ** 2 + ((y - cy) / (height / 6)) ** 2 < 1
        mask[inside] = value
        shade[inside] += 40 * np.sin(x[inside] / (6 + number))[:, None]
    shade += rng(0, "verify", frame).normal(0.0, NOISE, shade.shape)
    return shade.clip(0, 255).astype(np.uint8), mask


class Frame(NamedTuple):
    """A frame of all videos: files and their metadata entries by folder, and the pixels of each mask value."""

    data: dict[str, bytes]
    described: dict[str, dict[str, object]]
    counts: np.ndarray


def draw_frames(spec: SceneSpec) -> list[Frame]:
    """The frames that every video repeats: drawing all frames would take most of the time."""
    found = []
    for number in range(DISTINCT):
        rgb, mask = draw(number, [thing.id for thing in spec.objects], spec.video.width, spec.video.height)
        jpeg = files.encode_jpeg(rgb, spec.image.quality, spec.image.subsampling)
        data = {RGB: jpeg, MASK: masks.encode_mask(mask)}
        described = {f: {"bytes": len(data[f]), "sha256": files.sha256_bytes(data[f])} for f in data}
        found.append(Frame(data, described, np.bincount(mask.ravel(), minlength=256)))
    return found


def make(root: Path, bytes_wanted: float) -> int:
    """Publish videos of at least ``bytes_wanted`` in total; returns their number."""
    config = load_config(ROOT / "render_configs/demo.yaml", ["video={frames: 160, width: 768, height: 512}"])
    layout = Layout(root)
    files.write_atomically(layout.config, config.to_yaml())
    scene = sampler(config, open_catalogue(config.assets))("a00000").spec
    drawn, ids = draw_frames(scene), [thing.id for thing in scene.objects]
    shown = [drawn[frame % DISTINCT] for frame in range(scene.video.frames)]
    areas = np.array([frame.counts[ids] for frame in shown])
    each = sum(len(data) for frame in shown for data in frame.data.values())
    count = math.ceil(bytes_wanted / each)
    for index in range(count):
        name = video_name(index, config.dataset.videos_per_segment)
        described = {}
        for folder in MODALITIES:
            (layout.staging(name) / folder).mkdir(parents=True)
            for number, frame in enumerate(shown):
                file = frame_name(folder, number)
                (layout.staging(name) / folder / file).write_bytes(frame.data[folder])
                described[f"{folder}/{name}/{file}"] = frame.described[folder]
        poses = np.zeros((len(ids), scene.video.frames, 4, 4))
        made = build_metadata(
            scene.model_copy(update={"name": name, "index": index}).to_json(),
            config_digest=config.digest(),
            versions={},
            visible_area=areas,
            intrinsics=np.eye(3),
            extrinsics=poses[0],
            poses=poses,
            files=described,
        )
        publish(layout, name, made)
    write_image_sets(layout)
    return count


def files_of(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file()]


def drop_page_cache(root: Path) -> None:
    """Drop the pages of all files from the page cache."""
    os.sync()
    for path in files_of(root):
        descriptor = os.open(path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read_all(root: Path) -> None:
    for path in files_of(root):
        with open(path, "rb", buffering=0) as file:
            while file.read(1 << 22):
                pass


def speed(work: Callable[[], object], gigabytes: float, before: Callable[[], object]) -> float:
    """GB a minute."""
    before()
    begin = time.monotonic()
    work()
    return gigabytes * 60 / (time.monotonic() - begin)


def check(root: Path, deep: bool) -> None:
    report = verify(root, deep, workers=WORKERS)
    assert report.ok, report.table()


def measure(root: Path, gigabytes: float, repeats: int) -> list[list[str]]:
    """Rows for reading alone, `verify` and `verify --deep`."""
    works = {
        "reading alone, one process": lambda: read_all(root),
        f"`verify --workers {WORKERS}`": lambda: check(root, False),
        f"`verify --deep --workers {WORKERS}`": lambda: check(root, True),
    }
    rows = []
    for name, work in works.items():
        cold = [speed(work, gigabytes, lambda: drop_page_cache(root)) for _ in range(repeats)]
        warm = [speed(work, gigabytes, lambda: None) for _ in range(repeats)]
        used = processor_seconds()
        work()
        used = processor_seconds() - used
        rows.append([name, *(spread(rates, ".1f") for rates in (cold, warm)), f"{used / gigabytes:.1f}"])
    return rows


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--gb", type=float, default=2.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="a folder on the disk to measure")
    arguments = parser.parse_args()
    rows, before = [], load()
    with tempfile.TemporaryDirectory(prefix="bl30k-verify-", dir=arguments.folder) as folder:
        roots = {store: Path(folder, store) for store in STORES}
        videos = make(roots["folder"], arguments.gb * 1e9)
        gigabytes = sum(path.stat().st_size for path in files_of(roots["folder"])) / 1e9
        for kind in SHARDS:
            pack(open_dataset(roots["folder"]), roots[kind], kind)
        for store, root in roots.items():
            for row in measure(root, gigabytes, arguments.repeats):
                rows.append((store, *row))
                print(*rows[-1], sep=" | ", flush=True)
    text = PAGE.format(
        command=command(),
        machine=machine(),
        before=before,
        videos=videos,
        gigabytes=gigabytes,
        kilobytes=gigabytes * 1e6 / (videos * 160),
        rows=table(HEAD, rows),
        repeats=arguments.repeats,
        after=load(),
        plain=GOALS[False],
        deep=GOALS[True],
    )
    page.publish(text, arguments.results)


HEAD = ("store", "what", "cold, GB/min", "warm, GB/min", "processor seconds a GB")
PAGE = """# How fast a dataset is checked

`{command}`

{videos} videos of 160 frames of 768x512, {gigabytes:.2f} GB in all ({kilobytes:.0f} kB a frame with its mask and
metadata; the rendered video of [full_video.md](full_video.md) has 108). GB a minute: the median of {repeats}, and the
smallest and largest. Cold: the files' pages were dropped from the page cache before. Warm: repeated directly after.

{rows}

Goals: {plain} plain (or the disk's speed) and {deep} deep, with two workers on two processors.

{machine}, busy with {before:.1f} processes a processor before and {after:.1f} after. Processor seconds hardly depend
on that: two idle processors check 120 GB a minute divided by them.
"""

if __name__ == "__main__":
    run_entry_point(main)
