"""Reads glTF 2.0 and GLB: triangles, base colour, UVs, the nodes' transforms, skins and morphs at rest.

Every count and offset is checked against the bytes there are before an array is made, and every name of a file
goes through ``Source``. Names in quotes are those of the glTF 2.0 specification.
"""

import base64
import functools
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import numpy as np

from bl30k_gen.config import Limits
from bl30k_gen.dataset.images import GLTF_TEXTURE
from bl30k_gen.library.asset import AssetRefused, Wrap
from bl30k_gen.library.formats.image import decode
from bl30k_gen.library.formats.mesh import MAX_PIECES, Material, RawMesh, RawPart, average_colour, by_material
from bl30k_gen.library.formats.source import Source

# Extensions that a file may require: those read here, and those that only change what is not read.
EXTENSIONS = {"KHR_texture_transform", "KHR_mesh_quantization", "EXT_texture_webp", "KHR_lights_punctual"}
EXTENSIONS |= {"KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit", "KHR_texture_basisu"}
EXTENSIONS |= {f"KHR_materials_{name}" for name in ("clearcoat", "emissive_strength", "ior", "sheen", "specular")}
EXTENSIONS |= {f"KHR_materials_{name}" for name in ("transmission", "variants", "volume")}

TYPES: dict[int, type[Any]] = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5125: np.uint32,
    5126: np.float32,
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
TRIANGLES, STRIP, FAN = 4, 5, 6
WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
NEAREST = 9728
NUMBERS_PER_FACE = 100  # numbers that are read for each face that is allowed, before a file counts as too much work

READ = {"KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit"}  # extensions of a material

# What is raised where something that the specification guarantees is not there.
INVALID = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)


def read_gltf(source: Source, limits: Limits) -> RawMesh:
    """Read the default scene of a .glb or .gltf. Raises AssetRefused."""
    try:
        return _Reader(source, limits).mesh()
    except INVALID as error:  # which key it was is as much as can be said
        raise source.refuse(f"is no valid glTF ({type(error).__name__}: {error})") from None


def outline_gltf(source: Source, limits: Limits) -> tuple[int, int, np.ndarray, np.ndarray, bool, dict[str, Any]]:
    """What the JSON of a .glb or .gltf says, without its buffers, which ``source.data`` need not hold.

    Returns:
        Vertices, triangles, (3,) lowest and (3,) highest coordinates in the file's units, whether a material has a
        texture, and the entry ``asset``. Raises AssetRefused.
    """
    try:
        return _Reader(source, limits).outline()
    except INVALID as error:
        raise source.refuse(f"is no valid glTF ({type(error).__name__}: {error})") from None


class _Reader:
    def __init__(self, source: Source, limits: Limits):
        self.source = source
        self.limits = limits
        self.tree, self.chunk = self._parse()
        if str(self.tree["asset"]["version"]).partition(".")[0] != "2":
            raise source.refuse(f"is glTF {self.tree['asset']['version']}, only version 2 is read")
        unknown = sorted(set(self.tree.get("extensionsRequired", [])) - EXTENSIONS)
        if unknown:
            raise source.refuse(f"requires the extension {unknown[0]}, which is not supported")
        self.numbers_left = NUMBERS_PER_FACE * limits.max_faces
        self.buffer = functools.cache(self._buffer)
        self.image = functools.cache(self._image)
        self.material = functools.cache(self._material)

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
        self._remark_on_the_rest(used)
        return by_material(np.concatenate([np.empty((0, 3)), *positions]), parts, y_up=True)

    def outline(self) -> tuple[int, int, np.ndarray, np.ndarray, bool, dict[str, Any]]:
        vertices, faces, boxes = 0, 0, [np.empty((0, 3))]
        for node, primitive, transform in self._primitives():
            mode = primitive.get("mode", TRIANGLES)
            points = self.tree["accessors"][_natural(primitive["attributes"]["POSITION"])]
            order = self.tree["accessors"][_natural(primitive["indices"])] if "indices" in primitive else points
            vertices += _natural(points["count"])
            faces += _natural(order["count"]) // 3 if mode == TRIANGLES else max(0, _natural(order["count"]) - 2)
            if "skin" in node:  # where its vertices are stands in the buffers
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

    def _parse(self) -> tuple[dict[str, Any], bytes | None]:
        """The JSON tree, and the binary chunk of a GLB."""
        data = self.source.data
        if not data.startswith(b"glTF"):
            return json.loads(data.decode("utf-8-sig")), None
        chunks: dict[bytes, bytes] = {}
        position = 12
        while position + 8 <= len(data):
            length, kind = struct.unpack_from("<I4s", data, position)
            if position + 8 + length > len(data):
                raise self.source.refuse("is cut off")
            chunks.setdefault(kind, data[position + 8 : position + 8 + length])
            position += 8 + length
        if b"JSON" not in chunks:
            raise self.source.refuse("is cut off: a GLB without its JSON chunk")
        return json.loads(chunks[b"JSON"].decode("utf-8")), chunks.get(b"BIN\0")

    def _primitives(self) -> Iterator[tuple[dict[str, Any], dict[str, Any], np.ndarray]]:
        """(node, primitive made of triangles, the node's transform to the scene), as often as the scene shows it."""
        count = 0
        for node, transform in self._nodes():
            if "mesh" not in node:
                continue
            for primitive in self.tree["meshes"][_natural(node["mesh"])]["primitives"]:
                count += 1
                if count > MAX_PIECES:
                    raise self.source.refuse(f"shows more than the {MAX_PIECES} meshes allowed")
                if primitive.get("mode", TRIANGLES) in (TRIANGLES, STRIP, FAN):
                    yield node, primitive, transform
                else:
                    self.source.remark("points and lines are not drawn")

    def _nodes(self) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
        """(node, transform to the scene) for every node of the default scene. The nodes must form trees."""
        nodes = self.tree.get("nodes", [])
        scenes = self.tree.get("scenes")
        if scenes:
            if len(scenes) > 1:
                self.source.remark(f"{len(scenes) - 1} scenes beside the default one are not drawn")
            roots = scenes[_natural(self.tree.get("scene", 0))].get("nodes", [])
        else:
            children = {child for node in nodes for child in node.get("children", [])}
            roots = [index for index in range(len(nodes)) if index not in children]
        for index, transform in self._transforms(roots):
            yield nodes[index], transform

    def _transforms(self, roots: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """(node, transform to the scene) of everything below some nodes."""
        nodes = self.tree.get("nodes", [])
        pending = [(index, np.eye(4)) for index in reversed(roots)]
        seen = set()
        while pending:
            index, above = pending.pop()
            if index in seen or index < 0:
                raise self.source.refuse("has nodes that do not form a tree")
            seen.add(index)
            transform = above @ _local_transform(nodes[index])
            yield index, transform
            pending += [(child, transform) for child in reversed(nodes[index].get("children", []))]

    @functools.cached_property
    def _world(self) -> dict[int, np.ndarray]:
        """The transform of every node, in whatever scene."""
        nodes = self.tree.get("nodes", [])
        children = {child for node in nodes for child in node.get("children", [])}
        return dict(self._transforms([index for index in range(len(nodes)) if index not in children]))

    def _skin(self, index: int) -> np.ndarray:
        """(J, 4, 4) of a skin: from a vertex as it is stored to the scene, for each joint at rest."""
        skin = self.tree["skins"][_natural(index)]
        joints = np.stack([self._world[_natural(joint)] for joint in skin["joints"]])
        if "inverseBindMatrices" not in skin:
            return joints
        inverse = self._accessor(skin["inverseBindMatrices"], "MAT4").reshape(-1, 4, 4).swapaxes(1, 2)
        return joints @ inverse[: len(joints)]

    def _posed(
        self, points: np.ndarray, attributes: dict[str, int], node: dict[str, Any], transform: np.ndarray
    ) -> tuple[np.ndarray, bool]:
        """Points in the scene: by the joints of a skin, whose node counts for nothing, or by the node's transform.

        And whether that turns them inside out.
        """
        if "skin" not in node or "JOINTS_0" not in attributes:
            return points @ transform[:3, :3].T + transform[:3, 3], np.linalg.det(transform[:3, :3]) < 0
        matrices = self._skin(node["skin"])
        moved, total = np.zeros((len(points), 3)), np.zeros((len(points), 1))
        homogeneous = np.column_stack([points, np.ones(len(points))])
        for number in range(len(attributes)):
            if f"JOINTS_{number}" not in attributes:
                break
            joints = self._accessor(attributes[f"JOINTS_{number}"], "VEC4").astype(np.int64)
            weights = self._accessor(attributes[f"WEIGHTS_{number}"], "VEC4")
            if joints.size and joints.max() >= len(matrices):
                raise ValueError(f"a vertex names joint {joints.max()} of {len(matrices)}")
            for column in range(4):
                weight = weights[:, column : column + 1]
                moved += weight * np.einsum("vij,vj->vi", matrices[joints[:, column], :3], homogeneous)
                total += weight
        if (total <= 0).any():
            raise ValueError("a vertex of a skin hangs on no joint")
        return moved / total, np.linalg.det(matrices[0, :3, :3]) < 0

    def _remark_on_the_rest(self, used: set[int]) -> None:
        """What is in the file and no image shows."""
        remark = self.source.remark
        for key in ("animations", "cameras"):
            if self.tree.get(key):
                remark(f"{key} are not used: the model is shown at rest, by the dataset's own camera")
        if "KHR_lights_punctual" in self.tree.get("extensions", {}):
            remark("lights are not used")
        materials = self.tree.get("materials", [])
        if unused := len(set(range(len(materials))) - used):
            remark(f"materials that no face uses: {unused}; their textures are not read")

    def _primitive(
        self, primitive: dict[str, Any], node: dict[str, Any], transform: np.ndarray
    ) -> tuple[np.ndarray, RawPart]:
        """Vertices in the scene, and triangles of them."""
        attributes = primitive["attributes"]
        points = self._accessor(attributes["POSITION"], "VEC3")
        count = len(points)
        order = self._accessor(primitive["indices"], "SCALAR")[:, 0] if "indices" in primitive else np.arange(count)
        order = order.astype(np.int64)
        if len(order) and order.max() >= count:
            raise self.source.refuse(f"a face names vertex {order.max()} of {count}")
        points = self._morphed(points, primitive, node)
        points, inside_out = self._posed(points, attributes, node, transform)
        faces = _triangles(order, primitive.get("mode", TRIANGLES))
        material, texcoord, of_uv = self.material(primitive.get("material"))
        if "COLOR_0" in attributes:
            self.source.remark("colours of vertices are averaged")
            tint = average_colour(self._accessor(attributes["COLOR_0"], "VEC3", "VEC4")[:, :3])
            red, green, blue = (a * b for a, b in zip(material.colour, tint, strict=True))
            material = replace(material, colour=(red, green, blue))
        uv = None
        if f"TEXCOORD_{texcoord}" in attributes:
            table = self._accessor(attributes[f"TEXCOORD_{texcoord}"], "VEC2")
            table = np.column_stack([table, np.ones(len(table))]) @ of_uv.T
            uv = np.stack([table[:, 0], 1 - table[:, 1]], axis=1)[faces]  # glTF counts v downwards
        if inside_out:  # a mirror turns faces inside out
            faces, uv = faces[:, ::-1], None if uv is None else uv[:, ::-1]
        used, compact = np.unique(faces, return_inverse=True)  # many primitives may share one table of vertices
        return points[used], RawPart(compact.reshape(-1, 3), uv, material)

    def _morphed(self, points: np.ndarray, primitive: dict[str, Any], node: dict[str, Any]) -> np.ndarray:
        """With the morph targets that the file shows at rest."""
        targets = primitive.get("targets", [])
        weights = node.get("weights", self.tree["meshes"][node["mesh"]].get("weights", []))
        for target, weight in zip(targets, weights, strict=False):
            if weight and "POSITION" in target:
                points = points + float(weight) * self._accessor(target["POSITION"], "VEC3")
        return points

    def _accessor(self, index: int, *allowed: str) -> np.ndarray:
        """(count, width) float64 numbers; normalised integers as 0..1 or -1..1."""
        accessor = self.tree["accessors"][_natural(index)]
        count, kind, width = _natural(accessor["count"]), TYPES[accessor["componentType"]], WIDTHS[accessor["type"]]
        if accessor["type"] not in allowed:
            raise ValueError(f"an accessor is {accessor['type']}, not {allowed[0]}")
        self.numbers_left -= count * width
        if self.numbers_left < 0:
            raise self.source.refuse("reads its tables so often that it is too much work")
        if "bufferView" in accessor:
            values = self._view(accessor["bufferView"], accessor.get("byteOffset", 0), count, kind, width)
        elif count <= 3 * self.limits.max_faces:
            values = np.zeros((count, width), kind)
        else:
            raise ValueError(f"an accessor of {count} zeros")
        if "sparse" in accessor:
            values = self._with_changes(values, accessor["sparse"])
        if accessor.get("normalized") and kind is not np.float32:
            return np.maximum(values / np.iinfo(kind).max, -1.0)
        return values.astype(np.float64)

    def _with_changes(self, values: np.ndarray, sparse: dict[str, Any]) -> np.ndarray:
        count, where, what = _natural(sparse["count"]), sparse["indices"], sparse["values"]
        kind = TYPES[where["componentType"]]
        rows = self._view(where["bufferView"], where.get("byteOffset", 0), count, kind, 1)[:, 0]
        values = values.copy()
        values[rows] = self._view(
            what["bufferView"], what.get("byteOffset", 0), count, values.dtype.type, values.shape[1]
        )
        return values

    def _view(self, index: int, offset: int, count: int, kind: type, width: int) -> np.ndarray:
        """(count, width) items of a type inside a buffer view, which may be interleaved with others."""
        view, data = self._view_bytes(index)
        item = np.dtype(kind).newbyteorder("<")
        row = item.itemsize * width
        stride = _natural(view.get("byteStride", row)) or row
        offset = _natural(offset)
        if count and offset + (count - 1) * stride + row > len(data):
            raise ValueError(f"buffer view {index} is too short")
        if not count:
            return np.empty((0, width), kind)
        return np.ndarray((count, width), item, data, offset, (stride, item.itemsize)).astype(kind)

    def _view_bytes(self, index: int) -> tuple[dict[str, Any], memoryview]:
        view = self.tree["bufferViews"][_natural(index)]
        buffer = self.buffer(_natural(view["buffer"]))
        start = _natural(view.get("byteOffset", 0))
        end = start + _natural(view["byteLength"])
        if end > len(buffer):
            raise ValueError(f"buffer view {index} ends after its buffer")
        return view, buffer[start:end]

    def _buffer(self, index: int) -> memoryview:
        buffer = self.tree["buffers"][index]
        if "uri" in buffer:
            return memoryview(self._resource(buffer["uri"], self.limits.mesh_bytes))
        if index or self.chunk is None:
            raise ValueError(f"buffer {index} has no bytes")
        return memoryview(self.chunk)

    def _resource(self, uri: str, max_bytes: int) -> bytes:
        if uri.startswith("data:"):
            return base64.b64decode(uri.partition(",")[2], validate=True)
        return self.source.read(unquote(uri), max_bytes)

    def _image(self, index: int) -> np.ndarray:
        image = self.tree["images"][_natural(index)]
        name = f"image {index}"
        if "uri" in image:
            data = self._resource(image["uri"], self.limits.image_bytes)
            name = name if image["uri"].startswith("data:") else unquote(image["uri"])
        else:
            data = bytes(self._view_bytes(image["bufferView"])[1])
        return decode(data, name, self.source.refuse, self.limits, GLTF_TEXTURE, self.source.remark)

    def _texture(self, info: dict[str, Any]) -> tuple[np.ndarray, tuple[Wrap, Wrap]]:
        """Pixels, with their alpha, and how they continue outside of 0..1."""
        texture = self.tree["textures"][_natural(info["index"])]
        extensions = texture.get("extensions", {})
        source = extensions.get("EXT_texture_webp", {}).get("source", texture.get("source"))
        if source is None and extensions:
            raise self.source.refuse(f"has a texture by the extension {min(extensions)}, which is not supported")
        sampler = self.tree["samplers"][_natural(texture["sampler"])] if "sampler" in texture else {}
        if sampler.get("magFilter") == NEAREST:
            self.source.remark("textures whose sampler says nearest are drawn smoothed")
        return self.image(source), (WRAPS[sampler.get("wrapS", 10497)], WRAPS[sampler.get("wrapT", 10497)])

    def _material(self, index: int | None) -> tuple[Material, int, np.ndarray]:
        """A material, the number of the UV set that its texture uses, and the (2, 3) transform of its UVs."""
        if index is None:
            return Material(), 0, np.eye(2, 3)
        entry = self.tree["materials"][_natural(index)]
        opaque = entry.get("alphaMode", "OPAQUE") == "OPAQUE"
        pbr = entry.get("pbrMetallicRoughness", {})
        old = entry.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
        if old is not None and (not pbr or old.keys() & {"diffuseFactor", "diffuseTexture"}):
            factor, info = old.get("diffuseFactor", (1, 1, 1, 1)), old.get("diffuseTexture")
            roughness, metallic = 1 - float(old.get("glossinessFactor", 1)), 0.0
        else:
            factor, info = pbr.get("baseColorFactor", (1, 1, 1, 1)), pbr.get("baseColorTexture")
            roughness, metallic = self._roughness(pbr)
        red, green, blue = (float(channel) for channel in factor[:3])
        light, light_map = entry.get("emissiveFactor", (0, 0, 0)), entry.get("emissiveTexture")
        if any(light) and not (red or green or blue):
            self.source.remark("has black materials that emit light: their light is drawn as their colour")
            (red, green, blue), info = (min(float(channel), 1.0) for channel in light), light_map
        elif any(light):
            self.source.remark("emission is not drawn")
        self._remark_on(entry, factor)
        if info is None:
            return Material((red, green, blue), None, roughness, metallic), 0, np.eye(2, 3)
        change = info.get("extensions", {}).get("KHR_texture_transform", {})
        pixels, wrap = self._texture(info)
        material = Material((red, green, blue), pixels[..., :3] if opaque else pixels, roughness, metallic, wrap)
        return material, int(change.get("texCoord", info.get("texCoord", 0))), _uv_transform(change)

    def _roughness(self, pbr: dict[str, Any]) -> tuple[float, float]:
        """Roughness and metallic: a part has one value of each, so the mean of their map must do."""
        roughness, metallic = float(pbr.get("roughnessFactor", 1)), float(pbr.get("metallicFactor", 1))
        if "metallicRoughnessTexture" not in pbr:
            return roughness, metallic
        try:
            channels = self._texture(pbr["metallicRoughnessTexture"])[0].mean(axis=(0, 1)) / 255
        except AssetRefused as refused:
            reason = refused.reason.removeprefix(f"{self.source.name}: ")
            self.source.remark(f"its map of roughness and metal is not used: {reason}")
            return roughness, metallic if "metallicFactor" in pbr else 0.0
        return roughness * channels[1], metallic * channels[2]

    def _remark_on(self, entry: dict[str, Any], factor: Sequence[float]) -> None:
        """What a material has and no image shows."""
        unread = [key for key in ("normalTexture", "occlusionTexture") if key in entry]
        unread += sorted(entry.get("extensions", {}).keys() - READ)
        if unread:
            self.source.remark(f"not used of its materials: {', '.join(unread)}")
        if entry.get("alphaMode") == "MASK" and entry.get("alphaCutoff", 0.5) != 0.5:
            self.source.remark("alphaCutoff is not used: alpha is cut at one half")
        if entry.get("alphaMode") == "BLEND" and len(factor) > 3 and factor[3] < 1:
            self.source.remark("see-through materials are drawn opaque")


def _natural(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no index or length")
    return value


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


def _uv_transform(change: dict[str, Any]) -> np.ndarray:
    """(2, 3) matrix of KHR_texture_transform: scale, then rotate, then move."""
    (su, sv), (du, dv) = change.get("scale", (1, 1)), change.get("offset", (0, 0))
    cos, sin = np.cos(change.get("rotation", 0)), np.sin(change.get("rotation", 0))
    return np.array([[su * cos, sv * sin, du], [-su * sin, sv * cos, dv]], dtype=np.float64)


def _triangles(order: np.ndarray, mode: int) -> np.ndarray:
    """(F, 3) vertex indices of a list, strip or fan of triangles."""
    if mode == TRIANGLES:
        return order[: len(order) // 3 * 3].reshape(-1, 3)
    first, second, third = order[:-2], order[1:-1], order[2:]
    if mode == FAN:
        return np.stack([np.broadcast_to(order[:1], second.shape), second, third], axis=1)
    odd = np.arange(len(third)) % 2 == 1
    return np.stack([first, np.where(odd, third, second), np.where(odd, second, third)], axis=1)
