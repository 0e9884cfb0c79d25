"""Reads the frames of a video from a folder of images, a dataset or a video file, and the masks that a user gives."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import cv2

from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.images import IMAGE_LIMIT, SUFFIXES
from bl30k_gen.dataset.layout import METADATA, SHARDS
from bl30k_gen.dataset.listing import by_frame, frame_number
from bl30k_gen.dataset.masks import Meaning, decide
from bl30k_gen.dataset.masks import read_mask as read_one
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.dataset.shards import SUFFIXES as SHARD_SUFFIXES
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_bytes
from bl30k_gen.text import plural
from training.evaluation.folders import MaskVideo, object_ids

COMPLETE = 0.95
"""A video file is complete if at least this ratio of its stated duration can be decoded."""


class Indexed(Protocol):
    """Frames (H, W, 3) uint8 with random access."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> np.ndarray: ...


class Frames(Indexed, Protocol):
    """A video. path: of its file or folder. names: one for each frame. rate: frames a second, 0 if unknown."""

    path: Path
    names: list[str]
    rate: float


class FrameFolder(Sequence):
    """Images of a folder in the order of their numbers or names, decoded on access.

    names: stems of the files. rate: 0, unknown. Raises UserError if there are no images, or two with one name.
    """

    rate = 0.0

    def __init__(self, folder: str | Path):
        self.path = Path(folder)
        files = by_frame((path.name for path in self.path.iterdir()), SUFFIXES, folder)
        self.files = [self.path / name for name in files.values()]
        if not self.files:
            raise UserError(f"{folder} has no frames", f"put images there: {', '.join(SUFFIXES)}")
        self.names = list(files)
        self._rendered = (self.path.resolve().parent.parent / METADATA).is_dir()  # a dataset of this project
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def encoded(self, index: int) -> bytes:
        """A frame's file as it is. Raises UserError if it cannot be read."""
        try:
            return read_bytes(self.files[index], IMAGE_LIMIT)
        except OSError as error:
            raise UserError(
                f"frame {self.files[index]} cannot be read ({error.strerror})", "restore it, or make it readable"
            ) from None

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices: frames are read one by one
        """(H, W, 3) uint8. Raises UserError if the image is damaged or not of the size of the first one read."""
        file = self.files[index]
        frame = decode_rgb(self.encoded(index), file, self._rendered)
        self._size = self._size or frame.shape[:2]
        if frame.shape[:2] != self._size:
            raise UserError(
                f"frame {file} is {frame.shape[1]}x{frame.shape[0]}, others are {self._size[1]}x{self._size[0]}",
                "all frames of a video have one size",
            )
        return frame


class StoredFrames(Sequence):
    """A video of a dataset, also in tar shards, which are not unpacked.

    names: those of the dataset's frames. rate: 0, unknown.
    """

    rate = 0.0

    def __init__(self, store: VideoStore, name: str):
        self._store, self._name = store, name
        self.path = Path(str(store.path)) / name
        self.names = store.frames(name)

    def __len__(self) -> int:
        return len(self.names)

    def encoded(self, index: int) -> bytes:
        """A frame's file as it is."""
        return self._store.rgb_bytes(self._name, index)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices: frames are read one by one
        """(H, W, 3) uint8. Raises UserError if the image is damaged."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._store.read_rgb(self._name, index)


class VideoFile:
    """A video file; each iteration decodes it frame by frame from its beginning.

    rate: frames a second, 0 if unknown; set by the first iteration.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.rate = 0.0

    def __iter__(self) -> Iterator[np.ndarray]:
        """Frames (H, W, 3) uint8. Raises UserError if the file cannot be decoded, or is incomplete."""
        capture = _capture(self.path)
        self.rate = max(0.0, capture.get(_RATE))
        frame = 1 / self.rate if self.rate else 0.0  # seconds
        promised = capture.get(_COUNT) * frame
        count, reached = 0, 0.0
        try:
            while (read := capture.read())[0]:
                count, reached = count + 1, capture.get(_MILLISECONDS) / 1000 + frame
                yield np.ascontiguousarray(read[1][..., ::-1])
        finally:
            capture.release()
        _require_whole(self.path, count, reached, promised)


class SeekableVideo:
    """A video file with random access to its frames, the same frames as in sequential reading.

    Opening reads the file once, without converting pixels, and records the time of each frame; it raises UserError
    as reading a ``VideoFile`` does. If seeking arrives at a wrong frame, the file is read from its beginning. Safe to
    use from several threads.

    names: frames are numbered from 00000. rate: frames a second, 0 if unknown.
    """

    MAX_AHEAD = 32
    """Up to this many frames ahead, reading is used instead of seeking."""
    MAX_CACHED = 16
    """Decoded frames in the cache."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        capture = _capture(self.path)
        self._times: list[float] = []
        while capture.grab():
            self._times.append(capture.get(_MILLISECONDS))
        self.rate = max(0.0, capture.get(_RATE))
        frame = 1 / self.rate if self.rate else 0.0  # seconds
        promised = capture.get(_COUNT) * frame
        capture.release()
        _require_whole(self.path, len(self._times), max(self._times, default=0.0) / 1000 + frame, promised)
        self.names = [f"{number:05d}" for number in range(len(self._times))]
        self._capture = _capture(self.path)
        self._next = 0
        self._recent: OrderedDict[int, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._times)

    def __getitem__(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8. Raises UserError if the frame cannot be decoded."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        with self._lock:
            if index not in self._recent:
                self._recent[index] = self._read(index)
                while len(self._recent) > self.MAX_CACHED:
                    self._recent.popitem(last=False)
            self._recent.move_to_end(index)
            return self._recent[index]

    def _read(self, index: int) -> np.ndarray:
        if not self._next <= index <= self._next + self.MAX_AHEAD:
            self._capture.set(_FRAME, index)
            self._next = index
        frame = self._read_on(index)
        if frame is None:
            self._capture.release()
            self._capture, self._next = _capture(self.path), 0
            frame = self._read_on(index)
        if frame is None:
            raise UserError(
                f"frame {index} of {self.path} cannot be decoded", "copy the file again, or convert it to MP4"
            )
        return frame

    def _read_on(self, index: int) -> np.ndarray | None:
        """The frame, read sequentially from the current one; None if that fails or its time is wrong."""
        while self._next < index and self._capture.grab():
            self._next += 1
        works, pixels = self._capture.read()
        self._next += 1
        if not works or abs(self._capture.get(_MILLISECONDS) - self._times[index]) > 0.5:
            return None
        return np.ascontiguousarray(pixels[..., ::-1])


# Properties of OpenCV's captures. OpenCV is imported when a file is opened: nothing else here needs it.
_MILLISECONDS, _FRAME, _RATE, _COUNT = 0, 1, 5, 7


def _capture(path: Path) -> "cv2.VideoCapture":
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # silence the decoder: our messages name the remedy
    import cv2

    return cv2.VideoCapture(str(path))


def _require_whole(path: Path, count: int, reached: float, promised: float) -> None:
    """Raise UserError for a file of which no frame, or much less than the stated duration, can be decoded.

    The number of frames is no measure: for variable frame rates some formats only estimate it.

    Args:
        count: frames that were decoded, to the time ``reached``, in seconds as ``promised``.
    """
    if not count:
        raise UserError(f"{path} holds no video that can be decoded", "convert it to MP4, or to images")
    if reached < COMPLETE * promised and not _is_whole_matroska(path):
        what = f"{path} is damaged after frame {count}, {reached:.1f} of {promised:.1f} s"
        raise UserError(what, "copy it again")


def _is_whole_matroska(path: Path) -> bool:
    """Whether a file is a WebM or Matroska of its stated length in bytes.

    These formats state the duration of the file, but not of its images: sound may be longer.
    """
    with open(path, "rb") as file:
        start, size = file.read(4096), os.fstat(file.fileno()).st_size
    position = start.find(b"\x18\x53\x80\x67")  # the segment: everything but the header
    if not start.startswith(b"\x1a\x45\xdf\xa3") or position < 0 or position + 12 > len(start):
        return False
    first = start[position + 4]
    width = 9 - first.bit_length()  # bytes of the length, by the zeros before its first bit that is set
    length = int.from_bytes(start[position + 4 : position + 4 + width], "big") & ((1 << 7 * width) - 1)
    return 1 <= width <= 8 and position + 4 + width + length <= size


def open_video(path: str | Path) -> FrameFolder | StoredFrames | VideoFile:
    """Open a folder of images, a video file, or DATASET/VIDEO or SHARD.tar/VIDEO of a dataset.

    Raises UserError if there is none.
    """
    path = Path(path)
    if path.is_dir() and not (path / "JPEGImages").is_dir() and not _has_shards(path):
        return FrameFolder(path)
    if path.is_file() and not _has_shards(path):
        return VideoFile(path)
    if path.exists():
        names = open_dataset(path).videos
        example = f", such as {path / names[0]}" if names else ""
        raise UserError(f"{path} is a dataset of {plural(len(names), 'video')}", f"name one of them{example}")
    for inside in ("JPEGImages", "JPEGImages/480p"):
        if (path.parent / inside / path.name).is_dir():
            return FrameFolder(path.parent / inside / path.name)
    if _has_shards(path.parent):
        store = open_dataset(path.parent)
        store.require(path.name)
        return StoredFrames(store, path.name)
    raise UserError(f"video {path} does not exist", "give a video file, a folder of images, or DATASET/VIDEO")


def open_frames(path: str | Path) -> Frames:
    """As ``open_video``, with random access."""
    video = open_video(path)
    return SeekableVideo(Path(path)) if isinstance(video, VideoFile) else video


def _has_shards(path: Path) -> bool:
    """Whether a path is a shard, or a folder of shards."""
    if path.is_dir():
        return (path / SHARDS).is_dir() or any(file.suffix in SHARD_SUFFIXES for file in path.iterdir())
    return path.is_file() and path.suffix in SHARD_SUFFIXES


def read_given(
    path: str | Path,
    names: Sequence[str] | None = None,
    stated: Meaning | None = None,
    say: Callable[[str], None] = print,
) -> dict[int, np.ndarray]:
    """Read the masks that a user gives: {frame number: (H, W) object ids}.

    Args:
        path: one mask, or a folder of masks with the names or the numbers of their frames.
        names: of the video's frames; None for a video file, whose frames are numbered from 0. A single mask without
            a number is for the first frame.
        stated: what masks mean, see ``masks.decide``.
        say: called if a single mask is assumed to be for the first frame.

    All masks are references, also those that show an object again. Raises UserError if there is no mask, no object,
    or no frame for a mask.
    """
    path = Path(path)
    if path.is_dir():
        video = MaskVideo(path)
        video = MaskVideo(path, rule=decide([video.path(name) for name in video.names], stated))
        files = {video.path(name): video.read(name).ids for name in video.names}
        masks = {}
        for file, ids in files.items():
            if (number := _number(file.stem, names)) is None:
                like = names[0] if names else "00000"
                raise UserError(
                    f"mask {file} belongs to no frame", f"frames are called like {like}; name masks alike"
                )
            if number in masks:
                raise UserError(f"{path} has two masks for one frame, {file.name} the second", "keep one of them")
            masks[number] = ids
    else:
        ids = read_one(path, decide([path], stated)).ids
        number = _number(path.stem, names)
        if number is None:
            say(f"{path} is taken for the mask of the first frame")
        masks = {number or 0: ids}
    given = {number: ids for number, ids in sorted(masks.items()) if ids.any()}
    if not given:
        raise UserError(f"{path} shows no object", "give a mask with at least one object")
    return given


def _number(stem: str, names: Sequence[str] | None) -> int | None:
    """The frame of a mask called ``stem``: the one with its name, else the one with its number."""
    number = frame_number(stem)
    if names is None:
        return number
    if stem in names:
        return names.index(stem)
    same = [n for n, name in enumerate(names) if number is not None and frame_number(name) == number]
    return same[0] if len(same) == 1 else None


def first_appearances(masks: Iterable[tuple[int, np.ndarray]]) -> dict[int, np.ndarray]:
    """The first mask of each object: {frame number: (H, W) ids of the objects that no earlier mask has}."""
    seen: set[int] = set()
    given: dict[int, np.ndarray] = {}
    for number, ids in masks:
        new = object_ids(ids) - seen
        if new:
            given[number] = np.where(np.isin(ids, list(new)), ids, 0)
            seen |= new
    return given
