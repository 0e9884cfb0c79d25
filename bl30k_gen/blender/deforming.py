"""Meshes that change their shape from frame to frame."""

import bpy
import numpy as np

from bl30k_gen.scene.deformation import deform, time_of
from bl30k_gen.scene.spec import Deformation


class DeformingMesh:
    """A mesh that is given its vertices anew on every frame, so that memory does not grow with their number.

    Args:
        entity: has the mesh, whose vertices are ``rest``, (V, 3), in this order.
        shutter: frames that the shutter is open, or None without motion blur. With it two more shape keys lead from
            where the vertices are when it opens, and to where they are when it closes.
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
        """Take the shape of a frame; between frames, move as the shape does."""
        everything = self.keys[0][0].id_data
        if everything.animation_data is not None:
            bpy.data.actions.remove(everything.animation_data.action)
        for key, shift in self.keys:
            vertices = deform(self.rest, self.deformation, time_of(frame + shift, self.frames))
            key.data.foreach_set("co", vertices.ravel())
            if shift:
                for value, when in ((0.0, frame), (1.0, frame + shift)):
                    key.value = value
                    key.keyframe_insert("value", frame=when)
        everything.update_tag()
