"""Optical flow in the file formats of Middlebury (``.flo``), Spring (``.flo5``) and KITTI (16-bit PNG).

Flow is (H, W, 2) float32 in pixels, x right and y down; ``valid`` is (H, W) bool.
"""

import io

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_TAG = 202021.25  # as float32 the bytes PIEH
UNKNOWN = 1e10  # in Middlebury's format values above 1e9 are unknown
KITTI_STEP, _KITTI_ZERO = 1 / 64, 1 << 15  # pixels


def flo(flow: Array, valid: Bools) -> bytes:
    """Middlebury's format, exact. Definition: https://vision.middlebury.edu/flow/code/flow-code/README.txt."""
    height, width = valid.shape
    head = np.float32(_TAG).astype("<f4").tobytes() + np.array([width, height], "<i4").tobytes()
    return head + np.where(valid[..., None], flow, np.float32(UNKNOWN)).astype("<f4").tobytes()


def flo5(flow: Array, valid: Bools) -> bytes:
    """Spring's format, exact: HDF5 with one dataset ``flow``, NaN where it is not valid."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        values = np.where(valid[..., None], flow, np.float32(np.nan)).astype(np.float32)
        file.create_dataset("flow", data=values, compression="gzip", compression_opts=5, track_times=False)
    return buffer.getvalue()


def kitti(flow: Array, valid: Bools) -> tuple[bytes, int]:
    """KITTI's format: 16-bit PNG of u, v and valid, in steps of 1/64 pixel. Definition: its devkit's readme.

    Returns:
        The bytes of the PNG, and the number of valid pixels that move further than 512 pixels, the format's limit:
        they are not valid in the PNG.
    """
    import cv2

    steps = np.rint(np.nan_to_num(flow.astype(np.float64)) / KITTI_STEP) + _KITTI_ZERO
    fits = valid & ((steps >= 0) & (steps < 1 << 16)).all(-1)
    stored = np.zeros((*valid.shape, 3), np.uint16)
    stored[..., :2][fits] = steps[fits]
    stored[..., 2] = fits
    return cv2.imencode(".png", stored[..., ::-1])[1].tobytes(), int((valid & ~fits).sum())
