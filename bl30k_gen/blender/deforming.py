"""Meshes that change their shape from frame to frame."""

import bpy
import numpy as np

from bl30k_gen.scene.deformation import deform, time_of
from bl30k_gen.scene.spec import Deformation


class DeformingMesh:
    """A mesh whose vertices are set before each frame, so that memory does not grow with the number of frames.

    Args:
        entity: object with the mesh.
        rest: (V, 3) its vertices at rest, in the order of the mesh.
        shutter: shutter time in frames; None: no motion blur. With motion blur two more shape keys hold the vertices
            when the shutter opens and when it closes.
    """

    def __init__(
        self,
        entity: bpy.types.Object,
        rest: np.ndarray,
        deformation: Deformation,
        frames: int,
        shutter: float | None,
    ):
        self.rest, self.deformation, self.frames = rest, deformation, frames
        shifts = [0.0] if shutter is None else [0.0, -shutter / 2, shutter / 2]
        self.keys = [(entity.shape_key_add(name=f"frame {shift:+}"), shift) for shift in shifts]

    def pose(self, frame: int) -> None:
        """Set the shape of a frame, and with motion blur its change while the shutter is open."""
        shape_keys = self.keys[0][0].id_data
        if shape_keys.animation_data is not None:
            bpy.data.actions.remove(shape_keys.animation_data.action)
        for key, shift in self.keys:
            vertices = deform(self.rest, self.deformation, time_of(frame + shift, self.frames))
            key.data.foreach_set("co", vertices.ravel())
            if shift:
                for value, time in ((0.0, frame), (1.0, frame + shift)):
                    key.value = value
                    key.keyframe_insert("value", frame=time)
        shape_keys.update_tag()
