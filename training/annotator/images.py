"""Frames and masks for the page: at most ``MAX_SIDE`` pixels long, masks as runs of equal pixels."""

import io
import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bl30k_gen.dataset.files import IMAGE_ERRORS, encode_jpeg
from training.inference.video import FrameFolder, Frames, StoredFrames

MAX_SIDE, THUMBNAIL_SIDE = 1920, 160
"""Pixels of the longer side of a frame on the page, and of a thumbnail."""
MAX_UPLOAD = 64 * 2**20
"""Bytes of an uploaded mask."""
Size = Literal["view", "full", "thumbnail"]


def view_size(size: tuple[int, int], long_side: int = MAX_SIDE) -> tuple[int, int]:
    """(height, width) at which frames of ``size`` are shown."""
    factor = min(1.0, long_side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def image(frames: Frames, number: int, size: Size) -> tuple[bytes, str]:
    """An encoded frame and its media type. A file that the page can show is sent unchanged."""
    if isinstance(frames, FrameFolder | StoredFrames) and (found := _of_file(frames.encoded(number), size)):
        return found
    return _shrunk(Image.fromarray(frames[number]), size)


def _of_file(data: bytes, size: Size) -> tuple[bytes, str] | None:
    """An image made of a file's bytes; None where the decoder has to say what is wrong with them."""
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP")) as opened:
            if opened.getexif().get(274, 1) != 1 or opened.mode != "RGB":  # one that browsers would turn
                return None
            if size == "full" or (size == "view" and max(opened.size) <= MAX_SIDE):
                return data, Image.MIME[opened.format or "JPEG"]
            return _shrunk(opened, size)
    except IMAGE_ERRORS:
        return None


def _shrunk(image: Image.Image, size: Size) -> tuple[bytes, str]:
    if size != "full":
        height, width = view_size((image.height, image.width), THUMBNAIL_SIDE if size == "thumbnail" else MAX_SIDE)
        image.draft("RGB", (width, height))  # JPEG is decoded at a half, a quarter or an eighth
        if (height, width) != (image.height, image.width):
            image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2)
    return encode_jpeg(np.asarray(image), 70 if size == "thumbnail" else 92, "4:2:0"), "image/jpeg"


def encode_runs(ids: NDArray[np.uint8], version: int) -> bytes:
    """A mask (H, W) for the page, little-endian uint32: version, width, height, then a number for each run.

    A run's number is its id << 24 plus its length, in the order of rows.
    """
    height, width = ids.shape
    flat = ids.ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    lengths = np.diff(np.append(starts, flat.size))
    parts = -(-lengths // 0xFFFFFF)
    if (parts > 1).any():  # only in masks of more than sixteen million pixels
        starts, lengths = _split(starts, lengths, parts)
    runs = (flat[starts].astype(np.uint32) << 24) | lengths.astype(np.uint32)
    return struct.pack("<3I", version, width, height) + runs.astype("<u4").tobytes()


def _split(
    starts: NDArray[np.int64], lengths: NDArray[np.int64], parts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    pieces = [
        (start + 0xFFFFFF * n, min(0xFFFFFF, length - 0xFFFFFF * n))
        for start, length, count in zip(starts, lengths, parts, strict=True)
        for n in range(count)
    ]
    return np.array([start for start, _ in pieces]), np.array([length for _, length in pieces])


def shrink(ids: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask at the size of its frame on the page, by nearest neighbour."""
    height, width = view_size(ids.shape[:2])
    if (height, width) == ids.shape:
        return ids
    rows = ((np.arange(height) + 0.5) * ids.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * ids.shape[1] / width).astype(int)
    return ids[rows[:, None], columns]
