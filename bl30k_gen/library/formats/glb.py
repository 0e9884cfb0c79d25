"""Write a model as one GLB file with its materials and textures."""

import functools
from typing import Any

import numpy as np
import trimesh
from PIL import Image

from bl30k_gen.library.asset import Model, Part
from bl30k_gen.library.formats.gltf_materials import WRAPS


def as_glb(model: Model) -> bytes:
    """Encode a model in glTF's axes (y up, front +z). Reading it restores the model, apart from rounded colours."""
    scene = trimesh.Scene()
    for number, part in enumerate(model.parts):
        scene.add_geometry(_geometry(model, part), geom_name=f"part {number:03d}")
    return scene.export(file_type="glb", tree_postprocessor=functools.partial(_add_samplers, model))


def _add_samplers(model: Model, tree: dict[str, Any]) -> None:
    """Add the wrap modes of textures, which trimesh does not write."""
    codes = {wrap: code for code, wrap in WRAPS.items()}
    for mesh, part in zip(tree.get("meshes", []), model.parts, strict=True):
        material = tree["materials"][mesh["primitives"][0]["material"]]
        info = material["pbrMetallicRoughness"].get("baseColorTexture")
        if info is not None and part.wrap != ("repeat", "repeat"):
            texture = dict(tree["textures"][info["index"]])
            samplers = tree.setdefault("samplers", [])
            texture["sampler"] = len(samplers)
            samplers.append({"wrapS": codes[part.wrap[0]], "wrapT": codes[part.wrap[1]]})
            info["index"] = len(tree["textures"])
            tree["textures"].append(texture)


def _geometry(model: Model, part: Part) -> trimesh.Trimesh:
    corners = model.vertices[part.faces.ravel()][:, [0, 2, 1]] * np.array([1, 1, -1], np.float32)
    uv = None if part.uv is None else part.uv.reshape(-1, 2)
    rows, number = np.unique(corners if uv is None else np.hstack([corners, uv]), axis=0, return_inverse=True)
    colour = np.round(255 * np.array([*part.colour, 1.0])).astype(np.uint8)
    material = trimesh.visual.material.PBRMaterial(
        baseColorFactor=colour,
        metallicFactor=part.metallic,
        roughnessFactor=part.roughness,
        baseColorTexture=None if part.texture is None else Image.fromarray(part.texture),
        alphaMode="MASK" if part.texture is not None and part.texture.shape[2] == 4 else "OPAQUE",
        doubleSided=True,
    )
    visual = trimesh.visual.TextureVisuals(uv=None if uv is None else rows[:, 3:], material=material)
    return trimesh.Trimesh(rows[:, :3], number.reshape(-1, 3), visual=visual, process=False)
