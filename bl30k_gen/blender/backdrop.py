"""Draws the backdrop as the camera sees it: the limit of Cycles' result for infinitely many samples.

As in Cycles, the texture is interpolated between its texels as they are stored, in sRGB, and a pixel is the mean of
the light around it under a Blackman-Harris window. Here the mean is taken over a regular grid, finer than both pixels
and texels, so there is no noise. OpenCV warps the texture; it rounds positions to a 32nd of a texel.
"""

import cv2
import numpy as np

from bl30k_gen.scene.spec import SceneSpec
from bl30k_gen.scene.trajectory import between, extrinsics, intrinsics

FILTER_WIDTH = 3.0  # pixels; Cycles' window is twice as wide as its setting, 1.5, says
BORDER = 1  # pixels around the image that the window reaches
MIN_GRID, MAX_GRID = 4, 8  # samples along the edge of a pixel
ROWS = 64  # of the image that are drawn at a time; limits the memory
MAX_STEP = 0.4  # pixels that the image moves between two moments of an exposure


class Backdrop:
    """Draws the backdrop of a video.

    Args:
        pixels: (H, W, 3) uint8 sRGB, top row first.
        threads: number of threads to use; 0: all.
    """

    def __init__(self, spec: SceneSpec, pixels: np.ndarray, threads: int):
        cv2.setNumThreads(threads or -1)
        self.spec = spec
        self.texture = pixels.astype(np.uint16) * 257
        levels = np.linspace(0.0, 1.0, 1 << 16)
        linear = np.where(levels < 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        self.emitted = (linear * spec.backdrop.strength).astype(np.float32)  # light by 16-bit value of a channel
        video = spec.video
        self.intrinsics = intrinsics(spec.camera.field_of_view, video.width, video.height)
        self.to_camera = extrinsics(spec.camera, video.frames, spec.static)

    def draw(self, frame: int) -> np.ndarray:
        """(H, W, 3) float32, scene-linear light of one frame, the mean over its exposure.

        The time is proportional to ``motion``, which must be finite.
        """
        moments = [self._projection(time) for time in self._moments(frame)]
        image = self._drawn(moments[0])
        for projection in moments[1:]:
            image += self._drawn(projection)
        image /= np.float32(len(moments))
        return image

    def motion(self, frame: int) -> float:
        """Maximum motion of the image during an exposure, pixels; infinite where it is unknown."""
        blur = self.spec.render.motion_blur
        if blur is None:
            return 0.0
        opened, middle, closed = (self._projection(frame + side * blur / 2) for side in (-1, 0, 1))
        corners = self._corners()
        distances = [
            np.linalg.norm(_mapped(a, _mapped(np.linalg.inv(b), corners)) - corners, axis=1).max()
            for a, b in ((opened, middle), (closed, middle))
        ]
        return float(np.nan_to_num(sum(distances), nan=np.inf))

    def _moments(self, frame: int) -> np.ndarray:
        """Times at which the image is drawn: the middles of equal parts of the exposure."""
        blur = self.spec.render.motion_blur or 0.0
        count = max(1, int(np.ceil(self.motion(frame) / MAX_STEP)))
        return frame + blur * ((np.arange(count) + 0.5) / count - 0.5)

    def _projection(self, time: float) -> np.ndarray:
        """Homography (3, 3) from texels (centres at whole numbers) to pixels (centres at +0.5), times their depth."""
        backdrop = self.spec.backdrop
        rows, columns = self.texture.shape[:2]
        across, down = backdrop.width / columns, -backdrop.height / rows
        x, y, z = backdrop.centre
        left, top = x - backdrop.width / 2 + across / 2, z + backdrop.height / 2 + down / 2
        to_world = np.array([[across, 0, left], [0, 0, y], [0, down, top], [0, 0, 1]])
        return self.intrinsics @ between(self.to_camera, time)[:3] @ to_world

    def _corners(self) -> np.ndarray:
        """Corners of the image with its border, (4, 2) pixels: left top, right top, left bottom, right bottom."""
        video = self.spec.video
        x, y = (-BORDER, video.width + BORDER), (-BORDER, video.height + BORDER)
        return np.array([(x[0], y[0]), (x[1], y[0]), (x[0], y[1]), (x[1], y[1])], dtype=np.float64)

    def _drawn(self, projection: np.ndarray) -> np.ndarray:
        """(H, W, 3) float32, scene-linear light at one moment."""
        video = self.spec.video
        texels = _mapped(np.linalg.inv(projection), self._corners())
        first, last = -0.5, np.array(self.texture.shape[1::-1]) - 0.5
        covers = bool(((first <= texels) & (texels <= last)).all())  # False where a texel is NaN
        grid = MIN_GRID
        if covers:
            a, b, c, d = texels
            across = np.linalg.norm([a - b, c - d], axis=1).max() / video.width
            down = np.linalg.norm([a - c, b - d], axis=1).max() / video.height
            grid = int(np.clip(np.ceil(max(across, down)), MIN_GRID, MAX_GRID))
        image = np.empty((video.height, video.width, 3), dtype=np.float32)
        for top in range(0, video.height, ROWS):
            rows = image[top : top + ROWS]
            size = (video.width + 2 * BORDER) * grid, (len(rows) + 2 * BORDER) * grid
            to_samples = np.array(
                [[grid, 0, BORDER * grid - 0.5], [0, grid, (BORDER - top) * grid - 0.5], [0, 0, 1.0]]
            )
            samples = to_samples @ projection
            warped = cv2.warpPerspective(
                self.texture, samples, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            light = self.emitted[warped]
            if not covers:
                light[~_inside(np.linalg.inv(samples), size, last)] = self.spec.ambient
            # Rows first: their samples are contiguous in memory, and fewer are left for the columns.
            rows[:] = _decimated(_decimated(light, grid, 0, len(rows)), grid, 1, video.width)
        return image


def _mapped(homography: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(N, 2) points through a (3, 3) homography; NaN where the result lies behind the camera."""
    mapped = points @ homography[:, :2].T + homography[:, 2]
    ahead = mapped[:, 2:] > 0
    return np.where(ahead, mapped[:, :2] / np.where(ahead, mapped[:, 2:], 1.0), np.nan)


def _inside(to_texels: np.ndarray, size: tuple[int, int], last: np.ndarray) -> np.ndarray:
    """(rows, columns) bool: whether each sample of a grid of ``size`` (columns, rows) sees the backdrop."""
    columns, rows = size
    points = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=2).reshape(-1, 2)
    texels = _mapped(to_texels, points)
    return ((-0.5 <= texels) & (texels <= last)).all(axis=1).reshape(rows, columns)


def _decimated(light: np.ndarray, grid: int, axis: int, count: int) -> np.ndarray:
    """Filter the samples along an axis to ``count`` pixels, with the window of Cycles' pixel filter."""
    centre = (BORDER + 0.5) * grid - 0.5  # of the first pixel, in samples
    taps = np.arange(np.ceil(centre - FILTER_WIDTH / 2 * grid), np.floor(centre + FILTER_WIDTH / 2 * grid) + 1)
    phase = 2 * np.pi * ((taps - centre) / grid / FILTER_WIDTH + 0.5)
    window = 0.35875 - 0.48829 * np.cos(phase) + 0.14128 * np.cos(2 * phase) - 0.01168 * np.cos(3 * phase)
    window /= window.sum()
    along = np.moveaxis(light, axis, 0)
    total = np.zeros((count, *along.shape[1:]), dtype=np.float32)
    for tap, weight in zip(taps.astype(int), window.astype(np.float32), strict=True):
        total += along[tap : tap + grid * count : grid] * weight
    return np.moveaxis(total, 0, axis)
