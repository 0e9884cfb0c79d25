"""Checks a dataset, in a folder or in shards, against its metadata.

Plain: every file has its recorded size and SHA-256, there are no other files, and the metadata is undamaged and of
this dataset's configuration. Deep: every image is also decoded; size, palette, object ids and areas must agree with
the metadata, whatever the checksums are.
"""

import io
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from PIL import Image

from bl30k_gen.dataset import masks
from bl30k_gen.dataset.files import IMAGE_ERRORS, sha256_bytes
from bl30k_gen.dataset.layout import IMAGE_SETS, METADATA, SHARDS, SPLITS, Layout, frame_name, list_visible
from bl30k_gen.dataset.metadata import digest
from bl30k_gen.dataset.modalities import MASK, MODALITIES, RGB
from bl30k_gen.dataset.partial_shard import shard_name
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.dataset.trees import ShardTree
from bl30k_gen.errors import UserError
from bl30k_gen.remote import Place, RemotePath
from bl30k_gen.text import aligned, byte_size, plural

Kind = Literal[
    "metadata",  # unreadable, changed, or not of this video
    "config",  # made with another configuration than the dataset's
    "missing",  # a recorded frame, or a whole video, does not exist
    "extra",  # a file that is not recorded
    "size",  # another number of bytes than recorded: truncated or replaced
    "checksum",  # the recorded number of bytes, but other contents
    "unpublished",  # frames without metadata, or a video in a shard without its commit marker
    "marker",  # a commit marker is invalid, or names a shard that does not exist or lacks the video
    "image set",  # ImageSets/ does not list the existing videos
    "shard",  # truncated, or damaged between its videos
    "picture",  # cannot be decoded (deep)
    "resolution",  # width or height differ from the video's (deep)
    "palette",  # no 8-bit palette PNG with the DAVIS palette (deep)
    "ids",  # pixels with the id of no object of the scene (deep)
    "area",  # an object covers another number of pixels than recorded (deep)
]


class Problem(NamedTuple):
    video: str  # "" for a problem of the dataset
    kind: Kind
    detail: str


@dataclass
class VerifyReport:
    """The numbers of checked files and the problems found."""

    deep: bool
    videos: int = 0
    files: int = 0
    bytes: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return not self.problems

    def bad_videos(self) -> list[str]:
        """Names of the videos that have to be rendered again."""
        return sorted({problem.video for problem in self.problems if problem.video})

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"ok": self.ok, "problems": [problem._asdict() for problem in self.problems]}

    def table(self, max_problems: int = 50) -> str:
        """A line for each problem (the first ``max_problems``) and a summary."""
        rows = aligned([[p.video or "(dataset)", p.kind, p.detail] for p in self.problems[:max_problems]])
        if len(self.problems) > max_problems:
            rows.append(f"... and {len(self.problems) - max_problems} more")
        how = "deep" if self.deep else "plain"
        counts = ", ".join(f"{count} {kind}" for kind, count in Counter(p.kind for p in self.problems).most_common())
        verdict = f"{plural(len(self.bad_videos()), 'bad video')}: {counts}" if self.problems else "all is well"
        checked = f"{plural(self.videos, 'video')}, {plural(self.files, 'file')}, {byte_size(self.bytes)} checked"
        rows.append(f"{checked} ({how}): {verdict}")
        return "\n".join(rows)


def verify(
    root: str | Place,
    deep: bool = False,
    names: Iterable[str] | None = None,
    workers: int = 1,
    progress: Callable[[str], object] = lambda name: None,
) -> VerifyReport:
    """Check a dataset.

    The commit markers of a remote dataset are not checked, and its shards are not scanned if they have an index: what
    is read is compared with the index.

    Args:
        names: only these videos, without the dataset's own files; None: everything.
        workers: number of processes.
        progress: called with the name of each checked video.

    Raises:
        UserError: there is no dataset, it has no metadata to check against, or its configuration cannot be read.
    """
    damaged: list[Problem] = []
    scan = None if names is not None else lambda shard, error: damaged.append(Problem("", "shard", error.what))
    store = open_dataset(root, scan)
    published = _published(store)
    if METADATA not in store.tree.folders("") and not damaged and not published:
        raise UserError(f"dataset {root} has no {METADATA} folder", "only datasets of this project can be checked")
    report = VerifyReport(deep)
    videos = list(names) if names is not None else store.videos
    config = store.config()
    expected = None if config is None else config.digest()
    for name, checked in _run(store, videos, expected, deep, workers):
        report.videos += 1
        report.files += checked.files
        report.bytes += checked.bytes
        report.problems += checked.problems
        progress(name)
    if names is None:
        report.problems += [*damaged, *dataset_problems(store)]
    return report


@dataclass
class _Checked:
    files: int
    bytes: int
    problems: list[Problem]


def _run(
    store: VideoStore, videos: list[str], expected: str | None, deep: bool, workers: int
) -> Iterator[tuple[str, _Checked]]:
    if workers <= 1:
        for name in videos:
            yield name, _check_video(store, name, expected, deep)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _set_store, (store,)) as pool:
        arguments = (videos, [expected] * len(videos), [deep] * len(videos))
        yield from zip(videos, pool.map(_check_in_worker, *arguments, chunksize=4), strict=True)


_store: VideoStore  # the dataset, in a worker process


def _set_store(store: VideoStore) -> None:
    global _store
    _store = store


def _check_in_worker(name: str, expected: str | None, deep: bool) -> _Checked:
    return _check_video(_store, name, expected, deep)


def _check_video(store: VideoStore, name: str, expected: str | None, deep: bool) -> _Checked:
    problems: list[Problem] = []

    def report(kind: Kind, detail: str) -> None:
        problems.append(Problem(name, kind, detail))

    try:
        metadata = store.metadata(name)
    except UserError as error:
        metadata = None
        report("metadata", error.what)
    if metadata is None:
        if not problems:
            report("metadata", "the video has none")
        return _Checked(0, 0, problems)
    try:
        for detail in _metadata_faults(metadata, name):
            report("metadata", detail)
        if expected is not None and metadata["config_digest"] != expected:
            report("config", "made with another configuration than config.yaml")
        present = store.members(name)
        present.pop(f"{METADATA}/{name}.json")
        recorded = metadata["files"]
        for path in sorted(present.keys() - recorded.keys()):
            report("extra", path)
        for path in sorted(recorded):
            if path not in present:
                report("missing", path)
                continue
            data = store.tree.read(path)
            if len(data) != recorded[path]["bytes"]:
                report("size", f"{path} has {len(data)} bytes, not {recorded[path]['bytes']}")
            elif sha256_bytes(data) != recorded[path]["sha256"]:
                report("checksum", path)
            if deep:
                for kind, detail in _image_faults(path, data, metadata):
                    report(kind, f"{path} {detail}")
    except UserError as error:
        report("missing", str(error))
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        report("metadata", f"is not as expected ({type(error).__name__}: {error})")
        return _Checked(0, 0, problems)
    return _Checked(len(present), sum(present.values()), problems)


def _metadata_faults(metadata: dict[str, Any], name: str) -> Iterator[str]:
    scene = metadata["scene"]
    if not metadata["name"] == scene["name"] == name:
        yield f"is that of {metadata['name']}"
    if digest(metadata) != metadata["digest"]:
        yield "was changed after it was written"
    if [described["id"] for described in metadata["objects"]] != [described["id"] for described in scene["objects"]]:
        yield "describes other objects than its scene"
    frames = scene["video"]["frames"]
    if any(len(o["visible_area"]) != frames or len(o["poses"]) != frames for o in metadata["objects"]):
        yield f"does not describe every object in each of {frames} frames"
    expected = {f"{folder}/{name}/{frame_name(folder, i)}" for folder in MODALITIES for i in range(frames)}
    if metadata["files"].keys() != expected:
        yield f"does not list the files of {frames} frames"


def _image_faults(path: str, data: bytes, metadata: dict[str, Any]) -> Iterator[tuple[Kind, str]]:
    folder, _, file = path.split("/")
    scene = metadata["scene"]
    try:
        with Image.open(io.BytesIO(data), formats=(MODALITIES[folder].encoding,)) as image:
            image.load()
    except IMAGE_ERRORS as error:
        yield "picture", f"cannot be decoded ({error})"
        return
    size = (scene["video"]["width"], scene["video"]["height"])
    if image.size != size:
        yield "resolution", f"is {image.size[0]}x{image.size[1]}, not {size[0]}x{size[1]}"
    if folder == RGB and image.mode != "RGB":
        yield "picture", f"has mode {image.mode}, not RGB"
    if folder == MASK:
        yield from _mask_faults(image, int(Path(file).stem), metadata["objects"])


def _mask_faults(image: Image.Image, frame: int, objects: list[dict[str, Any]]) -> Iterator[tuple[Kind, str]]:
    if image.mode != "P" or image.getpalette() != masks.palette().ravel().tolist():
        yield "palette", f"has mode {image.mode} and not the DAVIS palette"
        if image.mode not in ("P", "L"):
            return
    areas = image.histogram()  # pixels of each of the 256 values; much faster than NumPy
    known = {0} | {described["id"] for described in objects}
    if unknown := [value for value, area in enumerate(areas) if area and value not in known]:
        yield "ids", f"has ids {unknown}, which the scene has not"
    for described in objects:
        area, recorded = areas[described["id"]], described["visible_area"][frame]
        if area != recorded:
            yield "area", f"shows object {described['id']} on {area} pixels, not {recorded}"


def dataset_problems(store: VideoStore) -> Iterator[Problem]:
    """Problems outside of published videos: missing and unpublished videos, extra files, lists, commit markers."""
    present = set(store.videos)
    for folder in MODALITIES:
        for name in store.tree.folders(folder):
            if name not in present:
                yield Problem(name, "unpublished", f"{folder}/{name} has no metadata")
        for file in store.tree.files(folder):
            yield Problem("", "extra", f"{folder}/{file}")
    lists = listed(store)
    if len(lists) < len(SPLITS):
        yield Problem("", "image set", f"there should be {' and '.join(f'{IMAGE_SETS}/{s}.txt' for s in SPLITS)}")
    counts = Counter(name for names in lists.values() for name in names)
    for name in sorted(present - counts.keys()):
        yield Problem("", "image set", f"{name} is in no list")
    for name, count in counts.items():
        if count > 1:
            yield Problem("", "image set", f"{name} is listed {count} times")
    if store.tree.complete:
        published = present if isinstance(store.path, RemotePath) else set(_published(store))
        for name in sorted((published | counts.keys()) - present):
            yield Problem(name, "missing", "was published" if name in published else "is in a list and nowhere else")
        for name in sorted(present - published):
            yield Problem("", "unpublished", f"{name} is in a shard, and {SHARDS}/.published does not say so")
        yield from _marker_faults(store, present)


def _published(store: VideoStore) -> list[str]:
    return Layout(store.path).published() if isinstance(store.path, Path) and store.path.is_dir() else []


def _marker_faults(store: VideoStore, present: set[str]) -> Iterator[Problem]:
    tree = store.tree
    if not isinstance(tree, ShardTree) or not isinstance(store.path, Path):
        return
    shards = Layout(store.path).shards
    for name in sorted(list_visible(shards.markers)):
        committed, path = shards.committed(name), f"{SHARDS}/.published/{name}"
        if committed is None:
            yield Problem("", "marker", f"{path} is no commit marker")
        elif name in present:
            holding = shard_name(Path(str(tree.shard_of(f"{METADATA}/{name}.json"))))
            if holding != committed[1]:
                yield Problem("", "marker", f"{path} names shard {committed[1]}, but the video lies in {holding}")


def listed(store: VideoStore) -> dict[str, list[str]]:
    """``{path of a list: names in it}`` of the dataset's existing lists, as ``video_names`` but with repetitions."""
    paths = [path for path in (f"{IMAGE_SETS}/{split}.txt" for split in SPLITS) if store.tree.exists(path)]
    texts = {path: store.tree.read(path).decode("utf-8-sig", errors="replace") for path in paths}
    return {path: [line.strip() for line in text.splitlines() if line.strip()] for path, text in texts.items()}
