"""RGB frames of which Cycles draws the objects alone, over a backdrop that is drawn apart."""

from pathlib import Path

import bpy
import numpy as np

from bl30k_gen.blender.backdrop import Backdrop
from bl30k_gen.blender.build import BACKDROP, Built
from bl30k_gen.blender.stills import developed, light, still
from bl30k_gen.scene.extent import Rectangle, rectangles
from bl30k_gen.scene.spec import SceneSpec

STILL = 2.0  # pixels that the backdrop may move during an exposure


class Composite:
    """Draws a video's frames: by Cycles only the rectangles in which objects are, without backdrop.

    They are laid over the backdrop in scene-linear light, and both go through the view transform together. The
    backdrop is out of the camera's sight alone: it lights the objects as ever.
    """

    def __init__(self, spec: SceneSpec, built: Built, threads: int):
        self.spec = spec
        self.vertices = built.vertices
        self.backdrop = Backdrop(spec, built.backdrop, threads)

    def render(self, frame: int, scratch: Path) -> np.ndarray:
        """(H, W, 3) uint8 sRGB of one frame.

        Traced as a whole where an object reaches behind the backdrop, or where the backdrop moves much during the
        exposure: the mean of objects over a backdrop is that of objects over the mean of the backdrop only while
        the backdrop is about the same.
        """
        scene = bpy.context.scene
        found = rectangles(self.spec, self.vertices, frame)
        if found is None or self.backdrop.moved(frame) > STILL:
            show(scene, None)
            return still(scene, frame, scratch)
        image = self.backdrop.draw(frame)
        for rectangle in found:
            show(scene, rectangle)
            objects = light(scene, frame, scratch)
            alpha = objects[..., 3:]
            objects[alpha[..., 0] == 0] = 0  # the denoiser's smear would end at the rectangle
            image[rectangle.pixels] = objects[..., :3] + (1 - alpha) * image[rectangle.pixels]
        return developed(image, scene, scratch)


def show(scene: bpy.types.Scene, rectangle: Rectangle | None) -> None:
    """Let the camera see objects alone in a rectangle of the image; None: everything, in all of it."""
    bpy.data.objects[BACKDROP].visible_camera = rectangle is None
    render = scene.render
    render.film_transparent = render.use_border = render.use_crop_to_border = rectangle is not None
    if rectangle is not None:
        # Blender rounds down to whole pixels, from the left and from below.
        width, height = render.resolution_x, render.resolution_y
        render.border_min_x, render.border_max_x = ((x + 0.5) / width for x in rectangle[::2])
        render.border_max_y, render.border_min_y = ((height - y + 0.5) / height for y in rectangle[1::2])
