"""Renders one asset on a turntable, as a strip of images."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from bl30k_gen.config import Config, Limits
from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.library.asset import ImageAsset, Model
from bl30k_gen.library.cache import cached_image, cached_model
from bl30k_gen.render.child import BlenderChild
from bl30k_gen.render.staging import write_scene
from bl30k_gen.scene.spec import SCHEMA_VERSION, SceneSpec, parse_spec

VIEWS, SIDE = 8, 200  # images in a row; edge of each, pixels
SAMPLES = 16
GREY = 90  # of the background, sRGB
CAPTION, GAP = 18, 3  # pixels
STANDARD = "builtin:model/teapot/00"  # the model on which textures are shown


@dataclass(frozen=True)
class TurntableRow:
    """A row of the strip: one turn of a model."""

    caption: str
    model: str  # paths, as in an AssetRef
    texture: str | None
    background: str
    alpha: str  # as ``render.alpha``


def model_rows(path: str, model: Model, config: Config, folder: Path) -> list[TurntableRow]:
    """Rows of a model: with its own materials, with a new texture, and where it has alpha with both modes of it."""
    wall, grid = _wall(folder), _grid(folder)
    alpha = config.render.alpha
    rows = [
        TurntableRow("its own materials", path, None, wall, alpha),
        TurntableRow("a new texture: seams, stretching", path, grid, wall, alpha),
    ]
    if has_holes(model):
        other = "clip" if alpha == "opaque" else "opaque"
        rows[0] = TurntableRow(f"its own materials, render.alpha: {alpha}", path, None, wall, alpha)
        rows.insert(1, TurntableRow(f"the same, render.alpha: {other}", path, None, wall, other))
    return rows


def image_rows(path: str, folder: Path) -> list[TurntableRow]:
    """Rows of an image: as the texture of the standard model, and as its background."""
    return [
        TurntableRow("as a texture", STANDARD, path, _wall(folder), "opaque"),
        TurntableRow("as a background", STANDARD, None, path, "opaque"),
    ]


def has_holes(model: Model) -> bool:
    textures = (part.texture for part in model.parts if part.texture is not None)
    return any(texture.shape[2] == 4 and bool((texture[..., 3] < 128).any()) for texture in textures)


def strip(rows: list[TurntableRow], title: str, config: Config, child: BlenderChild, folder: Path) -> Image.Image:
    """Render the rows and paste them one below the other. Temporary files go to ``folder``.

    Raises:
        UserError: Blender cannot render one of them.
    """
    font = ImageFont.load_default(12)
    height = CAPTION + SIDE + GAP
    sheet = Image.new("RGB", (VIEWS * (SIDE + GAP) - GAP, CAPTION + len(rows) * height), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((2, 2), title, fill=(0, 0, 0), font=font)
    for number, row in enumerate(rows):
        top = CAPTION + number * height
        draw.text((2, top + 2), row.caption, fill=(90, 90, 90), font=font)
        for column, pixels in enumerate(_turn(row, config, child, folder / str(number))):
            sheet.paste(Image.fromarray(pixels), (column * (SIDE + GAP), top + CAPTION))
    return sheet


def reduce(path: str, faces: int, limits: Limits, child: BlenderChild) -> bytes:
    """A model with ``faces`` faces at most, as a GLB. Raises UserError."""
    with tempfile.TemporaryDirectory(prefix="bl30k-reduce-") as folder:
        request, out = Path(folder) / "model.reduce.json", Path(folder) / "model.glb"
        values = {"model": path, "limits": limits.model_dump(), "faces": faces, "out": str(out)}
        request.write_text(json.dumps(values), encoding="utf-8")
        child.render_once(request)
        return out.read_bytes()


def _turn(row: TurntableRow, config: Config, child: BlenderChild, folder: Path) -> list[np.ndarray]:
    spec, layout = _scene(row, config), Layout(folder)
    child.render_once(write_scene(layout, spec))
    paths = [layout.staged_rgb(spec.name, frame) for frame in range(VIEWS)]
    return [decode_rgb(path.read_bytes(), path) for path in paths]


def _scene(row: TurntableRow, config: Config) -> SceneSpec:
    """A scene of the upright model at twice its unit size, turning once, seen by a camera slightly above it."""
    limits = config.assets.limits

    def reference(path: str, loaded: Model | ImageAsset) -> dict[str, str]:
        return {"id": Path(path).name, "path": path, "sha256": loaded.sha256}

    def lamp(location: tuple[float, float, float], power: float) -> dict[str, Any]:
        return {"location": location, "power": power, "radius": 0.5, "colour": (1.0, 1.0, 1.0)}

    background = cached_image(row.background, "background", limits)
    aspect = background.pixels.shape[1] / background.pixels.shape[0]
    turned = 2 * np.pi * (VIEWS - 1) / VIEWS
    still = {"location": [(0.0, 0.0, 0.0)] * 2, "scale": [(2.0, 2.0, 2.0)] * 2, "clearance_failed": False}
    rough = {"samples": SAMPLES, "adaptive_threshold": 0.0, "denoise_prefilter": "fast", "alpha": row.alpha}
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": "turntable",
        "index": 0,
        "seed": 0,
        "split": "train",
        "video": {"frames": VIEWS, "width": SIDE, "height": SIDE},
        "static": "drift",
        "camera": {"field_of_view": 0.4, "location": [(0.0, -5.0, 1.5)] * 2, "target": [(0.0, 0.0, 0.0)] * 2},
        "objects": [
            {
                "id": 1,
                "model": reference(row.model, cached_model(row.model, limits)),
                "texture": row.texture and reference(row.texture, cached_image(row.texture, "texture", limits)),
                "rotation": [(0.0, 0.0, 0.0), (0.0, 0.0, turned)],
                **still,
            }
        ],
        "lights": [lamp((-4.0, -6.0, 6.0), 3000.0), lamp((6.0, -3.0, 2.0), 800.0)],
        "ambient": 0.4,
        "backdrop": {
            "image": reference(row.background, background),
            "centre": (0.0, 6.0, -1.8),
            "width": 6.0 * max(aspect, 1.0),
            "height": 6.0 * max(1.0, 1 / aspect),
            "strength": 0.8,
        },
        "render": config.render.model_copy(update=rough),
        "image": config.image,
        "limits": limits,
    }
    return parse_spec(values, "of a turntable")


def _wall(folder: Path) -> str:
    path = folder / "wall.png"
    Image.new("RGB", (8, 8), (GREY, GREY, GREY)).save(path)
    return str(path)


def _grid(folder: Path) -> str:
    """A texture of numbered squares in different colours, which shows seams, stretched faces and mirrored ones."""
    path, squares, side = folder / "grid.png", 8, 64
    image = Image.new("RGB", (squares * side, squares * side))
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(28)
    for row in range(squares):
        for column in range(squares):
            shade = 235 if (row + column) % 2 else 120
            colour = (shade, 60 + shade * row // 16, 60 + shade * column // 16)
            corner = (column * side, row * side)
            draw.rectangle((*corner, corner[0] + side, corner[1] + side), fill=colour)
            draw.text((corner[0] + 12, corner[1] + 14), f"{row}{column}", fill=(20, 20, 20), font=font)
    image.save(path)
    return str(path)
