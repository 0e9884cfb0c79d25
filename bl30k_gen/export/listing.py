"""Formats that describe all videos of a split in one JSON file, however many videos there are.

The text of each video is kept in ``.export/parts/``, so that a stopped export continues; the file is joined from
these at the end, and never in memory as a whole.
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
"""The one category: our videos show models of any kind, and what kind is not recorded."""
INFO = {"info": {"description": "BL30K-style synthetic videos with exact masks", "version": "1"}, "licenses": []}
_FRAMES = 100_000
_IDS = 1 << 16


def video_id(video: SourceVideo) -> int:
    """Counts from 1: some readers take an id of 0 for none."""
    return video.number + 1


def image_id(video: SourceVideo, i: int) -> int:
    """Of frame number ``i``: the video's number * 100,000 + i + 1."""
    return video.number * _FRAMES + i + 1


def track_id(video: SourceVideo, number: int) -> int:
    """Of the object with id ``number`` in the masks: the video's number * 65,536 + that id."""
    return video.number * _IDS + number


def annotation_id(video: SourceVideo, i: int, number: int) -> int:
    """Of an object in a frame: the image's id * 65,536 + the object's id in the masks."""
    return image_id(video, i) * _IDS + number


class Listing(Format):
    """A Format of one or several JSON files a split, each of lists that hold items of every video.

    ``frames`` says whether the frames are put beside the JSON, by hard links where possible.
    """

    frames: bool = True

    @abstractmethod
    def listings(self, split: str) -> Mapping[str, tuple[dict[str, Any], Sequence[str]]]:
        """``{path of a JSON: (what stands in it once, names of its lists)}``; names of lists differ between files."""

    @abstractmethod
    def items(self, video: SourceVideo) -> Mapping[str, Items]:
        """What a video adds to each list."""

    @abstractmethod
    def frame_path(self, video: SourceVideo, i: int) -> str:
        """Where frame number ``i`` lies in the output."""

    def write(self, unit: str, videos: Sequence[SourceVideo], folder: Path) -> None:
        for video in videos:
            found = self.items(video)
            for name, items in found.items():
                part = _part(folder, name, video.name)
                part.parent.mkdir(parents=True, exist_ok=True)
                text = ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)
                part.write_text(text, encoding="utf-8")
            for i in range(len(video.frames)) if self.frames else ():
                video.place_frame(i, folder / self.frame_path(video, i))

    def finish(self, store: VideoStore, videos: Sequence[VideoEntry], out: Path, folder: Path) -> None:
        for split, entries in by_split(videos):
            for path, (once, lists) in self.listings(split).items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with open(folder / path, "w", encoding="utf-8") as file:
                    file.write("{\n" + "".join(f"{json.dumps(k)}: {json.dumps(v)},\n" for k, v in once.items()))
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
