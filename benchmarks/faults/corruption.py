"""Planted corruption: damage a small real dataset in many ways, and see what `verify` reports.

    python -m benchmarks.faults.corruption --results docs/results/corruption.md

Each kind of damage is planted alone, in a dataset of three videos as files and as shards. Where possible, it is
planted a second time with renewed sizes, checksums and metadata digest, as if a faulty program had written the files:
then only `--deep` can find it.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.page import ROOT, command, parser_of, publish, table
from bl30k_gen.dataset import files, masks, metadata
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.shards import index_shard
from bl30k_gen.dataset.verify import verify

RECIPE = [
    *("--config", str(ROOT / "render_configs/demo.yaml"), "--set", "video={frames: 6, width: 128, height: 96}"),
    *("--set", "motion.location_speed=0.4", "--set", "render.samples=4", "--set", "dataset.val_share=0.34"),
]
VIDEO, OTHER = "a00001", "a00000"  # the damaged video, and an undamaged one
FRAME = 3
REPLACED = ("size", "checksum")  # one of the two, depending on the size of the new file


@dataclass(frozen=True)
class Damage:
    """A kind of damage.

    plain: kinds of problem, one of which `verify` must report.
    deep: the kind that `verify --deep` must report after the checksums were renewed; None if that is impossible.
    videos: that must be named; "" stands for the dataset itself.
    """

    what: str
    plant: Callable[[Layout], None]
    plain: tuple[str, ...]
    deep: str | None
    videos: tuple[str, ...]


IN_FOLDERS: list[Damage] = []
IN_SHARDS: list[Damage] = []  # for datasets with all three videos in one shard


def damage(what: str, *plain: str, deep: str | None = None, videos: tuple[str, ...] = (VIDEO,), of=IN_FOLDERS):
    def register(plant: Callable[[Layout], None]) -> Callable[[Layout], None]:
        of.append(Damage(what, plant, plain, deep, videos))
        return plant

    return register


def flip_bit(path: Path, place: float = 0.5) -> None:
    """Flip one bit at a fraction of the file's length."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 4
    path.write_bytes(data)


def frames_of(p: Layout) -> int:
    return json.loads(p.metadata(VIDEO).read_text())["scene"]["video"]["frames"]


def edit_metadata(p: Layout, change: Callable[[dict], None]) -> None:
    values = json.loads(p.metadata(VIDEO).read_text())
    change(values)
    p.metadata(VIDEO).write_text(metadata.dumps(values))


def reseal(p: Layout) -> None:
    """Renew sizes, checksums and digest in the metadata to match the files."""

    def renew(values: dict) -> None:
        for path, entry in values["files"].items():
            entry.update(bytes=(p.root / path).stat().st_size, sha256=files.sha256(p.root / path))
        values["digest"] = metadata.digest(values)

    edit_metadata(p, renew)


def recode_mask(p: Layout, change: Callable[[np.ndarray], np.ndarray]) -> None:
    path = p.mask(VIDEO, FRAME)
    path.write_bytes(masks.encode_mask(change(masks.read_values(path).copy())))


@damage("a bit flipped in a JPEG", "checksum")
def flip_jpeg(p: Layout) -> None:
    flip_bit(p.rgb(VIDEO, FRAME))


@damage("a bit flipped in a PNG", "checksum")
def flip_png(p: Layout) -> None:
    flip_bit(p.mask(VIDEO, FRAME), 0.9)


@damage("a JPEG cut off", *REPLACED, deep="picture")
def truncate(p: Layout) -> None:
    p.rgb(VIDEO, FRAME).write_bytes(p.rgb(VIDEO, FRAME).read_bytes()[:-200])


@damage("a mask of no bytes", *REPLACED, deep="picture")
def empty_file(p: Layout) -> None:
    p.mask(VIDEO, FRAME).write_bytes(b"")


@damage("a frame missing", "missing")
def lose_frame(p: Layout) -> None:
    p.rgb(VIDEO, frames_of(p) - 1).unlink()


@damage("all masks of a video missing", "missing")
def lose_masks(p: Layout) -> None:
    shutil.rmtree(p.mask(VIDEO, 0).parent)


@damage("a frame too many", "extra")
def extra_frame(p: Layout) -> None:
    last = frames_of(p) - 1
    shutil.copy(p.rgb(VIDEO, last), p.rgb(VIDEO, last + 1))


@damage("a picture of another size", *REPLACED, deep="resolution")
def wrong_size(p: Layout) -> None:
    p.rgb(VIDEO, FRAME).write_bytes(files.encode_jpeg(np.zeros((32, 48, 3), np.uint8), 90, "4:4:4"))


@damage("a mask with another palette", *REPLACED, deep="palette")
def wrong_palette(p: Layout) -> None:
    image = Image.open(p.mask(VIDEO, FRAME))
    image.putpalette(list(range(256)) * 3)
    image.save(p.mask(VIDEO, FRAME))


@damage("a mask in grey, without palette", *REPLACED, deep="palette")
def grey_mask(p: Layout) -> None:
    Image.fromarray(masks.read_values(p.mask(VIDEO, FRAME))).save(p.mask(VIDEO, FRAME))


@damage("the masks of two frames swapped", *REPLACED, deep="area")
def swapped_masks(p: Layout) -> None:
    first, last = p.mask(VIDEO, 0), p.mask(VIDEO, frames_of(p) - 1)
    one, two = first.read_bytes(), last.read_bytes()
    first.write_bytes(two)
    last.write_bytes(one)


@damage("an id that no object has", *REPLACED, deep="ids")
def wrong_id(p: Layout) -> None:
    def change(ids: np.ndarray) -> np.ndarray:
        return np.where(ids == ids.max(), 99, ids).astype(np.uint8)

    recode_mask(p, change)


@damage("an empty mask", *REPLACED, deep="area")
def empty_mask(p: Layout) -> None:
    recode_mask(p, lambda ids: ids * 0)


@damage("one pixel more of an object", *REPLACED, deep="area")
def moved_pixel(p: Layout) -> None:
    def change(ids: np.ndarray) -> np.ndarray:
        ids[tuple(np.argwhere(ids == 0)[0])] = ids.max()
        return ids

    recode_mask(p, change)


@damage("metadata of an earlier rendering", "metadata", *REPLACED)
def stale_metadata(p: Layout) -> None:
    p.metadata(VIDEO).write_bytes(p.metadata(OTHER).read_bytes().replace(OTHER.encode(), VIDEO.encode()))


@damage("a number changed in the metadata", "metadata")
def edited_metadata(p: Layout) -> None:
    edit_metadata(p, lambda values: values["objects"][0]["poses"][FRAME][0].__setitem__(0, 0.5))


@damage("metadata cut off", "metadata")
def broken_metadata(p: Layout) -> None:
    p.metadata(VIDEO).write_text('{"name": ')


@damage("metadata lost", "unpublished")
def lost_metadata(p: Layout) -> None:
    p.metadata(VIDEO).unlink()


@damage("a whole video lost", "missing")
def lost_video(p: Layout) -> None:
    p.metadata(VIDEO).unlink()
    for path in (p.rgb(VIDEO, 0), p.mask(VIDEO, 0)):
        shutil.rmtree(path.parent)


@damage("a video renamed", "metadata", videos=("", VIDEO, "a00009"))
def renamed_video(p: Layout) -> None:
    for path in (p.metadata(VIDEO), p.rgb(VIDEO, 0).parent, p.mask(VIDEO, 0).parent):
        path.rename(path.with_name(path.name.replace(VIDEO, "a00009")))


@damage("config.yaml changed", "config", videos=("a00000", "a00001", "a00002"))
def changed_config(p: Layout) -> None:
    p.config.write_text(p.config.read_text().replace("seed: 0", "seed: 1"))


@damage("a video in no list", "image set", videos=("",))
def stale_list(p: Layout) -> None:
    listed = p.image_set("train").read_text()
    p.image_set("train").write_text(listed.replace(f"{VIDEO}\n", ""))


@damage("a video in both lists", "image set", videos=("",))
def twice_listed(p: Layout) -> None:
    for split in ("train", "val"):
        p.image_set(split).write_text(f"{VIDEO}\n{OTHER}\na00002\n" if split == "train" else f"{VIDEO}\n")


@damage("a list lost", "image set", videos=("",))
def lost_list(p: Layout) -> None:
    p.image_set("train").unlink()


@damage("a stray file among the videos", "extra", videos=("",))
def stray_file(p: Layout) -> None:
    (p.root / "JPEGImages/note.txt").write_text("")


def the_shard(p: Layout) -> Path:
    (shard,) = (path for path in sorted((p.root / "Shards").iterdir()) if path.suffix in (".tar", ".h5"))
    return shard


@damage("a bit flipped in a JPEG in a shard", "checksum", of=IN_SHARDS)
def flip_in_shard(p: Layout) -> None:
    shard = the_shard(p)
    folder = index_shard(shard)[f"JPEGImages/{VIDEO}"]
    flip_bit(shard, float(folder.offsets[FRAME] + 700) / shard.stat().st_size)


@damage("a bit flipped between the files of a shard", "shard", videos=("",), of=IN_SHARDS)
def flip_between_files(p: Layout) -> None:
    shard = the_shard(p)
    folder = index_shard(shard)[f"JPEGImages/{VIDEO}"]
    if shard.suffix == ".tar":
        place = folder.offsets[FRAME] - 400  # in the header before the frame: its owner
    else:
        place = shard.read_bytes().index(b"OHDR")  # HDF5's own records have checksums
        place += 10
    flip_bit(shard, float(place + 0.5) / shard.stat().st_size)


@damage("a shard cut off in its last video", "shard", videos=("", "a00002"), of=IN_SHARDS)
def cut_off_shard(p: Layout) -> None:
    shard = the_shard(p)
    folder = index_shard(shard)["JPEGImages/a00002"]
    shard.write_bytes(shard.read_bytes()[: int(folder.offsets[FRAME]) + 100])


@damage("a shard lost", "missing", videos=("a00000", "a00001", "a00002"), of=IN_SHARDS)
def lost_shard(p: Layout) -> None:
    the_shard(p).unlink()


@damage("the record of a video lost", "unpublished", videos=("",), of=IN_SHARDS)
def lost_record(p: Layout) -> None:
    p.shards.marker(VIDEO).unlink()


@dataclass(frozen=True)
class Found:
    """Problems that `verify` reported for one damage: sets of (video, kind).

    plain, deep: by `verify` and `verify --deep`. resealed_plain, resealed: the same after the checksums were renewed;
    None if that was not tried.
    """

    plain: set[tuple[str, str]]
    deep: set[tuple[str, str]]
    resealed: set[tuple[str, str]] | None
    resealed_plain: set[tuple[str, str]] | None


def verify_damaged(damage: Damage, valid: Path, folder: Path) -> Found:
    """Plant a damage in a copy of an undamaged dataset, and verify it."""
    p = Layout(folder / "damaged")

    def found(deep: bool) -> set[tuple[str, str]]:
        return {(problem.video, problem.kind) for problem in verify(p.root, deep).problems}

    shutil.copytree(valid, p.root, symlinks=True)
    damage.plant(p)
    plain, deep, resealed, resealed_plain = found(False), found(True), None, None
    if damage.deep is not None:
        reseal(p)
        resealed_plain, resealed = found(False), found(True)
    shutil.rmtree(p.root)
    return Found(plain, deep, resealed, resealed_plain)


def faults(damage: Damage, found: Found) -> list[str]:
    """Differences between what `verify` should report and what it did."""
    wrong = []
    for mode in (found.plain, found.deep):
        if not {kind for _, kind in mode} & set(damage.plain):
            wrong.append(f"{damage.what}: not found as {' or '.join(damage.plain)} but {sorted(mode)}")
        if not set(damage.videos) <= {video for video, _ in mode} <= {*damage.videos, ""}:
            wrong.append(f"{damage.what}: named {sorted(mode)}, not {damage.videos}")
    if damage.deep is not None:
        if found.resealed_plain or (VIDEO, damage.deep) not in (found.resealed or ()):
            wrong.append(f"{damage.what}, checksums renewed: {found.resealed_plain}, {found.resealed}")
    return wrong


def row(damage: Damage, store: str, found: Found) -> list[str]:
    def kinds(problems: set[tuple[str, str]] | None) -> str:
        return ", ".join(sorted({kind for _, kind in problems or ()})) or "-"

    named = sorted({video or "the dataset" for video, _ in found.plain})
    return [damage.what, store, kinds(found.plain), ", ".join(named), kinds(found.resealed)]


def campaign(valid: dict[str, Path], folder: Path) -> tuple[list[list[str]], list[str]]:
    """Run all cases; returns the rows of the table, and faults. ``valid``: undamaged datasets by store."""
    rows, wrong = [], []
    for store, root in valid.items():
        for planted in IN_FOLDERS if store == "folder" else IN_SHARDS:
            found = verify_damaged(planted, root, folder)
            rows.append(row(planted, store, found))
            wrong += faults(planted, found)
    return rows, wrong


def main() -> int:
    arguments = parser_of(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="bl30k-corruption-") as folder:
        valid = {store: Path(folder, store) for store in ("folder", "tar", "hdf5")}
        for store, root in valid.items():
            render = [sys.executable, str(ROOT / "generate.py"), "render", *RECIPE, "--out", str(root)]
            flags = ["--count", "3", "--device", "cpu", "--threads-per-worker", "1", "--store", store]
            subprocess.run([*render, *flags], check=True, stdout=subprocess.DEVNULL)
        rows, wrong = campaign(valid, Path(folder))
    text = PAGE.format(command=command(), table=table(COLUMNS, rows), count=len(rows))
    publish("\n".join([text, *(f"FAULT: {line}" for line in wrong)]), arguments.results)
    return 1 if wrong else 0


COLUMNS = ("Damage", "Store", "`verify` calls it", "and names", "`verify --deep`, checksums renewed")
PAGE = """# Planted corruption

`{command}`

Three videos of 6 frames of 128x96, rendered as files, into a tar shard and into an HDF5 shard; {count} plantings,
each alone. `verify --deep` finds everything that `verify` finds. The last column is for damage from before the
checksums were written, as by a faulty program: `verify` cannot find it, `verify --deep` can.

{table}

`python generate.py verify DATASET --repair` renders the named videos again.
"""

if __name__ == "__main__":
    sys.exit(main())
