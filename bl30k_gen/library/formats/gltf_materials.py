"""The materials of a glTF: base colour, texture with its UV set, roughness and metallic."""

import functools
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

import numpy as np

from bl30k_gen.dataset.images import GLTF_TEXTURE
from bl30k_gen.library.asset import AssetRefused, Wrap
from bl30k_gen.library.formats.gltf_document import Document
from bl30k_gen.library.formats.image import decode
from bl30k_gen.library.formats.mesh import Material

WRAPS: dict[int, Wrap] = {10497: "repeat", 33071: "clamp", 33648: "mirror"}
NEAREST = 9728
READ = {"KHR_materials_pbrSpecularGlossiness", "KHR_materials_unlit"}  # extensions of a material


class Materials:
    """The materials of a document; each material and image is read once."""

    def __init__(self, document: Document):
        self._document = document
        self._source = document.source
        self.material = functools.cache(self._material)
        self._image_of = functools.cache(self._image)

    def _material(self, index: int | None) -> tuple[Material, int, np.ndarray]:
        """A material, the number of the UV set that its texture uses, and the (2, 3) transform of its UVs."""
        if index is None:
            return Material(), 0, np.eye(2, 3)
        entry = self._document.entry("materials", index)
        opaque = entry.get("alphaMode", "OPAQUE") == "OPAQUE"
        factor, info, roughness, metallic = self._base(entry)
        red, green, blue = (float(channel) for channel in factor[:3])
        light, light_map = entry.get("emissiveFactor", (0, 0, 0)), entry.get("emissiveTexture")
        if any(light) and not (red or green or blue):
            self._source.remark("has black materials that emit light: their light is drawn as their colour")
            (red, green, blue), info = (min(float(channel), 1.0) for channel in light), light_map
        elif any(light):
            self._source.remark("emission is not drawn")
        self._remark_on(entry, factor)
        if info is None:
            return Material((red, green, blue), None, roughness, metallic), 0, np.eye(2, 3)
        change = info.get("extensions", {}).get("KHR_texture_transform", {})
        pixels, wrap = self._texture(info)
        material = Material((red, green, blue), pixels[..., :3] if opaque else pixels, roughness, metallic, wrap)
        return material, int(change.get("texCoord", info.get("texCoord", 0))), _uv_transform(change)

    def _base(self, entry: dict[str, Any]) -> tuple[Sequence[float], dict[str, Any] | None, float, float]:
        """Factor and texture of the base colour, roughness, metallic; from either of the two material models."""
        pbr = entry.get("pbrMetallicRoughness", {})
        old = entry.get("extensions", {}).get("KHR_materials_pbrSpecularGlossiness")
        if old is not None and (not pbr or old.keys() & {"diffuseFactor", "diffuseTexture"}):
            roughness = 1 - float(old.get("glossinessFactor", 1)) * self._glossiness(old)
            return old.get("diffuseFactor", (1, 1, 1, 1)), old.get("diffuseTexture"), roughness, 0.0
        if "KHR_materials_unlit" in entry.get("extensions", {}):
            self._source.remark("materials that should show their colour without light are lit")
            pbr = {"metallicFactor": 0.0, **pbr}
        return pbr.get("baseColorFactor", (1, 1, 1, 1)), pbr.get("baseColorTexture"), *self._roughness(pbr)

    def _glossiness(self, old: dict[str, Any]) -> float:
        """The mean of a map of glossiness, which is in alpha; 1 without one."""
        if "specularGlossinessTexture" not in old:
            return 1.0
        try:
            pixels = self._texture(old["specularGlossinessTexture"])[0]
        except AssetRefused as refused:
            reason = refused.reason.removeprefix(f"{self._source.name}: ")
            self._source.remark(f"its map of glossiness is not used: {reason}")
            return 1.0
        return float(pixels[..., 3].mean() / 255) if pixels.shape[2] == 4 else 1.0

    def _roughness(self, pbr: dict[str, Any]) -> tuple[float, float]:
        """Roughness and metallic. A part has one value of each, so their map is averaged."""
        roughness, metallic = float(pbr.get("roughnessFactor", 1)), float(pbr.get("metallicFactor", 1))
        if "metallicRoughnessTexture" not in pbr:
            return roughness, metallic
        try:
            channels = self._texture(pbr["metallicRoughnessTexture"])[0].mean(axis=(0, 1)) / 255
        except AssetRefused as refused:
            reason = refused.reason.removeprefix(f"{self._source.name}: ")
            self._source.remark(f"its map of roughness and metal is not used: {reason}")
            return roughness, metallic if "metallicFactor" in pbr else 0.0
        return roughness * channels[1], metallic * channels[2]

    def _texture(self, info: dict[str, Any]) -> tuple[np.ndarray, tuple[Wrap, Wrap]]:
        """Pixels with alpha, and the wrap modes."""
        texture = self._document.entry("textures", info["index"])
        extensions = texture.get("extensions", {})
        source = extensions.get("EXT_texture_webp", {}).get("source", texture.get("source"))
        if source is None and extensions:
            raise self._source.refuse(f"has a texture by the extension {min(extensions)}, which is not supported")
        sampler = self._document.entry("samplers", texture["sampler"]) if "sampler" in texture else {}
        if sampler.get("magFilter") == NEAREST:
            self._source.remark("textures whose sampler says nearest are drawn smoothed")
        return self._image_of(source), (WRAPS[sampler.get("wrapS", 10497)], WRAPS[sampler.get("wrapT", 10497)])

    def _image(self, index: int) -> np.ndarray:
        """(H, W, 3 or 4) uint8 sRGB."""
        image = self._document.entry("images", index)
        name = f"image {index}"
        if "uri" in image:
            data = self._document.resource(image["uri"], self._document.limits.image_bytes)
            name = name if image["uri"].startswith("data:") else unquote(image["uri"])
        else:
            data = bytes(self._document.view_bytes(image["bufferView"])[1])
        return decode(data, name, self._source.refuse, self._document.limits, GLTF_TEXTURE, self._source.remark)

    def _remark_on(self, entry: dict[str, Any], factor: Sequence[float]) -> None:
        """Report properties of a material that are not rendered."""
        unread = [key for key in ("normalTexture", "occlusionTexture") if key in entry]
        unread += sorted(entry.get("extensions", {}).keys() - READ)
        if unread:
            self._source.remark(f"not used of its materials: {', '.join(unread)}")
        if entry.get("alphaMode") == "MASK" and entry.get("alphaCutoff", 0.5) != 0.5:
            self._source.remark("alphaCutoff is not used: alpha is cut at one half")
        if entry.get("alphaMode") == "BLEND" and len(factor) > 3 and factor[3] < 1:
            self._source.remark("see-through materials are drawn opaque")


def _uv_transform(change: dict[str, Any]) -> np.ndarray:
    """(2, 3) matrix of KHR_texture_transform: scale, then rotate, then translate."""
    (su, sv), (du, dv) = change.get("scale", (1, 1)), change.get("offset", (0, 0))
    cos, sin = np.cos(change.get("rotation", 0)), np.sin(change.get("rotation", 0))
    return np.array([[su * cos, sv * sin, du], [-su * sin, sv * cos, dv]], dtype=np.float64)
