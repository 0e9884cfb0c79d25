"""Statistics of a dataset: counts and histograms, from the metadata of its videos, in bounded memory."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_SERIES = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100)  # per cent; a 1-2-5 series
_TENTHS = tuple(range(0, 101, 10))  # per cent
_NEAR = 1e-6  # metres in front of the camera; nearer points are not projected


class Histogram:
    """Counts of values between fixed edges; values outside are counted in the first or last bin.

    Args:
        edges: (N + 1,) ascending; bin i holds edges[i] <= value < edges[i + 1].
        about: a sentence that explains what a value is.
    """

    def __init__(self, title: str, unit: str, about: str, edges: Sequence[float]):
        self.title, self.unit, self.about, self.edges = title, unit, about, list(edges)
        self.counts = np.zeros(len(edges) - 1, np.int64)
        self.total = 0.0

    def add(self, values: np.ndarray) -> None:
        bins = np.searchsorted(self.edges, values, side="right") - 1
        self.counts += np.bincount(bins.clip(0, len(self.counts) - 1).ravel(), minlength=len(self.counts))
        self.total += float(values.sum())

    def to_json(self) -> dict[str, Any]:
        number = int(self.counts.sum())
        return {
            "title": self.title,
            "unit": self.unit,
            "about": self.about,
            "edges": self.edges,
            "counts": self.counts.tolist(),
            "mean": round(self.total / number, 4) if number else None,
        }


@dataclass(frozen=True)
class ObjectTracks:
    """The O objects of a video on its F frames, from its metadata."""

    area: np.ndarray  # (O, F) visible pixels
    depth: np.ndarray  # (O, F) metres in front of the camera
    centre: np.ndarray  # (O, F, 2) pixels, of the object's centre; only where ``depth`` is above 0
    scale: np.ndarray  # (O, F) geometric mean of the object's scales; its model has a unit diagonal
    reach: np.ndarray  # (O, F) pixels: radius around the centre that contains the whole object
    width: int
    height: int

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> "ObjectTracks":
        """Read the metadata of a video. Raises KeyError, TypeError or ValueError where it is damaged."""
        video, camera, objects = metadata["scene"]["video"], metadata["camera"], metadata["objects"]
        frames = int(video["frames"])
        poses = np.array([o["poses"] for o in objects], np.float64).reshape(len(objects), frames, 4, 4)
        area = np.array([o["visible_area"] for o in objects], np.int64).reshape(len(objects), frames)
        intrinsics = np.array(camera["intrinsics"], np.float64).reshape(3, 3)
        extrinsics = np.array(camera["extrinsics"], np.float64).reshape(frames, 4, 4)
        if not all(np.isfinite(matrices).all() for matrices in (poses, intrinsics, extrinsics)):
            raise ValueError("a matrix is not finite")
        centres = (extrinsics @ poses[..., 3:])[..., 0]  # (O, F, 4): in the coordinates of the camera
        depth = centres[..., 2]
        distance = np.maximum(depth, _NEAR)
        centre = (centres[..., :3] @ intrinsics.T)[..., :2] / distance[..., None]
        axes = np.linalg.norm(poses[..., :3, :3], axis=-2)  # (O, F, 3): scale along each axis of the model
        return cls(
            area=area,
            depth=depth,
            centre=centre,
            scale=np.cbrt(axes.prod(-1)),
            reach=0.5 * axes.max(-1) * intrinsics[0, 0] / distance,
            width=int(video["width"]),
            height=int(video["height"]),
        )

    def inside(self, margin: np.ndarray | float = 0.0) -> np.ndarray:
        """(O, F) bool: the centre lies in the image, ``margin`` pixels or more from its edges."""
        x, y = self.centre[..., 0], self.centre[..., 1]
        within = (x >= margin) & (x <= self.width - margin) & (y >= margin) & (y <= self.height - margin)
        return within & (self.depth > _NEAR)

    def motion(self) -> np.ndarray:
        """(N,) steps of centres between two frames that both show the object, per cent of the image's width."""
        steps = np.linalg.norm(np.diff(self.centre, axis=1), axis=-1) * 100 / self.width
        shown = (self.area > 0) & (self.depth > _NEAR)
        return steps[shown[:, 1:] & shown[:, :-1]]

    def hidden(self) -> np.ndarray:
        """(N,) per cent that is missing of the largest normalised area of an object, on frames that contain it whole.

        The normalised area is the visible area times (depth / scale) squared.
        """
        size = self.area * (self.depth / np.maximum(self.scale, _NEAR)) ** 2
        contained = self.inside(self.reach)
        largest = np.where(contained, size, 0).max(axis=1, keepdims=True, initial=0)
        return (100 * (1 - size / np.maximum(largest, _NEAR)))[contained & (largest > 0)]


class Statistics:
    """Counts over videos, which are added one at a time."""

    def __init__(self) -> None:
        self.videos = self.frames = self.bytes = self.objects = 0
        self.splits: Counter[str] = Counter()
        self.sizes: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.configs: Counter[str] = Counter()
        self.versions: Counter[str] = Counter()
        self.objects_a_video: Counter[int] = Counter()
        self.never_seen = self.vanishing = self.returning = self.covered = self.clearance_failed = 0
        self.area = Histogram("Visible area", "% of the image", "Counts objects on frames that show them.", _SERIES)
        about = "Counts steps of an object's centre between two frames that show it."
        self.motion = Histogram("Motion", "% of the width a frame", about, _SERIES)
        self.hidden = Histogram(
            "Missing area",
            "% of the largest",
            "Counts objects on frames that hold all of them: what is missing of the largest apparent size, with "
            "distance and scale taken out. That is occlusion and, for a flat object seen from its edge, its view: "
            "more than the occlusion of docs/scene.md, which counts only what lies behind others.",
            _TENTHS,
        )
        about = "Counts objects: the share of their frames that show them."
        self.lifetime = Histogram("Lifetime", "% of the frames", about, _TENTHS)

    def add(self, metadata: Mapping[str, Any]) -> None:
        """Count a video.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: the metadata is damaged; nothing is counted then.
        """
        tracks = ObjectTracks.of(metadata)
        scene, (objects, frames) = metadata["scene"], tracks.area.shape
        shown = tracks.area > 0
        values = [
            (self.area, tracks.area[shown] * 100 / (tracks.width * tracks.height)),
            (self.motion, tracks.motion()),
            (self.hidden, tracks.hidden()),
            (self.lifetime, shown.mean(axis=1) * 100 if frames else np.zeros(objects)),
        ]
        size = sum(int(entry["bytes"]) for entry in metadata["files"].values())
        split, config_digest = str(metadata["split"]), str(metadata["config_digest"])
        versions = ", ".join(f"{program} {number}" for program, number in sorted(metadata["versions"].items()))
        failed = sum(bool(described["clearance_failed"]) for described in scene["objects"])
        for histogram, samples in values:
            histogram.add(samples)
        begins = (shown & ~np.pad(shown, ((0, 0), (1, 0)))[:, :-1]).sum(axis=1)  # appearances of each object
        ends = (~shown & np.pad(shown, ((0, 0), (1, 0)))[:, :-1]).sum(axis=1)
        self.videos += 1
        self.frames += frames
        self.bytes += size
        self.objects += objects
        self.splits[split] += 1
        self.configs[config_digest] += 1
        self.sizes[f"{tracks.width}x{tracks.height}"] += 1
        self.lengths[frames] += 1
        self.versions[versions] += 1
        self.objects_a_video[objects] += 1
        self.never_seen += int((begins == 0).sum())
        self.vanishing += int((ends > 0).sum())
        self.returning += int((begins > 1).sum())
        self.covered += int((tracks.inside() & ~shown).sum())
        self.clearance_failed += failed

    def to_json(self) -> dict[str, Any]:
        """All counts; equal datasets give equal JSON."""
        largest = max(self.objects_a_video, default=0)
        per_video = Histogram("Objects a video", "objects", "Counts videos.", range(largest + 2))
        for objects, videos in self.objects_a_video.items():
            per_video.add(np.full(videos, objects))
        return {
            "videos": self.videos,
            "frames": self.frames,
            "bytes": self.bytes,
            "objects": self.objects,
            "splits": dict(sorted(self.splits.items())),
            "sizes": dict(self.sizes.most_common()),
            "lengths": {str(frames): videos for frames, videos in self.lengths.most_common()},
            "configurations": dict(self.configs.most_common()),
            "versions": dict(self.versions.most_common()),
            "never_seen": self.never_seen,
            "vanishing": self.vanishing,
            "returning": self.returning,
            "covered": self.covered,
            "clearance_failed": self.clearance_failed,
            "histograms": {
                "objects": per_video.to_json(),
                "area": self.area.to_json(),
                "motion": self.motion.to_json(),
                "missing_area": self.hidden.to_json(),
                "lifetime": self.lifetime.to_json(),
            },
        }
