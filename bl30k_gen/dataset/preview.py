"""Previews of videos: contact sheets, and animations with the masks overlaid."""

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bl30k_gen.dataset.claim import claim, refuse_input
from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import MaskFrame, palette
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.errors import UserError

COLUMNS, TILE_WIDTH = 6, 240  # frames of each video on a sheet, and their width in pixels

_TINT = 0.35  # opacity of an object's colour
_VIDEOS = 12  # on a sheet, unless they are named
_GAP = 4  # pixels between tiles
_CAPTION = 16  # pixels
MAX_ASPECT = 16  # height divided by width of a frame: memory grows with it
_QUALITIES = (90, 80, 70, 60, 50, 40)
_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".png": "PNG"}
SHEET_BYTES = 1_000_000
"""Maximum size of a contact sheet, unless it is a PNG or exceeds it at the lowest quality."""
_PAPER, _INK, _VOID = (255, 255, 255), (40, 40, 40), (255, 255, 255)


def overlay(rgb: np.ndarray, mask: MaskFrame) -> np.ndarray:
    """The frame, (H, W, 3) uint8, with objects tinted and outlined in brightened palette colours, void in white."""
    colours = palette()[mask.ids.astype(np.uint8)].astype(np.float32)
    colours *= 255 / np.maximum(colours.max(-1, keepdims=True), 1)
    marked = mask.ids > 0
    if mask.void is not None:
        colours[mask.void] = _VOID
        marked = marked | mask.void
    opacity = np.where(marked, _TINT, 0.0).astype(np.float32)
    opacity[outline(mask.ids)] = 1.0
    mixed = rgb * (1 - opacity[..., None]) + colours * opacity[..., None]
    return mixed.round().astype(np.uint8)


def contact_sheet(
    store: VideoStore, names: Sequence[str] | None = None, columns: int = COLUMNS, tile_width: int = TILE_WIDTH
) -> Image.Image:
    """A row of evenly spaced frames for each video, and below it the same frames with their masks.

    Args:
        names: the videos; None: up to 12, evenly spaced.
        columns: number of frames of each video.
        tile_width: width of a frame, pixels; its aspect ratio is kept.

    Raises:
        UserError: there is no video, or a file is missing or damaged.
    """
    if names is None:
        chosen = np.linspace(0, len(store.videos) - 1, min(_VIDEOS, len(store.videos)))
        names = [store.videos[i] for i in chosen.round().astype(int)]
    for name in names:
        store.require(name)
    if not names:
        raise UserError(f"{store.path} has no finished video", "render some, or wait for the first")
    return _stacked([_video_rows(store, name, columns, tile_width) for name in names])


class GrowingSheet:
    """A contact sheet of the first videos that a build finishes, updated with each of them.

    Args:
        root: folder of the dataset.
        path: file of the sheet; its suffix selects the format.

    Raises:
        UserError: the suffix is of no format of sheets.
    """

    def __init__(self, root: Path, path: Path):
        _format_of(path)
        self.root, self.path = root, path
        self._rows: dict[str, Image.Image] = {}

    def add(self, name: str) -> bool:
        """Add a finished video, unless the sheet is full. Return whether the sheet was written.

        Raises:
            UserError: a file is missing or damaged, or the disk is full.
        """
        if name in self._rows or len(self._rows) >= _VIDEOS:
            return False
        self._rows[name] = _video_rows(open_dataset(self.root), name, COLUMNS, TILE_WIDTH)
        rows = [self._rows[name] for name in sorted(self._rows)]
        write_atomically(self.path, encode_sheet(_stacked(rows), self.path))
        return True


def strip(
    store: VideoStore, name: str, columns: int, tile_width: int
) -> list[tuple[int, np.ndarray, np.ndarray | None]]:
    """Evenly spaced frames of a video: (number, frame, frame with its mask or None); images (H, W, 3) uint8.

    Raises:
        UserError: a file is missing or damaged.
    """
    frames, masked = store.frames(name), set(store.mask_frames(name))
    chosen = np.linspace(0, len(frames) - 1, min(columns, len(frames))).round().astype(int).tolist()
    tiles = ((i, *_scaled(store, name, i, tile_width, i in masked)) for i in chosen)
    return [(i, rgb, None if mask is None else overlay(rgb, mask)) for i, rgb, mask in tiles]


def animation(
    store: VideoStore,
    name: str,
    path: str | Path,
    masks: bool = True,
    width: int = 480,
    frames_per_second: float = 16,
) -> None:
    """Write a video as an endlessly repeated animated WebP, with or without its masks overlaid.

    Raises:
        UserError: ``path`` does not end in .webp, a file is missing or damaged, or the disk is full.
    """
    path = Path(path)
    if path.suffix.lower() != ".webp":
        raise UserError(f"{path} is no animated WebP", "end its name in .webp")
    frames = (Image.fromarray(frame) for frame in _frames(store, name, masks, width))
    buffer = io.BytesIO()
    first = next(frames)
    first.save(
        buffer,
        "WEBP",
        save_all=True,
        append_images=frames,
        duration=round(1000 / frames_per_second),
        loop=0,
        quality=80,
    )
    write_atomically(path, buffer.getvalue())


def write(store: VideoStore, names: Sequence[str] | None, out: Path, columns: int = COLUMNS) -> list[Path]:
    """Write a contact sheet and an animation of its first video.

    Args:
        names: the videos of the sheet; None: up to 12, evenly spaced.
        out: a folder for ``contact_sheet.jpg``, or the file of the sheet, whose suffix selects the format. The
            animation lies beside the sheet.

    Returns:
        Paths of the sheet and the animation.

    Raises:
        UserError: as ``contact_sheet`` and ``encode_sheet``; or ``out`` lies in the dataset, or belongs to another
            command.
    """
    sheet = out if out.suffix.lower() in _FORMATS else out / "contact_sheet.jpg"
    animated = sheet.with_name("animation.webp")
    refuse_input(sheet.parent, [store.path])
    if sheet != out:
        claim(out, "preview", {})
    if sheet == animated:
        raise UserError(f"{sheet} is the name of the animation", "give the contact sheet another one")
    write_atomically(sheet, encode_sheet(contact_sheet(store, names, columns), sheet))
    animation(store, names[0] if names else store.videos[0], animated)
    return [sheet, animated]


def _frames(store: VideoStore, name: str, masks: bool, width: int) -> Iterator[np.ndarray]:
    masked = set(store.mask_frames(name)) if masks else set()
    for i in range(len(store.frames(name))):
        rgb, mask = _scaled(store, name, i, width, i in masked)
        yield rgb if mask is None else overlay(rgb, mask)


def _video_rows(store: VideoStore, name: str, columns: int, tile_width: int) -> Image.Image:
    """Caption, frames, frames with masks."""
    frames = store.frames(name)
    tiles = [Tile(frames[i], rgb, marked) for i, rgb, marked in strip(store, name, columns, tile_width)]
    return tiled(name, tiles, columns, tile_width)


@dataclass(frozen=True)
class Tile:
    """A frame of a contact sheet."""

    name: str
    rgb: np.ndarray  # (H, W, 3) uint8
    marked: np.ndarray | None  # the same with its mask overlaid; None without a mask


def tiled(title: str, tiles: Sequence[Tile], columns: int, tile_width: int) -> Image.Image:
    """Rows of ``columns`` frames, each below its name and above the frame with its mask."""
    height = max(tile.rgb.shape[0] for tile in tiles)
    row = _CAPTION + 2 * (height + _GAP) + _GAP
    rows = -(-len(tiles) // columns)
    image = Image.new("RGB", (columns * (tile_width + _GAP) - _GAP, rows * row), _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)
    for number, tile in enumerate(tiles):
        left, top = number % columns * (tile_width + _GAP), number // columns * row
        draw.text((left + 1, top + 1), tile.name if number else f"{title}   {tile.name}", fill=_INK, font=font)
        image.paste(Image.fromarray(tile.rgb), (left, top + _CAPTION))
        if tile.marked is not None:
            image.paste(Image.fromarray(tile.marked), (left, top + _CAPTION + height + _GAP))
    return image


def _stacked(rows: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (max(row.width for row in rows), sum(row.height for row in rows)), _PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _format_of(path: Path) -> str:
    """Pillow's name of a sheet's format, by its suffix. Raises UserError for another suffix."""
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        raise UserError(f"{path} is no contact sheet", f"end its name in {', '.join(_FORMATS)}")
    return kind


def encode_sheet(sheet: Image.Image, path: Path) -> bytes:
    """The sheet in the format of the path's suffix; JPEG and WebP at the best quality below ``SHEET_BYTES``.

    Raises UserError if the suffix is of no format of sheets, or the sheet is too large for it.
    """
    kind, data = _format_of(path), b""
    for quality in _QUALITIES:
        buffer = io.BytesIO()
        try:
            sheet.save(buffer, kind, quality=quality)
        except (OSError, ValueError):
            what = f"a contact sheet of {sheet.width}x{sheet.height} pixels is too large for {kind}"
            raise UserError(what, "name fewer videos, or end --out in .png") from None
        data = buffer.getvalue()
        if kind == "PNG" or len(data) < SHEET_BYTES:
            break
    return data


def _scaled(store: VideoStore, name: str, i: int, width: int, masked: bool) -> tuple[np.ndarray, MaskFrame | None]:
    """A frame and its mask scaled to ``width``. Raises UserError if their sizes differ, or the frame is too tall."""
    rgb, mask = store.read_rgb(name, i), store.read_mask(name, i) if masked else None
    rows, columns = rgb.shape[:2]
    path = store.path / store.rgb_path(name, i)
    if mask is not None and mask.ids.shape != (rows, columns):
        what = f"is {columns}x{rows} pixels, its mask {mask.ids.shape[1]}x{mask.ids.shape[0]}"
        raise UserError(f"{path} {what}", "restore it; `verify` lists all such")
    if rows > MAX_ASPECT * columns:
        what = f"is {columns}x{rows} pixels, too tall for a contact sheet"
        raise UserError(f"{path} {what}", "leave the video out")
    return shrink(rgb, mask, width)


@overload
def shrink(frame: np.ndarray, mask: MaskFrame, width: int) -> tuple[np.ndarray, MaskFrame]: ...


@overload
def shrink(frame: np.ndarray, mask: MaskFrame | None, width: int) -> tuple[np.ndarray, MaskFrame | None]: ...


def shrink(frame: np.ndarray, mask: MaskFrame | None, width: int) -> tuple[np.ndarray, MaskFrame | None]:
    """Scale a frame, (H, W, 3) uint8, and its mask to ``width``: by Lanczos, and by nearest neighbour."""
    rgb = Image.fromarray(frame)
    size = (width, max(1, round(rgb.height * width / rgb.width)))
    pixels = np.asarray(rgb.resize(size, Image.Resampling.LANCZOS))
    if mask is None:
        return pixels, None
    y = (np.arange(size[1]) + 0.5) * mask.ids.shape[0] // size[1]
    x = (np.arange(size[0]) + 0.5) * mask.ids.shape[1] // size[0]
    nearest = np.ix_(y.astype(int), x.astype(int))
    return pixels, MaskFrame(mask.ids[nearest], None if mask.void is None else mask.void[nearest], mask.kind)


def outline(ids: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels of objects that have a neighbour with another id."""
    padded = np.pad(ids, 1, mode="edge")
    beside = itertools.product((0, 1, 2), (0, 1, 2))
    differs = [padded[y : y + ids.shape[0], x : x + ids.shape[1]] != ids for y, x in beside]
    return np.any(differs, axis=0) & (ids > 0)
