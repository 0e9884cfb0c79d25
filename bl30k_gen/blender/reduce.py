"""Mesh simplification by Blender's quadric edge collapse, which keeps materials and texture coordinates."""

from dataclasses import replace

import bpy
import numpy as np

from bl30k_gen.blender.build import bproc, make_mesh
from bl30k_gen.library.asset import Model, Part

TRIES = 20


def reduce(model: Model, faces: int) -> Model:
    """The model with at most ``faces`` faces, unchanged if it has no more than these.

    Parts without a face left are dropped. ``sha256`` stays that of the original model.
    """
    count = sum(len(part.faces) for part in model.parts)
    if count <= faces:
        return model
    bproc.clean_up(clean_up_camera=True)
    entity = make_mesh("model", model).blender_obj
    for number in range(len(model.parts)):
        entity.data.materials.append(bpy.data.materials.new(f"part {number}"))
    modifier = entity.modifiers.new("fewer", "DECIMATE")
    modifier.use_collapse_triangulate = True
    ratio = faces / count
    for _ in range(TRIES):
        modifier.ratio = ratio
        mesh = entity.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
        if len(mesh.polygons) <= faces:
            break
        ratio *= 0.98 * faces / len(mesh.polygons)
    return _read(mesh, model)


def _read(mesh: bpy.types.Mesh, model: Model) -> Model:
    mesh.calc_loop_triangles()
    corners, triangles = len(mesh.loops), len(mesh.loop_triangles)
    vertices = _values(mesh.vertices, "co", np.float32, (len(mesh.vertices), 3))
    vertex_of = _values(mesh.loops, "vertex_index", np.int32, (corners,))
    loops = _values(mesh.loop_triangles, "loops", np.int32, (triangles, 3))
    part_of = _values(mesh.loop_triangles, "material_index", np.int32, (triangles,))
    uv = _values(mesh.uv_layers[0].uv, "vector", np.float32, (corners, 2))

    def reduced(number: int, part: Part) -> Part:
        chosen = loops[part_of == number]
        return replace(part, faces=vertex_of[chosen], uv=None if part.uv is None else uv[chosen])

    parts = (reduced(number, part) for number, part in enumerate(model.parts))
    return Model(vertices, tuple(part for part in parts if len(part.faces)), model.sha256)


def _values(items: bpy.types.bpy_prop_collection, name: str, kind: type, shape: tuple[int, ...]) -> np.ndarray:
    values: np.ndarray = np.empty(int(np.prod(shape)), dtype=kind)
    items.foreach_get(name, values)
    return values.reshape(shape)
