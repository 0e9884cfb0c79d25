"""The types that the loader returns, and the exception with which it refuses an asset."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

AssetKind = Literal["model", "texture", "background"]
ImageKind = Literal["texture", "background"]
Wrap = Literal["repeat", "clamp", "mirror"]
"""How a texture continues outside of 0..1."""


class AssetRefused(Exception):
    """An asset cannot be used. ``reason`` is one line that names the file and what is wrong with it."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class ImageAsset:
    """An image. Its pixels are computed on first use, because planning a video needs only its digest and size."""

    size: tuple[int, int]  # width, height
    sha256: str
    make: Callable[[], np.ndarray]
    remarks: tuple[str, ...] = ()  # see ``Model.remarks``

    @cached_property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) or (H, W, 4) uint8 sRGB, top row first."""
        return self.make()


@dataclass(frozen=True)
class Part:
    """Faces of a model that share one material."""

    faces: np.ndarray  # (F, 3) int32, indices into the model's vertices
    uv: np.ndarray | None  # (F, 3, 2) float32 per corner, v upwards; None if the file has no usable ones
    colour: tuple[float, float, float]  # linear RGB base colour; multiplies ``texture``
    texture: np.ndarray | None  # (H, W, 3) or (H, W, 4) uint8 sRGB
    roughness: float
    metallic: float
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")  # of ``texture``, along u and v

    @property
    def has_holes(self) -> bool:
        """Whether some texels are transparent; they become holes only with ``render.alpha: clip``."""
        return self.texture is not None and self.texture.shape[2] == 4 and bool((self.texture[..., 3] < 128).any())


@dataclass(frozen=True, eq=False)  # compared by identity, as arrays have no single truth value
class Model:
    """A mesh, centred on its bounding box, with a unit diagonal, z up and its front towards -y."""

    vertices: np.ndarray  # (V, 3) float32, equal positions merged
    parts: tuple[Part, ...]
    sha256: str
    remarks: tuple[str, ...] = ()  # lines about content of the file that is not rendered, or rendered differently

    @property
    def has_texture(self) -> bool:
        return any(part.texture is not None for part in self.parts)
