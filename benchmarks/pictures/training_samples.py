"""Images for the documentation: samples of S2M, and still images with hide-and-seek.

    python generate.py render --config render_configs/demo.yaml --out out/stills --count 8 --set video.frames=4
    python -m benchmarks.pictures.training_samples --data out/stills --out docs/pictures

DATA is any folder of images with masks. The same data give the same images.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from bl30k_gen.dataset.files import encode_jpeg, write_atomically
from bl30k_gen.errors import run_entry_point
from training.data.mixture import Draw, open_mixture
from training.engine import visualisation
from training.schema.stage import Stage, load_stage

WIDTH = 1200
HIDE = "augmentation.hide_and_seek={cells: 24, chance: [0.1, 0.5]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images with masks")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    arguments = parser.parse_args()
    data = [str(arguments.data)]
    scribbles = load_stage("s2m/static", ["validation=null", "size=320"], data)
    write(arguments.out / "scribbles.jpg", sheet(scribbles, 12, 3))
    write(arguments.out / "hide_and_seek.jpg", sheet(load_stage("stm/static", [HIDE, "size=320"], data), 4, 2))


def sheet(stage: Stage, count: int, columns: int) -> np.ndarray:
    """Samples of images spread over the data, in rows of ``columns``: (H, W, 3) uint8."""
    mixture = open_mixture(stage)
    items = np.linspace(0, len(mixture.sources[0]) - 1, count).round().astype(int).tolist()
    batch = mixture.collate([mixture[Draw(0, number, 0, item, 1)] for number, item in enumerate(items)])
    rows = np.split(visualisation.show(batch.to(torch.device("cpu")), rows=count), count)
    return np.concatenate([np.concatenate(rows[i : i + columns], 1) for i in range(0, count, columns)])


def write(path: Path, pixels: np.ndarray) -> None:
    image = Image.fromarray(pixels)
    small = image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS)
    write_atomically(path, encode_jpeg(np.array(small), 88, "4:4:4"))
    print(path)


if __name__ == "__main__":
    run_entry_point(main)
