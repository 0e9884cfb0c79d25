"""The built-in library: contact sheets, similarity of its shapes, and pins that detect every change.

    python -m benchmarks.pictures.builtin_library sheets --out docs/pictures
    python -m benchmarks.pictures.builtin_library measure --out docs/results/builtin_library.md
    python -m benchmarks.pictures.builtin_library pins

``sheets`` draws every family once, shapes through the project's own Blender child in front of its own backgrounds.
``measure`` compares silhouettes: six views of each shape are centred and scaled until the longer side fills the
frame. The similarity of two families is the largest intersection over union over all views and pairs of variants.
``pins`` writes tests/builtin/builtin_pins.json: numbers that describe every asset, which the tests compare with those
of the generated assets. A changed asset needs a new ``VERSION`` of the library, on which all its digests depend.
"""

import argparse
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.page import ROOT, machine, publish, table
from bl30k_gen import builtin
from bl30k_gen.config import Limits, load_config
from bl30k_gen.dataset.files import decode_rgb, encode_jpeg, write_atomically
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.errors import UserError, run_entry_point
from bl30k_gen.library.asset import AssetKind, ImageAsset, ImageKind, Model
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.library.load import load_image, load_model
from bl30k_gen.render.child import BlenderChild
from bl30k_gen.render.dataset import sampler
from bl30k_gen.render.staging import write_scene
from bl30k_gen.scene.spec import parse_spec

PINS = ROOT / "tests/builtin/builtin_pins.json"
LIMITS = Limits(max_faces=200_000, max_image_side=2048, max_megapixels=50)
VIEWS = ((0.0, 0.0), (np.pi / 2, 0.0), (0.0, np.pi / 2), (0.6, 0.35), (-0.6, 0.35), (2.4, -0.35))  # turn, tilt
GRID = 96  # pixels of a silhouette's side
MAX_SIMILARITY, FRACTION = 0.9, 0.95  # the fraction of pairs that must be less similar than that
TILES: dict[AssetKind, tuple[int, int, int]]  # width, height, columns
TILES = {"model": (176, 132, 10), "texture": (160, 160, 8), "background": (256, 192, 6)}
SHEETS: dict[AssetKind, str]
SHEETS = {"model": "builtin_shapes.jpg", "texture": "builtin_textures.jpg", "background": "builtin_backgrounds.jpg"}


def load_shape(family: str, variant: int) -> Model:
    return load_model(f"builtin:model/{family}/{variant:02d}", LIMITS)


def load_image_of(kind: ImageKind, family: str, variant: int) -> ImageAsset:
    return load_image(f"builtin:{kind}/{family}/{variant:02d}", kind, LIMITS)


# --- Silhouettes ------------------------------------------------------------------------------------------------


def silhouettes(model: Model) -> np.ndarray:
    """(views, GRID, GRID) bool, each view centred and scaled to fill the frame along its longer side."""
    faces = np.concatenate([part.faces for part in model.parts])
    seen = []
    for turn, tilt in VIEWS:
        c, s, ct, st = np.cos(turn), np.sin(turn), np.cos(tilt), np.sin(tilt)
        x, y, z = model.vertices.astype(np.float64).T
        points = np.stack([c * x + s * y, st * (c * y - s * x) - ct * z], axis=1)
        low, high = points.min(axis=0), points.max(axis=0)
        points = (points - (low + high) / 2) / (high - low).max() * (GRID - 2) + GRID / 2
        image = Image.new("1", (GRID, GRID))
        canvas = ImageDraw.Draw(image)
        for triangle in points[faces].reshape(-1, 6).tolist():
            canvas.polygon(triangle, fill=1)
        seen.append(np.asarray(image))
    return np.stack(seen)


def similarity(one: np.ndarray, other: np.ndarray) -> float:
    """The largest intersection over union of the same view of two shapes."""
    return float(((one & other).sum(axis=(1, 2)) / (one | other).sum(axis=(1, 2))).max())


def similarities(families: list[str], variants: int) -> dict[tuple[str, str], float]:
    """The similarity of every pair of families, over all pairs of their first variants."""
    seen = {family: [silhouettes(load_shape(family, v)) for v in range(variants)] for family in families}
    return {
        (a, b): max(similarity(one, other) for one in seen[a] for other in seen[b])
        for a, b in itertools.combinations(families, 2)
    }


# --- Pins -------------------------------------------------------------------------------------------------------


def describe(asset: Model | ImageAsset) -> list[int]:
    """Describe an asset by numbers that barely depend on the last bits of the arithmetic.

    Of an image: mean colours of its quarters and mean steps down and across, in tenths of a level. Of a model:
    faces; spread along x, y and z and area, in ten-thousandths; mean colour of its materials, in tenths of a level.
    """
    if isinstance(asset, ImageAsset):
        pixels = asset.pixels.astype(np.float64)
        rows, columns = (n // 2 for n in pixels.shape[:2])
        quarters = pixels.reshape(2, rows, 2, columns, 3).mean(axis=(1, 3)).ravel()
        steps = [np.abs(np.diff(pixels, axis=axis)).mean() for axis in (0, 1)]
        return [round(10 * value) for value in (*quarters, *steps)]
    faces = np.concatenate([part.faces for part in asset.parts])
    a, b, c = (asset.vertices[faces[:, k]].astype(np.float64) for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2
    textures = [255.0 if part.texture is None else part.texture.mean() for part in asset.parts]
    colours = [np.mean(part.colour) * texture for part, texture in zip(asset.parts, textures, strict=True)]
    sizes = (*asset.vertices.std(axis=0), area)
    return [len(faces), *(round(10_000 * v) for v in sizes), round(10 * np.mean(colours))]


def read_pins() -> dict[str, Any]:
    return json.loads(PINS.read_text(encoding="utf-8"))


def matches_pin(asset: Model | ImageAsset, pinned: list[int]) -> bool:
    found = describe(asset)
    return len(found) == len(pinned) and bool(np.all(np.abs(np.subtract(found, pinned)) <= 2))


def write_pins() -> None:
    """Write the pins of all assets. Raises UserError if an asset changed and ``VERSION`` did not."""
    old: dict[str, Any] = read_pins() if PINS.exists() else {"version": 0, "assets": {}}
    assets = {}
    for kind in builtin.FAMILIES:
        for family, variant in builtin.names(kind):
            name = f"{kind}/{family}/{variant}"
            number = int(variant)
            asset = load_shape(family, number) if kind == "model" else load_image_of(kind, family, number)
            assets[name] = describe(asset)
            changed = name in old["assets"] and not matches_pin(asset, old["assets"][name])
            if changed and old["version"] == builtin.VERSION:
                raise UserError(f"{name} has changed", "raise VERSION in bl30k_gen/builtin/__init__.py")
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in assets.items())
    write_atomically(PINS, f'{{"version": {builtin.VERSION}, "assets": {{\n{lines}\n}}}}\n')


# --- Sheets -----------------------------------------------------------------------------------------------------


def render_shapes(families: list[str], size: tuple[int, int]) -> list[np.ndarray]:
    """Render each family's first variant in front of a built-in background."""
    video = f"video={{frames: 1, width: {size[0]}, height: {size[1]}}}"
    config = load_config(ROOT / "render_configs/demo.yaml", [video, "render.samples=48"])
    catalogue = open_catalogue(config.assets)
    base = sampler(config, catalogue)("a00000").spec.to_json()
    images, places = [], sorted(builtin.FAMILIES["background"])
    child = BlenderChild("cpu", 1, timeout=300.0)
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        for k, family in enumerate(families):
            path, place = f"builtin:model/{family}/00", f"builtin:background/{places[k % len(places)]}/01"
            spec = base | {
                "name": f"shape{k:03d}",
                "camera": {"field_of_view": 0.62, "location": [[0.0, -2.0, 0.62]] * 2, "target": [[0.0] * 3] * 2},
                "objects": [
                    base["objects"][0]
                    | {
                        "model": {"id": family, "path": path, "sha256": builtin.find(path, "model")[1]},
                        "texture": None,
                        "location": [[0.0, 0.0, 0.0]] * 2,
                        "rotation": [[0.0, 0.0, 0.55]] * 2,
                        "scale": [[1.0, 1.0, 1.0]] * 2,
                    }
                ],
                "lights": [
                    {"location": [-2.5, -3.0, 3.2], "power": 560.0, "radius": 0.6, "colour": [1.0, 0.96, 0.9]},
                    {"location": [3.2, -1.0, 1.5], "power": 220.0, "radius": 0.6, "colour": [0.85, 0.92, 1.0]},
                ],
                "ambient": 0.5,
                "backdrop": {
                    "image": {"id": place, "path": place, "sha256": builtin.find(place, "background")[1]},
                    "centre": [0.0, 3.0, -0.9],
                    "width": 4.6,
                    "height": 3.45,
                    "strength": 0.7,
                },
            }
            scene = parse_spec(spec, family)
            child.render_once(write_scene(layout, scene))
            file = layout.staged_rgb(scene.name, 0)
            images.append(decode_rgb(file.read_bytes(), file))
    child.close()
    return images


def sheet(kind: AssetKind) -> np.ndarray:
    """A sheet (H, W, 3) with one tile and name for each family of a kind."""
    width, height, columns = TILES[kind]
    families = sorted(builtin.FAMILIES[kind])
    if kind == "model":
        images = render_shapes(families, (2 * width, 2 * height))
    else:
        images = [load_image_of(kind, family, 0).pixels for family in families]
    rows = -(-len(families) // columns)
    page = Image.new("RGB", (columns * width, rows * (height + 14)), (255, 255, 255))
    canvas = ImageDraw.Draw(page)
    for k, (family, pixels) in enumerate(zip(families, images, strict=True)):
        x, y = k % columns * width, k // columns * (height + 14)
        page.paste(Image.fromarray(pixels).resize((width - 2, height), Image.Resampling.LANCZOS), (x, y))
        canvas.text((x + 3, y + height + 1), family, fill=(40, 40, 40))
    return np.asarray(page)


# --- The report -------------------------------------------------------------------------------------------------


def report(variants: int) -> str:
    families = sorted(builtin.FAMILIES["model"])
    pairs = similarities(families, variants)
    values = np.array(list(pairs.values()))
    below = (values < MAX_SIMILARITY).mean()
    lines = [
        "# The built-in library, measured",
        "",
        f"`python -m benchmarks.pictures.builtin_library measure`, {machine('numpy')}; "
        f"the first {variants} variants of each shape, six views, {GRID} x {GRID} pixels.",
        "",
    ]
    kinds = []
    for kind, of_kind in builtin.FAMILIES.items():
        spent = {family: _seconds(kind, family) for family in of_kind}
        slowest = max(spent, key=spent.__getitem__)
        mean = np.mean(list(spent.values()))
        numbers = str(len(of_kind)), str(builtin.VARIANTS), f"{mean:.3f}", f"{slowest} {spent[slowest]:.2f}"
        kinds.append([kind, *numbers])
    most_similar = [(a, b, f"{pairs[a, b]:.3f}") for a, b in sorted(pairs, key=pairs.__getitem__)[:-11:-1]]
    lines += [
        table(("AssetKind", "Families", "Variants each", "Processor, s each", "slowest"), kinds),
        "",
        f"Pairs of shapes: {len(pairs)}. The silhouettes of {100 * below:.2f} % of them have an intersection over "
        f"union below {MAX_SIMILARITY} in every view and for every pair of variants (wanted: "
        f"{100 * FRACTION:.0f} %). Median of the largest {np.median(values):.2f}, 95th "
        f"percentile {np.quantile(values, 0.95):.2f}.",
        "",
        "Round shapes are similar from above, and this one view determines their similarity here.",
        "",
        table(("The most alike", "", "Largest intersection over union"), most_similar),
    ]
    return "\n".join(lines)


def _seconds(kind: AssetKind, family: str) -> float:
    make = builtin.find(f"builtin:{kind}/{family}/00", kind)[0]
    begin = time.process_time()
    make()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", choices=["sheets", "measure", "pins"])
    parser.add_argument("--out", type=Path, help="folder of the sheets, or file of the report")
    parser.add_argument("--kind", choices=list(SHEETS), help="this sheet only")
    parser.add_argument("--variants", type=int, default=2, help="of each shape, to be compared")
    options = parser.parse_args()
    if options.work == "pins":
        write_pins()
    elif options.work == "measure":
        publish(report(options.variants), options.out or ROOT / "docs/results/builtin_library.md")
    else:
        for kind in SHEETS:
            if options.kind not in (None, kind):
                continue
            folder = options.out or ROOT / "docs/pictures"
            write_atomically(folder / SHEETS[kind], encode_jpeg(sheet(kind), 82, "4:2:0"))


if __name__ == "__main__":
    run_entry_point(main)
