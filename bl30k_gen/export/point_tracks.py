"""Point tracks in the formats of TAP-Vid, CoTracker, AllTracker and PIPs++.

Points are those of ``annotations.tracks``: on objects and the backdrop, chosen by the seed of the video. Positions
are in pixels. The centre of the top left pixel is (0.5, 0.5) as in TAP-Vid, but (0, 0) for AllTracker.
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
    """Tracks of a video: of its annotations, or newly derived for another number of points."""
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
            target = folder / video.split
            target.mkdir(exist_ok=True)
            (target / f"{video.name}.npz").write_bytes(encode.npz(arrays | {"queries": found.queries}))
            if self.pickle:
                images = np.stack([video.rgb(i) for i in range(len(video.frames))])
                published = encode.pickled({video.name: {"video": images, **arrays}})
                (target / f"{video.name}.pkl").write_bytes(published)
            _place_frames(video, target / "frames" / video.name, self.frames)


@register("cotracker", "CoTracker's Kubric layout (.npz), with --pickle as .npy, too")
class CoTracker(Format):
    """``<split>/<video>/<video>.npz``: coords, visibility; frames in ``<split>/<video>/frames/``.

    Points that are behind the camera on any frame are left out: the layout cannot express a missing position.
    """

    points: Count = 2048
    pickle: bool = False
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            arrays = encode.cotracker(*_always_in_front(video, self.points))
            _write_kubric(video, folder / video.split / video.name, video.name, arrays, self.pickle, self.frames)


@register("alltracker", "AllTracker's training layout (annot.npz), with --pickle as .npy, too")
class AllTracker(Format):
    """``<split>/bl30k/videos/<video>/annot.npz``: point_xys, point_visibs, point_xys_valid; frames in ``frames/``.

    AllTracker's Kubric loader searches two folders below its root, the loader of its other data three: this layout
    fits both. Points that are behind the camera on any frame are left out, because only one of the loaders reads the
    validity.
    """

    points: Count = 2048
    pickle: bool = False
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            arrays = encode.alltracker(*_always_in_front(video, self.points))
            target = folder / video.split / "bl30k" / "videos" / video.name
            _write_kubric(video, target, "annot", arrays, self.pickle, self.frames)


@register("pips", "PIPs++ point tracks (track.npz) and MP4", requires=("av",))
class Pips(Format):
    """``<split>/<video>/track.npz``: track_g; ``rgb.mp4`` (H.264)."""

    points: Count = QUERIES
    crf: Quality = 18

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            found = tracks_of(video, self.points)
            target = folder / video.split / video.name
            target.mkdir(parents=True)
            arrays = encode.pips(found.places, found.visible, _in_front(found))
            (target / "track.npz").write_bytes(encode.npz(arrays))
            write_movie(video, target / "rgb.mp4", 24, "h264", self.crf)


def _always_in_front(video: SourceVideo, points: int) -> tuple[encode.Array, encode.Bools]:
    """Positions (N, F, 2) and visibility (N, F) of the points that are in front of the camera on all frames."""
    found = tracks_of(video, points)
    always = np.logical_and.reduce(_in_front(found), axis=1)
    if left_out := int((~always).sum()):
        log.warning("%s: %d of %d points come behind the camera; left out", video.name, left_out, len(always))
    return found.places[always], found.visible[always]


def _write_kubric(
    video: SourceVideo, folder: Path, name: str, arrays: dict[str, npt.NDArray[Any]], pickle: bool, frames: bool
) -> None:
    """Write arrays to ``<name>.npz``, with ``pickle`` also to ``<name>.npy``, and the frames to ``frames/``."""
    folder.mkdir(parents=True)
    (folder / f"{name}.npz").write_bytes(encode.npz(arrays))
    if pickle:
        (folder / f"{name}.npy").write_bytes(encode.pickled_npy(arrays))
    _place_frames(video, folder / "frames", frames)


def _in_front(found: Tracks) -> npt.NDArray[np.bool_]:
    """(N, F) bool: whether a point is in front of the camera."""
    return np.isfinite(found.places[..., 0])


def _place_frames(video: SourceVideo, folder: Path, wanted: bool) -> None:
    for i in range(len(video.frames)) if wanted else ():
        video.place_frame(i, folder / video.file_name(i))
