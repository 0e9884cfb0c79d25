"""Effects of a camera's optics: defocus by circles of confusion, and tone mapping."""

import numpy as np
from scipy import fft

from bl30k_gen.builtin.patterns import smoothstep
from bl30k_gen.library.formats.mesh import linear


def defocus(image: np.ndarray, radius: float, sparkle: float = 0.0) -> np.ndarray:
    """Defocus an (H, W, 3) sRGB image in 0..1 by discs of ``radius`` pixels.

    Args:
        sparkle: by how much light sources exceeded white before the image was clipped.
    """
    light = linear(np.clip(image, 0, 1))
    light = light * (1 + sparkle * smoothstep(0.55, 0.95, light.max(axis=-1, keepdims=True)))
    return encode(disc_blur(light.transpose(2, 0, 1).astype(np.float32), radius)).transpose(1, 2, 0)


def disc_blur(stack: np.ndarray, radius: float) -> np.ndarray:
    """Convolve (C, H, W) images with a disc, mirrored at the borders."""
    pad = int(np.ceil(radius)) + 1
    padded = np.pad(stack, ((0, 0), (pad, pad), (pad, pad)), mode="reflect")
    shape = [fft.next_fast_len(n, real=True) for n in padded.shape[1:]]
    y, x = np.mgrid[-pad : pad + 1, -pad : pad + 1]
    disc = smoothstep(radius + 0.5, radius - 0.5, np.hypot(y, x)).astype(np.float32)
    kernel = np.zeros(shape, np.float32)
    kernel[: 2 * pad + 1, : 2 * pad + 1] = disc / disc.sum()
    product = fft.rfft2(padded, s=shape) * fft.rfft2(kernel)
    whole = fft.irfft2(product, s=shape)
    rows, columns = stack.shape[1:]
    return whole[:, 2 * pad : 2 * pad + rows, 2 * pad : 2 * pad + columns]


def film(image: np.ndarray) -> np.ndarray:
    """Tone-map linear light to sRGB, by Narkowicz's fit of the ACES curve."""
    x = np.clip(image, 0, 60)
    tone = np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0, 1)
    return encode(tone)


def encode(light: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB, both in 0..1; brighter light is clipped."""
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
