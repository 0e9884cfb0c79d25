"""Depth as 16-bit PNG with a scale, and as EXR. Depth is (H, W) float32 metres, NaN where there is no surface."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from bl30k_gen.export.encoders.png import png as grey

Array = npt.NDArray[np.float32]

_MAX = (1 << 16) - 1


def png(depth: Array, scale: float) -> bytes:
    """A PNG whose values are depth * ``scale``, rounded; 0 where there is no surface.

    Raises:
        ValueError: a value does not fit into 16 bits, or would be rounded to 0.
    """
    steps = np.rint(depth.astype(np.float64) * scale)
    known = np.isfinite(depth)
    if known.any() and not 1 <= steps[known].min() <= steps[known].max() <= _MAX:
        near, far = depth[known].min(), depth[known].max()
        raise ValueError(f"depths of {near:.4g} to {far:.4g} m do not fit into 16 bits with scale {scale:g}")
    return grey(np.where(known, steps, 0).astype(np.uint16))


def exr(path: Path, depth: Array) -> None:
    """Write an EXR with one channel ``Z``, 32-bit floats, exact; NaN stays NaN."""
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"Z": np.ascontiguousarray(depth, np.float32)}) as file:
        file.write(str(path))
