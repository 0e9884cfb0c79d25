"""Stills out of Blender, as arrays. Blender gives its pixels to files alone, in a folder for temporary files."""

from pathlib import Path

import bpy
import numpy as np
from PIL import Image as PillowImage


def still(scene: bpy.types.Scene, frame: int, scratch: Path) -> np.ndarray:
    """Pixels of ``scene`` at ``frame``, as the view transform makes them: (H, W, 3) uint8."""
    path = scratch / "still.png"
    _render_to(path, scene, frame)
    return _read_png(path)


def light(scene: bpy.types.Scene, frame: int, scratch: Path) -> np.ndarray:
    """Scene-linear light of ``scene`` at ``frame``: (H, W, 4) float32, with alpha, which is multiplied in."""
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
    write_png(scene)
    return pixels[::-1]


def developed(linear: np.ndarray, scene: bpy.types.Scene, scratch: Path) -> np.ndarray:
    """Scene-linear (H, W, 3) through the view transform of ``scene``: (H, W, 3) uint8."""
    path = scratch / "developed.png"
    height, width = linear.shape[:2]
    image = bpy.data.images.new("light", width, height, float_buffer=True)
    values = np.ones((height, width, 4), dtype=np.float32)
    values[..., :3] = linear[::-1]
    image.pixels.foreach_set(values.ravel())
    image.save_render(str(path), scene=scene)
    bpy.data.images.remove(image)
    return _read_png(path)


def _render_to(path: Path, scene: bpy.types.Scene, frame: int) -> None:
    for each in bpy.data.scenes:  # Blender animates what it renders by the frame of the first scene
        each.frame_set(frame)
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True, scene=scene.name)


def write_png(scene: bpy.types.Scene) -> None:
    """What is rendered goes to PNG files, 8 bits a channel."""
    settings = scene.render.image_settings
    settings.file_format, settings.color_mode, settings.color_depth = "PNG", "RGB", "8"
    settings.compression = 0


def _read_png(path: Path) -> np.ndarray:
    with PillowImage.open(path) as image:
        pixels = np.asarray(image)
    path.unlink()
    return pixels
