"""Video files whose frame i is image i: one image a frame, constant frame rate, no reordering.

Images are H.264 or AV1 in MP4, masks lossless FFV1 in Matroska.
"""

import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from av.video.stream import VideoStream

Codec = Literal["h264", "av1"]

_KEY_FRAMES = 24  # frames from one key frame to the next; seeking decodes from the key frame before the target
_OPTIONS: dict[Codec, tuple[str, dict[str, str]]] = {
    "h264": ("libx264", {"preset": "medium", "bf": "0"}),
    "av1": ("libsvtav1", {"preset": "8", "svtav1-params": "pred-struct=1"}),  # low delay: no reordering
}


def write_rgb(
    path: Path, images: Iterable[npt.NDArray[np.uint8]], size: tuple[int, int], fps: float, codec: Codec, crf: int
) -> None:
    """Write (H, W, 3) uint8 sRGB images as 4:2:0 video.

    Args:
        size: (height, width), both even.
        crf: constant rate factor of the encoder, 0 to 51; lower is better.

    Raises:
        ValueError: width or height is odd.
    """
    if size[0] % 2 or size[1] % 2:
        raise ValueError(f"4:2:0 video needs an even width and height, not {size[1]}x{size[0]}")
    os.environ.setdefault("SVT_LOG", "1")  # errors only; by default the AV1 encoder prints lines for every file
    encoder, options = _OPTIONS[codec]
    _write(path, images, size, fps, encoder, "rgb24", "yuv420p", options | {"crf": str(crf)}, "mp4")


def write_ids(path: Path, masks: Iterable[npt.NDArray[np.uint8]], size: tuple[int, int], fps: float) -> None:
    """Write (H, W) uint8 masks of ids as lossless greyscale video."""
    _write(path, masks, size, fps, "ffv1", "gray", "gray", {"level": "3", "slicecrc": "1"}, "matroska")


def _write(
    path: Path,
    images: Iterable[npt.NDArray[np.uint8]],
    size: tuple[int, int],
    fps: float,
    encoder: str,
    source: str,
    stored: str,
    options: dict[str, str],
    container: str,
) -> None:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    rate = Fraction(fps).limit_denominator(1001)
    with av.open(str(path), "w", format=container, options={"fflags": "+bitexact"}) as file:
        stream = cast("VideoStream", file.add_stream(encoder, rate=rate, options=options))
        stream.height, stream.width = size
        stream.pix_fmt = stored
        stream.codec_context.gop_size = _KEY_FRAMES
        stream.codec_context.time_base = 1 / rate
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format=source)
            frame.pts, frame.time_base = i, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
