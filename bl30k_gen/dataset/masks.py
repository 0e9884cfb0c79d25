"""Palette masks: the one reader and the one writer, for rendering, training and evaluation.

The mask rule:

- Pixels of a palette (``P``) or greyscale (``L``) PNG are object ids, 0 is background. Ids need not be contiguous.
- 255 ("white") beside other ids is void: left out of losses and scores.
- Masks that hold 0 and 255 alone show one object, which gets id 1 (DAVIS-2016 is so). A single frame cannot
  tell this from a frame where only void is left, so a whole video decides: ``white_meaning``.
- In RGB PNGs the colours of the DAVIS palette are mapped back to ids; pure white is 255.
- In 16-bit PNGs, pixels are ids, 255 and 65535 are white.
"""

import functools
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from bl30k_gen.dataset.files import PICTURE_ERRORS, require_pixels
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_bytes

WHITE = 255
White = Literal["object", "void"]

MASK_LIMIT = 256 << 20  # bytes of a file
_REMEDY = "masks are PNGs whose pixels are object ids (mode P or L), or colours of the DAVIS palette"


@dataclass(frozen=True)
class MaskFrame:
    """A mask after the mask rule.

    ids: (H, W) uint8 (uint16 where a 16-bit file holds ids above 255); 0 is background and void.
    void: (H, W) bool, or None where the frame has none.
    kind: "single" where white was read as one object, else "ids".
    """

    ids: np.ndarray
    void: np.ndarray | None
    kind: Literal["ids", "single"]


@functools.cache
def palette() -> np.ndarray:
    """(256, 3) uint8: the palette of PASCAL VOC and DAVIS.

    The bits of an id, three at a time from the lowest, become the bits of red, green and blue from the highest.
    """
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        colours[:, bit % 3] |= (((ids >> bit) & 1) << (7 - bit // 3)).astype(np.uint8)
    colours.flags.writeable = False
    return colours


def encode_mask(ids: np.ndarray) -> bytes:
    """PNG bytes (mode P, DAVIS palette) of an (H, W) uint8 mask; equal pixels give equal bytes.

    Raises:
        ValueError: wrong shape or type.
    """
    if ids.ndim != 2 or ids.dtype != np.uint8:
        raise ValueError(f"a mask is (H, W) uint8, not {ids.shape} {ids.dtype}")
    image = Image.fromarray(ids)
    image.putpalette(palette().tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def read_mask(source: str | Path | bytes, white: White | None = None, name: str | Path = "") -> MaskFrame:
    """Read a mask by the mask rule.

    Args:
        source: a PNG's path or its bytes.
        white: what 255 means, from ``white_meaning`` of the video (or of the whole dataset). None: this frame
            alone decides, which is right for still images.
        name: names bytes in error messages.

    Raises:
        UserError: the file is missing, damaged, no PNG, or in colours that are not of the palette.
    """
    return apply_rule(read_values(source, name), white)


def white_meaning(sources: Iterable[str | Path | bytes]) -> White:
    """What 255 means in a video: "object" if its masks hold 0 and 255 alone, else "void".

    Reading stops at the first mask that decides, as nearly all first frames do.
    """
    seen = False
    for source in sources:
        values = read_values(source)
        if is_undecided(values):
            seen = True
        elif values.any():
            return "void"
    return "object" if seen else "void"


def is_undecided(values: np.ndarray) -> bool:
    """Whether a frame's pixel values have white but no id: one object or void, as the rest of the video says."""
    return values.max(initial=0) == WHITE and bool(((values == 0) | (values == WHITE)).all())


def apply_rule(values: np.ndarray, white: White | None = None) -> MaskFrame:
    """``read_mask`` for pixel values that ``read_values`` has returned."""
    if values.max(initial=0) < WHITE or not (is_white := values == WHITE).any():
        return MaskFrame(values, None, "ids")
    if white is None:
        white = "object" if is_undecided(values) else "void"
    if white == "object":
        return MaskFrame(np.where(is_white, 1, values).astype(values.dtype), None, "single")
    return MaskFrame(np.where(is_white, 0, values).astype(values.dtype), is_white, "ids")


def read_values(source: str | Path | bytes, name: str | Path = "") -> np.ndarray:
    """(H, W) numbers that a mask stores, with every kind of white as 255, before the mask rule.

    uint8, or uint16 where a 16-bit file holds ids above 255. Raises UserError like ``read_mask``.
    """
    if isinstance(source, bytes):
        data, name = source, name or "a mask"
    else:
        name = source
        try:
            data = read_bytes(source, MASK_LIMIT)
        except FileNotFoundError:
            raise UserError(f"mask {source} cannot be read", "there is no such file") from None
    try:
        with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
            require_pixels(image)
            image.load()
            mode, pixels = image.mode, np.array(image)
    except PICTURE_ERRORS as error:
        raise UserError(f"mask {name} is damaged or no PNG ({error})", _REMEDY) from None
    if mode in ("RGB", "RGBA"):
        return _ids_of_colours(pixels, name)
    if mode == "LA":
        pixels = pixels[..., 0]
    if mode == "1":
        return pixels.astype(np.uint8)
    if mode.startswith("I"):
        return _fold_16_bit(pixels)
    depth, colour_type = data[24], data[25]  # of the IHDR chunk
    if colour_type == 0 and depth in (2, 4):
        return pixels // (255 // (2**depth - 1))  # the decoder stretches shallow greys to 0..255
    return pixels


def _fold_16_bit(pixels: np.ndarray) -> np.ndarray:
    values = np.where(pixels == 65535, WHITE, pixels)
    return values.astype(np.uint8 if values.max(initial=0) <= 255 else np.uint16)


@functools.cache
def _colour_table() -> tuple[np.ndarray, np.ndarray]:
    """Palette colours as sorted 24-bit numbers, and their ids."""
    codes = np.append(_codes(palette()), 0xFFFFFF)
    ids = np.append(np.arange(256), WHITE).astype(np.uint8)
    order = np.argsort(codes)
    return codes[order], ids[order]


def _codes(colours: np.ndarray) -> np.ndarray:
    red, green, blue = (colours[..., channel].astype(np.int64) for channel in range(3))
    return red << 16 | green << 8 | blue


def _ids_of_colours(pixels: np.ndarray, name: str | Path) -> np.ndarray:
    table, ids = _colour_table()
    codes = _codes(pixels)
    position = np.minimum(np.searchsorted(table, codes), len(table) - 1)
    unknown = table[position] != codes
    if unknown.any():
        colour = tuple(int(v) for v in pixels[unknown][0][:3])
        raise UserError(f"mask {name} has {int(unknown.sum())} pixels in colours like RGB {colour}", _REMEDY)
    return ids[position]
