"""The nodes of a glTF: transforms of meshes in the scene, skins and morph targets."""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np

from bl30k_gen.library.formats.gltf_document import Document, natural


class Nodes:
    """The nodes of a document, with their transforms."""

    def __init__(self, document: Document):
        self._document = document
        self._source = document.source
        self._nodes = document.tree.get("nodes", [])

    def shown(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """(node, transform to the scene) for every node of the default scene. The nodes must form trees."""
        scenes = self._document.tree.get("scenes")
        if scenes:
            if len(scenes) > 1:
                self._source.remark(f"{len(scenes) - 1} scenes beside the default one are not drawn")
            roots = scenes[natural(self._document.tree.get("scene", 0))].get("nodes", [])
        else:
            children = {child for node in self._nodes for child in node.get("children", [])}
            roots = [index for index in range(len(self._nodes)) if index not in children]
        for index, transform in self._transforms(roots):
            yield self._nodes[index], transform

    def morphed(self, points: np.ndarray, primitive: dict[str, Any], node: dict[str, Any]) -> np.ndarray:
        """Points (V, 3) displaced by the morph targets, with the file's default weights."""
        targets = primitive.get("targets", [])
        weights = node.get("weights", self._document.entry("meshes", node["mesh"]).get("weights", []))
        for target, weight in zip(targets, weights, strict=False):
            if weight and "POSITION" in target:
                points = points + float(weight) * self._document.accessor(target["POSITION"], "VEC3")
        return points

    def posed(
        self, points: np.ndarray, attributes: dict[str, int], node: dict[str, Any], transform: np.ndarray
    ) -> tuple[np.ndarray, bool]:
        """Points (V, 3) in the scene, and whether the transform is a reflection, which turns faces inside out.

        A skinned mesh is transformed by its joints, not by its node; others by their node.
        """
        if "skin" not in node or "JOINTS_0" not in attributes:
            return points @ transform[:3, :3].T + transform[:3, 3], np.linalg.det(transform[:3, :3]) < 0
        matrices = self._skin(node["skin"])
        moved, total = np.zeros((len(points), 3)), np.zeros((len(points), 1))
        homogeneous = np.column_stack([points, np.ones(len(points))])
        for number in range(len(attributes)):
            if f"JOINTS_{number}" not in attributes:
                break
            joints = self._document.accessor(attributes[f"JOINTS_{number}"], "VEC4").astype(np.int64)
            weights = self._document.accessor(attributes[f"WEIGHTS_{number}"], "VEC4")
            if joints.size and joints.max() >= len(matrices):
                raise ValueError(f"a vertex names joint {joints.max()} of {len(matrices)}")
            for column in range(4):
                weight = weights[:, column : column + 1]
                moved += weight * np.einsum("vij,vj->vi", matrices[joints[:, column], :3], homogeneous)
                total += weight
        if (total <= 0).any():
            raise ValueError("a vertex of a skin has no joint")
        return moved / total, np.linalg.det(matrices[0, :3, :3]) < 0

    def _transforms(self, roots: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(node, transform to the scene) of nodes and all their descendants."""
        pending = [(index, np.eye(4)) for index in reversed(roots)]
        seen = set()
        while pending:
            index, above = pending.pop()
            if index in seen or index < 0:
                raise self._source.refuse("has nodes that do not form a tree")
            seen.add(index)
            transform = above @ _local_transform(self._nodes[index])
            yield index, transform
            pending += [(child, transform) for child in reversed(self._nodes[index].get("children", []))]

    @functools.cached_property
    def _world(self) -> dict[int, np.ndarray]:
        """The transform of every node of all scenes."""
        children = {child for node in self._nodes for child in node.get("children", [])}
        return dict(self._transforms([index for index in range(len(self._nodes)) if index not in children]))

    def _skin(self, index: int) -> np.ndarray:
        """(J, 4, 4) matrices of a skin's joints at rest, from stored vertices to the scene."""
        skin = self._document.entry("skins", index)
        joints = np.stack([self._world[natural(joint)] for joint in skin["joints"]])
        if "inverseBindMatrices" not in skin:
            return joints
        inverse = self._document.accessor(skin["inverseBindMatrices"], "MAT4").reshape(-1, 4, 4).swapaxes(1, 2)
        return joints @ inverse[: len(joints)]


def _local_transform(node: dict[str, Any]) -> np.ndarray:
    if "matrix" in node:
        return np.array(node["matrix"], dtype=np.float64).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), dtype=np.float64)
    rotation = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    transform = np.eye(4)
    transform[:3, :3] = rotation * np.array(node.get("scale", (1, 1, 1)), dtype=np.float64)
    transform[:3, 3] = node.get("translation", (0, 0, 0))
    return transform
