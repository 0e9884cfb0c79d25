"""Compare stored arrays with derived ones; where they differ, try likely mistakes to name the one that was made."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from bl30k_gen.annotations.derive import by_field, of_view
from bl30k_gen.annotations.view import View
from bl30k_gen.dataset.derived import KINDS, Bools, Wanted
from bl30k_gen.scene.raster import Surface
from bl30k_gen.scene.rays import cast

TOLERANCE = 1e-3  # metres or pixels: another machine may round otherwise
MIN_EQUAL = 0.999  # ratio of the values that must be equal
HALF_PIXEL = 0.5 - 1e-6  # pixels; the last pixel's shifted centre is still in the image
_CONFUSED = {"depth": "distance", "distance": "depth", "normals": "normals_world", "normals_world": "normals"}


def compare(view: View, wanted: Wanted, stored: Any) -> str | None:
    """Describe what is wrong with a stored annotation of a frame, in a few words; None if nothing is."""
    truth, arrays = by_field(wanted, of_view(view, wanted)), by_field(wanted, stored)
    for field, expected in truth.items():
        if arrays[field].shape != expected.shape:
            return f"`{field}` has the shape {arrays[field].shape}, not {expected.shape}"
        if not matches(arrays[field], expected):
            return f"`{field}` {_mistake(view, wanted, field, arrays[field], expected)}"
    return None


def matches(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether arrays are equal apart from rounding, which also moves single pixels at edges."""
    return one.shape == other.shape and bool(_equal(one, other).mean() >= MIN_EQUAL)


def _equal(one: np.ndarray, other: np.ndarray) -> Bools:
    return np.isclose(one, other, rtol=0, atol=TOLERANCE, equal_nan=True) if one.dtype.kind == "f" else one == other


def _mistake(view: View, wanted: Wanted, field: str, stored: np.ndarray, truth: np.ndarray) -> str:
    """The likely mistake that gives the stored array, else where and by how much it differs."""
    for mistake, make in _mistakes(view, wanted, field, truth):
        if matches(stored, make()):
            return mistake
    wrong = ~_equal(stored, truth)
    if truth.shape[:2] == view.shape:
        ids = np.unique(view.surface.ids[wrong.reshape(*view.shape, -1).any(axis=-1)])
        if len(ids) == 1 and ids[0]:
            return f"is wrong on object {ids[0]} alone: of another mesh or path"
    return f"is not what is derived: {np.count_nonzero(wrong)} of {wrong.size} values differ"


def _mistakes(
    view: View, wanted: Wanted, field: str, truth: np.ndarray
) -> Iterator[tuple[str, Callable[[], np.ndarray]]]:
    """Likely mistakes: a description, and a function that makes the array as it would then be."""
    geometry, frame = view.geometry, view.frame
    if wanted.name in _CONFUSED:
        other = _CONFUSED[wanted.name]
        yield f"holds {other}", partial(_field, view, Wanted(other), other)
    if truth.dtype.kind == "f" and truth.shape[:2] == view.shape and truth.ndim == 3:
        yield "has x and y swapped", partial(np.take, truth, [1, 0, *range(2, truth.shape[2])], axis=2)
        for axis, letter in zip(range(truth.shape[2]), "xyz", strict=False):
            signs = np.where(np.arange(truth.shape[2]) == axis, -1, 1)
            yield f"has the sign of {letter} reversed", partial(np.multiply, truth, signs)
        yield "has all signs reversed", partial(np.negative, truth)
    for neighbour in (frame + 1, frame - 1):
        if 0 <= neighbour < geometry.frames and 0 <= neighbour + wanted.offset < geometry.frames:
            yield f"is that of frame {neighbour}", partial(_field, View(geometry, neighbour), wanted, field)
    if wanted.kind.between:
        for offset in (-wanted.offset, wanted.offset + 1, wanted.offset - 1):
            if offset and 0 <= frame + offset < geometry.frames:
                yield f"leads to frame {frame + offset}", partial(_field, view, wanted._replace(offset=offset), field)
    if KINDS[wanted.name].fields[field].shape.startswith("(F, H, W"):
        for shift in (-HALF_PIXEL, HALF_PIXEL):
            sampled = shifted(view, shift)
            yield "is taken half a pixel beside the pixels' centres", partial(_field, sampled, wanted, field)
            if wanted.name == "flow":
                yield "leads half a pixel beside its target", partial(np.add, truth, np.float32(shift))
        for thing in geometry.spec.objects:
            without = View(geometry.without(thing.id), frame)
            yield f"lacks object {thing.id}", partial(_field, without, wanted, field)


def _field(view: View, wanted: Wanted, field: str) -> np.ndarray:
    return by_field(wanted, of_view(view, wanted))[field]


def shifted(view: View, shift: float) -> View:
    """The same frame, sampled ``shift`` pixels (in x and y) beside the centres of its pixels."""
    rows, columns = np.indices(view.shape) + 0.5 + shift
    met = cast(view.geometry, view.frame, np.stack([columns, rows], axis=-1).reshape(-1, 2))
    other, size = View(view.geometry, view.frame), view.shape
    vars(other)["surface"] = Surface(
        met.ids.reshape(size), met.faces.reshape(size), met.barycentrics.reshape(*size, 3), met.depth.reshape(size)
    )
    return other
