"""The reader and writer of palette masks, for rendering, training and evaluation.

The mask rule:

- Pixels of a palette (``P``) or greyscale (``L``) PNG are object ids, 0 is background. Ids need not be contiguous.
- 255 ("white") beside other ids is void: ignored by losses and scores.
- Masks with only 0 and 255 show one object, which gets id 1 (as in DAVIS-2016).
- Grey masks with soft edges, that is with values between 0 and 255 along them, show one object. They are refused, or
  thresholded at one half where the user asks for it.
- In RGB PNGs the colours of the DAVIS palette are mapped back to ids; pure white is 255.
- In 16-bit PNGs, pixels are ids; 255 and 65535 are white.
- Transparent pixels are background.

A single frame does not tell which of these applies (it may show void alone). So all masks of a dataset decide, or the
user (``--masks``): see ``decide``.
"""

import contextlib
import functools
import io
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from PIL import Image

from bl30k_gen.dataset.images import IMAGE_ERRORS, IMAGE_LIMIT, open_image, require_pixels
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_bytes

log = logging.getLogger(__name__)


T = TypeVar("T")

WHITE = 255
Meaning = Literal["ids", "binary", "soft"]
"""ids: of objects, 255 is void. binary: 0 and one object. soft: one object with soft edges, in shades of grey."""

MEANINGS: tuple[Meaning, ...] = ("ids", "binary", "soft")
SAMPLE = 64  # masks of a dataset that are read to decide
HALF = 128  # threshold of soft masks: the object has this value or more

_SOFT = (
    "harden them, or say --masks soft (in training: data.NAME.masks=soft) to cut them at one half; "
    "--masks ids if these are objects' numbers"
)
_REMEDY = "masks are PNGs whose pixels are object ids (mode P or L), or colours of the DAVIS palette"


@dataclass(frozen=True)
class MaskFrame:
    """A mask interpreted by the mask rule.

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


@dataclass(frozen=True)
class Rule:
    """The meaning of the masks of a dataset: decided from them, or ``stated`` by the user."""

    meaning: Meaning = "ids"
    stated: bool = False

    def apply(self, values: np.ndarray, name: object = "a mask") -> MaskFrame:
        """Interpret pixel values as ``read_values`` returns them.

        Raises UserError naming it where the mask is soft and the user has not stated it, or contradicts the rule.
        """
        if self.meaning == "soft":
            if not self.stated:
                raise UserError(f"mask {name} has soft edges", _SOFT)
            return MaskFrame((values >= HALF).astype(np.uint8), None, "single")
        if self.meaning == "binary":
            if self.stated:
                return MaskFrame((values > 0).astype(np.uint8), None, "single")
            if not is_black_and_white(values):
                what = f"mask {name} holds other values than 0 and 255, and the masks that were looked at do not"
                raise UserError(what, f"say what masks mean: --masks {' | '.join(MEANINGS)}")
            return MaskFrame((values == WHITE).astype(values.dtype), None, "single")
        if values.max(initial=0) < WHITE or not (is_white := values == WHITE).any():
            return MaskFrame(values, None, "ids")
        return MaskFrame(np.where(is_white, 0, values).astype(values.dtype), is_white, "ids")


def decide(sources: Iterable[str | Path | bytes], stated: Meaning | None = None) -> Rule:
    """Decide the meaning of the masks of a dataset from (a sample of) them, see ``spread``.

    Args:
        stated: the meaning that the user gives. "soft" has no effect on masks that hold ids.

    A mask that cannot be read is ignored here; reading it later raises the error.
    """
    if stated in ("ids", "binary"):
        return Rule(stated, stated=True)
    seen = _Seen()
    for source in sources:
        with contextlib.suppress(UserError):
            seen.add(*_decoded(source, ""))
    if seen.alone and seen.meaning == "ids":
        log.warning("%d of the masks looked at hold 0 and 255 alone, others ids: 255 is void in all", seen.alone)
    if stated == "soft":
        return Rule("soft", stated=True) if seen.meaning in ("soft", "binary") else Rule("ids")
    return Rule(seen.meaning)


class _Seen:
    """Counts over masks. ``shades``: grey pixels from 1 to 254. ``*_inside``: those with four equal neighbours."""

    def __init__(self) -> None:
        self.white = self.white_inside = self.shades = self.shades_inside = 0
        self.values: set[int] = set()
        self.alone = 0  # number of masks with only 0 and 255
        self.exact = False  # whether a mask certainly holds ids: by its palette, colours or 16 bits

    def add(self, values: np.ndarray, is_grey: bool) -> None:
        different = np.unique(values)
        self.alone += bool(different[-1:] == WHITE) and is_black_and_white(different)
        between = (different > 0) & (different != WHITE)
        if not is_grey:
            self.exact |= bool(between.any())
            self.white += int(np.count_nonzero(values == WHITE))
            return
        self.values |= set(different[between].tolist())
        core = values[1:-1, 1:-1]
        inside = (core == values[:-2, 1:-1]) & (core == values[2:, 1:-1])
        inside &= (core == values[1:-1, :-2]) & (core == values[1:-1, 2:])
        white, shade = values == WHITE, (values > 0) & (values != WHITE)
        self.white += int(np.count_nonzero(white))
        self.white_inside += int(np.count_nonzero(inside & white[1:-1, 1:-1]))
        self.shades += int(np.count_nonzero(shade))
        self.shades_inside += int(np.count_nonzero(inside & shade[1:-1, 1:-1]))

    @property
    def meaning(self) -> Meaning:
        """Areas with ids have inside pixels; shades of soft edges have few, as each differs from its neighbours."""
        if self.exact:
            return "ids"
        if not self.values:
            return "binary" if self.white else "ids"
        rim = self.white - self.white_inside
        many = len(self.values) >= 4 and max(self.values) >= HALF and self.shades_inside < 0.25 * self.shades
        few = self.white_inside and self.shades_inside < 0.02 * self.shades
        if (many or few) and self.shades >= 0.25 * rim:
            return "soft"
        return "binary" if few and self.shades < self.white else "ids"  # binary, with stray pixels: ``apply`` refuses


def spread(items: Sequence[T], count: int) -> list[T]:
    """At most ``count`` of the items, evenly spaced, including the first and the last."""
    indices = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[index] for index in indices]


def read_mask(source: str | Path | bytes, rule: Rule | None = None, name: object = "") -> MaskFrame:
    """Read a mask by the mask rule.

    Args:
        source: a PNG's path or its bytes.
        rule: the rule of the whole dataset. None: this mask alone decides; only for a mask without a dataset.
        name: name of the mask in error messages, where ``source`` is bytes.

    Raises:
        UserError: the file is missing, damaged, no PNG, in colours that are not of the palette, or soft.
    """
    name = name or (source if not isinstance(source, bytes) else "a mask")
    return (rule or decide([source])).apply(read_values(source, name), name)


def is_black_and_white(values: np.ndarray) -> bool:
    """Whether all values are 0 or 255."""
    return bool(((values == 0) | (values == WHITE)).all())


def read_values(source: str | Path | bytes, name: object = "") -> np.ndarray:
    """(H, W) numbers stored in a mask, before the mask rule; every kind of white is 255.

    uint8, or uint16 where a 16-bit file holds ids above 255. Raises UserError like ``read_mask``.
    """
    return _decoded(source, name)[0]


def _decoded(source: str | Path | bytes, name: object) -> tuple[np.ndarray, bool]:
    """The values of ``read_values``, and whether the mask is a greyscale image, which may have soft edges."""
    if isinstance(source, bytes):
        data, name = source, name or "a mask"
    else:
        name = source
        try:
            data = read_bytes(source, IMAGE_LIMIT)
        except FileNotFoundError:
            raise UserError(f"mask {source} cannot be read", "there is no such file") from None
    try:
        with open_image(data, ("PNG",)) as image:
            require_pixels(image)
            image.load()
            mode, pixels = image.mode, np.array(image)
            clear = image.has_transparency_data
            alpha = np.array(image.convert("RGBA").getchannel("A")) if clear else None
    except IMAGE_ERRORS as error:
        raise UserError(f"mask {name} is damaged or no PNG ({error})", _REMEDY) from None
    if half := _half_transparent(alpha):
        raise UserError(f"mask {name} has {half} pixels that are half transparent", _REMEDY)
    if mode in ("RGB", "RGBA"):
        values, is_grey = _ids_of_colours(pixels, name)
    else:
        if mode == "LA":
            pixels = pixels[..., 0]
        is_grey = mode in ("L", "LA")
        values = _numbers_of(pixels, mode, data)
    return (values if alpha is None else np.where(alpha == 0, 0, values).astype(values.dtype)), is_grey


def _numbers_of(pixels: np.ndarray, mode: str, data: bytes) -> np.ndarray:
    if mode == "1":
        return pixels.astype(np.uint8)
    if mode.startswith("I"):
        return _fold_16_bit(pixels)
    depth, colour_type = data[24], data[25]  # of the IHDR chunk
    if colour_type == 0 and depth in (2, 4):
        return pixels // (255 // (2**depth - 1))  # undo the decoder's scaling of 2 and 4 bits to 0..255
    return pixels


def _half_transparent(alpha: np.ndarray | None) -> int:
    return 0 if alpha is None else int(np.count_nonzero((alpha > 0) & (alpha < 255)))


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


def _ids_of_colours(pixels: np.ndarray, name: object) -> tuple[np.ndarray, bool]:
    """Ids of palette colours, and False; for a grey image with shades outside the palette, the shades, and True."""
    table, ids = _colour_table()
    codes = _codes(pixels)
    position = np.minimum(np.searchsorted(table, codes), len(table) - 1)
    unknown = table[position] != codes
    if not unknown.any():
        return ids[position], False
    if (pixels[..., :3] == pixels[..., :1]).all():
        return pixels[..., 0], True
    colour = tuple(int(v) for v in pixels[unknown][0][:3])
    raise UserError(f"mask {name} has {int(unknown.sum())} pixels in colours like RGB {colour}", _REMEDY)
