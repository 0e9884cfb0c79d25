"""Holes of surfaces: where their texture is transparent (``render.alpha: clip``)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import Model, Wrap

ALPHA_THRESHOLD = 127.5  # of 255: alpha above it is surface, as in the renderer's materials
NO_TEXTURE = -1


@dataclass(frozen=True, eq=False)
class Holes:
    """The alpha textures of the F faces of a model, which are numbered through all of its parts."""

    uv: npt.NDArray[np.float32]  # (F, 3, 2) per corner, v upwards
    textures: npt.NDArray[np.int32]  # (F,) index into ``alphas``, or NO_TEXTURE
    alphas: tuple[npt.NDArray[np.uint8], ...]  # (H, W) each, top row first
    wraps: tuple[tuple[Wrap, Wrap], ...]  # of each texture along u and v, outside of 0..1

    def opaque(self, faces: npt.NDArray[np.integer], weights: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """(N,) whether points are surface: on (N,) faces, at (N, 3) barycentric weights."""
        uv = np.einsum("ni,nij->nj", weights, self.uv[faces])
        result = np.ones(len(faces), dtype=bool)
        for number, (alpha, wrap) in enumerate(zip(self.alphas, self.wraps, strict=True)):
            here = np.flatnonzero(self.textures[faces] == number)
            result[here] = _bilinear(alpha, _wrapped(uv[here], wrap, alpha.shape)) > ALPHA_THRESHOLD
        return result


def holes_of(model: Model) -> Holes | None:
    """The holes of a model, or None.

    Raises:
        UserError: a part with holes has no texture coordinates; the renderer chooses them, so holes are unknown here.
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


def _wrapped(uv: npt.NDArray[np.float64], wrap: tuple[Wrap, Wrap], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """(N, 2) texture coordinates mapped to 0..1 like the renderer's materials do, except ``repeat``, which stays.

    Args:
        size: (height, width) of the texture.
    """
    result = uv.copy()
    for axis, (kind, side) in enumerate(zip(wrap, size[::-1], strict=True)):
        if kind == "mirror":
            result[:, axis] = 1 - np.abs(result[:, axis] % 2 - 1)
        if kind != "repeat":
            result[:, axis] = result[:, axis].clip(0.5 / side, 1 - 0.5 / side)
    return result


def _bilinear(alpha: npt.NDArray[np.uint8], uv: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(N,) bilinear values of a repeated image at (N, 2) texture coordinates."""
    height, width = alpha.shape
    x, y = uv[:, 0] * width - 0.5, (1 - uv[:, 1]) * height - 0.5
    left, top = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    across, down = x - left, y - top
    columns, rows = (left % width, (left + 1) % width), (top % height, (top + 1) % height)
    upper, lower = (alpha[row, columns[0]] * (1 - across) + alpha[row, columns[1]] * across for row in rows)
    return upper * (1 - down) + lower * down
