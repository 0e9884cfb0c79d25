"""Formats with one JSON file for all videos of a split, of any number.

The text of each video is kept in ``.export/parts/``, so that a stopped export continues. At the end these parts are
joined, without holding the whole JSON in memory.
"""

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.export.base import Format
from bl30k_gen.export.source import SourceVideo, VideoEntry, by_split
from bl30k_gen.export.target import PRIVATE

Items = list[dict[str, Any]]

CATEGORY = {
    "id": 1,
    "name": "object",
    "supercategory": "object",
    "synset": "unknown",
    "def": "a model of any kind",
    "synonyms": ["object"],
}
"""The only category: the kind of a model is not recorded."""
INFO = {"info": {"description": "BL30K-style synthetic videos with exact masks", "version": "1"}, "licenses": []}
_FRAMES = 100_000  # maximum of a video, for unique ids
_IDS = 1 << 16  # maximum of a mask, for unique ids


def video_id(video: SourceVideo) -> int:
    """The id of a video, from 1: some readers take 0 for none."""
    return video.number + 1


def image_id(video: SourceVideo, i: int) -> int:
    """The id of frame number ``i``: the number of the video * 100,000 + i + 1."""
    return video.number * _FRAMES + i + 1


def track_id(video: SourceVideo, number: int) -> int:
    """The id of the object with id ``number`` in the masks: the number of the video * 65,536 + ``number``."""
    return video.number * _IDS + number


def annotation_id(video: SourceVideo, i: int, number: int) -> int:
    """The id of an object in a frame: the id of the image * 65,536 + ``number``, its id in the masks."""
    return image_id(video, i) * _IDS + number


class Listing(Format):
    """A Format with one or several JSON files a split, each with lists that hold items of every video."""

    frames: bool = True  # also put the frames into the output, by hard links where possible

    @abstractmethod
    def listings(self, split: str) -> Mapping[str, tuple[dict[str, Any], Sequence[str]]]:
        """``{path of a JSON: (keys before its lists, names of its lists)}``; each list has another name."""

    @abstractmethod
    def items(self, video: SourceVideo) -> Mapping[str, Items]:
        """``{name of a list: items of the video}``."""

    @abstractmethod
    def frame_path(self, video: SourceVideo, i: int) -> str:
        """Path of frame number ``i`` in the output."""

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            for name, items in self.items(video).items():
                part = _part(folder, name, video.name)
                part.parent.mkdir(parents=True, exist_ok=True)
                text = ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)
                part.write_text(text, encoding="utf-8")
            for i in range(len(video.frames)) if self.frames else ():
                video.place_frame(i, folder / self.frame_path(video, i))

    def finish(self, store: VideoStore, videos: Sequence[VideoEntry], out: Path, folder: Path) -> None:
        for split, entries in by_split(videos):
            for path, (header, lists) in self.listings(split).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with open(folder / path, "w", encoding="utf-8") as file:
                    file.write("{\n" + "".join(f"{json.dumps(k)}: {json.dumps(v)},\n" for k, v in header.items()))
                    for number, name in enumerate(lists):
                        file.write(f"{',' if number else ''}{json.dumps(name.rpartition('/')[2])}: [")
                        empty = True
                        for entry in entries:
                            if text := _part(out, name, entry.name).read_text(encoding="utf-8"):
                                file.write(("\n" if empty else ",\n") + text)
                                empty = False
                        file.write("]\n")
                    file.write("}\n")


def _part(folder: Path, name: str, video: str) -> Path:
    return folder / PRIVATE / "parts" / name / f"{video}.json"
