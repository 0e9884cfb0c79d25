"""Annotations on disk: one HDF5 file for each kind and video, ``<kind>/<video>.h5``, with a card that explains them.

A file appears complete or not at all, and is replaced when its video has changed since.
"""

import contextlib
import glob
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import h5py
import numpy as np

from bl30k_gen.annotations.derive import annotation, by_field, open_video
from bl30k_gen.annotations.view import VideoGeometry
from bl30k_gen.dataset import files
from bl30k_gen.dataset.claim import refuse_input
from bl30k_gen.dataset.derived import (
    KINDS,
    MARKER,
    VERSION,
    Field,
    Wanted,
    is_stored,
    open_annotations,
    parse_wanted,
    stored_path,
)
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import FatalError, UserError

CARD = "ANNOTATIONS.md"
POLL = 0.3  # seconds between two checks of the workers' progress
GZIP_LEVEL = 1  # higher levels take longer and save little


def write(
    store: VideoStore,
    wanted: Sequence[Wanted],
    out: Path,
    names: Sequence[str] | None = None,
    workers: int = 1,
    progress: Callable[[int], object] = lambda frames: None,
) -> dict[str, str]:
    """Store annotations of videos, except those that are stored already.

    Args:
        names: the videos; None: all.
        workers: processes.
        progress: called with the number of frames that were finished since the last call.

    Returns:
        ``{name: reason}`` of the videos that could not be annotated; the others are complete.

    Raises:
        UserError: a video does not exist, ``out`` is in use for something else, or the disk is full.
    """
    chosen = list(store.videos) if names is None else list(names)
    if not chosen:
        raise UserError(f"{store.path} has no finished video", "render some, or wait for the first")
    for name in chosen:
        if name not in store.videos:
            raise UserError(f"{store.path} has no video {name}", f"there are {len(store.videos)}, see ImageSets/")
    _claim(store, out)
    _write_card(out, wanted)
    if workers <= 1:
        return _refusals((name, _attempt(store, name, wanted, out, lambda: progress(1))) for name in chosen)
    return _in_parallel(store, chosen, wanted, out, workers, progress)


def write_video(
    store: VideoStore, name: str, wanted: Sequence[Wanted], out: Path, progress: Callable[[], object] = lambda: None
) -> None:
    """Store the missing annotations of one video, frame by frame.

    Args:
        progress: called for each frame.

    Raises:
        UserError: as ``derive.open_video``, the video is shorter than an offset of flow, or the disk is full.
    """
    metadata = store.metadata(name)
    digest = "" if metadata is None else str(metadata["digest"])
    missing = [item for item in wanted if not is_stored(stored_path(out, item, name), digest)]
    frames = len(store.frames(name))
    for item in missing:
        if abs(item.offset) >= frames:
            raise UserError(f"{item} needs more frames than the {frames} of {name}", "choose other --kinds for it")
    if not missing:
        for _ in range(frames):
            progress()
        return
    video = open_video(store, name)
    with contextlib.ExitStack() as stack:
        opened = [(item, stack.enter_context(_file(out, item, video, digest))) for item in missing]
        for item, file in opened:
            if not item.kind.of_frames:
                for field, array in by_field(item, annotation(video, item, None)).items():
                    file.create_dataset(field, data=array)
        for frame in range(frames):
            for item, file in opened:
                if item.kind.of_frames and 0 <= frame + item.offset < frames:
                    for field, array in by_field(item, annotation(video, item, frame)).items():
                        file[field][frame] = array
            progress()


@contextlib.contextmanager
def _file(out: Path, wanted: Wanted, video: VideoGeometry, digest: str) -> Iterator[h5py.File]:
    """Open a new file with its arrays, still empty; it is published by rename if no exception is raised."""
    path = stored_path(out, wanted, video.spec.name)
    with files.clear_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(path)
        temporary = files.temporary_name(path)
        try:
            with h5py.File(temporary, "w", libver="latest") as file:
                file.attrs.update(
                    {"version": VERSION, "digest": digest, "video": video.spec.name, "kind": str(wanted)}
                )
                for name, field in wanted.kind.fields.items():
                    if wanted.kind.of_frames:
                        _create(file, name, field, video)
                yield file
                for name, field in wanted.kind.fields.items():
                    _describe(file[name], field)
            files.sync(temporary)
            files.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _remove_leftovers(path: Path) -> None:
    """Remove temporary files of killed writers. Those of running writers are locked by the HDF5 library, and stay."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        with contextlib.suppress(OSError, ImportError), open(leftover, "rb") as file:
            import fcntl  # missing on some systems, where leftovers stay

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            leftover.unlink()


def _create(file: h5py.File, name: str, field: Field, video: VideoGeometry) -> None:
    """Create an array with a value for each frame; frames that are never written read as invalid."""
    sizes = {
        "F": video.geometry.frames,
        "O": len(video.spec.objects),
        "H": video.geometry.height,
        "W": video.geometry.width,
    }
    shape = tuple(sizes[word] if word in sizes else int(word) for word in field.shape.strip("()").split(", "))
    file.create_dataset(
        name,
        shape,
        field.dtype,
        chunks=(1, *(max(1, side) for side in shape[1:])),
        fillvalue=np.nan if field.dtype.startswith("float") else 0,
        compression="gzip",
        compression_opts=GZIP_LEVEL,
        shuffle=True,
    )


def _describe(array: h5py.Dataset, field: Field) -> None:
    array.attrs.update({key: getattr(field, key) for key in ("shape", "unit", "meaning", "invalid")})


def _claim(store: VideoStore, out: Path) -> None:
    """Mark a folder as one of annotations. Raises UserError if it holds something else."""
    refuse_input(out, [store.path])
    marker = out / MARKER
    if marker.exists():
        open_annotations(out)
        return
    if out.is_dir() and any(out.iterdir()):
        raise UserError(f"{out} is not empty and holds no annotations", "give a new folder as --out")
    files.write_json(marker, {"version": VERSION})


_CARD = """# Annotations

Derived from the scenes and models of a dataset of rendered videos, without rendering. Each kind is a folder, each
video an HDF5 file in it, each array a dataset whose attributes say what this page says.

- Pixels: x to the right, y down; the origin is the image's top left corner, the first pixel's centre is (0.5, 0.5).
- Dense arrays hold the value at each pixel's centre. There is no anti-aliasing and no blend of two surfaces.
- The camera's axes are OpenCV's: x right, y down, z forward. The world's are Blender's: x right, y into the image,
  z up. Matrices act on column vectors.
- A frame with motion blur is annotated with the middle of its exposure.
- `flow+1` is flow to the next frame, `flow-1` to the one before. Frames without such a frame are invalid throughout.
- F frames, H rows, W columns, N points; O objects in the order of `objects` in the video's metadata.
- The attribute `digest` of a file is that of the metadata of the video that it was made of.

| File | Array | dtype | Shape | Unit | Meaning | Invalid |
|---|---|---|---|---|---|---|
{rows}

```python
from bl30k_gen.dataset.reader import open_dataset

store = open_dataset(DATASET, annotations=THIS_FOLDER)   # without `annotations` they are derived on the fly
depth = store.read_depth("a00000", 0)                    # (H, W) float32
flow, valid, occluded = store.read_flow("a00000", 0)     # to the next frame
```

Without this package: `h5py.File("depth/a00000.h5")["depth"][0]`.
"""


def card(wanted: Sequence[Wanted]) -> str:
    """Markdown that states every array's type, unit, axes and invalid values."""
    rows = [
        f"| `{item}/<video>.h5` | `{name}` | {f.dtype} | {f.shape} | {f.unit} | {f.meaning} | {f.invalid} |"
        for item in wanted
        for name, f in item.kind.fields.items()
    ]
    return _CARD.format(rows="\n".join(rows))


def _write_card(out: Path, wanted: Sequence[Wanted]) -> None:
    stored = {parse_wanted(folder.name) for folder in out.iterdir() if folder.is_dir()}
    order = list(KINDS)
    kinds = sorted(stored | set(wanted), key=lambda item: (order.index(item.name), item.offset))
    files.write_atomically(out / CARD, card(kinds))


def _attempt(
    store: VideoStore, name: str, wanted: Sequence[Wanted], out: Path, step: Callable[[], object]
) -> str | None:
    """Store annotations of one video; return the reason if that is impossible, else None."""
    try:
        write_video(store, name, wanted, out, step)
    except FatalError:
        raise
    except UserError as error:
        return str(error)
    return None


def _refusals(outcomes: Iterable[tuple[str, str | None]]) -> dict[str, str]:
    return {name: reason for name, reason in outcomes if reason is not None}


_finished_frames: "Synchronized[int]"  # in a worker process: shared by all workers


def _set_counter(counter: "Synchronized[int]") -> None:
    global _finished_frames
    _finished_frames = counter


def _count() -> None:
    with _finished_frames.get_lock():
        _finished_frames.value += 1


def _in_worker(store: VideoStore, name: str, wanted: Sequence[Wanted], out: Path) -> tuple[str, str | None]:
    return name, _attempt(store, name, wanted, out, _count)


def _in_parallel(
    store: VideoStore,
    names: Sequence[str],
    wanted: Sequence[Wanted],
    out: Path,
    workers: int,
    progress: Callable[[int], object],
) -> dict[str, str]:
    context = multiprocessing.get_context("spawn")
    counter, reported = context.Value("q", 0), 0
    with ProcessPoolExecutor(workers, context, _set_counter, (counter,)) as pool:
        pending = {pool.submit(_in_worker, store, name, wanted, out) for name in names}
        results = []
        try:
            while pending:
                done, pending = wait(pending, POLL, FIRST_EXCEPTION)
                results += [future.result() for future in done]
                now = counter.value
                progress(now - reported)
                reported = now
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _refusals(sorted(results))
