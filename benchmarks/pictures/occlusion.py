"""How much of the objects other objects hide, in the scenes of a configuration; nothing is rendered.

    python -m benchmarks.pictures.occlusion --results docs/results/occlusion.md [CONFIG ...] [--set ...]

The rasteriser compares what it sees of each object with what it would see of it alone, at one pixel of each of
``--grid`` cells along the width. What lies outside the image does not count, and neither do objects that would
cover less than 20 cells.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks.page import ROOT, command, machine, parser_of, publish, table
from bl30k_gen.config import Config, load_config
from bl30k_gen.library.cache import cached_model
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.dataset import sampler
from bl30k_gen.scene.raster import visibility

RECIPES = ROOT / "render_configs"
LEAST = 20  # cells


def measure(config: Config, videos: int, frames: int, grid: int) -> tuple[np.ndarray, float]:
    """The hidden share of each object on each frame that it is on; how many objects a frame has in view."""
    describe = sampler(config, open_catalogue(config.assets))
    hidden, looked_at = [], 0
    for index in tqdm(range(videos), unit=" videos", leave=False):
        spec = describe(f"a{index:05d}").spec
        models = {thing.model.id: cached_model(thing.model.path, spec.limits) for thing in spec.objects}
        for frame in np.linspace(0, spec.video.frames - 1, frames).astype(int).tolist():
            seen, alone = visibility(spec, models, frame, step=max(1, spec.video.width // grid))
            hidden += (1 - seen / np.maximum(alone, 1))[alone >= LEAST].tolist()
            looked_at += 1
    return np.array(hidden), len(hidden) / looked_at


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
        shares = [hidden.mean(), *((hidden > part).mean() for part in (0.25, 0.5)), (hidden == 1).mean()]
        rows.append((path.stem, f"{objects:.1f}", *(f"{100 * share:.1f} %" for share in shares)))
        print(*rows[-1], sep=" | ", flush=True)
    text = PAGE.format(command=command(), machine=machine(), rows=table(HEAD, rows), **vars(options))
    publish(text, options.results)


HEAD = ("configuration", "objects in view", "hidden by others, mean", "over a quarter", "over a half", "wholly")
PAGE = """# How much objects hide each other

`{command}` on {machine}

The first {videos} videos with the built-in library, {frames} frames of each, one pixel of each of {grid} cells along
the width. No image is rendered: the rasteriser compares what it sees of an object with what it would see of it
alone.

{rows}

Shares are of objects on frames that would show at least a little of them.
"""

if __name__ == "__main__":
    main()
