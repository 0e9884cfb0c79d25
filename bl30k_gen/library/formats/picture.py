"""Decodes images with Pillow: every row of them, or not at all."""

import io
import warnings
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from bl30k_gen.config import Limits
from bl30k_gen.library.asset import AssetRefused

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TGA")


def decode(
    data: bytes, name: str, refuse: Callable[[str], AssetRefused], limits: Limits, keep_alpha: bool
) -> np.ndarray:
    """Pixels of an encoded image, upright and scaled down to the limit: (H, W, 3) or, with alpha, (H, W, 4) uint8.

    Raises AssetRefused: no image, cut off, broken, or with more pixels than the limit.
    """
    if not data:
        raise refuse(f"{name} is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow's own, fixed, pixel limit
            opened = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = opened.size
        if width * height > limits.max_megapixels * 1e6:
            raise refuse(
                f"{name} has {width * height / 1e6:.0f} megapixels, more than assets.limits.max_megapixels = "
                f"{limits.max_megapixels:g}"
            )
        opened.draft(None, fitting(opened.size, limits))  # a JPEG can be decoded smaller, which saves gigabytes
        opened.load()
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip rather than scale
            image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
        image = image.convert("RGBA" if keep_alpha and image.has_transparency_data else "RGB")
        if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
            image = image.convert("RGB")
        return fit(np.array(image), limits)
    except AssetRefused:
        raise
    except Image.DecompressionBombError:
        most = 2e-6 * (Image.MAX_IMAGE_PIXELS or 0)
        raise refuse(f"{name} has more than {most:.0f} megapixels, the most that can be decoded") from None
    except UnidentifiedImageError:
        raise refuse(f"{name} is no JPEG, PNG or WebP image, or is cut off") from None
    except Exception as error:  # Pillow's decoders raise all kinds, and what failed here is always the file
        raise refuse(f"{name} cannot be decoded ({error})") from None


def fit(pixels: np.ndarray, limits: Limits) -> np.ndarray:
    """Scale (H, W, C) pixels down to ``max_image_side``, aspect kept; smaller ones are left as they are."""
    size = pixels.shape[1::-1]
    smaller = fitting(size, limits)
    return pixels if smaller == size else np.array(Image.fromarray(pixels).resize(smaller, Image.Resampling.LANCZOS))


def fitting(size: tuple[int, int], limits: Limits) -> tuple[int, int]:
    """The width and height that ``fit`` gives an image of this width and height."""
    excess = max(max(size) / limits.max_image_side, 1)
    return max(1, round(size[0] / excess)), max(1, round(size[1] / excess))
