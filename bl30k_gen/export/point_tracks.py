"""Point tracks for trackers: TAP-Vid, CoTracker, AllTracker, PIPs++.

Points are those of ``annotations.tracks``: on objects and the backdrop, chosen by the video's own seed. Places are
in pixels from the top left corner, whose pixel has its centre at (0.5, 0.5), as TAP-Vid has them; AllTracker's are
relative to that pixel's centre.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bl30k_gen.annotations.derive import open_video
from bl30k_gen.annotations.tracks import QUERIES, choose, tracks
from bl30k_gen.dataset.derived import Tracks
from bl30k_gen.export.base import Format, register
from bl30k_gen.export.encoders import tracks as encode
from bl30k_gen.export.movies import Quality, write_movie
from bl30k_gen.export.source import SourceVideo
from bl30k_gen.settings import Count

log = logging.getLogger(__name__)


def tracks_of(video: SourceVideo, points: int) -> Tracks:
    """A video's tracks: those that annotations have, or derived ones where another number of points is asked for."""
    if points == QUERIES:
        return video.derived.read_tracks(video.name)
    geometry = open_video(video.derived, video.name)
    return tracks(geometry, choose(geometry, points))


@register("tap-vid", "TAP-Vid point tracks (.npz), with --pickle in the published layout, too")
class TapVid(Format):
    """``<split>/<video>.npz``: points, occluded; frames in ``<split>/frames/<video>/``."""

    points: Count = QUERIES
    pickle: bool = False
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            found = tracks_of(video, self.points)
            arrays = encode.tapvid(found.places, found.visible, video.size)
            place = folder / video.split
            place.mkdir(exist_ok=True)
            (place / f"{video.name}.npz").write_bytes(encode.npz(arrays | {"queries": found.queries}))
            if self.pickle:
                images = np.stack([video.rgb(i) for i in range(len(video.frames))])
                published = encode.pickled({video.name: {"video": images, **arrays}})
                (place / f"{video.name}.pkl").write_bytes(published)
            _place_frames(video, place / "frames" / video.name, self.frames)


@register("cotracker", "CoTracker's Kubric layout (.npz), with --pickle as .npy, too")
class CoTracker(Format):
    """``<split>/<video>/<video>.npz``: coords, visibility; frames in ``<split>/<video>/frames/``.

    Points that are behind the camera on some frame are left out: the layout cannot tell that they have no place.
    """

    points: Count = 2048
    pickle: bool = False
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            arrays = encode.cotracker(*_always_placed(video, self.points))
            _write_kubric(video, folder / video.split / video.name, video.name, arrays, self.pickle, self.frames)


@register("alltracker", "AllTracker's training layout (annot.npz), with --pickle as .npy, too")
class AllTracker(Format):
    """``<split>/bl30k/videos/<video>/annot.npz``: point_xys, point_visibs, point_xys_valid; frames in ``frames/``.

    Its Kubric loader looks two folders below its root, the loader of its other data three: this layout has both.
    Points that are behind the camera on some frame are left out, because only one of the loaders reads the validity.
    """

    points: Count = 2048
    pickle: bool = False
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            arrays = encode.alltracker(*_always_placed(video, self.points))
            place = folder / video.split / "bl30k" / "videos" / video.name
            _write_kubric(video, place, "annot", arrays, self.pickle, self.frames)


@register("pips", "PIPs++ point tracks (track.npz) and MP4", requires=("av",))
class Pips(Format):
    """``<split>/<video>/track.npz``: track_g; ``rgb.mp4`` (H.264)."""

    points: Count = QUERIES
    crf: Quality = 18

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            found = tracks_of(video, self.points)
            place = folder / video.split / video.name
            place.mkdir(parents=True)
            (place / "track.npz").write_bytes(encode.npz(encode.pips(found.places, found.visible, _placed(found))))
            write_movie(video, place / "rgb.mp4", 24, "h264", self.crf)


def _always_placed(video: SourceVideo, points: int) -> tuple[encode.Array, encode.Bools]:
    """Places (N, F, 2) and visibility (N, F) of the points that are before the camera on all frames."""
    found = tracks_of(video, points)
    kept = _placed(found).all(1)
    if lost := int((~kept).sum()):
        log.warning("%s: %d of %d points come behind the camera; left out", video.name, lost, len(kept))
    return found.places[kept], found.visible[kept]


def _write_kubric(
    video: SourceVideo, folder: Path, name: str, arrays: dict[str, npt.NDArray[Any]], pickle: bool, frames: bool
) -> None:
    """Write arrays as ``<name>.npz``, with ``pickle`` as ``<name>.npy``, too; and the frames into ``frames/``."""
    folder.mkdir(parents=True)
    (folder / f"{name}.npz").write_bytes(encode.npz(arrays))
    if pickle:
        (folder / f"{name}.npy").write_bytes(encode.pickled_npy(arrays))
    _place_frames(video, folder / "frames", frames)


def _placed(found: Tracks) -> npt.NDArray[np.bool_]:
    """(N, F) whether a point is before the camera."""
    return np.isfinite(found.places[..., 0])


def _place_frames(video: SourceVideo, folder: Path, wanted: bool) -> None:
    for i in range(len(video.frames)) if wanted else ():
        video.place_frame(i, folder / video.file_name(i))
