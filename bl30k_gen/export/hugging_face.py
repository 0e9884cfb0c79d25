"""A Hugging Face dataset: Parquet shards ``data/<split>-000000.parquet`` in which a row is a frame.

Beside them lie a dataset card (``README.md``), a Croissant description (``croissant.json``), the unchanged metadata
of each video, and the credits of the assets. Images and masks are the unchanged bytes of the dataset.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from bl30k_gen.dataset import files
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.export.base import Format, Unit, register
from bl30k_gen.export.grouping import by_size
from bl30k_gen.export.source import SourceVideo, VideoEntry, by_split
from bl30k_gen.library.catalogue import credits
from bl30k_gen.settings import Count

log = logging.getLogger(__name__)

_ROWS = 64  # of a row group, which a reader decodes at once
_NAME = "BL30K-style synthetic videos"
_DESCRIPTION = "Rendered videos of moving objects with exact masks, for video object segmentation."
# {name: (type in Hugging Face, type in Croissant, meaning)}
_COLUMNS: dict[str, tuple[dict[str, str], str, str]] = {
    "video": ({"dtype": "string", "_type": "Value"}, "sc:Text", "the video's name"),
    "frame": ({"dtype": "int32", "_type": "Value"}, "sc:Integer", "number of the frame in its video, from 0"),
    "image": ({"_type": "Image"}, "sc:ImageObject", "the frame, RGB"),
    "mask": (
        {"_type": "Image"},
        "sc:ImageObject",
        "palette PNG whose pixel values are object ids, 0 is background; null where the frame has no mask",
    ),
}
_KEPT = ("DATASET.md", "CITATION.cff", "config.yaml", credits.MARKDOWN, credits.CSV)


@register("hf", "Hugging Face dataset: Parquet shards, dataset card, Croissant", requires=("pyarrow",))
class HuggingFace(Format):
    shard_bytes: Count = 500_000_000  # a shard is full when it reaches this size

    def units(self, store: VideoStore, videos: Sequence[VideoEntry]) -> list[Unit]:
        return by_size(store, videos, self.shard_bytes)

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = _schema()
        path = folder / f"data/{unit}.parquet"
        path.parent.mkdir()
        # Without compression: images are compressed already.
        with pq.ParquetWriter(path, schema, compression="none", use_dictionary=["video"]) as writer:
            rows = (row for video in videos for row in _rows(video))
            while group := list(islice(rows, _ROWS)):
                writer.write_table(pa.Table.from_pylist(group, schema))
        for video in videos:
            video.place_metadata(folder / "metadata")

    def finish(self, store: VideoStore, videos: Sequence[VideoEntry], out: Path, folder: Path) -> None:
        import pyarrow.parquet as pq

        shards = {
            split: [f"data/{unit.name}.parquet" for unit in by_size(store, entries, self.shard_bytes)]
            for split, entries in by_split(videos)
        }
        sizes = {
            split: (
                sum(pq.read_metadata(out / p).num_rows for p in paths),
                sum((out / p).stat().st_size for p in paths),
            )
            for split, paths in shards.items()
        }
        kept = [name for name in _KEPT if store.tree.exists(name)]
        for name in kept:
            (folder / name).write_bytes(store.tree.read(name))
        licences = _licences(store)
        if not licences:
            log.warning(
                "%s has no %s: the card names no licences; `generate.py report` writes it", store.path, credits.CSV
            )
        digests = {path: files.sha256(out / path) for paths in shards.values() for path in paths}
        (folder / "README.md").write_text(card(sizes, len(videos), licences, kept), encoding="utf-8")
        (folder / "croissant.json").write_text(json.dumps(croissant(shards, digests, licences), indent=1) + "\n")


def card(sizes: dict[str, tuple[int, int]], videos: int, licences: Sequence[str], kept: Sequence[str]) -> str:
    """The dataset card: a YAML header that Hugging Face reads, and Markdown.

    Args:
        sizes: (frames, bytes) by split.
        licences: addresses of the licences of the assets.
        kept: names of files of the dataset that are copied beside the card.
    """
    frames = sum(count for count, _ in sizes.values())
    columns = "\n".join(f"| `{name}` | {meaning} |" for name, (_, _, meaning) in _COLUMNS.items())
    links = "".join(f"- [{name}]({name})\n" for name in kept)
    return f"""---
{yaml.safe_dump(_card_header(sizes, frames, kept), sort_keys=False)}---

# {_NAME}

{_DESCRIPTION} {videos} videos, {frames} frames. A row is a frame; the rows of a video follow each other.

| Column | Meaning |
|---|---|
{columns}

Each video's scene, camera and poses, where they are known, are in `metadata/<video>.json`.

```python
import numpy as np
from datasets import load_dataset

frames = load_dataset("path/to/this/folder", split="{next(iter(sizes))}", streaming=True)
row = next(iter(frames))
ids = np.asarray(row["mask"])   # a palette image: do not convert it to RGB
```

{"Licences of what the videos show: " + ", ".join(licences) if licences else "No licences were recorded."}

{links}"""


def _card_header(sizes: dict[str, tuple[int, int]], frames: int, kept: Sequence[str]) -> dict[str, Any]:
    licence: dict[str, str] = {"license": "unknown"}
    if credits.MARKDOWN in kept:
        licence = {"license": "other", "license_name": "see-credits", "license_link": credits.MARKDOWN}
    return {
        "pretty_name": _NAME,
        **licence,
        "task_categories": ["image-segmentation"],
        "tags": ["video-object-segmentation", "synthetic", "video"],
        "size_categories": [_size_category(frames)],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"data/{split}-*.parquet"} for split in sizes],
            }
        ],
        "dataset_info": {
            "features": [{"name": name, "dtype": _dtype(kind)} for name, (kind, _, _) in _COLUMNS.items()],
            "splits": [
                {"name": split, "num_bytes": size, "num_examples": count} for split, (count, size) in sizes.items()
            ],
            "dataset_size": sum(size for _, size in sizes.values()),
        },
    }


def croissant(shards: dict[str, list[str]], digests: dict[str, str], licences: Sequence[str]) -> dict[str, Any]:
    """The description of the dataset in Croissant 1.0 (JSON-LD). Definition: docs.mlcommons.org/croissant.

    Args:
        shards: paths of the Parquet files by split.
        digests: their SHA-256 by path.
        licences: addresses of the licences of the assets.
    """
    objects = [
        {
            "@type": "cr:FileObject",
            "@id": path,
            "name": path,
            "contentUrl": path,
            "encodingFormat": "application/x-parquet",
            "sha256": digest,
        }
        for path, digest in digests.items()
    ]
    records = [_record_set(split, path) for split, paths in shards.items() for path in paths]
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": _NAME,
        "description": _DESCRIPTION,
        "version": "1.0.0",
        **({"license": list(licences)} if licences else {}),
        "distribution": objects,
        "recordSet": records,
    }


def _record_set(split: str, path: str) -> dict[str, Any]:
    """The Croissant description of the rows of one Parquet file."""
    shard = Path(path).stem
    fields = [
        {
            "@type": "cr:Field",
            "@id": f"{shard}/{name}",
            "name": f"{shard}/{name}",
            "description": meaning,
            "dataType": kind,
            "source": {
                "fileObject": {"@id": path},
                "extract": {"column": name},
                **({"transform": {"jsonPath": "bytes"}} if kind == "sc:ImageObject" else {}),
            },
        }
        for name, (_, kind, meaning) in _COLUMNS.items()
    ]
    return {
        "@type": "cr:RecordSet",
        "@id": shard,
        "name": shard,
        "description": f"frames of split {split}",
        "field": fields,
    }


def _rows(video: SourceVideo) -> Iterator[dict[str, Any]]:
    annotated = set(video.annotated)
    for i, frame in enumerate(video.frames):
        mask = {"bytes": video.mask_bytes(i), "path": f"{video.name}/{frame}.png"} if i in annotated else None
        image = {"bytes": video.rgb_bytes(i), "path": f"{video.name}/{video.file_name(i)}"}
        yield {"video": video.name, "frame": i, "image": image, "mask": mask}


def _schema() -> Any:  # pyarrow has no types
    import pyarrow as pa

    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    types = {"video": pa.string(), "frame": pa.int32(), "image": image, "mask": image}
    features = {name: kind for name, (kind, _, _) in _COLUMNS.items()}
    return pa.schema(types.items(), {"huggingface": json.dumps({"info": {"features": features}})})


def _dtype(kind: dict[str, str]) -> str:
    return kind.get("dtype", "image")


def _size_category(frames: int) -> str:
    limits = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
    return next((name for limit, name in limits if frames < limit), "10M<n<100M")


def _licences(store: VideoStore) -> list[str]:
    """Sorted addresses, or else names, of the licences in the dataset's credits."""
    if not store.tree.exists(credits.CSV):
        return []
    rows = credits.recorded(store)
    return sorted({used.licence_url or used.licence for used in rows})


_CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
