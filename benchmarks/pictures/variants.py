"""Contact sheets of the variants, for the documentation: some frames along the full paths of some videos.

    python -m benchmarks.pictures.variants --out out/variants [--set assets.models=DIR ...] [VARIANT ...]

Default: all variants. Each sheet shows videos of other numbers, since videos of one number share the background.
"""

import argparse
from pathlib import Path

from PIL import Image

from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import MaskFrame, read_values
from bl30k_gen.dataset.preview import overlay
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.check import check_masks
from bl30k_gen.render.child import BlenderChild
from bl30k_gen.render.dataset import sampler
from bl30k_gen.render.staging import write_scene
from bl30k_gen.scene.spec import SceneSpec

ROOT = Path(__file__).resolve().parents[2]
VARIANTS = ROOT / "render_configs/variants"
FRAMES, WIDTH, HEIGHT = 5, 300, 200
GAP = 3  # pixels
SHEET = 1000  # pixels, width


def fewer_frames(spec: SceneSpec, frames: int) -> SceneSpec:
    """The same paths with fewer and smaller frames; the exposure time stays the same."""
    video = spec.video.model_copy(update={"frames": frames, "width": WIDTH, "height": HEIGHT})
    render = spec.render
    if render.motion_blur is not None:
        shorter = render.motion_blur * (frames - 1) / (spec.video.frames - 1)
        render = render.model_copy(update={"motion_blur": shorter})
    return spec.model_copy(update={"video": video, "render": render})


def rows(spec: SceneSpec, config: Config, child: BlenderChild, folder: Path) -> Image.Image:
    """Render a video; returns a row of its frames, and below it the same frames with their masks."""
    layout = Layout(folder)
    child.render_once(write_scene(layout, spec))
    for problem in check_masks(spec, config, layout)[0]:
        print(f"{spec.name}: {problem}")
    image = Image.new("RGB", (spec.video.frames * (WIDTH + GAP) - GAP, 2 * (HEIGHT + GAP)), "white")
    for frame in range(spec.video.frames):
        path = layout.staged_rgb(spec.name, frame)
        rgb = decode_rgb(path.read_bytes(), path)
        ids = read_values(layout.staged_mask(spec.name, frame))
        for row, pixels in enumerate((rgb, overlay(rgb, MaskFrame(ids, None, "ids")))):
            image.paste(Image.fromarray(pixels), (frame * (WIDTH + GAP), row * (HEIGHT + GAP)))
    return image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = sorted(path.stem for path in VARIANTS.glob("*.yaml"))
    parser.add_argument("variants", nargs="*", default=every)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--videos", type=int, nargs="+", help="default: two that no other variant uses")
    parser.add_argument("--set", dest="overrides", action="append", default=[])
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    child = BlenderChild("auto", arguments.threads, timeout=600.0)
    for variant in arguments.variants:
        config = load_config(VARIANTS / f"{variant}.yaml", arguments.overrides)
        place = 2 * every.index(variant)
        describe = sampler(config, open_catalogue(config.assets))
        parts = [
            rows(fewer_frames(describe(f"a{i:05d}").spec, FRAMES), config, child, arguments.out / variant)
            for i in arguments.videos or (place, place + 1)
        ]
        sheet = Image.new("RGB", (parts[0].width, sum(part.height for part in parts) - GAP), "white")
        for number, part in enumerate(parts):
            sheet.paste(part, (0, number * part.height))
        sheet.thumbnail((SHEET, sheet.height))
        sheet.save(arguments.out / f"{variant}.jpg", quality=85)
        print(arguments.out / f"{variant}.jpg")
    child.close()


if __name__ == "__main__":
    run_entry_point(main)
