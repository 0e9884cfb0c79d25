"""MDS shards of the package `mosaicml-streaming`, written without it. Definition: its ``base/format/mds``.

A shard consists of the number of samples N (uint32), N + 1 offsets from the beginning of the file (uint32), the
configuration as JSON, and the samples. A sample consists of the sizes (uint32) of its columns without a fixed size,
and of the bytes of the columns in alphabetical order of their names. All numbers are little-endian.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_FIXED = {"int": 8}  # bytes of the encodings with a fixed size

Columns = Mapping[str, str]  # {name: encoding}


def write_shard(path: Path, columns: Columns, samples: Iterable[Mapping[str, bytes]], count: int) -> None:
    """Write ``count`` samples with encoded values, one after the other.

    Raises:
        ValueError: there are not ``count`` samples, or they exceed 4 GB, the limit of the offsets.
    """
    config = json.dumps(_config(columns), sort_keys=True).encode()
    ends = [4 + 4 * (count + 1) + len(config)]
    with open(path, "wb") as file:
        file.seek(ends[0])
        for sample in samples:
            file.write(_sample(columns, sample))
            ends.append(file.tell())
        if len(ends) != count + 1:
            raise ValueError(f"{len(ends) - 1} samples, not {count}")
        if ends[-1] >= 1 << 32:
            raise ValueError("an MDS shard holds less than 4 GB")
        file.seek(0)
        file.write(np.array([count, *ends], "<u4").tobytes() + config)


def index(columns: Columns, shards: Iterable[Path]) -> dict[str, Any]:
    """The contents of ``index.json``, which lies beside the shards."""
    described = []
    for shard in shards:
        with open(shard, "rb") as file:
            count = int(np.frombuffer(file.read(4), "<u4")[0])
        file_info = {"basename": shard.name, "bytes": shard.stat().st_size, "hashes": {}}
        described.append({**_config(columns), "samples": count, "raw_data": file_info, "zip_data": None})
    return {"version": 2, "shards": described}


def _config(columns: Columns) -> dict[str, Any]:
    names = sorted(columns)
    return {
        "version": 2,
        "format": "mds",
        "compression": None,
        "hashes": [],
        "size_limit": None,
        "column_names": names,
        "column_encodings": [columns[name] for name in names],
        "column_sizes": [_FIXED.get(columns[name]) for name in names],
    }


def _sample(columns: Columns, values: Mapping[str, bytes]) -> bytes:
    names = sorted(columns)
    sizes = [len(values[name]) for name in names if columns[name] not in _FIXED]
    return np.array(sizes, "<u4").tobytes() + b"".join(values[name] for name in names)
