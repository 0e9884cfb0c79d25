"""Every asset that cannot be used is refused with its reason, and no file outside an asset's folder is read."""

import base64
import io
import json
import os
import re
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.library.load import AssetRefused, Limits, Model, load_image, load_model

SMALL = Limits(max_faces=10, max_image_side=64, max_megapixels=1)

TRIANGLE = "v 0 0 0\nv 1 0 0\nv 0 1 0\n"

HOSTILE = {
    "cut_in_half.jpg": "cannot be decoded",
    "empty.obj": "no vertices",
    "empty.png": "is empty",
    "mtl_escape.obj": "outside its folder",
    "nan_vertex.obj": "not finite",
    "truncated.jpg": "cannot be decoded|is no JPEG",
    "zero_area.obj": "extent of 0",
}
USABLE = {  # name: (vertices, triangles, has UVs)
    "jacked.obj": (8, 12, True),
    "nancolor.obj": (8, 12, False),
    "negative_indices.obj": (8, 12, True),
    "noimg.obj": (502, 1000, True),
    "notenoughindices.obj": (3, 1, False),
    "polygonfaces.obj": (5, 3, False),
    "two_objects.obj": (8, 16, False),
}


def refusal(path, limits, kind="model") -> str:
    with pytest.raises(AssetRefused) as caught:
        load_model(str(path), limits) if kind == "model" else load_image(str(path), kind, limits)
    assert "\n" not in caught.value.reason
    assert os.path.basename(path) in caught.value.reason
    return caught.value.reason


def test_every_hostile_asset_has_an_expected_refusal(shared):
    assert {f.name for f in (shared / "data" / "hostile_assets").iterdir()} == HOSTILE.keys() | USABLE.keys()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_assets_are_refused(shared, limits, name):
    kind = "model" if name.endswith(".obj") else "texture"
    assert re.search(HOSTILE[name], refusal(shared / "data" / "hostile_assets" / name, limits, kind))


@pytest.mark.parametrize("name", USABLE)
def test_unusual_valid_assets_load(shared, limits, name):
    model = load_model(str(shared / "data" / "hostile_assets" / name), limits)
    vertices, triangles, mapped = USABLE[name]
    assert (len(model.vertices), sum(len(p.faces) for p in model.parts)) == (vertices, triangles)
    assert all((part.uv is not None) == mapped for part in model.parts)
    assert np.isfinite(model.parts[0].colour).all()


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "no vertices"),
        (TRIANGLE, "no faces"),
        (TRIANGLE + "f 1 2 4\n", "names vertex 4"),
        (TRIANGLE + "f 1 2 0\n", "line 4"),
        (TRIANGLE + "f 1 2 99999999999999999999\n", "line 4"),
        (TRIANGLE + "f 1 2 -4\n", "line 4"),
        (TRIANGLE + "f 1 2 x\n", "line 4"),
        (TRIANGLE + "vt 0 0\nf 1/1 2/2 3/1\n", "texture coordinate 2"),
        ("v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "three coordinates"),
        ("v 0 0 a\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not made of numbers"),
        ("v 0 0 0\nv 1 0\nv 0 1 0\nf 1 2 3\n", "not made of numbers"),
        ("v 0 0 inf\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "not finite"),
        ("v 0 0 1e308\nv 1 0 -1e308\nv 0 1e308 0\nf 1 2 3\n", "extent"),
        ("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", "no face with an area"),
        (TRIANGLE + "f 1 2 3\n" * 11, "max_faces"),
    ],
)
def test_bad_obj(tmp_path, text, reason):
    file = tmp_path / "bad.obj"
    file.write_text(text)
    assert reason in refusal(file, SMALL)


def test_unknown_format_and_missing_file(tmp_path, limits):
    assert "does not exist" in refusal(tmp_path / "none.obj", limits)
    assert "known format" in refusal(tmp_path / "none.blend", limits)
    (tmp_path / "folder.obj").mkdir()
    assert "cannot be read" in refusal(tmp_path / "folder.obj", limits)
    os.mkfifo(tmp_path / "pipe.obj")
    assert "no regular file" in refusal(tmp_path / "pipe.obj", limits)


def test_huge_file_is_not_read(tmp_path):
    file = tmp_path / "huge.obj"
    with open(file, "wb") as stream:
        stream.truncate(1 << 40)  # sparse
    assert "more than" in refusal(file, SMALL)
    os.rename(file, tmp_path / "huge.png")
    assert "more than" in refusal(tmp_path / "huge.png", SMALL, "texture")


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "glb", "gltf"])
@pytest.mark.parametrize("content", [b"", b"\0" * 300, b"ply\n", b"glTF", b"solid x\n", b"{}", b"[]", b"\xff\xfe{"])
def test_nonsense_is_refused(tmp_path, limits, suffix, content):
    file = tmp_path / f"nonsense.{suffix}"
    file.write_bytes(content)
    refusal(file, limits)


# --- names that lead elsewhere -------------------------------------------------------------------------------------

ESCAPES = [
    "../secret.png",
    "/etc/hostname",
    "C:\\secret.png",
    "..\\secret.png",
    "file:///etc/hostname",
    "http://example.org/x.png",
    "inner/../../secret.png",
    "link.png",
    "linked/secret.png",
    "\0.png",
    "pipe.png",
]


@pytest.fixture
def folder(tmp_path):
    """An asset's folder with an image, and with links and pipes to other files."""
    Image.new("RGB", (4, 4), "red").save(tmp_path / "secret.png")
    inside = tmp_path / "model"
    (inside / "inner").mkdir(parents=True)
    Image.new("RGB", (4, 4), "green").save(inside / "ok.png")
    os.symlink(tmp_path / "secret.png", inside / "link.png")
    os.symlink(tmp_path, inside / "linked")
    os.mkfifo(inside / "pipe.png")
    return inside


def write_obj(folder, texture):
    (folder / "a.mtl").write_text(f"newmtl skin\nmap_Kd {texture}\n")
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{TRIANGLE}vt 0 0\nvt 1 0\nvt 0 1\nusemtl skin\nf 1/1 2/2 3/3\n")
    return folder / "a.obj"


def gltf(texture=None, positions=None, **changes):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]] if positions is None else positions, dtype="<f4").tobytes()
    tree = {
        "asset": {"version": "2.0"},
        "buffers": [
            {
                "byteLength": len(points),
                "uri": "data:application/octet-stream;base64," + base64.b64encode(points).decode(),
            }
        ],
        "bufferViews": [{"buffer": 0, "byteLength": len(points)}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": len(points) // 12, "type": "VEC3"}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "material": 0}]}],
        "materials": [{}],
        "nodes": [{"mesh": 0}],
    }
    if texture:
        tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        tree["textures"], tree["images"] = [{"source": 0}], [{"uri": texture}]
    return tree | changes


@pytest.mark.parametrize("name", ["ok.png", "./ok.png", "inner/../ok.png"])
def test_textures_inside_are_read(folder, limits, name):
    (folder / "a.gltf").write_text(json.dumps(gltf(name)))
    for file in (write_obj(folder, name), folder / "a.gltf"):
        model = load_model(str(file), limits)
        assert (model.parts[0].texture == (0, 128, 0)).all()


@pytest.mark.parametrize("name", ESCAPES)
def test_textures_elsewhere_are_refused(folder, limits, name):
    assert "red" not in refusal(write_obj(folder, name), limits)
    (folder / "a.gltf").write_text(json.dumps(gltf(name)))
    refusal(folder / "a.gltf", limits)


@pytest.mark.parametrize("name", ["../secret.mtl", "/etc/passwd", "link.mtl"])
def test_material_files_elsewhere_are_refused(folder, limits, name):
    (folder.parent / "secret.mtl").write_text("newmtl skin\nKd 1 0 0\n")
    os.symlink(folder.parent / "secret.mtl", folder / "link.mtl")
    (folder / "a.obj").write_text(f"mtllib {name}\n{TRIANGLE}f 1 2 3\n")
    refusal(folder / "a.obj", limits)


def test_gltf_buffers_and_escaped_names_elsewhere_are_refused(folder, limits):
    (folder.parent / "secret.bin").write_bytes(b"\0" * 36)
    for uri in ("../secret.bin", "%2e%2e/secret.bin", "%2Fetc%2Fpasswd"):
        (folder / "a.gltf").write_text(json.dumps(gltf(buffers=[{"byteLength": 36, "uri": uri}])))
        assert "refers to" in refusal(folder / "a.gltf", limits)


def test_missing_texture_is_refused_and_missing_mtl_is_not(folder, limits):
    assert "gone.png is missing" in refusal(write_obj(folder, "gone.png"), limits)
    (folder / "a.mtl").unlink()
    model = load_model(str(folder / "a.obj"), limits)
    assert not model.has_texture


def test_a_texture_whose_name_differs_in_case_is_named(folder, limits):
    assert "OK.PNG is missing; there is ok.png" in refusal(write_obj(folder, "OK.PNG"), limits)


@pytest.mark.parametrize("name", ["a\nb.obj", "\x1b[2Jgone.obj"])
def test_names_send_no_escape_sequences_to_a_terminal(tmp_path, limits, name):
    (tmp_path / name).write_text("")
    with pytest.raises(AssetRefused) as caught:
        load_model(str(tmp_path / name), limits)
    assert caught.value.reason.isprintable() and "has no vertices" in caught.value.reason


def test_a_name_that_is_not_text_is_refused(tmp_path, limits):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.obj")
    with open(path, "w") as file:
        file.write(TRIANGLE + "f 1 2 3\n")
    with pytest.raises(AssetRefused, match=r"a\?\.obj: has a name that is not UTF-8"):
        load_model(path, limits)


def test_shapenet_textures_may_be_beside_the_models_folder(tmp_path, limits):
    model, images = tmp_path / "02958343/abc/models", tmp_path / "02958343/abc/images"
    model.mkdir(parents=True)
    images.mkdir()
    Image.new("RGB", (4, 4), "blue").save(images / "texture0.jpg")
    Image.new("RGB", (4, 4), "red").save(tmp_path / "02958343/secret.png")
    write_obj(model, "../images/texture0.jpg").rename(model / "model_normalized.obj")
    assert load_model(str(model / "model_normalized.obj"), limits).has_texture
    write_obj(model, "../../secret.png").rename(model / "model_normalized.obj")
    assert "outside" in refusal(model / "model_normalized.obj", limits)


# --- glTF -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"asset": {"version": "1.0"}},
        {"asset": {}},
        {"extensionsRequired": ["KHR_draco_mesh_compression"]},
        {"nodes": [{"mesh": 0, "children": [1]}, {"children": [0]}], "scenes": [{"nodes": [0]}]},
        {"nodes": [{"mesh": 5}]},
        {"nodes": [{"mesh": -1}]},
        {"nodes": [{"mesh": 0, "matrix": [1, 2]}]},
        {"nodes": [{"mesh": 0, "scale": [float("nan"), 1, 1]}]},
        {"nodes": [{"mesh": 0, "scale": [0, 0, 0]}]},
        {"nodes": []},
        {"buffers": [{"byteLength": 36}]},
        {"bufferViews": [{"buffer": 0, "byteLength": 10**12}]},
        {"bufferViews": [{"buffer": 0, "byteOffset": -36, "byteLength": 36}]},
        {"accessors": [{"bufferView": 0, "componentType": 5126, "count": 10**12, "type": "VEC3"}]},
        {"accessors": [{"componentType": 5126, "count": 10**12, "type": "VEC3"}]},
        {"accessors": [{"bufferView": 0, "componentType": 5126, "count": -3, "type": "VEC3"}]},
        {"accessors": [{"bufferView": 0, "componentType": 1, "count": 3, "type": "VEC3"}]},
        {"accessors": [{"bufferView": 0, "byteOffset": 30, "componentType": 5126, "count": 3, "type": "VEC3"}]},
        {"materials": []},
        {"materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]},
        {"meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "mode": 1}]}]},
    ],
)
def test_bad_gltf(tmp_path, limits, changes):
    (tmp_path / "sound.gltf").write_text(json.dumps(gltf()))
    assert isinstance(load_model(str(tmp_path / "sound.gltf"), limits), Model)
    (tmp_path / "bad.gltf").write_text(json.dumps(gltf(**changes)))
    refusal(tmp_path / "bad.gltf", limits)


def test_textures_by_unknown_extensions_are_named(tmp_path, limits):
    pbr = {"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}
    tree = gltf(materials=[pbr], textures=[{"extensions": {"KHR_texture_basisu": {"source": 0}}}])
    tree["meshes"][0]["primitives"][0]["material"] = 0
    (tmp_path / "a.gltf").write_text(json.dumps(tree))
    assert "extension KHR_texture_basisu, which is not supported" in refusal(tmp_path / "a.gltf", limits)


def test_cut_off_glb(tmp_path, limits):
    text = json.dumps(gltf()).encode()
    text += b" " * (-len(text) % 4)
    whole = b"glTF" + struct.pack("<III4s", 2, 20 + len(text), len(text), b"JSON") + text
    (tmp_path / "a.glb").write_bytes(whole)
    assert len(load_model(str(tmp_path / "a.glb"), limits).vertices) == 3
    for length in (4, 12, 18, 25, len(whole) - 1):
        (tmp_path / "a.glb").write_bytes(whole[:length])
        refusal(tmp_path / "a.glb", limits)


def test_instances_count_towards_the_limit(tmp_path):
    (tmp_path / "a.gltf").write_text(json.dumps(gltf(nodes=[{"mesh": 0}] * 11)))
    assert "max_faces" in refusal(tmp_path / "a.gltf", SMALL)


# --- PLY and images ----------------------------------------------------------------------------------------------


def test_ply_that_announces_more_than_it_holds(tmp_path, limits):
    header = "ply\nformat binary_little_endian 1.0\nelement vertex 900000000000\nproperty float x\nend_header\n"
    (tmp_path / "a.ply").write_text(header)
    assert "announces" in refusal(tmp_path / "a.ply", limits)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_cut_off_images(tmp_path, limits, format):
    buffer = io.BytesIO()
    Image.effect_noise((128, 128), 80).convert("RGB").save(buffer, format)
    data = buffer.getvalue()
    file = tmp_path / f"a.{format.lower()}"
    file.write_bytes(data)
    assert load_image(str(file), "background", limits).pixels.shape == (128, 128, 3)
    for share in (0.02, 0.3, 0.9):
        file.write_bytes(data[: int(len(data) * share)])
        refusal(file, limits, "background")


def test_pixels_are_counted_before_decoding(tmp_path, limits):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    for side in (10_000, 40_000):  # the larger is beyond Pillow's own limit
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
        (tmp_path / "bomb.png").write_bytes(bomb)
        assert "pixels" in refusal(tmp_path / "bomb.png", limits, "texture")


def test_images_beyond_pillows_limit_are_measured_too(tmp_path, limits):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b""))
    assert "megapixels" in refusal(tmp_path / "a.png", limits, "texture")


def test_other_formats_are_not_images(tmp_path, limits):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", "TIFF")
    assert "is no JPEG" in refusal(tmp_path / "a.png", limits, "texture")


@pytest.mark.parametrize(
    "path",
    [
        "builtin:model/vase/99",
        "builtin:model/nothing/00",
        "builtin:texture/planks/00",
        "builtin:",
        "builtin:model/vase",
    ],
)
def test_unknown_builtin(limits, path):
    with pytest.raises(AssetRefused, match="no built-in model"):
        load_model(path, limits)
