"""Render the datasets that benchmarks/learning/transfer.py compares, each into a folder of its own; resumable.

    python -m benchmarks.learning.transfer_renders out/transfer/renders [--workers 2] [--photos FOLDER]

usual: 64 videos of benchmarks/learning/transfer_renders.yaml. many: 1,024, of which the first 64 are the same. slow:
half the motion. sharp: backdrops that are not defocused. own_materials: no texture of an object is replaced. photos:
photographs of ``--photos`` as backdrops. occlusion, crowd, shake, deform: 16 videos each, of the variant of that
name. ``sheet.jpg`` shows frames of most.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import yaml
from PIL import Image, ImageDraw, ImageFont

from benchmarks.page import ROOT
from bl30k_gen import builtin
from bl30k_gen.builtin.backgrounds import BACKGROUNDS, lens, scenery
from bl30k_gen.dataset import files
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.settings import flatten

USUAL = Path(__file__).with_suffix(".yaml")
VARIANTS = ("occlusion", "crowd", "shake", "deform")
SHARP_VARIANTS = range(3)
"""Variants of each built-in background that are made without defocus."""


@dataclass(frozen=True)
class Renders:
    """A dataset to render: its folder's name, configuration, changes as ``KEY=VALUE``, and number of videos."""

    name: str
    config: Path
    count: int
    changes: tuple[str, ...] = ()


def all_renders(backdrops: Path, photos: Path | None) -> Iterator[Renders]:
    """All datasets. backdrops: folder of the sharp ones. photos: folder of photographs; without it, no ``photos``."""
    usual: dict[str, Any] = yaml.safe_load(USUAL.read_text())
    small = {key: value for key, value in flatten(usual).items() if key != "extends"}
    half = (f"{key}={small[key] / 2}" for key in ("motion.location_speed", "motion.rotation_speed", "camera.speed"))
    yield Renders("usual", USUAL, 64)
    yield Renders("many", USUAL, 1024)
    yield Renders("slow", USUAL, 64, tuple(half))
    yield Renders("own_materials", USUAL, 64, ("objects.retexture_mapped=0", "objects.retexture_unmapped=0"))
    for name, folder in (("sharp", backdrops), ("photos", photos)):
        if folder is not None:
            yield Renders(name, USUAL, 64, (f"assets.backgrounds={json.dumps(str(folder))}",))
    changes = tuple(f"{key}={json.dumps(value)}" for key, value in small.items())
    for variant in VARIANTS:
        yield Renders(variant, ROOT / f"render_configs/variants/{variant}.yaml", 16, changes)


def sharp_backdrops(out: Path) -> None:
    """Write built-in backgrounds without their defocus as JPEGs; existing ones are kept."""

    def unchanged(stack: Any, radius: float) -> Any:
        return stack

    with mock.patch.object(lens, "disc_blur", unchanged), mock.patch.object(scenery, "disc_blur", unchanged):
        for family in sorted(BACKGROUNDS):
            for variant in SHARP_VARIANTS:
                file = out / f"{family}-{variant:02d}.jpg"
                if not file.exists():
                    pixels = builtin.find(f"builtin:background/{family}/{variant:02d}", "background")[0]()
                    files.write_atomically(file, files.encode_jpeg(pixels, 95, "4:4:4"))


def sheet(folder: Path, out: Path) -> None:
    """Draw a picture with a row for each dataset: its name, and the first and last frame of some videos."""
    width, height, gap, margin = 200, 131, 3, 120
    shown = [(video, frame) for video in ("a00000", "a00003", "a00007") for frame in (0, 7)]
    names = [name for name in ("usual", "sharp", "own_materials", *VARIANTS) if (folder / name).is_dir()]
    picture = Image.new("RGB", (margin + len(shown) * (width + gap), len(names) * (height + gap)), "white")
    draw = ImageDraw.Draw(picture)
    for row, name in enumerate(names):
        store, top = open_dataset(folder / name), row * (height + gap)
        draw.text((margin - 8, top + height // 2), name, "black", ImageFont.load_default(16), anchor="rm")
        for column, (video, frame) in enumerate(shown):
            image = Image.fromarray(store.read_rgb(video, frame)).resize((width, height), Image.Resampling.LANCZOS)
            picture.paste(image, (margin + column * (width + gap), top))
    files.write_atomically(out, files.encode_jpeg(np.asarray(picture), 85, "4:2:0"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of the datasets")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--photos", type=Path, help="photographs; without them, the dataset photos is left out")
    arguments = parser.parse_args()
    backdrops = arguments.out / "sharp_backdrops"
    sharp_backdrops(backdrops)
    photos = None if arguments.photos is None else arguments.photos.resolve()
    for renders in all_renders(backdrops.resolve(), photos):
        call = [sys.executable, str(ROOT / "generate.py"), "render", "--config", str(renders.config)]
        call += ["--out", str(arguments.out / renders.name), "--count", str(renders.count)]
        call += ["--workers", str(arguments.workers), "--threads-per-worker", "1"]
        for change in renders.changes:
            call += ["--set", change]
        if code := subprocess.run(call).returncode:
            return code
    sheet(arguments.out, arguments.out / "sheet.jpg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
