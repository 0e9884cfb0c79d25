"""Corruptions of videos: files of other kinds that decoders open."""

import random
import wave
from pathlib import Path

from PIL import Image

from benchmarks.faults.odd_files.registry import VIDEO, corruption


@corruption((VIDEO,), "invalid")
def audio_only(path: Path, rng: random.Random) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 800, "NONE", ""))
        file.writeframes(bytes(1600))


@corruption((VIDEO,), "either")
def playlist(path: Path, rng: random.Random) -> None:
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/passwd\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n"
    )


@corruption((VIDEO,), "either")
def still_image(path: Path, rng: random.Random) -> None:
    Image.new("RGB", (96, 64)).save(path, "PNG")
