"""Where surfaces are cut out, because their texture is transparent there (``render.alpha: clip``)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import Model, Wrap

OPAQUE = 127.5  # of 255: alpha above it is surface, as in the renderer's materials
NO_TEXTURE = -1


@dataclass(frozen=True, eq=False)
class Holes:
    """What is cut out of the F faces of a model; they are numbered through all of its parts."""

    uv: npt.NDArray[np.float32]  # (F, 3, 2) per corner, v upwards
    textures: npt.NDArray[np.int32]  # (F,) which of ``alphas`` a face has, or NO_TEXTURE
    alphas: tuple[npt.NDArray[np.uint8], ...]  # (H, W) each, top row first
    wraps: tuple[tuple[Wrap, Wrap], ...]  # how each continues outside of 0..1, along u and v

    def opaque(self, faces: npt.NDArray[np.integer], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Whether there is a surface at (N,) faces, at the points of (N, 3) weights of their corners."""
        places = np.einsum("ni,nij->nj", weights, self.uv[faces])
        found = np.ones(len(faces), dtype=bool)
        for number, (alpha, wrap) in enumerate(zip(self.alphas, self.wraps, strict=True)):
            here = np.flatnonzero(self.textures[faces] == number)
            found[here] = _linear(alpha, _wrapped(places[here], wrap, alpha.shape)) > OPAQUE
        return found


def holes_of(model: Model) -> Holes | None:
    """None where a model has none.

    Raises:
        UserError: a part with holes has no texture coordinates of its own, so that the renderer chooses them.
    """
    cut = [number for number, part in enumerate(model.parts) if part.has_holes]
    if not cut:
        return None
    if any(model.parts[number].uv is None for number in cut):
        problem = f"model {model.sha256[:12]} is transparent somewhere and has no texture coordinates"
        raise UserError(problem, "where its holes are is not known: leave videos with it out")
    uv = [np.zeros((*part.faces.shape, 2), np.float32) if part.uv is None else part.uv for part in model.parts]
    numbers = [cut.index(number) if number in cut else NO_TEXTURE for number in range(len(model.parts))]
    textures = np.repeat(np.array(numbers, np.int32), [len(part.faces) for part in model.parts])
    images = (model.parts[number].texture for number in cut)
    alphas = tuple(p[..., 3].copy() for p in images if p is not None)
    return Holes(np.concatenate(uv), textures, alphas, tuple(model.parts[number].wrap for number in cut))


def _wrapped(
    places: npt.NDArray[np.float64], wrap: tuple[Wrap, Wrap], size: tuple[int, int]
) -> npt.NDArray[np.float64]:
    """(N, 2) texture coordinates in 0..1, as the renderer's materials have them; ``size`` is (height, width)."""
    found = places.copy()
    for axis, (kind, side) in enumerate(zip(wrap, size[::-1], strict=True)):
        if kind == "mirror":
            found[:, axis] = 1 - np.abs(found[:, axis] % 2 - 1)
        if kind != "repeat":
            found[:, axis] = found[:, axis].clip(0.5 / side, 1 - 0.5 / side)
    return found


def _linear(alpha: npt.NDArray[np.uint8], places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N,) values at (N, 2) texture coordinates, linear between the four nearest texels; the image is repeated."""
    height, width = alpha.shape
    x, y = places[:, 0] * width - 0.5, (1 - places[:, 1]) * height - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, down = x - left, y - top
    columns, rows = (left % width, (left + 1) % width), (top % height, (top + 1) % height)
    upper, lower = (alpha[row, columns[0]] * (1 - across) + alpha[row, columns[1]] * across for row in rows)
    return upper * (1 - down) + lower * down
