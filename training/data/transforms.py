"""Transforms of images and masks: reduced decoding, crops, affine changes, thin-plate warps, colours.

One set of parameters is drawn per sequence (and one per frame) and applied to the image and to its masks alike.
Coordinates are continuous: pixel (x, y) covers [x, x + 1) x [y, y + 1).
"""

import functools
import io
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFile

from bl30k_gen.dataset.images import FRAME, IMAGE_ERRORS, TurnedFrame, open_frame, to_srgb
from bl30k_gen.errors import UserError
from training.schema.data import FrameChange, Jitter, Warp

FILL = (124, 116, 104)
"""ImageNet's mean colour, for what lies outside an image."""

_GREY = np.array([0.299, 0.587, 0.114])

CropBox = tuple[float, float, float, float]  # left, top, right, bottom
ColourStep = tuple[str, float]


@functools.cache
def opencv() -> ModuleType:
    """OpenCV on one thread: loader processes share the processors already, and its threads do not survive a fork.

    Imported on first use, so that the random draws of this module work without OpenCV.
    """
    import cv2

    cv2.setNumThreads(0)
    return cv2


def open_image(data: bytes, source: object) -> Image.Image:
    """Open a JPEG, PNG or WebP: its header is read, its pixels are not.

    Raises UserError if it is damaged, or if its metadata ask for a rotation.
    """
    try:
        return open_frame(data)
    except TurnedFrame as error:
        raise UserError(f"{source} {error}", error.remedy) from None
    except IMAGE_ERRORS as error:
        raise UserError(f"{source} is damaged ({error})", "restore it, or leave it out of the list") from None


def decode(image: Image.Image, box: CropBox, size: tuple[int, int], source: object) -> Image.Image:
    """An opened image as RGB, reduced as far as its crop ``box`` still has ``size`` (width, height) pixels.

    A JPEG is decoded at a half, a quarter or an eighth of its size; other images are averaged.

    Raises:
        UserError: naming ``source`` if the bytes are damaged.
    """
    shrink = _shrink(box, size)
    width, height = image.size
    try:
        if image.format == "JPEG":
            image.draft("RGB", (math.ceil(width / shrink), math.ceil(height / shrink)))
        rgb = to_srgb(image, FRAME)
    except IMAGE_ERRORS as error:
        raise UserError(f"{source} is damaged ({error})", "restore it, or leave it out of the list") from None
    rest = int(shrink * rgb.width / width)
    return rgb.reduce(rest) if rest > 1 else rgb


def decode_pixels(image: Image.Image, box: CropBox, size: tuple[int, int], source: object) -> np.ndarray:
    """``decode`` as (H, W, 3) uint8.

    OpenCV decodes an RGB JPEG without a colour profile to the same pixels in two thirds to three quarters of Pillow's
    time. Pillow decodes all other images, and reports what is wrong with damaged ones.
    """
    shrink, (width, height) = _shrink(box, size), image.size
    fitting = min(width // math.ceil(width / shrink), height // math.ceil(height / shrink))
    factor = next((factor for factor in (8, 4, 2) if fitting >= factor), 1)
    is_enough = int(shrink * math.ceil(width / factor) / width) <= 1
    is_plain = image.format == "JPEG" and image.mode == "RGB" and "icc_profile" not in image.info
    file = image.fp if isinstance(image, ImageFile.ImageFile) else None
    if is_plain and is_enough and isinstance(file, io.BytesIO):
        cv2 = opencv()
        flag = cv2.IMREAD_COLOR if factor == 1 else getattr(cv2, f"IMREAD_REDUCED_COLOR_{factor}")
        data = np.frombuffer(file.getbuffer(), np.uint8)
        pixels = cv2.imdecode(data, flag | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
    return np.asarray(decode(image, box, size, source))


def _shrink(box: CropBox, size: tuple[int, int]) -> float:
    """Pixels of the crop per pixel of ``size``, in the direction with fewer."""
    return min((box[2] - box[0]) / size[0], (box[3] - box[1]) / size[1])


def crop_and_resize(image: Image.Image, box: CropBox, size: tuple[int, int], source: object) -> Image.Image:
    """The crop ``box`` of an opened image as RGB of ``size`` (width, height), bicubic.

    Raises:
        UserError: naming ``source`` where the bytes are damaged.
    """
    width, height = image.size
    rgb = decode(image, box, size, source)
    sx, sy = rgb.width / width, rgb.height / height
    inside = (box[0] * sx, box[1] * sy, min(box[2] * sx, rgb.width), min(box[3] * sy, rgb.height))
    return rgb.resize(size, Image.Resampling.BICUBIC, box=inside)


def draw_crop(
    rng: np.random.Generator, width: int, height: int, scale: tuple[float, float], ratio: tuple[float, float]
) -> CropBox:
    """A random crop: uniform in area (ratio to the image) and in the logarithm of width / height.

    If ten draws do not fit into the image, it is the largest centred crop within ``ratio``.
    """
    for _ in range(10):
        area = rng.uniform(*scale) * width * height
        aspect = math.exp(rng.uniform(math.log(ratio[0]), math.log(ratio[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(rng.integers(width - w + 1)), int(rng.integers(height - h + 1))
            return (left, top, left + w, top + h)
    w = min(width, round(height * ratio[1]))
    h = min(height, round(width / ratio[0]))
    left, top = (width - w) // 2, (height - h) // 2
    return (left, top, left + w, top + h)


def draw_affine(rng: np.random.Generator, change: FrameChange) -> np.ndarray:
    """(2, 2): a random rotation, shear and scale, from output offsets to input offsets around the centre."""
    angle = math.radians(rng.uniform(-change.rotation, change.rotation))
    shear = math.tan(math.radians(rng.uniform(-change.shear, change.shear)))
    scale = rng.uniform(*change.scale)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return np.linalg.inv(scale * rotation @ np.array([[1, shear], [0, 1]]))


def affine(
    image: Image.Image,
    matrix: np.ndarray,
    size: tuple[int, int],
    centre_out: tuple[float, float],
    resample: Image.Resampling,
) -> Image.Image:
    """Output of ``size`` (width, height) whose point ``centre_out`` shows the image's centre.

    ``matrix`` (2, 2) maps offsets from this point to offsets in the image. Outside is ``FILL``, or 0 for masks.
    """
    centre = np.array([image.width / 2, image.height / 2])
    return Image.fromarray(warp(np.asarray(image), matrix, centre - matrix @ np.array(centre_out), size, resample))


def warp(
    pixels: np.ndarray,
    matrix: np.ndarray,
    shift: np.ndarray,
    size: tuple[int, int],
    resample: Image.Resampling,
) -> np.ndarray:
    """Output of ``size`` (width, height) whose point p shows the point ``matrix`` p + ``shift`` of the image.

    Args:
        pixels: (H, W, 3) uint8, outside of which is ``FILL``, or (H, W), outside of which is 0.
        resample: bicubic or nearest.
    """
    # OpenCV takes a third of Pillow's time.
    cubic = resample == Image.Resampling.BICUBIC
    first = matrix @ (0.5, 0.5) + shift - 0.5  # OpenCV counts from the centre of the first pixel
    cv2 = opencv()
    return cv2.warpAffine(
        pixels,
        np.column_stack([matrix, first]),
        size,
        flags=(cv2.INTER_CUBIC if cubic else cv2.INTER_NEAREST) | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=FILL if pixels.ndim == 3 else 0,
    )


def draw_jitter(rng: np.random.Generator, jitter: Jitter) -> list[ColourStep]:
    """Colour steps in random order, grey last."""
    names = ("brightness", "contrast", "saturation")
    steps = [(name, rng.uniform(1 - getattr(jitter, name), 1 + getattr(jitter, name))) for name in names]
    steps.append(("hue", rng.uniform(-jitter.hue, jitter.hue)))
    steps = [steps[i] for i in rng.permutation(len(steps))]
    if rng.random() < jitter.grey:
        steps.append(("grey", 0.0))
    return [step for step in steps if step != ("hue", 0.0)]


def recolour(image: Image.Image, steps: list[ColourStep]) -> Image.Image:
    """``recolour_pixels`` of an RGB image."""
    return Image.fromarray(recolour_pixels(np.asarray(image), steps))


def recolour_pixels(pixels: np.ndarray, steps: list[ColourStep]) -> np.ndarray:
    """Apply colour steps to (H, W, 3) uint8 RGB.

    All but hue are affine in RGB, so consecutive ones take one pass over the pixels.
    """
    for is_hue, run in itertools.groupby(steps, lambda step: step[0] == "hue"):
        if is_hue:
            for _, turns in run:
                pixels = _shift_hue(pixels, turns)
        else:
            matrix = colour_matrix(list(run), functools.partial(_mean_colour, pixels))
            pixels = pixels if np.array_equal(matrix, np.eye(3, 4)) else opencv().transform(pixels, matrix)
    return pixels


def colour_matrix(steps: list[ColourStep], mean: Callable[[], np.ndarray]) -> np.ndarray:
    """(3, 4): the affine map of RGB colours by colour steps without hue.

    Args:
        mean: returns the mean colour (3,) of the image before these steps; called only if the contrast changes.
    """
    matrix = np.eye(3, 4)
    for name, factor in steps:
        if name == "brightness":
            matrix = matrix * factor
        elif name == "contrast":
            grey = _GREY @ (matrix[:, :3] @ mean() + matrix[:, 3])
            matrix = matrix * factor
            matrix[:, 3] += (1 - factor) * grey
        else:
            keep = factor if name == "saturation" else 0.0
            matrix = (keep * np.eye(3) + (1 - keep) * np.tile(_GREY, (3, 1))) @ matrix
    return matrix


def _mean_colour(pixels: np.ndarray) -> np.ndarray:
    return np.array(opencv().mean(pixels)[:3])


def _shift_hue(pixels: np.ndarray, turns: float) -> np.ndarray:
    hue, saturation, value = Image.fromarray(pixels).convert("HSV").split()
    shift = round(turns * 255)
    hue = hue.point([(i + shift) % 256 for i in range(256)])
    return np.asarray(Image.merge("HSV", (hue, saturation, value)).convert("RGB"))


@dataclass(frozen=True)
class ThinPlate:
    """A thin-plate spline warp of the unit square: control points and how far each is moved, both (N, 2) as x, y."""

    points: np.ndarray
    moves: np.ndarray

    @staticmethod
    def draw(rng: np.random.Generator, warp: Warp) -> "ThinPlate":
        return ThinPlate(rng.uniform(size=(warp.points, 2)), rng.normal(0, warp.deviation, (warp.points, 2)))

    def displacement(self, xy: np.ndarray) -> np.ndarray:
        """(M, 2) moves at the points ``xy`` (M, 2): interpolates the control points with least bending."""
        n = len(self.points)
        system = np.zeros((n + 3, n + 3))
        system[:n, :n] = _bending(self.points, self.points)
        system[:n, n] = system[n, :n] = 1
        system[:n, n + 1 :] = self.points
        system[n + 1 :, :n] = self.points.T
        right = np.concatenate([self.moves, np.zeros((3, 2))])
        weights = np.linalg.lstsq(system, right, rcond=None)[0]
        return _bending(xy, self.points) @ weights[:n] + weights[n] + xy @ weights[n + 1 :]

    def grid(self, size: int, step: int = 8) -> torch.Tensor:
        """(1, size, size, 2): the source position of each output pixel, for ``grid_sample``.

        The warp is smooth: it is solved every ``step`` pixels, and interpolated between them.
        """
        coarse = size // step + 1
        x, y = np.meshgrid(*2 * [np.linspace(0, 1, coarse)])
        where = np.stack([x.ravel(), y.ravel()], 1)
        moves = torch.from_numpy(self.displacement(where)).float().view(1, coarse, coarse, 2).movedim(-1, 1)
        corners = F.interpolate(moves, (size + 1, size + 1), mode="bilinear", align_corners=True)
        moves = F.avg_pool2d(corners, 2, stride=1).movedim(1, -1)
        centre = (torch.arange(size) + 0.5) / size
        plain = torch.stack(torch.meshgrid(centre, centre, indexing="xy"), -1)[None]
        return (plain + moves) * 2 - 1


def _bending(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    square = ((a[:, None] - b[None]) ** 2).sum(-1)
    return 0.5 * square * np.log(square + 1e-12)


def warp_frame(image: torch.Tensor, mask: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """An image (3, H, W) bilinear and its masks (O, H, W) nearest, both uint8, sampled at ``grid``."""
    fill = torch.tensor(FILL, dtype=torch.float32).view(3, 1, 1)
    moved = F.grid_sample((image.float() - fill)[None], grid, mode="bilinear", align_corners=False)[0] + fill
    masks = F.grid_sample(mask.float()[None], grid, mode="nearest", align_corners=False)[0]
    return moved.round().clamp(0, 255).to(torch.uint8), masks.to(torch.uint8)


def hide(
    image: torch.Tensor, mask: torch.Tensor, cells: int, chance: float, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """An image (3, S, S) and its masks (O, S, S), uint8, without the cells of a grid that are hidden by ``chance``.

    A hidden cell is mean colour and background (Hide-and-Seek, Singh & Lee, 2017; KMN, Seong et al., 2020).
    """
    place = np.arange(image.shape[-1]) * cells // image.shape[-1]
    hidden = torch.from_numpy((rng.random((cells, cells)) < chance)[place[:, None], place])
    fill = torch.tensor(FILL, dtype=torch.uint8).view(3, 1, 1)
    return torch.where(hidden, fill, image), mask.masked_fill(hidden, 0)


def to_tensor(image: Image.Image) -> torch.Tensor:
    """(3, H, W) uint8 of an RGB image, (H, W) of a mask."""
    array = torch.from_numpy(np.array(image))
    return array.movedim(-1, 0).contiguous() if array.ndim == 3 else array
