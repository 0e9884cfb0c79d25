"""Occlusion between objects in the scenes of a configuration; nothing is rendered.

    python -m benchmarks.pictures.occlusion --results docs/results/occlusion.md [CONFIG ...] [--set ...]

The rasteriser compares the visible part of each object with the part that would be visible without the others, at one
pixel of each of ``--grid`` cells along the width. Parts outside the image do not count, nor do objects that would
cover less than 20 cells.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.page import ROOT, command, machine, parser_of, publish, table
from bl30k_gen.config import Config, load_config
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.cache import cached_model
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.dataset import sampler
from bl30k_gen.scene.raster import visibility

RECIPES = ROOT / "render_configs"
MIN_CELLS = 20


def measure(config: Config, videos: int, frames: int, grid: int) -> tuple[np.ndarray, float]:
    """Hidden fraction of each object on each frame that it is in; and the mean number of objects in a frame."""
    describe = sampler(config, open_catalogue(config.assets))
    hidden, frame_count = [], 0
    for index in tqdm(range(videos), unit=" videos", leave=False):
        spec = describe(f"a{index:05d}").spec
        models = {thing.model.id: cached_model(thing.model.path, spec.limits) for thing in spec.objects}
        for frame in np.linspace(0, spec.video.frames - 1, frames).astype(int).tolist():
            seen, alone = visibility(spec, models, frame, step=max(1, spec.video.width // grid))
            hidden += (1 - seen / np.maximum(alone, 1))[alone >= MIN_CELLS].tolist()
            frame_count += 1
    return np.array(hidden), len(hidden) / frame_count


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("configs", nargs="*", type=Path)
    parser.add_argument("--videos", type=int, default=12)
    parser.add_argument("--frames", type=int, default=5, help="of each video, evenly spread")
    parser.add_argument("--grid", type=int, default=96)
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    options = parser.parse_args()
    assets = ["assets.models=builtin", "assets.textures=builtin", "assets.backgrounds=builtin", *options.overrides]
    rows = []
    for path in options.configs or [*sorted(RECIPES.glob("*.yaml")), *sorted(RECIPES.glob("variants/*.yaml"))]:
        hidden, objects = measure(load_config(path, assets), options.videos, options.frames, options.grid)
        fractions = [hidden.mean(), *((hidden > part).mean() for part in (0.25, 0.5)), (hidden == 1).mean()]
        rows.append((path.stem, f"{objects:.1f}", *(f"{100 * fraction:.1f} %" for fraction in fractions)))
        print(*rows[-1], sep=" | ", flush=True)
    text = PAGE.format(command=command(), machine=machine(), rows=table(HEAD, rows), cells=MIN_CELLS, **vars(options))
    publish(text, options.results)


HEAD = ("configuration", "objects in view", "hidden by others, mean", "over a quarter", "over a half", "wholly")
PAGE = """# How much objects hide each other

`{command}` on {machine}

The first {videos} videos with the built-in library, {frames} frames of each, one pixel of each of {grid} cells along
the width. No image is rendered: the rasteriser compares the visible part of an object with the part
that would be visible without the others.

{rows}

Fractions are of objects on frames in which at least {cells} cells of them would be visible.
"""

if __name__ == "__main__":
    run_entry_point(main)
