"""RGB frames in which Cycles renders only the objects, composited over a separately drawn backdrop."""

from pathlib import Path

import bpy
import numpy as np

from bl30k_gen.blender.backdrop import Backdrop
from bl30k_gen.blender.build import BACKDROP, Built
from bl30k_gen.blender.stills import apply_view_transform, render_linear, render_srgb
from bl30k_gen.scene.extent import Rectangle, rectangles
from bl30k_gen.scene.spec import SceneSpec

MAX_MOTION = 2.0  # pixels that the backdrop of a composited frame may move during an exposure


class Composite:
    """Renders the frames of a video: by Cycles only the rectangles that contain objects, without the backdrop.

    They are composited over the backdrop in scene-linear light, before the view transform. The backdrop is hidden
    from the camera only: it still lights the objects.
    """

    def __init__(self, spec: SceneSpec, built: Built, threads: int):
        self.spec = spec
        self.vertices = built.vertices
        self.backdrop = Backdrop(spec, built.backdrop, threads)

    def render(self, frame: int, scratch: Path) -> np.ndarray:
        """(H, W, 3) uint8 sRGB of one frame.

        Cycles renders the whole image where an object reaches behind the backdrop, or where the backdrop moves far
        during the exposure. Compositing objects over the mean of the backdrop is right only if the backdrop hardly
        changes during the exposure.
        """
        scene = bpy.context.scene
        found = rectangles(self.spec, self.vertices, frame)
        if found is None or self.backdrop.motion(frame) > MAX_MOTION:
            show(scene, None)
            return render_srgb(scene, frame, scratch)
        image = self.backdrop.draw(frame)
        for rectangle in found:
            show(scene, rectangle)
            objects = render_linear(scene, frame, scratch)
            alpha = objects[..., 3:]
            objects[alpha[..., 0] == 0] = 0  # what the denoiser spreads there would end at the rectangle's edge
            image[rectangle.pixels] = objects[..., :3] + (1 - alpha) * image[rectangle.pixels]
        return apply_view_transform(image, scene, scratch)


def show(scene: bpy.types.Scene, rectangle: Rectangle | None) -> None:
    """Render only objects in a rectangle of the image; None: everything in the whole image."""
    bpy.data.objects[BACKDROP].visible_camera = rectangle is None
    render = scene.render
    render.film_transparent = render.use_border = render.use_crop_to_border = rectangle is not None
    if rectangle is not None:
        # Blender rounds down to whole pixels, from the left and from below.
        width, height = render.resolution_x, render.resolution_y
        render.border_min_x, render.border_max_x = ((x + 0.5) / width for x in rectangle[::2])
        render.border_max_y, render.border_min_y = ((height - y + 0.5) / height for y in rectangle[1::2])
