"""Is a stored array the one that is derived? If not, the likely mistakes are tried, to name the one that was made."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from bl30k_gen.annotations.derive import by_field, of_view
from bl30k_gen.annotations.view import View
from bl30k_gen.dataset.derived import KINDS, Bools, Wanted
from bl30k_gen.scene.raster import Surface
from bl30k_gen.scene.rays import cast

CLOSE = 1e-3  # metres or pixels: what is nearer counts as equal; another machine may round otherwise
MATCHING = 0.999  # ratio of the values that must be equal
BESIDE = 0.5 - 1e-6  # pixels; the last place is still in the picture
_MISTAKEN = {"depth": "distance", "distance": "depth", "normals": "normals_world", "normals_world": "normals"}


def compare(view: View, wanted: Wanted, stored: Any) -> str | None:
    """What is wrong with a stored annotation of a frame, in a few words; None: nothing is."""
    truth, found = by_field(wanted, of_view(view, wanted)), by_field(wanted, stored)
    for field, expected in truth.items():
        if found[field].shape != expected.shape:
            return f"`{field}` has the shape {found[field].shape}, not {expected.shape}"
        if not matches(found[field], expected):
            return f"`{field}` {_name(view, wanted, field, found[field], expected)}"
    return None


def matches(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether arrays are equal but for rounding, also at edges."""
    return one.shape == other.shape and bool(_equal(one, other).mean() >= MATCHING)


def _equal(one: np.ndarray, other: np.ndarray) -> Bools:
    return np.isclose(one, other, rtol=0, atol=CLOSE, equal_nan=True) if one.dtype.kind == "f" else one == other


def _name(view: View, wanted: Wanted, field: str, stored: np.ndarray, truth: np.ndarray) -> str:
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
    def of(other: View, kind: Wanted = wanted) -> Callable[[], np.ndarray]:
        return lambda: by_field(kind, of_view(other, kind))[field if kind == wanted else kind.name]

    geometry, frame = view.geometry, view.frame
    if wanted.name in _MISTAKEN:
        yield f"holds {_MISTAKEN[wanted.name]}", of(view, Wanted(_MISTAKEN[wanted.name]))
    if truth.dtype.kind == "f" and truth.shape[:2] == view.shape and truth.ndim == 3:
        swapped = [1, 0, *range(2, truth.shape[2])]
        yield "has x and y swapped", lambda: truth[..., swapped]
        for axis, letter in zip(range(truth.shape[2]), "xyz", strict=False):
            signs = np.where(np.arange(truth.shape[2]) == axis, -1, 1)
            yield f"has the sign of {letter} reversed", lambda signs=signs: truth * signs
        yield "has all signs reversed", lambda: -truth
    for other in (frame + 1, frame - 1):
        if 0 <= other < geometry.frames and 0 <= other + wanted.offset < geometry.frames:
            yield f"is that of frame {other}", of(View(geometry, other))
    if wanted.kind.between:
        for offset in (-wanted.offset, wanted.offset + 1, wanted.offset - 1):
            if offset and 0 <= frame + offset < geometry.frames:
                kind = wanted._replace(offset=offset)
                yield f"leads to frame {frame + offset}", lambda kind=kind: by_field(kind, of_view(view, kind))[field]
    if KINDS[wanted.name].fields[field].shape.startswith("(F, H, W"):
        for shift in (-BESIDE, BESIDE):
            yield "is taken half a pixel beside the pixels' centres", of(beside(view, shift))
            if wanted.name == "flow":
                yield "leads half a pixel beside its goal", lambda shift=shift: truth + np.float32(shift)
        for thing in geometry.spec.objects:
            yield f"lacks object {thing.id}", of(View(geometry.without(thing.id), frame))


def beside(view: View, shift: float) -> View:
    """The same frame, looked at beside the centres of its pixels."""
    rows, columns = np.indices(view.shape) + 0.5 + shift
    met = cast(view.geometry, view.frame, np.stack([columns, rows], axis=-1).reshape(-1, 2))
    other, size = View(view.geometry, view.frame), view.shape
    vars(other)["surface"] = Surface(
        met.ids.reshape(size), met.faces.reshape(size), met.barycentrics.reshape(*size, 3), met.depth.reshape(size)
    )
    return other
