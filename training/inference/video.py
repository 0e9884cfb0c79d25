"""Frames of a video from a folder of pictures or a video file, and the masks that a user gives for some of them."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.masks import read_mask
from bl30k_gen.errors import UserError
from training.evaluation.folders import MaskVideo, frame_order, object_ids

PICTURES = (".jpg", ".jpeg", ".png", ".webp")


class FrameFolder(Sequence):
    """Pictures of a folder in the order of their numbers or names, decoded when they are asked for.

    names: stems of the files. Raises UserError if there are none.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder)
        self.files = sorted((p for p in self.path.iterdir() if p.suffix.lower() in PICTURES), key=frame_order)
        if not self.files:
            raise UserError(f"{folder} has no frames", f"put pictures there: {', '.join(PICTURES)}")
        self.names = [file.stem for file in self.files]
        if len(set(self.names)) < len(self.names):
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise UserError(f"{folder} has frame {twice} twice", "keep one picture for each frame")
        self._size: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> np.ndarray:  # type: ignore[override]  # no slices: frames are read one by one
        """(H, W, 3) uint8. Raises UserError if the picture is damaged or not of the size of the first one read."""
        file = self.files[index]
        try:
            frame = decode_rgb(file.read_bytes(), file)
        except OSError as error:
            raise UserError(f"frame {file} cannot be read", str(error.strerror)) from None
        self._size = self._size or frame.shape[:2]
        if frame.shape[:2] != self._size:
            raise UserError(
                f"frame {file} is {frame.shape[1]}x{frame.shape[0]}, others are {self._size[1]}x{self._size[0]}",
                "all frames of a video have one size",
            )
        return frame


class VideoFile:
    """A video file, decoded frame by frame from its beginning each time it is iterated over."""

    COMPLETE = 0.95
    """Share of the time that a file promises from which on it counts as whole.

    Frames would not do: of a video whose rate varies their number is a guess in some formats.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __iter__(self) -> Iterator[np.ndarray]:
        """(H, W, 3) uint8 each. Raises UserError if the file cannot be decoded, or ends long before it should."""
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # the decoder's own lines; ours say what to do
        import cv2  # here, because nothing else of inference needs it

        capture = cv2.VideoCapture(str(self.path))
        rate = capture.get(cv2.CAP_PROP_FPS)
        frame = 1 / rate if rate > 0 else 0.0  # seconds
        promised = capture.get(cv2.CAP_PROP_FRAME_COUNT) * frame
        count, reached = 0, 0.0
        try:
            while (read := capture.read())[0]:
                count, reached = count + 1, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 + frame
                yield np.ascontiguousarray(read[1][..., ::-1])
        finally:
            capture.release()
        if not count:
            raise UserError(f"{self.path} holds no video that can be decoded", "convert it to MP4, or to pictures")
        if reached < self.COMPLETE * promised:
            what = f"{self.path} is damaged after frame {count}, {reached:.1f} of {promised:.1f} s"
            raise UserError(what, "get it anew")


def open_video(path: str | Path) -> FrameFolder | VideoFile:
    """A folder of pictures, or a video file. Raises UserError if neither is there."""
    path = Path(path)
    if path.is_dir():
        return FrameFolder(path)
    if not path.is_file():
        raise UserError(f"video {path} does not exist", "give a video file, or a folder of pictures")
    return VideoFile(path)


def read_given(path: str | Path, names: Sequence[str] | None = None) -> dict[int, np.ndarray]:
    """Masks that a user gives: {frame number: (H, W) object ids}.

    Args:
        path: one mask, or a folder of masks with the names of their frames.
        names: of the video's frames; None for a video file, whose frames are numbered from 0. A single mask is the
            first frame's unless it is called like another.

    Returns each object where it first appears, as YouTube-VOS gives them. Raises UserError if there is no mask, no
    object, or a mask has no frame.
    """
    path = Path(path)
    if path.is_dir():
        video = MaskVideo(path)
        masks = {_number(video.path(name), names): video.read(name).ids for name in video.names}
    else:
        masks = {names.index(path.stem) if names and path.stem in names else 0: read_mask(path).ids}
    given = first_appearances(sorted(masks.items()))
    if not given:
        raise UserError(f"{path} shows no object", "give a mask with at least one object")
    return given


def _number(file: Path, names: Sequence[str] | None) -> int:
    """The frame that a mask belongs to."""
    if names is None and file.stem.isdecimal():
        return int(file.stem)
    if names is None or file.stem not in names:
        like = names[0] if names else "00000"
        raise UserError(f"mask {file} belongs to no frame", f"frames are called like {like}; name masks alike")
    return names.index(file.stem)


def first_appearances(masks: Iterable[tuple[int, np.ndarray]]) -> dict[int, np.ndarray]:
    """Of masks in the order of time, those with objects that no earlier one has, and in them these objects alone."""
    seen: set[int] = set()
    given: dict[int, np.ndarray] = {}
    for number, ids in masks:
        new = object_ids(ids) - seen
        if new:
            given[number] = np.where(np.isin(ids, list(new)), ids, 0)
            seen |= new
    return given
