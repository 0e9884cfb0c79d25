"""Rendered images as arrays. Blender writes its pixels only to files; these go to a temporary folder."""

from pathlib import Path

import bpy
import numpy as np
from PIL import Image as PillowImage


def render_srgb(scene: bpy.types.Scene, frame: int, scratch: Path) -> np.ndarray:
    """Render ``scene`` at ``frame``: (H, W, 3) uint8, after its view transform."""
    path = scratch / "still.png"
    _render_to(path, scene, frame)
    return _read_png(path)


def render_linear(scene: bpy.types.Scene, frame: int, scratch: Path) -> np.ndarray:
    """Render ``scene`` at ``frame``: (H, W, 4) float32, scene-linear light with premultiplied alpha."""
    path = scratch / "light.exr"
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "OPEN_EXR", "RGBA", "32"
    settings.exr_codec = "NONE"
    _render_to(path, scene, frame)
    image = bpy.data.images.load(str(path))
    width, height = image.size
    pixels = np.empty((height, width, 4), dtype=np.float32)
    image.pixels.foreach_get(pixels.ravel())
    bpy.data.images.remove(image)
    path.unlink()
    set_png_output(scene)
    return pixels[::-1]


def apply_view_transform(linear: np.ndarray, scene: bpy.types.Scene, scratch: Path) -> np.ndarray:
    """Scene-linear light (H, W, 3) through the view transform of ``scene``: (H, W, 3) uint8."""
    path = scratch / "transformed.png"
    height, width = linear.shape[:2]
    image = bpy.data.images.new("light", width, height, float_buffer=True)
    values = np.ones((height, width, 4), dtype=np.float32)
    values[..., :3] = linear[::-1]
    image.pixels.foreach_set(values.ravel())
    image.save_render(str(path), scene=scene)
    bpy.data.images.remove(image)
    return _read_png(path)


def _render_to(path: Path, scene: bpy.types.Scene, frame: int) -> None:
    for any_scene in bpy.data.scenes:  # Blender animates by the frame of the first scene, whichever it renders
        any_scene.frame_set(frame)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True, scene=scene.name)


def set_png_output(scene: bpy.types.Scene) -> None:
    """Render to PNG files with 8 bits a channel."""
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    settings.compression = 0


def _read_png(path: Path) -> np.ndarray:
    with PillowImage.open(path) as image:
        pixels = np.asarray(image)
    path.unlink()
    return pixels
