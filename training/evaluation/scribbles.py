"""Scribbles: strokes on the frames of a video, the JSON files of the DAVIS interactive benchmark, strokes as pixels.

Stroke coordinates are normalised: (0, 0) is the centre of the first pixel, (1, 1) that of the last.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import comb
from skimage.draw import line

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_json

#: What ``rasterise`` writes where there is no stroke.
NO_STROKE = -1


@dataclass(frozen=True)
class Stroke:
    """One continuous line.

    path: (N, 2) float64, normalised (x, y). object_id: 0 is the background. Times in seconds.
    """

    path: np.ndarray
    object_id: int
    start_time: float = 0.0
    end_time: float = 0.0


@dataclass(frozen=True)
class Scribbles:
    """Strokes for each frame of a sequence; ``annotated_frame`` has the newest ones, None if there are none."""

    sequence: str
    frames: tuple[tuple[Stroke, ...], ...]
    annotated_frame: int | None = field(default=None)

    @classmethod
    def on_frame(cls, sequence: str, length: int, frame: int, strokes: list[Stroke]) -> "Scribbles":
        """Strokes on one frame of a sequence of ``length`` frames."""
        return cls(sequence, tuple(tuple(strokes) if t == frame else () for t in range(length)), frame)


def read_scribbles(path: str | Path) -> Scribbles:
    """Read a JSON file of davisinteractive; raises UserError if it is missing or not such a file."""
    path = Path(path)
    try:
        data = read_json(path, "scribbles are JSON as davisinteractive writes it")
        frames = tuple(tuple(_stroke(entry) for entry in frame) for frame in data["scribbles"])
        sequence, annotated = data["sequence"], data.get("annotated_frame")
        if annotated is None:  # files of the old robot
            annotated = next((t for t, strokes in enumerate(frames) if strokes), None)
        on_a_frame = isinstance(annotated, int) and 0 <= annotated < len(frames)
        if not isinstance(sequence, str) or not (annotated is None or on_a_frame):
            raise ValueError("wrong sequence or annotated_frame")
    except OSError as error:
        raise UserError(f"scribbles {path} cannot be read", str(error.strerror)) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        remedy = "scribbles are JSON as davisinteractive writes it: scribbles, sequence, annotated_frame"
        raise UserError(f"{path} holds no scribbles ({error!r})", remedy) from None
    return Scribbles(sequence, frames, annotated)


def rasterise(strokes: tuple[Stroke, ...] | list[Stroke], height: int, width: int) -> np.ndarray:
    """The strokes of one frame as pixels: (H, W) int32 with object ids, ``NO_STROKE`` elsewhere.

    Points are truncated to pixels and joined by Bresenham's lines; a later stroke covers an earlier one.
    """
    canvas = np.full((height, width), NO_STROKE, np.int32)
    for stroke in strokes:
        # The offset compensates the rounding of x / (width - 1) * (width - 1) before truncation.
        draw_line(canvas, stroke.path * (width - 1, height - 1) + 1e-6, stroke.object_id)
    return canvas


def draw_line(canvas: np.ndarray, points: np.ndarray, value: int | bool) -> None:
    """Draw a line on ``canvas`` (H, W), in place: pixels of points (N, 2), as (x, y), joined by Bresenham's lines."""
    points = points.astype(int).clip(0, (canvas.shape[1] - 1, canvas.shape[0] - 1))
    moved = np.append(True, (np.diff(points, axis=0) != 0).any(axis=1))
    points = points[moved]
    canvas[points[:, 1], points[:, 0]] = value
    for (x0, y0), (x1, y1) in zip(points, points[1:], strict=False):
        if max(abs(x1 - x0), abs(y1 - y0)) > 1:
            canvas[line(y0, x0, y1, x1)] = value


def bezier(points: np.ndarray, samples: int = 1000) -> np.ndarray:
    """(samples, 2): the Bezier curve with the control points (N, 2); the points themselves if N > samples."""
    if len(points) > samples:
        return np.asarray(points, float)
    degree = len(points) - 1
    i = np.arange(degree + 1)
    t = np.linspace(0, 1, samples)[:, None]
    return (comb(degree, i) * t**i * (1 - t) ** (degree - i)) @ points


def _stroke(entry: dict) -> Stroke:
    path = np.array(entry["path"], float)
    if path.ndim != 2 or path.shape[1] != 2 or not np.isfinite(path).all():
        raise ValueError("a path is a list of [x, y]")
    times = float(entry.get("start_time", 0)), float(entry.get("end_time", 0))
    return Stroke(path, int(entry["object_id"]), *times)
