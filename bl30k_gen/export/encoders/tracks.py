"""Point tracks in the layouts of TAP-Vid, CoTracker, AllTracker and PIPs++.

N points on F frames: ``places`` (N, F, 2) x and y in pixels, with (0, 0) at the top left corner of the image and
(0.5, 0.5) at the centre of its first pixel; ``visible`` (N, F) bool. The published data are pickles; this project
writes pickles only on request and never reads them.
"""

import io
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


def tapvid(places: Array, visible: Bools, size: tuple[int, int]) -> dict[str, npt.NDArray[Any]]:
    """``points`` (N, F, 2) as ratios of width and height, and ``occluded`` (N, F). Definition: tapvid/README.md.

    Points behind the camera are occluded, at (0, 0).

    Args:
        size: (height, width).
    """
    points = places / np.array([size[1], size[0]], np.float32)
    return {"points": np.nan_to_num(points, nan=0.0).astype(np.float32), "occluded": ~visible}


def cotracker(places: Array, visible: Bools) -> dict[str, npt.NDArray[Any]]:
    """``coords`` (N, F, 2) and ``visibility`` (N, F), True where a point is *hidden*: CoTracker's reader negates it.

    Definition: ``datasets/kubric_movif_dataset.py`` of facebookresearch/co-tracker.

    Raises:
        ValueError: a position is NaN, which this layout cannot express.
    """
    _require_places(places)
    return {"coords": places.astype(np.float32), "visibility": ~visible}


def alltracker(places: Array, visible: Bools) -> dict[str, npt.NDArray[Any]]:
    """``point_xys`` (F, N, 2), ``point_visibs`` (F, N), ``point_xys_valid`` (F, N): float32, 1 is visible and valid.

    (0, 0) is the centre of the top left pixel, as in the grid on which AllTracker samples its flow. Its losses
    subtract visibilities from 1, which PyTorch refuses for bool. Definition: ``datasets/kubric_movif_dataset.py``
    and ``datasets/exportdataset.py`` of aharley/alltracker.

    Raises:
        ValueError: a position is NaN; one of the two loaders ignores the validity.
    """
    _require_places(places)
    seen = visible.T.astype(np.float32)
    xys = (places - 0.5).transpose(1, 0, 2).astype(np.float32)
    return {"point_xys": xys, "point_visibs": seen, "point_xys_valid": np.ones_like(seen)}


def _require_places(places: Array) -> None:
    if not np.isfinite(places).all():
        raise ValueError("a point without a place")


def pips(places: Array, visible: Bools, valid: Bools) -> dict[str, npt.NDArray[Any]]:
    """``track_g`` (F, N, 4): x, y, visible, valid. Definition: ``datasets/exportdataset.py`` of aharley/pips2."""
    parts = [np.nan_to_num(places), visible[..., None], valid[..., None]]
    return {"track_g": np.concatenate(parts, -1).transpose(1, 0, 2).astype(np.float32)}


def npz(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """Arrays as a compressed NumPy file without pickle. Raises ValueError for an array of objects."""
    buffer = io.BytesIO()
    if objects := [name for name, array in arrays.items() if array.dtype.hasobject]:
        raise ValueError(f"{objects[0]} is an array of objects")
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def pickled(value: Any) -> bytes:
    """A pickle, as which TAP-Vid is published."""
    return pickle.dumps(value, protocol=4)


def pickled_npy(arrays: dict[str, npt.NDArray[Any]]) -> bytes:
    """A NumPy file with a pickled dictionary, as which the data of CoTracker and AllTracker are published."""
    buffer = io.BytesIO()
    np.save(buffer, np.array(arrays, dtype=object), allow_pickle=True)
    return buffer.getvalue()
