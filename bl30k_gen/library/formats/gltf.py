"""Read glTF 2.0 and GLB: triangles, base colour, UVs, transforms of nodes, skins and morph targets at rest."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.library.formats.gltf_document import INVALID, TYPES, Document, natural
from bl30k_gen.library.formats.gltf_materials import Materials
from bl30k_gen.library.formats.gltf_nodes import Nodes
from bl30k_gen.library.formats.mesh import MAX_PIECES, RawMesh, RawPart, average_colour, by_material
from bl30k_gen.library.formats.source import Source

TRIANGLES, STRIP, FAN = 4, 5, 6


def read_gltf(source: Source, limits: Limits) -> RawMesh:
    """Read the default scene of a .glb or .gltf. Raises AssetRefused."""
    try:
        return _Reader(source, limits).mesh()
    except INVALID as error:  # nothing but the key is known
        raise source.refuse(f"is no valid glTF ({type(error).__name__}: {error})") from None


def outline_gltf(source: Source, limits: Limits) -> tuple[int, int, np.ndarray, np.ndarray, bool, dict[str, Any]]:
    """Measure a .glb or .gltf by its JSON alone; ``source.data`` need not contain its buffers.

    Returns:
        Numbers of vertices and triangles, (3,) lowest and (3,) highest coordinates in the file's units, whether a
        material has a texture, and the entry ``asset``.

    Raises:
        AssetRefused: the JSON is invalid.
    """
    try:
        return _Reader(source, limits).outline()
    except INVALID as error:
        raise source.refuse(f"is no valid glTF ({type(error).__name__}: {error})") from None


class _Reader:
    def __init__(self, source: Source, limits: Limits):
        self.source = source
        self.limits = limits
        self.document = Document(source, limits)
        self.tree = self.document.tree
        self.nodes, self.materials = Nodes(self.document), Materials(self.document)

    def mesh(self) -> RawMesh:
        positions, parts, total, faces_so_far = [], [], 0, 0
        used: set[int] = set()
        for node, primitive, transform in self._primitives():
            points, part = self._primitive(primitive, node, transform)
            used.add(primitive.get("material", -1))
            faces_so_far += len(part.faces)
            if faces_so_far > self.limits.max_faces:
                raise self.source.refuse(f"has more than assets.limits.max_faces = {self.limits.max_faces} faces")
            positions.append(points)
            parts.append(RawPart(part.faces + total, part.uv, part.material))
            total += len(points)
        self._remark_on_unused(used)
        return by_material(np.concatenate([np.empty((0, 3)), *positions]), parts, y_up=True)

    def outline(self) -> tuple[int, int, np.ndarray, np.ndarray, bool, dict[str, Any]]:
        vertices, faces, boxes = 0, 0, [np.empty((0, 3))]
        for node, primitive, transform in self._primitives():
            mode = primitive.get("mode", TRIANGLES)
            points = self.document.entry("accessors", primitive["attributes"]["POSITION"])
            order = self.document.entry("accessors", primitive["indices"]) if "indices" in primitive else points
            vertices += natural(points["count"])
            faces += natural(order["count"]) // 3 if mode == TRIANGLES else max(0, natural(order["count"]) - 2)
            if "skin" in node:  # positions of its vertices depend on the buffers
                boxes.append(np.full((1, 3), np.nan))
                continue
            ends = np.array([points["min"], points["max"]], dtype=np.float64).reshape(2, 3)
            if points.get("normalized") and points["componentType"] != 5126:
                ends /= np.iinfo(TYPES[points["componentType"]]).max
            corners = np.stack(np.meshgrid(*ends.T), axis=-1).reshape(8, 3)
            boxes.append(corners @ transform[:3, :3].T + transform[:3, 3])
        box = np.concatenate(boxes)
        if not len(box):
            raise self.source.refuse("has no faces")
        materials = self.tree.get("materials", [])
        textured = any("baseColorTexture" in json.dumps(m) or "diffuseTexture" in json.dumps(m) for m in materials)
        return vertices, faces, box.min(axis=0), box.max(axis=0), textured, self.tree["asset"]

    def _primitives(self) -> Iterator[tuple[dict[str, Any], dict[str, Any], np.ndarray]]:
        """(node, primitive of triangles, the node's transform to the scene), for every instance in the scene."""
        count = 0
        for node, transform in self.nodes.shown():
            if "mesh" not in node:
                continue
            for primitive in self.document.entry("meshes", node["mesh"])["primitives"]:
                count += 1
                if count > MAX_PIECES:
                    raise self.source.refuse(f"shows more than the {MAX_PIECES} meshes allowed")
                if primitive.get("mode", TRIANGLES) in (TRIANGLES, STRIP, FAN):
                    yield node, primitive, transform
                else:
                    self.source.remark("points and lines are not drawn")

    def _primitive(
        self, primitive: dict[str, Any], node: dict[str, Any], transform: np.ndarray
    ) -> tuple[np.ndarray, RawPart]:
        """The vertices of a primitive in the scene, and its triangles."""
        attributes = primitive["attributes"]
        points = self.document.accessor(attributes["POSITION"], "VEC3")
        count = len(points)
        order = (
            self.document.accessor(primitive["indices"], "SCALAR")[:, 0]
            if "indices" in primitive
            else np.arange(count)
        )
        order = order.astype(np.int64)
        if len(order) and order.max() >= count:
            raise self.source.refuse(f"a face names vertex {order.max()} of {count}")
        points = self.nodes.morphed(points, primitive, node)
        points, inside_out = self.nodes.posed(points, attributes, node, transform)
        faces = _triangles(order, primitive.get("mode", TRIANGLES))
        material, texcoord, of_uv = self.materials.material(primitive.get("material"))
        if "COLOR_0" in attributes:
            self.source.remark("colours of vertices are averaged")
            tint = average_colour(self.document.accessor(attributes["COLOR_0"], "VEC3", "VEC4")[:, :3])
            base = (1.0, 1.0, 1.0) if "material" not in primitive else material.colour
            red, green, blue = (a * b for a, b in zip(base, tint, strict=True))
            material = replace(material, colour=(red, green, blue))
        uv = None
        if f"TEXCOORD_{texcoord}" in attributes:
            table = self.document.accessor(attributes[f"TEXCOORD_{texcoord}"], "VEC2")
            table = np.column_stack([table, np.ones(len(table))]) @ of_uv.T
            uv = np.stack([table[:, 0], 1 - table[:, 1]], axis=1)[faces]  # v points down in glTF
        if inside_out:
            faces, uv = faces[:, ::-1], None if uv is None else uv[:, ::-1]
        used, compact = np.unique(faces, return_inverse=True)  # primitives may share one table of vertices
        return points[used], RawPart(compact.reshape(-1, 3), uv, material)

    def _remark_on_unused(self, used: set[int]) -> None:
        """Report content of the file that is not rendered."""
        remark = self.source.remark
        for key in ("animations", "cameras"):
            if self.tree.get(key):
                remark(f"{key} are not used: the model is shown at rest, by the dataset's own camera")
        if "KHR_lights_punctual" in self.tree.get("extensions", {}):
            remark("lights are not used")
        materials = self.tree.get("materials", [])
        if unused := len(set(range(len(materials))) - used):
            remark(f"materials that no face uses: {unused}; their textures are not read")


def _triangles(order: np.ndarray, mode: int) -> np.ndarray:
    """(F, 3) vertex indices of a list, strip or fan of triangles."""
    if mode == TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    first, second, third = order[:-2], order[1:-1], order[2:]
    if mode == FAN:
        return np.stack([np.broadcast_to(order[:1], second.shape), second, third], axis=1)
    odd = np.arange(len(third)) % 2 == 1
    return np.stack([first, np.where(odd, third, second), np.where(odd, second, third)], axis=1)
