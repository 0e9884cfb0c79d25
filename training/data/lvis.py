"""Objects of LVIS, and of any annotations in COCO's JSON: polygons and run-length masks, compressed or not.

LVIS v1's training set is a gigabyte of JSON with 1.3 million objects. Each annotation becomes a small tuple while the
file is read, so that the coordinates of all polygons are never Python objects at the same time.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_text
from training.schema.data import LvisSource, place_of

MAX_PIXELS = 2**28
"""Pixels of an image; an annotation of a larger one is damaged."""

MAX_FILE = 8 << 30
"""Bytes of an annotation file; that of LVIS is a gigabyte."""

LAYOUT = "a folder with one JSON file (or `annotations/` with one) and the images"


class RunLengths(NamedTuple):
    """A run-length mask: counts of pixels down the columns, background first; bytes where COCO compressed them."""

    counts: np.ndarray | bytes
    size: tuple[int, int]  # height, width


class Annotation(NamedTuple):
    """shape: polygons, each (N, 2) float32 (x, y), a run-length mask, or None for anything else."""

    number: int
    image: int
    area: float
    crowd: bool
    shape: list[np.ndarray] | RunLengths | None


class Objects:
    """The objects of an annotation file except crowds and small ones; see ``images.StillImages``.

    An unreadable shape, a missing image or a wrong size is reported when the object is drawn.
    """

    def __init__(self, source: LvisSource):
        self.file = find_annotations(Path(place_of(source.path)))
        annotations, self.images = read_annotations(self.file)
        self.root = Path(source.images) if source.images else _root(self.file)
        if not self.root.is_dir():
            raise UserError(f"image folder {self.root} does not exist", "check data.<source>.images")
        self.of_image: dict[int, list[Annotation]] = {}
        for annotation in annotations:
            if annotation.image in self.images and not annotation.crowd:
                self.of_image.setdefault(annotation.image, []).append(annotation)
        self.annotations = [a for several in self.of_image.values() for a in several if a.area >= source.smallest]
        if not self.annotations:
            remedy = "lower data.<source>.smallest"
            raise UserError(f"{self.file} has no object of {source.smallest:g} pixels", remedy)
        self.names = [f"{self.images[a.image].name} #{a.number}" for a in self.annotations]
        self.groups = [self.images[a.image].name for a in self.annotations]

    def image_path(self, index: int) -> Path:
        """Raises UserError if the image is missing."""
        name = self.images[self.annotations[index].image].name
        wanted = PurePosixPath(name)
        if not wanted.is_absolute() and ".." not in wanted.parts:
            for place in (wanted, *(PurePosixPath(*wanted.parts[i:]) for i in range(1, len(wanted.parts)))):
                for folder in (self.root, self.root / "images"):
                    if (folder / place).is_file():
                        return folder / place
        raise UserError(f"{self.file}: image {name} is not in {self.root}", "fetch it, or set data.<source>.images")

    def mask(self, index: int, rng: np.random.Generator) -> Image.Image:
        return self._draw(self.annotations[index])

    def void(self, index: int) -> None:
        """LVIS says of each pixel of an object's image whether it is that object."""

    def another(self, index: int, rng: np.random.Generator, smallest: float) -> Image.Image | None:
        own = self.annotations[index]
        others = [a for a in self.of_image[own.image] if a.area >= smallest]
        drawn = others[int(rng.integers(len(others)))] if others else own
        return None if drawn is own else self._draw(drawn)

    def _draw(self, annotation: Annotation) -> Image.Image:
        image = self.images[annotation.image]
        try:
            mask = draw(annotation.shape, image.height, image.width)
        except ValueError as error:
            remedy = f"fix its segmentation in {self.file.name}, or leave it out"
            raise UserError(f"{self.file}: annotation {annotation.number} {error}", remedy) from None
        return Image.fromarray(mask.astype(np.uint8) * 255)


class LvisImage(NamedTuple):
    """name: the image's path below the folder of images."""

    name: str
    height: int
    width: int


def find_annotations(path: Path) -> Path:
    """The JSON file of a path to it or to its folder. Raises UserError if there is none, or if there are several."""
    if path.is_file():
        return path
    if not path.is_dir():
        raise UserError(f"annotations {path} do not exist", f"give the JSON file, or {LAYOUT}")
    found = sorted(path.glob("*.json")) or sorted(path.glob("annotations/*.json"))
    if len(found) != 1:
        several = f"several JSON files, {found[0].name} and others" if found else "no JSON file"
        raise UserError(f"{path} holds {several}", f"give the JSON file, or {LAYOUT}")
    return found[0]


def read_annotations(file: Path) -> tuple[list[Annotation], dict[int, LvisImage]]:
    """Annotations, and images by their numbers. Raises UserError if the file does not have COCO's format."""
    try:
        content = json.loads(read_text(file, MAX_FILE), object_hook=_compact)
        annotations = [a for a in content["annotations"] if isinstance(a, Annotation)]
        images = {int(entry["id"]): _image(entry) for entry in content["images"]}
        bad = len(content["annotations"]) - len(annotations)
    except OSError as error:
        raise UserError(f"annotations {file} cannot be read", str(error.strerror)) from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise UserError(f"{file} is no annotation file ({what})", "see COCO's format: images, annotations") from None
    if bad:
        raise UserError(f"{file}: {bad} annotations lack id, image_id, area or segmentation", "fetch it again")
    return annotations, images


def draw(shape: list[np.ndarray] | RunLengths | None, height: int, width: int) -> np.ndarray:
    """(height, width) bool of polygons (their union; a pixel counts by its centre) or of a run-length mask.

    Raises ValueError if the shape is None, empty, or of another size.
    """
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"is of an image of {width}x{height} pixels")
    if isinstance(shape, RunLengths):
        if shape.size != (height, width):
            raise ValueError(f"is a mask of {shape.size[1]}x{shape.size[0]} pixels, its image is {width}x{height}")
        counts = expand(shape.counts) if isinstance(shape.counts, bytes) else shape.counts
        if counts.size == 0 or counts.min() < 0 or counts.sum() != height * width:
            raise ValueError(f"has a run-length mask that does not fill {width}x{height} pixels")
        return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T
    if not shape:
        raise ValueError("has no polygon and no run-length mask")
    mask = np.zeros((height, width), bool)
    for points in shape:
        if not np.isfinite(points).all():
            raise ValueError("has a polygon with coordinates that are no numbers")
        _fill(mask, points)
    return mask


def _fill(mask: np.ndarray, points: np.ndarray) -> None:
    """Set the pixels of a mask (H, W) whose centres lie inside a polygon (N, 2), by the even-odd rule.

    A scan conversion: in every row whose centre line an edge crosses, it flips the pixels on its right.
    Raises ValueError for a polygon that is too long.
    """
    height, width = mask.shape
    start = points.astype(np.float64)
    end = np.roll(start, -1, axis=0)
    upper, lower = np.minimum(start[:, 1], end[:, 1]), np.maximum(start[:, 1], end[:, 1])
    first = np.ceil(upper - 0.5).clip(0, height).astype(np.int64)
    last = np.ceil(lower - 0.5).clip(0, height).astype(np.int64)  # rows first to last - 1: middles in [upper, lower)
    count = last - first
    if not count.any():
        return
    if count.sum() > MAX_PIXELS:
        raise ValueError("has a polygon that is too long to draw")
    edge = np.repeat(np.arange(len(points)), count)
    row = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    x0, y0 = start[edge].T
    x1, y1 = end[edge].T
    crossing = x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0)
    column = np.ceil(crossing - 0.5).clip(0, width).astype(np.int64)
    top, bottom = row.min(), row.max() + 1
    flips = np.zeros((bottom - top, width + 1), np.int32)
    np.add.at(flips, (row - top, column), 1)
    mask[top:bottom] |= np.cumsum(flips, axis=1)[:, :width] % 2 == 1


def expand(text: bytes) -> np.ndarray:
    """Counts of COCO's compressed run-length masks.

    Each count is written in groups of five bits, lowest first, as characters from "0" on; a sixth bit says that more
    groups follow. From the fourth count on, the difference to the count two before is written. Raises ValueError if
    the text is damaged.
    """
    counts: list[int] = []
    position = 0
    while position < len(text):
        value, shift, more = 0, 0, True
        while more:
            if position == len(text):
                raise ValueError("has a run-length mask that is cut off")
            group = text[position] - 48
            if not 0 <= group < 64 or shift > 30:
                raise ValueError("has a run-length mask that is damaged")
            value |= (group & 31) << shift
            more = bool(group & 32)
            shift += 5
            position += 1
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
    return np.array(counts, np.int64)


def _compact(entry: dict[str, Any]) -> Any:
    """Turn an annotation into a tuple; return everything else, also an annotation that lacks keys, unchanged."""
    if not entry.keys() >= {"id", "image_id", "area", "segmentation"}:
        return entry
    number, image, area = int(entry["id"]), int(entry["image_id"]), float(entry["area"])
    return Annotation(number, image, area, bool(entry.get("iscrowd", 0)), _shape(entry["segmentation"]))


def _shape(segmentation: Any) -> list[np.ndarray] | RunLengths | None:
    """Polygons or a run-length mask; None for anything else, which is reported when it is drawn."""
    try:
        if isinstance(segmentation, dict):
            counts, (height, width) = segmentation["counts"], segmentation["size"]
            packed = counts.encode("ascii") if isinstance(counts, str) else np.array(counts, np.int64).reshape(-1)
            return RunLengths(packed, (int(height), int(width)))
        with np.errstate(over="raise"):
            polygons = [np.array(points, np.float32).reshape(-1, 2) for points in segmentation]
    except (ValueError, TypeError, KeyError, ArithmeticError):
        return None
    return [points for points in polygons if len(points) >= 3] or None


def _image(entry: dict[str, Any]) -> LvisImage:
    """LVIS v1 names images by their URL, whose last two parts are folder and file."""
    name = entry.get("file_name") or "/".join(PurePosixPath(entry["coco_url"]).parts[-2:])
    return LvisImage(str(name), int(entry["height"]), int(entry["width"]))


def _root(file: Path) -> Path:
    return file.parent.parent if file.parent.name == "annotations" else file.parent
