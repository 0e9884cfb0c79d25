"""The one loader of assets, and the one list of reasons for refusing them.

Whether an asset is refused depends on its bytes (and the limits in the configuration) alone, so every process
that loads it comes to the same answer. Blender never opens a file from outside: it is given these arrays.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Picture:
    """A decoded image: (H, W, 3) or (H, W, 4) uint8 sRGB, top row first."""

    pixels: np.ndarray
    sha256: str


@dataclass(frozen=True)
class Part:
    """Faces of a model that share one material."""

    faces: np.ndarray  # (F, 3) int32, indices into the model's vertices
    uv: np.ndarray | None  # (F, 3, 2) float32 per corner, v upwards; None where the file has none that is usable
    colour: tuple[float, float, float]  # linear RGB base colour; multiplies ``texture``
    texture: np.ndarray | None  # (H, W, 3) or (H, W, 4) uint8 sRGB
    roughness: float
    metallic: float


@dataclass(frozen=True)
class Model:
    """A mesh, centred on its bounding box, with a unit diagonal, z up and its front towards -y."""

    vertices: np.ndarray  # (V, 3) float32, equal positions merged
    parts: tuple[Part, ...]
    sha256: str

    @property
    def has_texture(self) -> bool:
        return any(part.texture is not None for part in self.parts)
