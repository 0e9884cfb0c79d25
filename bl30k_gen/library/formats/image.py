"""Decode images of assets, completely or not at all, and scale them down to the limit."""

from collections.abc import Callable

import numpy as np
from PIL import Image, UnidentifiedImageError

from bl30k_gen.config import Limits
from bl30k_gen.dataset import images
from bl30k_gen.dataset.images import Use
from bl30k_gen.library.asset import AssetRefused

FORMATS = (*images.FORMATS, "BMP", "TGA")


def decode(
    data: bytes,
    name: str,
    refuse: Callable[[str], AssetRefused],
    limits: Limits,
    use: Use,
    remark: Callable[[str], None] = lambda text: None,
) -> np.ndarray:
    """Decode an image and scale it down to the limit: (H, W, 3) or, with alpha, (H, W, 4) uint8 sRGB.

    Raises AssetRefused: it is no image, cut off or damaged, or has too many pixels.
    """
    if not data:
        raise refuse(f"{name} is empty")
    try:
        image = images.open_image(data, FORMATS)
        width, height = image.size
        if width * height > limits.max_megapixels * 1e6:
            raise refuse(
                f"{name} has {width * height / 1e6:.0f} megapixels, more than assets.limits.max_megapixels = "
                f"{limits.max_megapixels:g}"
            )
        image.draft(None, fitting(image.size, limits))  # a JPEG can be decoded smaller, which saves gigabytes
        return fit(np.array(images.to_srgb(image, use, lambda text: remark(f"{name}: {text}"))), limits)
    except (AssetRefused, MemoryError):  # too little memory is this machine's fault
        raise
    except Image.DecompressionBombError:
        limit = 2e-6 * (Image.MAX_IMAGE_PIXELS or 0)
        raise refuse(f"{name} has more than {limit:.0f} megapixels, the most that can be decoded") from None
    except UnidentifiedImageError:
        raise refuse(f"{name} is no JPEG, PNG or WebP image, or is cut off") from None
    except Exception as error:  # Pillow's decoders raise many types, and the cause is always the file
        raise refuse(f"{name} cannot be decoded ({error})") from None


def fit(pixels: np.ndarray, limits: Limits) -> np.ndarray:
    """Scale (H, W, C) pixels down to ``max_image_side``, keeping the aspect ratio; smaller images are unchanged."""
    size = pixels.shape[1::-1]
    smaller = fitting(size, limits)
    if smaller == size:
        return pixels
    # Pillow would multiply colours by alpha first, and turn those of transparent pixels black.
    layers = [pixels[..., :3], pixels[..., 3:]] if pixels.shape[2] == 4 else [pixels]
    scaled = (Image.fromarray(layer.squeeze()).resize(smaller, Image.Resampling.LANCZOS) for layer in layers)
    return np.dstack([np.asarray(layer) for layer in scaled])


def fitting(size: tuple[int, int], limits: Limits) -> tuple[int, int]:
    """The (width, height) to which ``fit`` scales an image of this (width, height)."""
    excess = max(max(size) / limits.max_image_side, 1)
    return max(1, round(size[0] / excess)), max(1, round(size[1] / excess))
