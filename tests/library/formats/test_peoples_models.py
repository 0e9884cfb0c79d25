"""Models as users have them: rendered as intended, or with a message; see docs/results/robustness.md."""

import errno
import io
import os
import struct
import time
import zlib

import numpy as np
import pytest
import trimesh
from PIL import Image, ImageCms

from bl30k_gen.library.catalogue.measure import measure
from bl30k_gen.library.checking.health import examine
from bl30k_gen.library.load import AssetRefused, load_image, load_model
from tests.support.gltf import Glb

CORNERS = "".join(f"v {x} {y} {z}\n" for x in (-1, 1) for y in (-1, 1) for z in (-1, 1))
QUADS = ((1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4))  # they look outwards
UVS = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"


def quad(corners, mapped=True):
    return "f " + " ".join(f"{v}/{t}" if mapped else f"{v}" for t, v in enumerate(corners, start=1)) + "\n"


def cube(folder, faces, mtl=b"newmtl m\nmap_Kd t.png\n", head="mtllib cube.mtl\n"):
    """A cube of the given lines of faces, its MTL, and its texture ``t.png``. Returns the OBJ's path."""
    checks().save(folder / "t.png")
    (folder / "cube.mtl").write_bytes(mtl)
    text = head.encode() if isinstance(head, str) else head
    text += (CORNERS + UVS).encode() + (faces.encode() if isinstance(faces, str) else faces)
    (folder / "cube.obj").write_bytes(text)
    return str(folder / "cube.obj")


def checks(mode="RGB"):
    """Red above, green below."""
    pixels = np.zeros((16, 16, 3), np.uint8)
    pixels[:8, :, 0] = pixels[8:, :, 1] = 200
    return Image.fromarray(pixels).convert(mode)


def model(path, limits):
    return load_model(path, limits)


def said(path, limits):
    refused, remarks = examine(path, "model", limits)
    assert not refused
    return "; ".join(remarks)


def area(asset):
    corners = [asset.vertices[part.faces] for part in asset.parts]
    corners = np.concatenate(corners)
    return np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2


ALL = "".join(quad(corners) for corners in QUADS)


@pytest.mark.parametrize("other", ["m", "dark"], ids=["same material", "other material"])
@pytest.mark.parametrize("twin", [(1, 2, 4, 3), (3, 4, 2, 1), (4, 3, 1, 2)], ids=["same", "reversed", "turned"])
def test_faces_that_coincide_count_once(tmp_path, limits, other, twin):
    mtl = b"newmtl m\nmap_Kd t.png\nnewmtl dark\nKd 0 0 0\n"
    single = model(cube(tmp_path, "usemtl m\n" + ALL, mtl), limits)
    path = cube(tmp_path, "usemtl m\n" + ALL + f"usemtl {other}\n" + quad(twin), mtl)
    double = model(path, limits)
    assert len(double.parts) == 1
    assert np.array_equal(double.parts[0].faces, single.parts[0].faces), "the first in the file stays"
    assert "coinciding faces: 1 " in said(path, limits)


def test_the_first_in_the_file_stays_also_where_materials_alternate(tmp_path, limits):
    mtl = b"newmtl a\nKd 1 0 0\nnewmtl b\nKd 0 0 1\n"
    lines = f"usemtl a\n{quad(QUADS[0])}usemtl b\n{quad(QUADS[1])}usemtl a\n{quad(QUADS[1][::-1])}"
    red, blue = model(cube(tmp_path, lines, mtl), limits).parts
    assert (len(red.faces), len(blue.faces)) == (2, 2)


def test_triangles_that_coincide_in_a_glb_count_once(tmp_path, limits):
    glb = Glb()
    glb.tree |= {"meshes": [{"primitives": [glb.box()]}], "nodes": [{"mesh": 0}, {"mesh": 0}]}
    path = glb.write(tmp_path / "a.glb")
    assert sum(len(part.faces) for part in model(path, limits).parts) == 12
    assert "coinciding faces: 12 " in said(path, limits)


def test_faces_with_texture_coordinates_keep_them_beside_others_without(tmp_path, limits):
    mixed = "usemtl m\n" + "".join(quad(corners, mapped=n != 2) for n, corners in enumerate(QUADS))
    path = cube(tmp_path, mixed)
    [part] = model(path, limits).parts
    projected = ~np.isin(part.uv, (0, 1)).all(axis=(1, 2))
    assert projected.sum() == 2 and np.isfinite(part.uv).all(), "one square of six"
    assert "2 faces of parts" in said(path, limits)


def test_primitives_of_one_material_with_and_without_texture_coordinates(tmp_path, limits):
    glb = Glb()
    texture = glb.image(checks())
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}]
    primitives = [glb.box() | {"material": 0}, glb.box(1.7, 2.3, mapped=False) | {"material": 0}]
    glb.tree |= {"meshes": [{"primitives": primitives}], "nodes": [{"mesh": 0}]}
    [part] = model(glb.write(tmp_path / "a.glb"), limits).parts
    assert set(np.unique(part.uv[:12])) == {0, 1} and np.isfinite(part.uv[12:]).all()


def test_names_are_compared_as_bytes_in_any_encoding(tmp_path, limits):
    names = [text.encode("gbk") for text in ("车身", "玻璃", "轮胎")]
    mtl, faces = b"", b""
    for number, name in enumerate(names):
        Image.new("RGB", (4, 4), tuple(200 * (n == number) for n in range(3))).save(tmp_path / f"{number}.png")
        mtl += b"newmtl " + name + b"\nmap_Kd %d.png\n" % number
        faces += b"usemtl " + name + b"\n" + "".join(map(quad, QUADS[2 * number : 2 * number + 2])).encode()
    parts = model(cube(tmp_path, faces, mtl), limits).parts
    assert [part.texture[0, 0].tolist() for part in parts] == [[200, 0, 0], [0, 200, 0], [0, 0, 200]]


def test_a_material_file_is_found_by_a_name_that_is_not_utf8(tmp_path, limits):
    name = "材质.mtl".encode("gbk")
    path = cube(tmp_path, "usemtl m\n" + ALL, head=b"mtllib " + name + b"\n")
    os.rename(tmp_path / "cube.mtl", os.fsencode(tmp_path) + b"/" + name)
    assert model(path, limits).has_texture and measure(path).size.textured


def test_white_space_in_names_is_handled_alike_everywhere(tmp_path, limits):
    path = cube(tmp_path, "usemtl red  paint \n" + ALL, b"newmtl red  paint\t\nmap_Kd t.png\n")
    assert model(path, limits).has_texture


def test_unused_textures_are_neither_required_nor_decoded(tmp_path, limits):
    mtl = b"newmtl m\nmap_Kd t.png\nnewmtl left\nmap_Kd gone.png\nnewmtl over\nmap_Kd broken.png\n"
    path = cube(tmp_path, "usemtl m\n" + ALL, mtl)
    (tmp_path / "broken.png").write_bytes(b"no image")
    assert model(path, limits).has_texture
    assert "materials that no face uses: 2" in said(path, limits)


def test_a_missing_material_file_and_unused_maps_are_reported(tmp_path, limits):
    path = cube(tmp_path, "usemtl m\n" + ALL, b"newmtl m\nmap_Kd t.png\nmap_Bump t.png\nnorm t.png\n")
    assert "map_Bump of its materials is not used; norm of its materials is not used" in said(path, limits)
    (tmp_path / "cube.mtl").unlink()
    assert "cube.mtl is missing" in said(path, limits)


def test_options_of_a_map_are_honoured(tmp_path, limits):
    path = cube(tmp_path, "usemtl m\n" + ALL, b"newmtl m\nmap_Kd -s 2 3 1 -o 0.5 0 -clamp on t.png\n")
    [part] = model(path, limits).parts
    assert np.unique(part.uv[..., 0]).tolist() == [0.5, 2.5] and np.unique(part.uv[..., 1]).tolist() == [0, 3]
    assert part.wrap == ("clamp", "clamp")


@pytest.mark.parametrize("lines", [b"Kd 0 0 0\nKe 0 1 0\n", b"Kd 0 0 0\nmap_Ke t.png\n"])
def test_materials_that_only_emit_light_are_shown(tmp_path, limits, lines):
    path = cube(tmp_path, "usemtl m\n" + ALL, b"newmtl m\n" + lines)
    [part] = model(path, limits).parts
    assert (part.texture is not None) if b"map" in lines else part.colour == (0, 1, 0)
    assert "black materials that emit light" in said(path, limits)


@pytest.mark.parametrize(
    ("material", "expected"),
    [
        ({"emissiveFactor": [0, 0.5, 0], "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1]}}, (0, 0.5, 0)),
        ({"emissiveFactor": [1, 1, 1], "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 0, 1]},
          "emissiveTexture": {"index": 0}}, "texture"),
        ({"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseTexture": {"index": 0}}},
          "pbrMetallicRoughness": {}}, "texture"),
        ({"extensions": {"KHR_materials_pbrSpecularGlossiness": {"diffuseFactor": [1, 0, 0, 1]}},
          "pbrMetallicRoughness": {"baseColorFactor": [0, 0, 1, 1]}}, (1, 0, 0)),
    ],
    ids=["emission", "map of emission", "specular and an empty pbr", "specular first"],
)  # fmt: skip
def test_materials_of_a_glb(tmp_path, limits, material, expected):
    glb = Glb()
    glb.image(checks())
    glb.tree |= {"materials": [material], "meshes": [{"primitives": [glb.box() | {"material": 0}]}]}
    glb.tree["nodes"] = [{"mesh": 0}]
    [part] = model(glb.write(tmp_path / "a.glb"), limits).parts
    assert part.texture is not None if expected == "texture" else part.colour == expected


def test_an_unreadable_map_that_is_not_rendered_causes_no_refusal(tmp_path, limits):
    glb = Glb()
    texture = glb.image(checks())
    glb.tree["images"].append({"bufferView": glb.view(b"\xabKTX 20\xbb" * 8), "mimeType": "image/ktx2"})
    glb.tree["textures"].append({"extensions": {"KHR_texture_basisu": {"source": 1}}})
    pbr = {"baseColorTexture": {"index": texture}, "metallicRoughnessTexture": {"index": 1}}
    glb.tree["materials"] = [{"pbrMetallicRoughness": pbr, "normalTexture": {"index": 1}}]
    glb.tree |= {"meshes": [{"primitives": [glb.box() | {"material": 0}]}], "nodes": [{"mesh": 0}]}
    glb.tree |= {"extensionsUsed": ["KHR_texture_basisu"], "animations": [{}], "cameras": [{}]}
    path = glb.write(tmp_path / "a.glb")
    assert model(path, limits).has_texture
    words = said(path, limits)
    assert "map of roughness and metal is not used" in words and "normalTexture" in words and "animations" in words
    pbr["baseColorTexture"]["index"] = 1
    with pytest.raises(AssetRefused, match="KHR_texture_basisu"):
        model(glb.write(tmp_path / "a.glb"), limits)


@pytest.mark.parametrize(
    ("sampler", "wrap"),
    [
        ({"wrapS": 33071, "wrapT": 33071}, ("clamp", "clamp")),
        ({"wrapS": 33648}, ("mirror", "repeat")),
        ({}, ("repeat", "repeat")),
    ],
)
def test_the_sampler_counts(tmp_path, limits, sampler, wrap):
    from bl30k_gen.library.formats.glb import as_glb

    glb = Glb()
    texture = glb.image(checks())
    glb.tree["samplers"], glb.tree["textures"][texture]["sampler"] = [sampler], 0
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}]
    glb.tree |= {"meshes": [{"primitives": [glb.box() | {"material": 0}]}], "nodes": [{"mesh": 0}]}
    read = model(glb.write(tmp_path / "a.glb"), limits)
    assert read.parts[0].wrap == wrap
    (tmp_path / "b.glb").write_bytes(as_glb(read))
    assert model(str(tmp_path / "b.glb"), limits).parts[0].wrap == wrap, "also where we write it"


def test_skins_are_in_their_rest_pose(tmp_path, limits):
    """A body in centimetres on one bone, whose inverse bind matrix makes metres of it; a hat in metres above it."""
    glb = Glb()
    body = glb.box(0, 200)
    count = 24
    joints = glb.numbers(np.zeros((count, 4)), "u1")
    weights = glb.numbers(np.tile([1, 0, 0, 0], (count, 1)))
    body["attributes"] |= {"JOINTS_0": joints, "WEIGHTS_0": weights}
    inverse = glb.numbers(np.diag([0.01, 0.01, 0.01, 1]).reshape(1, 16))
    glb.tree |= {
        "meshes": [{"primitives": [body]}, {"primitives": [glb.box(2, 3)]}],
        "skins": [{"joints": [1], "inverseBindMatrices": inverse}],
        "nodes": [{"mesh": 0, "skin": 0, "translation": [9, 9, 9]}, {"name": "bone"}, {"mesh": 1}],
    }
    asset = model(glb.write(tmp_path / "a.glb"), limits)
    heights = (asset.vertices[:, 2] - asset.vertices[:, 2].min()) / np.ptp(asset.vertices[:, 2]) * 3
    assert sorted({round(float(h), 3) for h in heights}) == [0, 2, 3]
    assert measure(str(tmp_path / "a.glb")).size.low is None, "the JSON alone does not say where it stands"
    glb.tree["skins"][0]["joints"] = []
    with pytest.raises(AssetRefused, match="valid glTF"):
        model(glb.write(tmp_path / "b.glb"), limits)


def test_morph_targets_have_the_files_weights(tmp_path, limits):
    glb = Glb()
    box = glb.box()
    box["targets"] = [{"POSITION": glb.numbers(np.tile([0, 4.0, 0], (24, 1)) * (np.arange(24) % 4 > 1)[:, None])}]
    glb.tree |= {"meshes": [{"primitives": [box], "weights": [0.0]}], "nodes": [{"mesh": 0}]}
    flat = model(glb.write(tmp_path / "a.glb"), limits)
    glb.tree["meshes"][0]["weights"] = [1.0]
    assert not np.array_equal(model(glb.write(tmp_path / "b.glb"), limits).vertices, flat.vertices)


# --- polygons ------------------------------------------------------------


def comb(teeth):
    """A concave polygon of 4 * teeth + 2 corners whose area is known."""
    upper = [point for n in range(teeth) for point in ((2 * n, 1), (2 * n, 5), (2 * n + 1, 5), (2 * n + 1, 1))]
    outline = np.array([(2 * teeth - 1, 0), (0, 0), *upper], float)[::-1]
    return outline, (2 * teeth - 1) + 4 * teeth


def ply_of(outline, binary):
    points = np.column_stack([outline, np.zeros(len(outline))])
    bottom = np.append(points, [[0, 0, -1.0]], axis=0)
    kind = "binary_little_endian" if binary else "ascii"
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(bottom)}\n"
    head += "property float x\nproperty float y\nproperty float z\nelement face 2\n"
    head += "property list uint int vertex_indices\nend_header\n"
    rows = [list(range(len(points))), [0, 1, len(points)]]
    if binary:
        body = bottom.astype("<f4").tobytes()
        body += b"".join(struct.pack(f"<I{len(row)}i", len(row), *row) for row in rows)
    else:
        body = "\n".join(" ".join(map(str, row)) for row in [*bottom, *([len(r), *r] for r in rows)]).encode() + b"\n"
    return head.encode() + body


@pytest.mark.parametrize("teeth", [2, 7, 20, 400])
def test_concave_polygons_of_any_number_of_corners_are_cut_alike_in_every_format(tmp_path, limits, teeth):
    outline, expected = comb(teeth)
    lines = [f"v {x} {y} 0" for x, y in outline] + ["v 0 0 -1"]
    lines += ["f " + " ".join(str(n + 1) for n in range(len(outline))), f"f 1 2 {len(outline) + 1}"]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    (tmp_path / "a.ply").write_bytes(ply_of(outline, binary=False))
    (tmp_path / "b.ply").write_bytes(ply_of(outline, binary=True))
    small = np.linalg.norm(np.cross(*[np.append(outline[n], 0) - [0, 0, -1] for n in (0, 1)])) / 2
    diagonal = np.linalg.norm([2 * teeth - 1, 5, 1])
    for name in ("a.obj", "a.ply", "b.ply"):
        got = area(model(str(tmp_path / name), limits)) * diagonal**2
        assert got == pytest.approx(expected + small, rel=1e-4), name


def test_a_ply_of_polygons_of_all_kinds_is_read_in_every_order_of_bytes(tmp_path, limits):
    """Alternating triangles and quads, an unused column, and faces before vertices."""
    rows = [quad for pair in zip(QUADS[:3], QUADS[3:], strict=True) for quad in pair]
    rows = [row[:3] if n % 2 else row for n, row in enumerate(rows)] + [(r[0], r[2], r[3]) for r in rows[1::2]]
    points = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]
    found = []
    for order, letter in (("binary_little_endian", "<"), ("binary_big_endian", ">"), ("ascii", "")):
        head = f"ply\nformat {order} 1.0\nelement face {len(rows)}\nproperty uchar flags\n"
        head += "property list uchar ushort vertex_index\nelement vertex 8\n"
        head += "".join(f"property double {axis}\n" for axis in "xyz") + "end_header\n"
        if letter:
            body = b"".join(struct.pack(f"{letter}BB{len(r)}H", 7, len(r), *(v - 1 for v in r)) for r in rows)
            body += np.array(points, letter + "f8").tobytes()
        else:
            lines = [[7, len(r), *(v - 1 for v in r)] for r in rows] + [list(p) for p in points]
            body = "\n".join(" ".join(map(str, line)) for line in lines).encode()
        (tmp_path / "a.ply").write_bytes(head.encode() + body)
        found.append(model(str(tmp_path / "a.ply"), limits))
    assert all(np.array_equal(found[0].parts[0].faces, other.parts[0].faces) for other in found)
    mesh = trimesh.Trimesh(found[0].vertices, found[0].parts[0].faces)
    assert mesh.is_watertight and mesh.volume > 0


def test_a_ply_with_two_textures_has_two_parts(tmp_path, limits):
    head = "ply\nformat ascii 1.0\ncomment TextureFile a.png\ncomment TextureFile b.png\nelement vertex 4\n"
    head += "property float x\nproperty float y\nproperty float z\nelement face 2\n"
    head += "property list uchar int vertex_indices\nproperty list uchar float texcoord\n"
    body = "0 0 0\n1 0 0\n0 1 0\n0 0 1\n"
    faces = ["3 0 1 2 6 0 0 1 0 1 1", "3 0 1 3 6 0 0 1 0 0 1"]
    for name, colour in (("a", "red"), ("b", "blue")):
        Image.new("RGB", (2, 2), colour).save(tmp_path / f"{name}.png")
    numbered = (
        head + "property int texnumber\nend_header\n" + body + "\n".join(f"{f} {n}" for n, f in enumerate(faces))
    )
    (tmp_path / "a.ply").write_text(numbered)
    red, blue = model(str(tmp_path / "a.ply"), limits).parts
    assert red.texture[0, 0].tolist() == [255, 0, 0] and blue.texture[0, 0].tolist() == [0, 0, 255]
    assert blue.uv[0].tolist() == [[0, 0], [1, 0], [0, 1]]
    (tmp_path / "b.ply").write_text(head + "end_header\n" + body + "\n".join(faces))
    with pytest.raises(AssetRefused, match="2 textures, and nothing says which face has which"):
        model(str(tmp_path / "b.ply"), limits)


def test_keywords_of_an_stl_in_any_case_and_counts_that_contradict_it(tmp_path, limits):
    box = trimesh.creation.box()
    text, data = box.export(file_type="stl_ascii"), box.export(file_type="stl")
    (tmp_path / "a.stl").write_text(text.upper())
    assert len(model(str(tmp_path / "a.stl"), limits).parts[0].faces) == 12
    assert measure(str(tmp_path / "a.stl")).size.faces == 12
    (tmp_path / "b.stl").write_bytes(bytes(80) + struct.pack("<I", 6) + data[84:])
    with pytest.raises(AssetRefused, match="announces 6 faces and holds 12"):
        model(str(tmp_path / "b.stl"), limits)
    (tmp_path / "c.stl").write_bytes(bytes(80) + data[80:] + b"made by hand")
    assert "12 bytes behind its faces" in said(str(tmp_path / "c.stl"), limits)


# --- images ------------------------------------------------------------


def turned(image, orientation):
    exif = image.getexif()
    exif[0x0112] = orientation
    return exif


def test_a_models_texture_shows_its_stored_pixels(tmp_path, limits):
    path = cube(tmp_path, "usemtl m\n" + ALL, b"newmtl m\nmap_Kd t.jpg\n")
    checks().save(tmp_path / "t.jpg", exif=turned(checks(), 3), quality=95)
    glb = Glb()
    texture = glb.image(checks(), "JPEG", exif=turned(checks(), 3), quality=95)
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}]
    glb.tree |= {"meshes": [{"primitives": [glb.box() | {"material": 0}]}], "nodes": [{"mesh": 0}]}
    for file in (path, glb.write(tmp_path / "a.glb")):
        assert model(file, limits).parts[0].texture[0, 0].argmax() == 0, "red above, as it is stored"
        assert "EXIF orientation 3 is not applied" in said(file, limits)
    photo = load_image(str(tmp_path / "t.jpg"), "background", limits)
    assert photo.pixels[0, 0].argmax() == 1, "a photograph is turned upright"


def test_alpha_that_is_zero_everywhere_is_none(tmp_path, limits):
    path = cube(tmp_path, "usemtl m\n" + ALL, b"newmtl m\nmap_Kd t.tga\n")
    image = checks("RGBA")
    image.putalpha(0)
    image.save(tmp_path / "t.tga")
    assert model(path, limits).parts[0].texture.shape == (16, 16, 3)
    assert "alpha channel is zero everywhere" in said(path, limits)
    image.putpixel((0, 0), (1, 2, 3, 255))
    image.save(tmp_path / "t.tga")
    assert model(path, limits).parts[0].texture.shape == (16, 16, 4)


def test_text_chunks_of_a_png_are_not_read(tmp_path, limits):
    buffer = io.BytesIO()
    checks().save(buffer, "PNG")
    data = buffer.getvalue()

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    xmp = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b"x" * (3 << 20))
    bomb = chunk(b"zTXt", b"note\0\0" + zlib.compress(bytes(64 << 20)))
    (tmp_path / "a.png").write_bytes(data[:33] + xmp + bomb + data[33:-12] + xmp + data[-12:])
    began = time.process_time()
    assert np.array_equal(load_image(str(tmp_path / "a.png"), "texture", limits).pixels, np.array(checks()))
    assert time.process_time() - began < 0.5


def profile_with_swapped_primaries():
    """An RGB profile whose red is sRGB's green, so that it is visible whether it was applied."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = struct.unpack_from(">I", data, 128)[0]
    tags = {bytes(data[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, green = (data[tags[name] + 4 : tags[name] + 12] for name in (b"rXYZ", b"gXYZ"))
    data[tags[b"rXYZ"] + 4 : tags[b"rXYZ"] + 12], data[tags[b"gXYZ"] + 4 : tags[b"gXYZ"] + 12] = green, red
    return bytes(data).replace("sRGB".encode("utf-16-be"), "odds".encode("utf-16-be")).replace(b"sRGB", b"odds")


def test_colour_profiles_of_photographs_count_and_those_of_gltf_textures_do_not(tmp_path, limits):
    profile = profile_with_swapped_primaries()
    image = Image.new("RGB", (8, 8), (200, 0, 0))
    image.save(tmp_path / "a.png", icc_profile=profile)
    pixel = load_image(str(tmp_path / "a.png"), "background", limits).pixels[0, 0]
    assert pixel.argmax() == 1 and pixel[1] > 150
    path = cube(tmp_path, "usemtl m\n" + ALL, b"newmtl m\nmap_Kd a.png\n")
    assert model(path, limits).parts[0].texture[0, 0].argmax() == 1
    glb = Glb()
    texture = glb.image(image, icc_profile=profile)
    glb.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": texture}}}]
    glb.tree |= {"meshes": [{"primitives": [glb.box() | {"material": 0}]}], "nodes": [{"mesh": 0}]}
    assert model(glb.write(tmp_path / "a.glb"), limits).parts[0].texture[0, 0].tolist() == [200, 0, 0]
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for known in (srgb, b"no profile at all"):
        image.save(tmp_path / "b.png", icc_profile=known)
        assert load_image(str(tmp_path / "b.png"), "background", limits).pixels[0, 0].tolist() == [200, 0, 0]


# --- work that is bounded --------------------------------------------------


def refused_soon(path, limits, match, kind="model", seconds=3.0):
    began = time.process_time()
    with pytest.raises(AssetRefused, match=match):
        load_model(str(path), limits) if kind == "model" else load_image(str(path), kind, limits)
    assert time.process_time() - began < seconds


def test_many_scans_of_a_jpeg_are_too_much_work(tmp_path, limits):
    buffer = io.BytesIO()
    Image.effect_noise((2000, 1500), 50).save(buffer, "JPEG", progressive=True)
    data = buffer.getvalue()
    assert load_photo(tmp_path, data, limits).pixels.shape == (1500, 2000, 3)
    start = data.index(b"\xff\xda", data.index(b"\xff\xda") + 2)
    scan = data[start : data.index(b"\xff\xc4", start)]
    (tmp_path / "many.jpg").write_bytes(data[:start] + scan * 400 + data[start:])
    refused_soon(tmp_path / "many.jpg", limits, "scans, too much work", "background")


def load_photo(folder, data, limits):
    (folder / "a.jpg").write_bytes(data)
    return load_image(str(folder / "a.jpg"), "background", limits)


def test_hundreds_of_thousands_of_material_files_are_refused_quickly(tmp_path, limits):
    lines = "".join(f"mtllib {n}.mtl\n" for n in range(200_000))
    (tmp_path / "b.obj").write_text(lines + CORNERS + UVS + ALL)
    refused_soon(tmp_path / "b.obj", limits, "more than 64 MTL files")
    began = time.process_time()
    measure(str(tmp_path / "b.obj"))
    assert time.process_time() - began < 2


def test_many_concave_polygons_are_triangulated_in_time_and_extreme_ones_refused(tmp_path, limits):
    outline, _ = comb(4)
    points = [f"v {x} {y} {z}" for z in range(2000) for x, y in outline]
    n = len(outline)
    faces = ["f " + " ".join(str(z * n + k + 1) for k in range(n)) for z in range(2000)]
    (tmp_path / "many.obj").write_text("\n".join(points + faces))
    began = time.process_time()
    assert sum(len(part.faces) for part in model(str(tmp_path / "many.obj"), limits).parts) == 2000 * (n - 2)
    assert time.process_time() - began < 4
    turns = np.random.default_rng(0).random((60_000, 2))
    lines = [f"v {x} {y} 0" for x, y in turns] + ["f " + " ".join(map(str, range(1, len(turns) + 1)))]
    (tmp_path / "monster.obj").write_text("\n".join(lines))
    refused_soon(tmp_path / "monster.obj", limits, "too many corners")


def test_many_instances_and_primitives_are_refused_quickly(tmp_path, limits):
    glb = Glb()
    box = glb.box()
    glb.tree |= {"meshes": [{"primitives": [box] * 200}], "nodes": [{"mesh": 0}] * 60_000}
    refused_soon(glb.write(tmp_path / "a.glb"), limits, "more than")
    empty = box | {"indices": glb.numbers(np.zeros(0), "u2")}
    glb.tree["meshes"][0]["primitives"] = [empty]
    refused_soon(glb.write(tmp_path / "b.glb"), limits, "more than the 10000 meshes", seconds=6)


def test_a_table_of_vertices_that_many_primitives_share_is_read_once_each_in_bounds(tmp_path, limits):
    glb = Glb()
    table = glb.numbers(np.random.default_rng(0).random((200_000, 3)))
    indices = [glb.numbers(np.arange(3 * n, 3 * n + 3), "u4") for n in range(5)]
    primitives = [{"attributes": {"POSITION": table}, "indices": number} for number in indices]
    glb.tree |= {"meshes": [{"primitives": primitives}], "nodes": [{"mesh": 0}]}
    assert len(model(glb.write(tmp_path / "a.glb"), limits).vertices) == 15
    glb.tree["meshes"][0]["primitives"] = primitives * 2000
    refused_soon(glb.write(tmp_path / "b.glb"), limits, "too much work", seconds=6)


@pytest.mark.parametrize("code", [errno.ESTALE, errno.EIO, errno.EMFILE])
def test_an_error_of_this_machine_is_no_refusal(tmp_path, limits, monkeypatch, code):
    """The sampler took another asset, so that the same video was another one on a busy node."""

    def failing(path, flags):
        raise OSError(code, os.strerror(code), path)

    path = cube(tmp_path, ALL)
    monkeypatch.setattr("bl30k_gen.library.formats.source.without_waiting", failing)
    with pytest.raises(OSError) as raised:
        model(path, limits)
    assert raised.value.errno == code


def test_too_little_memory_is_no_refusal(tmp_path, limits, monkeypatch):
    def full(*_):
        raise MemoryError

    checks().save(tmp_path / "a.png")
    monkeypatch.setattr("bl30k_gen.dataset.images.to_srgb", full)
    with pytest.raises(MemoryError):
        load_image(str(tmp_path / "a.png"), "background", limits)


def test_transparent_texels_keep_their_colour_when_a_texture_is_scaled(tmp_path, limits):
    path = cube(tmp_path, "usemtl m\n" + ALL)
    Image.new("RGBA", (64, 64), (200, 120, 40, 3)).save(tmp_path / "t.png")
    texture = model(path, limits.model_copy(update={"max_image_side": 16})).parts[0].texture
    assert texture.shape == (16, 16, 4) and (texture == (200, 120, 40, 3)).all()


def a_glb(folder, material, image=None):
    glb = Glb()
    if image is not None:
        glb.image(image)
    glb.tree |= {"materials": [material], "meshes": [{"primitives": [glb.box() | {"material": 0}]}]}
    glb.tree["nodes"] = [{"mesh": 0}]
    return glb.write(folder / "a.glb")


@pytest.mark.parametrize("suffix", ["glb", "ply", "obj"])
def test_colours_of_vertices_without_a_material_are_alike_in_every_format(tmp_path, limits, suffix):
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.tile([255, 0, 0, 255], (8, 1))
    box.export(tmp_path / f"a.{suffix}")
    assert model(str(tmp_path / f"a.{suffix}"), limits).parts[0].colour == pytest.approx((1, 0, 0))


def test_glossiness_and_unlit_materials(tmp_path, limits):
    glossy = {"specularGlossinessTexture": {"index": 0}, "diffuseFactor": [1, 0, 0, 1]}
    material = {"extensions": {"KHR_materials_pbrSpecularGlossiness": glossy}}
    path = a_glb(tmp_path, material, Image.new("RGBA", (4, 4), (9, 9, 9, 51)))
    assert model(path, limits).parts[0].roughness == pytest.approx(0.8)
    path = a_glb(tmp_path, {"extensions": {"KHR_materials_unlit": {}}, "pbrMetallicRoughness": {}})
    assert model(path, limits).parts[0].metallic == 0
    assert "without light are lit" in said(path, limits)


def test_a_part_that_uses_one_texel_of_a_palette_has_its_colour(tmp_path, limits):
    """The whole palette was projected onto it."""
    faces = "".join("f " + " ".join(f"{corner}/5" for corner in corners) + "\n" for corners in QUADS)
    path = cube(tmp_path, "usemtl m\n" + faces)
    text = open(path).read().replace(UVS, UVS + "vt 0.5 0.1\n")
    open(path, "w").write(text)
    [part] = model(path, limits).parts
    assert part.texture is None and part.uv is None
    assert part.colour == pytest.approx((0, 0.578, 0), abs=1e-3), "green, which is below"


@pytest.mark.parametrize(
    ("names", "kind"), [("red green blue", "ushort"), ("diffuse_red diffuse_green diffuse_blue", "uchar")]
)
def test_colours_of_a_ply_of_any_type(tmp_path, limits, names, kind):
    largest = {"ushort": 65535, "uchar": 255}[kind]
    columns = "".join(f"property {kind} {name}\n" for name in names.split())
    rows = "".join(f"{x} {y} {z} {largest} 0 0\n" for x, y, z in ((0, 0, 0), (1, 0, 0), (0, 1, 0)))
    head = "ply\nformat ascii 1.0\nelement vertex 3\nproperty float x\nproperty float y\nproperty float z\n"
    faces = "element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    (tmp_path / "a.ply").write_text(head + columns + faces + rows + "3 0 1 2\n")
    assert model(str(tmp_path / "a.ply"), limits).parts[0].colour == (1, 0, 0)


def test_a_photo_with_a_film_behind_it_is_read(tmp_path, limits):
    """Bytes of the film were counted as scans of the image."""
    buffer = io.BytesIO()
    Image.new("RGB", (4000, 3000), "white").save(buffer, "JPEG")
    film = np.random.default_rng(0).integers(0, 255, 8_000_000, np.uint8).tobytes()
    assert load_photo(tmp_path, buffer.getvalue() + film, limits).pixels.shape[2] == 3


def test_lines_that_end_in_carriage_returns_alone_are_counted(tmp_path, limits):
    path = cube(tmp_path, ALL)
    text = open(path, "rb").read().replace(b"\n", b"\r")
    open(path, "wb").write(text)
    assert measure(path).size.faces == 12 and len(model(path, limits).vertices) == 8


def test_an_obj_whose_name_is_not_utf8_is_measured(tmp_path):
    path = os.fsencode(cube(tmp_path, ALL))
    os.rename(path, other := os.path.join(os.path.dirname(path), b"caf\xe9.obj"))
    assert measure(os.fsdecode(other)).size.faces == 12
