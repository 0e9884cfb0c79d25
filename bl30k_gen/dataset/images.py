"""The only decoder of images from outside. It defines the meaning of orientation, depth, alpha and profile by use.

- 16 bits a channel become 8; the lower bits are dropped.
- A colour profile is applied, so that all pixels are sRGB. A profile that cannot be read, or is sRGB, is ignored.
- An alpha channel that is opaque everywhere, or zero everywhere, is ignored.
- EXIF orientation turns photographs. Textures of models keep their stored pixels, to which texture coordinates refer.
  Frames with an orientation are refused: their masks may fit the stored or the turned image.
- Text inside an image is not read.
"""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageCms, ImageOps

FORMATS = ("JPEG", "PNG", "WEBP")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")  # of frames

MAX_SCANNED = 10**9
"""Pixels times scans of a progressive JPEG: 80 megapixels in the usual ten or twelve scans."""

MAX_PIXELS = 8192 * 8192  # of a frame or a mask
MAX_PROFILE = 4 << 20  # bytes
IMAGE_LIMIT = 256 << 20  # bytes of a file
ORIENTATION = 0x0112  # the EXIF tag; 1 is upright

# Exceptions that decoding a damaged image may raise.
IMAGE_ERRORS = (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError)

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TEXT = (b"tEXt", b"zTXt", b"iTXt")
_16_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


@dataclass(frozen=True)
class Use:
    """Which properties of an image are applied for a use.

    upright: its EXIF orientation. profile: its colour profile. alpha: its alpha channel is kept.
    """

    upright: bool = False
    profile: bool = True
    alpha: bool = False


PHOTO = Use(upright=True)  # a background, or a new texture for an object
FRAME = Use()  # a frame of a video, or a still image with a mask: see ``open_frame``
TEXTURE = Use(alpha=True)  # a texture of a model
GLTF_TEXTURE = Use(profile=False, alpha=True)  # a texture of a glTF model; its specification ignores profiles


def open_image(data: bytes, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    """Open an image; reads the header, but not the pixels. Raises one of ``IMAGE_ERRORS``."""
    if data.startswith(_SIGNATURE):
        data = _without_text(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # callers have limits of their own
        image = Image.open(io.BytesIO(data), formats=formats)
    if data.startswith(b"\xff\xd8"):
        scans = _scans(data)
        if scans * image.width * image.height > MAX_SCANNED:
            raise ValueError(f"it is a JPEG of {image.width}x{image.height} in {scans} scans, too much work")
    return image


def _scans(data: bytes) -> int:
    """The number of scans of a JPEG, without what some phones append to it; 1 if its markers are damaged."""
    scans, at = 0, 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        marker = data[at + 1]
        if marker == 0xD9:  # the end of the image
            break
        if marker in (0x00, 0xFF) or 0xD0 <= marker <= 0xD8:  # a scan's byte, filling, or a marker without a length
            at += 1 if marker == 0xFF else 2
            continue
        scans += marker == 0xDA
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return max(scans, 1)


def require_pixels(image: Image.Image) -> None:
    """Raises ValueError for an image with more than ``MAX_PIXELS`` pixels, before they are decoded."""
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{image.width}x{image.height} pixels are more than a frame has")


class TurnedFrame(ValueError):
    """A frame with an EXIF orientation, so that its mask may fit the stored or the turned pixels."""

    remedy = "turn its pixels and remove the tag (mogrify -auto-orient), so that frame and mask lie alike"


def open_frame(data: bytes) -> Image.Image:
    """Open an image that has a mask, as ``open_image``. Raises TurnedFrame, and ValueError if it is too large."""
    image = open_image(data)
    require_pixels(image)
    if (turned := orientation(image)) != 1:
        raise TurnedFrame(f"has EXIF orientation {turned}: does its mask lie as it is stored, or as it is shown?")
    return image


def to_srgb(image: Image.Image, use: Use, remark: Callable[[str], None] = lambda text: None) -> Image.Image:
    """An opened image as 8-bit sRGB, mode RGB or RGBA. Raises one of ``IMAGE_ERRORS``.

    Args:
        remark: called with a sentence about each property of the image that this use ignores.
    """
    image.load()
    profile = image.info.get("icc_profile")
    if use.upright:
        image = ImageOps.exif_transpose(image)
    elif (turned := orientation(image)) != 1:
        remark(f"its EXIF orientation {turned} is not applied: stored pixels are what counts")
    if image.mode in _16_BIT:
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
    alpha = image.convert("RGBA").getchannel("A") if use.alpha and image.has_transparency_data else None
    if profile and use.profile:
        image = _apply_profile(image, profile)
    if image.mode != "RGB":  # else ``convert`` would copy
        image = image.convert("RGB")
    if alpha is not None:
        values = np.asarray(alpha)
        if not values.any():
            remark("its alpha channel is zero everywhere, and counts as none")
        elif values.min() < 255:
            image.putalpha(alpha)
    return image


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image, from 1 (upright) to 8."""
    if "exif" not in image.info:  # a PNG may have it behind its pixels, but finding it would decode them
        return 1
    try:
        value = image.getexif().get(ORIENTATION, 1)
    except IMAGE_ERRORS:
        return 1
    return value if value in range(1, 9) else 1


def _without_text(data: bytes) -> bytes:
    """A PNG without its text chunks: Pillow would decompress them, and refuse the image if they are long."""
    kept, position, start = [], len(_SIGNATURE), 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if kind in _TEXT:
            kept.append(data[start:position])
            start = min(end, len(data))
        if kind == b"IEND" or end > len(data):
            break
        position = end
    return data if not kept else b"".join([*kept, data[start:]])


def _apply_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """The image in sRGB; unchanged where the profile is sRGB, damaged or does not fit the image."""
    if len(profile) > MAX_PROFILE or image.mode not in ("RGB", "RGBA", "L", "LA", "CMYK"):
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image
        opaque = image.convert(image.mode.removesuffix("A")) if image.mode in ("RGBA", "LA") else image
        converted = ImageCms.profileToProfile(opaque, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    return image if converted is None else converted
