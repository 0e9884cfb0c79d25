"""Captions of images of masks: labels of rows and columns, a legend, and notes on frames."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]

EMPTY = "no object"
"""Note on a frame whose mask is empty."""
_SIZE, _LINE, _GAP = 13, 20, 6  # pixels
_MAX_CHARACTERS = 36  # of a line in a label
_PAPER, _INK = (255, 255, 255), (40, 40, 40)


def note(frame: NDArray[np.uint8], text: str) -> NDArray[np.uint8]:
    """(H, W, 3) uint8: the frame with ``text`` in its upper left corner."""
    image = Image.fromarray(frame)
    _note(ImageDraw.Draw(image), (0, 0), frame.shape[0], text)
    return np.asarray(image)


def captioned(
    image: NDArray[np.uint8],
    rows: Sequence[str],
    columns: Sequence[str],
    legend: Mapping[str, Colour],
    notes: Mapping[tuple[int, int], str] | None = None,
) -> NDArray[np.uint8]:
    """A grid of frames with a margin at its left, its top and its bottom.

    Args:
        image: (H, W, 3), a grid of ``rows`` times ``columns`` equal cells.
        rows, columns: labels; those of rows may have several lines.
        legend: {meaning: colour}, below the grid.
        notes: {(row, column): text} on cells.

    Returns:
        (H', W', 3) uint8: the grid with notes and a margin, wider where the legend needs it. Cells that are too
        narrow for their texts are enlarged by an integer factor.
    """
    font = ImageFont.load_default(_SIZE)
    widest = max(font.getlength(text) for text in (*columns, *(notes or {}).values())) + 2 * _SIZE
    factor = math.ceil(widest * len(columns) / image.shape[1])
    image = image.repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = image.shape[0] // len(rows), image.shape[1] // len(columns)
    labels = ["\n".join(_shortened(line) for line in row.split("\n")) for row in rows]
    left = round(max(font.getlength(line) for label in labels for line in label.split("\n"))) + 2 * _GAP
    entries = [round(font.getlength(text)) + _SIZE + 3 * _GAP for text in legend]
    size = (max(left + image.shape[1], left + sum(entries)), image.shape[0] + 2 * _LINE)
    sheet = Image.new("RGB", size, _PAPER)
    sheet.paste(Image.fromarray(image), (left, _LINE))
    draw = ImageDraw.Draw(sheet)
    for number, label in enumerate(labels):
        draw.multiline_text((_GAP, _LINE + number * height + _GAP), label, _INK, font)
    for number, label in enumerate(columns):
        draw.text((left + number * width + 2, 2), label, _INK, font)
    for (row, column), text in (notes or {}).items():
        _note(draw, (left + column * width, _LINE + row * height), height, text)
    x, y = left, size[1] - _LINE
    for (text, colour), wide in zip(legend.items(), entries, strict=True):
        draw.rectangle((x, y + 4, x + _SIZE, y + 4 + _SIZE), colour, _INK)
        draw.text((x + _SIZE + _GAP, y + 2), text, _INK, font)
        x += wide
    return np.asarray(sheet)


def _note(draw: ImageDraw.ImageDraw, corner: tuple[int, int], height: int, text: str) -> None:
    size = max(14, height // 16)
    place = corner[0] + size // 2, corner[1] + size // 3
    font = ImageFont.load_default(size)
    draw.text(place, text, "white", font, stroke_width=1 + size // 20, stroke_fill="black")


def _shortened(line: str) -> str:
    return line if len(line) <= _MAX_CHARACTERS else "..." + line[-_MAX_CHARACTERS + 3 :]
