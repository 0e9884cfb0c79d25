"""``Metadata/<video>.json``: only facts that the scene description and the pixels of a video determine.

Equal videos give equal bytes. Time, host, device and attempts are recorded in ``Logs/``.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from bl30k_gen.dataset.files import sha256_bytes

SCHEMA_VERSION = 1
DECIMALS = 7  # of matrices: a tenth of a micrometre; rounds away differences between machines in the last bits


def build_metadata(
    spec: Mapping[str, Any],
    *,
    config_digest: str,
    versions: Mapping[str, str],
    visible_area: np.ndarray,
    intrinsics: np.ndarray,
    extrinsics: np.ndarray,
    poses: np.ndarray,
    files: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Assemble the metadata of one video with F frames and O objects.

    Args:
        spec: the SceneSpec as JSON.
        config_digest: digest of the dataset's configuration.
        versions: versions of the programs that affect the pixels, e.g. ``{"bpy": "4.2.23"}``.
        visible_area: (F, O) pixels of each object, objects in the order of ``spec["objects"]``.
        intrinsics: (3, 3) camera matrix in pixels.
        extrinsics: (F, 4, 4) world to camera.
        poses: (O, F, 4, 4) object to world, with its scale.
        files: ``{path in the dataset: {"bytes": int, "sha256": str}}``, see ``layout.describe_staged``.

    Raises:
        ValueError: shapes that do not fit the scene.
    """
    frames, objects = spec["video"]["frames"], spec["objects"]
    _require_shape(spec["name"], "visible_area", visible_area, (frames, len(objects)))
    _require_shape(spec["name"], "intrinsics", intrinsics, (3, 3))
    _require_shape(spec["name"], "extrinsics", extrinsics, (frames, 4, 4))
    _require_shape(spec["name"], "poses", poses, (len(objects), frames, 4, 4))
    metadata = {
        "schema_version": SCHEMA_VERSION,
        "name": spec["name"],
        "split": spec["split"],
        "scene": dict(spec),
        "config_digest": config_digest,
        "versions": dict(versions),
        "camera": {"intrinsics": _rounded(intrinsics), "extrinsics": _rounded(extrinsics)},
        "objects": [
            {
                "id": described["id"],
                "visible_area": [int(area) for area in np.asarray(visible_area)[:, number]],
                "poses": _rounded(poses[number]),
            }
            for number, described in enumerate(objects)
        ],
        "files": {path: dict(entry) for path, entry in files.items()},
    }
    return metadata | {"digest": digest(metadata)}


def _require_shape(video: str, name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    array = np.asarray(array)
    if array.shape != shape and not (array.size == 0 and 0 in shape):  # without objects, [] fits every shape
        raise ValueError(f"{video}: {name} has shape {array.shape}, not {shape}")


def digest(metadata: Mapping[str, Any]) -> str:
    """SHA-256 of the metadata without the key ``digest`` itself."""
    return sha256_bytes(_canonical({k: v for k, v in metadata.items() if k != "digest"}).encode())


def dumps(metadata: Mapping[str, Any]) -> str:
    """JSON text with one top-level key a line; equal metadata give equal text."""
    lines = (f"{json.dumps(key)}: {_canonical(metadata[key])}" for key in sorted(metadata))
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _rounded(matrices: np.ndarray) -> list:
    return (np.round(np.asarray(matrices, np.float64), DECIMALS) + 0.0).tolist()  # + 0.0 turns -0.0 into 0.0
