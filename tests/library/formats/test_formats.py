"""All formats give the same mesh in the common form: unit diagonal, centred, z up, front towards -y."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from bl30k_gen.library.catalogue.measure import measure
from bl30k_gen.library.load import AssetRefused, Limits, load_image, load_model

Y_UP = {"obj", "glb", "gltf"}


@pytest.fixture(scope="module")
def image():
    pixels = np.zeros((32, 64, 3), np.uint8)
    pixels[:16, :, 0] = 200  # the upper half is red, the lower half is green
    pixels[16:, :, 1] = 200
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def wedge(image):
    """A textured, lopsided body: 2 along x, 1 along y, 3 along z, with a slanted side; UVs follow x and y."""
    vertices = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0], [0, 1, 0], [0, 0, 3], [0, 1, 3]], dtype=float)
    faces = [[0, 2, 1], [0, 3, 2], [0, 1, 4], [3, 5, 2], [1, 2, 5], [1, 5, 4], [0, 4, 5], [0, 5, 3]]
    material = trimesh.visual.material.SimpleMaterial(image=image, diffuse=(255, 255, 255, 255))
    visual = trimesh.visual.TextureVisuals(uv=vertices[:, :2] / (2, 1), material=material)
    return trimesh.Trimesh(vertices, faces, visual=visual, process=False)


def write(mesh, folder, suffix):
    path = folder / f"wedge.{suffix}"
    if suffix == "gltf":
        for name, data in trimesh.exchange.gltf.export_gltf(trimesh.Scene(mesh)).items():
            (folder / name).write_bytes(data)
        (folder / "model.gltf").rename(path)
    else:
        mesh.export(path)
    return str(path)


def expected(mesh, suffix):
    v = mesh.vertices - mesh.bounds.mean(axis=0)
    v = v / np.linalg.norm(np.ptp(v, axis=0))
    return np.stack([v[:, 0], -v[:, 2], v[:, 1]], axis=1) if suffix in Y_UP else v


@pytest.mark.parametrize("suffix", ["obj", "ply", "stl", "glb", "gltf"])
def test_geometry(wedge, tmp_path, limits, suffix):
    model = load_model(write(wedge, tmp_path, suffix), limits)
    want = expected(wedge, suffix)
    assert model.vertices.dtype == np.float32 and model.vertices.shape == (6, 3)
    distance = np.linalg.norm(model.vertices[:, None] - want[None], axis=2)
    assert distance.min(axis=1).max() < 1e-6 and distance.min(axis=0).max() < 1e-6
    [part] = model.parts
    assert part.faces.dtype == np.int32
    body = trimesh.Trimesh(model.vertices, part.faces, process=False)
    assert body.is_watertight and body.volume > 0  # faces still look outwards
    assert body.volume == pytest.approx(wedge.volume / 14**1.5, rel=1e-4)


@pytest.mark.parametrize("suffix", ["obj", "ply", "glb", "gltf"])
def test_uv_and_texture(wedge, tmp_path, limits, image, suffix):
    if suffix == "ply":
        path = write(wedge, tmp_path, "ply")
        text = (
            (tmp_path / "wedge.ply")
            .read_bytes()
            .replace(b"\nelement vertex", b"\ncomment TextureFile p.png\nelement vertex", 1)
        )
        (tmp_path / "wedge.ply").write_bytes(text)
        image.save(tmp_path / "p.png")
    else:
        path = write(wedge, tmp_path, suffix)
    [part] = load_model(path, limits).parts
    assert part.texture.shape == (32, 64, 3)
    assert part.texture[0, 0, 0] > 190 and part.texture[-1, 0, 1] > 190
    corners = load_model(path, limits).vertices[part.faces]
    up = corners[..., 2] if suffix in Y_UP else corners[..., 1]
    np.testing.assert_allclose(part.uv[..., 1], (up - up.min()) / np.ptp(up), atol=1e-5)
    assert part.uv.shape == (8, 3, 2)


def test_binary_and_text_agree(wedge, tmp_path, limits):
    for suffix, options in (("ply", {"encoding": "ascii"}), ("stl", {})):
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(
            wedge.export(file_type="stl_ascii").encode()
            if suffix == "stl"
            else wedge.export(file_type="ply", **options)
        )
        text = load_model(str(path), limits)
        binary = load_model(write(wedge, tmp_path, suffix), limits)
        np.testing.assert_allclose(text.vertices, binary.vertices, atol=1e-6)


def test_binary_stl_is_read_with_any_header_and_trailing_bytes(wedge, tmp_path, limits):
    data = wedge.export(file_type="stl")
    plain = load_model(write(wedge, tmp_path, "stl"), limits)
    (tmp_path / "b.stl").write_bytes(b"solid wedge".ljust(80) + data[80:])
    (tmp_path / "c.stl").write_bytes(data[:80].replace(b" ", b"\0").ljust(80, b"\0") + data[80:] + b"made by hand")
    for name in "bc":
        path = str(tmp_path / f"{name}.stl")
        np.testing.assert_array_equal(load_model(path, limits).vertices, plain.vertices)
        assert measure(path).size.faces == len(wedge.faces) and measure(path).size.low is not None


def test_a_byte_order_mark_is_ignored(tmp_path, limits):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"
    (tmp_path / "a.obj").write_text(text, encoding="utf-8-sig")
    assert len(load_model(str(tmp_path / "a.obj"), limits).vertices) == 4
    assert measure(str(tmp_path / "a.obj")).size.vertices == 4


def test_colours(tmp_path, limits):
    box = trimesh.creation.box()
    box.visual.vertex_colors = np.tile([188, 0, 255, 255], (8, 1))
    box.export(tmp_path / "a.ply")
    colour = load_model(str(tmp_path / "a.ply"), limits).parts[0].colour
    np.testing.assert_allclose(colour, (0.5, 0, 1), atol=0.01)  # 188 of 255 in sRGB is half the light


def test_materials_of_an_obj(tmp_path, limits):
    (tmp_path / "my colours.mtl").write_text(
        "newmtl red paint\nKd 0.5 0 0\nNs 225\nnewmtl metal\nKd 0 0 1\nPm 1\nPr 0.1\n"
        "newmtl cloth\nmap_Kd -s 2 2 2 -o 1 c d.png\n"
    )
    Image.new("RGB", (2, 2), "lime").save(tmp_path / "c d.png")
    (tmp_path / "a.obj").write_text(
        "mtllib my colours.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
        "usemtl red paint\nf 1 2 3\nusemtl metal\nf 1 2 4\nusemtl red paint\nf 2 3 4\n"
        "usemtl cloth\nf 1 3 4\nv 0 0 2\nusemtl none\nf 5 3 1\n"
    )
    red, metal, cloth, none = load_model(str(tmp_path / "a.obj"), limits).parts
    assert len(red.faces) == 2 and red.colour == (0.5, 0, 0) and red.roughness == pytest.approx(0.5)
    assert (metal.metallic, metal.roughness) == (1, 0.1)
    assert (cloth.texture == (0, 255, 0)).all() and cloth.colour == (1, 1, 1)
    assert none.colour == (0.8, 0.8, 0.8)


def test_concave_polygons_keep_their_shape(tmp_path, limits):
    letter = [(0, 0), (3, 0), (3, 1), (1, 1), (1, 2), (3, 2), (3, 3), (0, 3)]  # a C of area 8 - 1
    dart = [(0, 0), (2, 1), (0, 2), (0.5, 1)]
    for outline, area in ((letter, 7), (letter[::-1], 7), (dart, 1.5), (dart[1:] + dart[:1], 1.5)):
        lines = [f"v {x} {y} 0" for x, y in outline]
        (tmp_path / "a.obj").write_text("\n".join([*lines, "f " + " ".join(str(i + 1) for i in range(len(outline)))]))
        model = load_model(str(tmp_path / "a.obj"), limits)
        a, b, c = (model.vertices[model.parts[0].faces[:, k]] for k in range(3))
        diagonal = np.linalg.norm(np.ptp(np.array(outline), axis=0))
        assert np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2 * diagonal**2 == pytest.approx(area, rel=1e-4)


def test_continued_lines_and_comments(tmp_path, limits):
    (tmp_path / "a.obj").write_bytes(
        b"#c\r\nv 0 0 0\r\nv 1 \\\r\n0 0\r\n\tv 0 1 0 # up\r\nf 1 2 \\\r\n3 # a face\r\n".replace(b" # up", b"")
    )
    assert len(load_model(str(tmp_path / "a.obj"), limits).vertices) == 3


def test_clean_up(tmp_path, limits):
    (tmp_path / "a.obj").write_text(
        "v 0 0 0\nv 4 0 0\nv 0 3 0\nv 0 0 0\nv 9 9 9\nv -0.0 0 0\n"  # 4 and 6 equal 1, 5 is unused
        "vt 0.5 0.5\nf 1/1 2/1 3/1\nf 4/1 3/1 2/1\nf 1/1 4/1 2/1\nf 6/1 2/1 3/1\n"
    )
    model = load_model(str(tmp_path / "a.obj"), limits)
    assert len(model.vertices) == 3
    assert len(model.parts[0].faces) == 1  # the others coincide with it, or have no area
    assert model.parts[0].uv is None  # all equal
    assert np.linalg.norm(np.ptp(model.vertices, axis=0)) == pytest.approx(1)
    np.testing.assert_allclose(np.ptp(model.vertices, axis=0), (0.8, 0, 0.6), atol=1e-6)


@pytest.mark.parametrize("size, offset", [(1e-12, 0), (1e12, 0), (1, 1e7), (1e200, 0)])
def test_any_scale(tmp_path, limits, size, offset):
    points = np.array([[0, 0, 0], [4, 0, 0], [0, 3, 0]]) * size + offset
    (tmp_path / "a.obj").write_text("".join("v {:.17g} {:.17g} {:.17g}\n".format(*p) for p in points) + "f 1 2 3\n")
    model = load_model(str(tmp_path / "a.obj"), limits)
    np.testing.assert_allclose(np.ptp(model.vertices, axis=0), (0.8, 0, 0.6), atol=1e-6)


def test_gltf_nodes(wedge, tmp_path, limits):
    """Translated, rotated and mirrored copies are where trimesh puts them, with faces outwards."""
    scene = trimesh.Scene()
    plain = trimesh.Trimesh(wedge.vertices, wedge.faces, process=False)
    turn = trimesh.transformations.euler_matrix(0.3, 0.5, -1.1)
    turn[:3, 3] = (5, -2, 1)
    mirror = np.diag([-1.0, 2, 1, 1])
    mirror[:3, 3] = (-6, 0, 0)
    scene.add_geometry(plain, node_name="a", transform=turn)
    scene.add_geometry(plain, node_name="b", transform=mirror, parent_node_name="a")
    scene.export(tmp_path / "a.glb")
    model = load_model(str(tmp_path / "a.glb"), limits)
    whole = scene.to_mesh()
    want = expected(whole, "glb")
    assert np.linalg.norm(model.vertices[:, None] - want[None], axis=2).min(axis=0).max() < 1e-5
    body = trimesh.Trimesh(model.vertices, np.concatenate([p.faces for p in model.parts]), process=False)
    scale = np.linalg.norm(np.ptp(whole.vertices, axis=0))
    assert body.volume == pytest.approx(plain.volume * 3 / scale**3, rel=1e-4)


def test_gltf_material(tmp_path, limits):
    cube = trimesh.creation.box()
    cube.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(
            baseColorFactor=[255, 0, 0, 255], metallicFactor=0.25, roughnessFactor=0.75
        )
    )
    cube.export(tmp_path / "a.glb")
    [part] = load_model(str(tmp_path / "a.glb"), limits).parts
    assert part.colour == (1, 0, 0) and (part.metallic, part.roughness) == (0.25, 0.75)


def test_gltf_alpha_is_kept_only_if_the_alpha_mode_uses_it(wedge, tmp_path, limits):
    image = Image.new("RGBA", (4, 4), (10, 20, 30, 40))
    for mode, channels in ((None, 3), ("MASK", 4), ("BLEND", 4)):
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=image, alphaMode=mode)
        wedge = wedge.copy()
        wedge.visual = trimesh.visual.TextureVisuals(uv=wedge.vertices[:, :2], material=material)
        wedge.export(tmp_path / "a.glb")
        assert load_model(str(tmp_path / "a.glb"), limits).parts[0].texture.shape == (4, 4, channels)


def test_gltf_strip_and_normalised_integers(tmp_path, limits):
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]], "<f4").tobytes()
    uv = np.array([[0, 0], [255, 0], [0, 255], [255, 255]], "u1")
    padded = np.pad(uv, ((0, 0), (0, 2))).tobytes()  # a stride of four bytes
    (tmp_path / "a.bin").write_bytes(points + padded)
    tree = {
        "asset": {"version": "2.0"},
        "buffers": [{"uri": "a.bin", "byteLength": 64}],
        "bufferViews": [
            {"buffer": 0, "byteLength": 48},
            {"buffer": 0, "byteOffset": 48, "byteLength": 16, "byteStride": 4},
        ],
        "accessors": [
            {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
            {"bufferView": 1, "componentType": 5121, "normalized": True, "count": 4, "type": "VEC2"},
        ],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "mode": 5}]}],
        "nodes": [{"mesh": 0}],
    }
    (tmp_path / "a.gltf").write_text(json.dumps(tree))
    model = load_model(str(tmp_path / "a.gltf"), limits)
    [part] = model.parts
    corners = model.vertices[part.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert len(part.faces) == 2 and (normals[:, 1] < 0).all()  # both look to the front
    np.testing.assert_allclose(
        part.uv[..., 1], 1 - (corners[..., 2] - corners[..., 2].min()) / np.ptp(corners[..., 2]), atol=1e-6
    )


def test_digest_covers_every_file(wedge, tmp_path, limits):
    path = write(wedge, tmp_path, "obj")
    first = load_model(path, limits).sha256
    assert load_model(path, limits).sha256 == first
    [texture] = [f for f in tmp_path.iterdir() if f.suffix in (".png", ".jpeg", ".jpg")]
    Image.new("RGB", (8, 8)).save(texture)
    second = load_model(path, limits).sha256
    [library] = tmp_path.glob("*.mtl")
    library.write_text(library.read_text() + "\n# changed\n")
    assert len({first, second, load_model(path, limits).sha256}) == 3
    alone = write(wedge, tmp_path, "stl")
    assert load_model(alone, limits).sha256 == hashlib.sha256(Path(alone).read_bytes()).hexdigest()


# --- images ------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_image_modes(tmp_path, limits, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    if mode == "I;16":
        Image.fromarray(np.full((6, 8), 128 * 257, np.uint16)).save(path)
    else:
        Image.new("L", (8, 6), 128).convert(mode).save(path)
    pixels = load_image(str(path), "texture", limits).pixels
    assert pixels.shape == (6, 8, 3) and pixels.dtype == np.uint8
    if mode != "1":
        assert np.abs(pixels.astype(int) - 128).max() <= 2


def test_orientation_is_applied(tmp_path, limits):
    image = Image.new("RGB", (20, 10), "white")
    exif = image.getexif()
    exif[0x0112] = 6  # turn by a quarter to see it upright
    image.save(tmp_path / "a.jpg", exif=exif)
    assert load_image(str(tmp_path / "a.jpg"), "background", limits).pixels.shape == (20, 10, 3)


def test_large_images_are_scaled_down(tmp_path):
    Image.new("RGB", (400, 100), "white").save(tmp_path / "a.png")
    small = Limits(max_faces=10, max_image_side=200, max_megapixels=1)
    assert load_image(str(tmp_path / "a.png"), "background", small).pixels.shape == (50, 200, 3)
    with pytest.raises(AssetRefused, match="max_megapixels"):
        load_image(str(tmp_path / "a.png"), "background", small.model_copy(update={"max_megapixels": 0.03}))


def test_real_models(shared, limits):
    """All real meshes load, fast enough to start a video."""
    for path in sorted((shared / "data" / "shapenet_layout").glob("*/*/models/*.obj")):
        model = load_model(str(path), limits)
        assert np.linalg.norm(np.ptp(model.vertices, axis=0)) == pytest.approx(1, abs=1e-5)
        assert model.has_texture == (
            "map_Kd" in path.with_suffix(".mtl").read_text() if path.with_suffix(".mtl").exists() else False
        )
