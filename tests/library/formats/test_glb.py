"""Models written as GLB read back equal."""

import numpy as np
import pytest
import trimesh
from PIL import Image

from bl30k_gen.library.formats.glb import as_glb
from bl30k_gen.library.load import load_model


@pytest.fixture
def crate(tmp_path, limits):
    """A box of two materials, one with a texture that has holes."""
    texture = np.random.default_rng(0).integers(0, 255, (16, 16, 4)).astype(np.uint8)
    Image.fromarray(texture).save(tmp_path / "wood.png")
    (tmp_path / "crate.mtl").write_text(
        "newmtl wood\nKd 1 1 1\nPr 0.3\nPm 0.1\nmap_Kd wood.png\nnewmtl iron\nKd 0.2 0.4 0.6\nPm 1.0\nPr 0.7\n"
    )
    box = trimesh.creation.box((1.0, 2.0, 3.0))
    lines = ["mtllib crate.mtl", *(f"v {x} {y} {z}" for x, y, z in box.vertices), "vt 0 0", "vt 1 0", "vt 0.3 0.9"]
    for material, faces in (("wood", box.faces[:7]), ("iron", box.faces[7:])):
        lines += [f"usemtl {material}", *(f"f {a + 1}/1 {b + 1}/2 {c + 1}/3" for a, b, c in faces)]
    (tmp_path / "crate.obj").write_text("\n".join(lines) + "\n")
    return load_model(str(tmp_path / "crate.obj"), limits)


def corners(model, part):
    """Faces as sorted rows of their corners' coordinates."""
    return np.sort(model.vertices[part.faces].reshape(-1, 9).round(5), axis=0)


def test_a_written_model_reads_back(crate, tmp_path, limits):
    (tmp_path / "crate.glb").write_bytes(as_glb(crate))
    again = load_model(str(tmp_path / "crate.glb"), limits)
    assert np.allclose(again.vertices, crate.vertices, atol=1e-6), "the same axes, size and place"
    assert len(again.parts) == len(crate.parts) == 2
    for one, other in zip(crate.parts, again.parts, strict=True):
        assert np.allclose(corners(crate, one), corners(again, other), atol=1e-5)
        assert np.allclose(one.colour, other.colour, atol=0.5 / 255)
        assert (other.roughness, other.metallic) == pytest.approx((one.roughness, one.metallic), abs=1e-6)
        uv = [np.sort(part.uv.reshape(-1, 6), axis=0) for part in (one, other)]
        assert np.allclose(*uv, atol=1e-6)
    assert np.array_equal(again.parts[0].texture, crate.parts[0].texture), "with its alpha"
    assert again.parts[1].texture is None


def test_the_same_model_gives_the_same_bytes(crate):
    assert as_glb(crate) == as_glb(crate)
