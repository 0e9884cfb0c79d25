"""Point tracks in the formats of TAP-Vid, CoTracker (and AllTracker, whose Kubric data have its layout) and PIPs++.

Points are those of ``annotations.tracks``: on objects and the backdrop, chosen by the seed of the video. Positions
are in pixels; as in TAP-Vid, the centre of the top left pixel is (0.5, 0.5).
"""

import logging
from collections.abc import Sequence
from pathlib import Path

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


@register("cotracker", "CoTracker's and AllTracker's Kubric layout (.npz), with --pickle as .npy, too")
class CoTracker(Format):
    """``<split>/<video>/<video>.npz``: coords, visibility; frames in ``<split>/<video>/frames/``.

    Points that are behind the camera on any frame are left out: the layout cannot express a missing position.
    """

    points: Count = 2048
    pickle: bool = False
    frames: bool = True

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            found = tracks_of(video, self.points)
            always = _in_front(found).all(1)
            if left_out := int((~always).sum()):
                log.warning(
                    "%s: %d of %d points come behind the camera; left out", video.name, left_out, len(found.places)
                )
            arrays = encode.cotracker(found.places[always], found.visible[always])
            target = folder / video.split / video.name
            target.mkdir(parents=True)
            (target / f"{video.name}.npz").write_bytes(encode.npz(arrays))
            if self.pickle:
                (target / f"{video.name}.npy").write_bytes(encode.pickled_npy(arrays))
            _place_frames(video, target / "frames", self.frames)


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


def _in_front(found: Tracks) -> npt.NDArray[np.bool_]:
    """(N, F) bool: whether a point is in front of the camera."""
    return np.isfinite(found.places[..., 0])


def _place_frames(video: SourceVideo, folder: Path, wanted: bool) -> None:
    for i in range(len(video.frames)) if wanted else ():
        video.place_frame(i, folder / video.file_name(i))
