"""What the loader returns, and what it may refuse: plain types without behaviour."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

AssetKind = Literal["model", "texture", "background"]
ImageKind = Literal["texture", "background"]
Wrap = Literal["repeat", "clamp", "mirror"]
"""What a texture shows outside of 0..1."""


class AssetRefused(Exception):
    """An asset cannot be used. ``reason`` is one line that names the file and what is wrong with it."""

    def __init__(self, reason: str):
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, eq=False)
class ImageAsset:
    """An image, whose pixels are made when they are asked for: planning a video needs its digest and size alone."""

    size: tuple[int, int]  # width, height
    sha256: str
    make: Callable[[], np.ndarray]
    remarks: tuple[str, ...] = ()  # as a ``Model`` has them

    @cached_property
    def pixels(self) -> np.ndarray:
        """(H, W, 3) or (H, W, 4) uint8 sRGB, top row first."""
        return self.make()


@dataclass(frozen=True)
class Part:
    """Faces of a model that share one material."""

    faces: np.ndarray  # (F, 3) int32, indices into the model's vertices
    uv: np.ndarray | None  # (F, 3, 2) float32 per corner, v upwards; None where the file has none that is usable
    colour: tuple[float, float, float]  # linear RGB base colour; multiplies ``texture``
    texture: np.ndarray | None  # (H, W, 3) or (H, W, 4) uint8 sRGB
    roughness: float
    metallic: float
    wrap: tuple[Wrap, Wrap] = ("repeat", "repeat")  # of ``texture``, along u and v

    @property
    def has_holes(self) -> bool:
        """Whether texels are transparent; they are holes with ``render.alpha: clip`` alone."""
        return self.texture is not None and self.texture.shape[2] == 4 and bool((self.texture[..., 3] < 128).any())


@dataclass(frozen=True, eq=False)  # arrays have no equality; a model is itself
class Model:
    """A mesh, centred on its bounding box, with a unit diagonal, z up and its front towards -y."""

    vertices: np.ndarray  # (V, 3) float32, equal positions merged
    parts: tuple[Part, ...]
    sha256: str
    remarks: tuple[str, ...] = ()  # lines on what its file holds that is not drawn, or is drawn otherwise

    @property
    def has_texture(self) -> bool:
        return any(part.texture is not None for part in self.parts)
