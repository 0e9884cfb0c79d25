"""Deforming shapes: displacements of vertices, and a surface without cracks."""

import numpy as np
import pytest
import trimesh

from bl30k_gen.scene.deformation import MAX_EDGE, deform, refined, time_of
from bl30k_gen.scene.raster import predict
from bl30k_gen.scene.spec import Bend, Lattice, Wave

from .conftest import a_scene, as_model

WAVE = Wave(kind="wave", cycles=2.0, phase=0.1, along="x", across="z", amplitude=0.07, wavelength=0.5)
BEND = Bend(kind="bend", cycles=1.0, phase=0.25, along="z", toward="y", angle=1.2)
BOX = trimesh.creation.box((1.0, 0.6, 0.3))


def model(mesh=BOX):
    return as_model(mesh.vertices, [mesh.faces[::2], mesh.faces[1::2]], "mesh")


def lattice(displacements, cycles=1.0, phase=0.25):
    return Lattice(kind="lattice", cycles=cycles, phases=(phase,) * 27, displacements=displacements)


def joined(of):
    return trimesh.Trimesh(of.vertices, np.concatenate([part.faces for part in of.parts]), process=False)


@pytest.mark.parametrize("mesh", [BOX, trimesh.creation.cone(0.2, 1.0, 9), trimesh.creation.torus(0.4, 0.1)])
def test_a_refined_surface_is_the_same_one_with_short_edges_and_no_cracks(mesh):
    before, after = joined(model(mesh)), joined(refined(model(mesh)))
    assert after.edges_unique_length.max() <= MAX_EDGE
    assert after.is_watertight and after.is_winding_consistent
    assert after.area == pytest.approx(before.area, rel=1e-5)
    assert after.volume == pytest.approx(before.volume, rel=1e-5)
    assert len(np.unique(after.vertices, axis=0)) == len(after.vertices), "no point is there twice"


def test_refinement_keeps_parts_and_texture_coordinates():
    plain = model()
    mapped = plain.parts[1]
    corners = plain.vertices[mapped.faces][..., :2]  # texture coordinates that are a linear function of the place
    object.__setattr__(mapped, "uv", corners)
    after = refined(plain)
    assert after.parts[0].uv is None
    assert np.allclose(after.parts[1].uv, after.vertices[after.parts[1].faces][..., :2], atol=1e-6)
    for part, old in zip(after.parts, plain.parts, strict=True):
        area = [trimesh.Trimesh(m.vertices, p.faces, process=False).area for m, p in ((after, part), (plain, old))]
        assert area[0] == pytest.approx(area[1], rel=1e-5)


def test_a_fine_mesh_is_not_refined():
    fine = as_model(*(lambda ball: (ball.vertices, [ball.faces]))(trimesh.creation.icosphere(4)), "ball")
    after = refined(fine)
    assert np.array_equal(after.vertices, fine.vertices)
    assert np.array_equal(after.parts[0].faces, fine.parts[0].faces)


def test_a_wave_travels_and_moves_along_one_axis():
    rest = refined(model()).vertices
    moved = [deform(rest, WAVE, time) for time in np.linspace(0, 1, 41)]
    for shape in moved:
        assert np.array_equal(shape[:, :2], rest[:, :2])
        assert np.abs(shape[:, 2] - rest[:, 2]).max() == pytest.approx(0.07, rel=0.02)
    later = 0.05  # in which the wave continues by a tenth of its length
    ahead = rest + np.float32([0.1 * 0.5, 0, 0])
    assert np.allclose(deform(ahead, WAVE, later)[:, 2], deform(rest, WAVE, 0.0)[:, 2], atol=1e-6)


def test_a_bend_keeps_lengths_and_reaches_its_angle():
    spine = np.stack([np.zeros(101), np.zeros(101), np.linspace(-0.5, 0.5, 101)], axis=1)
    bent = deform(spine, BEND, 0.0).astype(np.float64)  # the middle of a swing
    steps = np.diff(bent, axis=0)
    assert np.linalg.norm(steps, axis=1).sum() == pytest.approx(1.0, abs=1e-4)
    first, last = steps[0] / np.linalg.norm(steps[0]), steps[-1] / np.linalg.norm(steps[-1])
    assert np.arccos(first @ last) == pytest.approx(1.2 * 0.99, abs=1e-3)  # between the middles of the end pieces
    assert np.allclose(deform(spine, BEND, 0.25), spine, atol=1e-6), "straight a quarter of a period later"
    assert np.array_equal(bent[:, 0], spine[:, 0])


def test_a_lattice_moves_corners_with_their_control_points():
    rest = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * [0.4, 0.3, 0.1]
    displacements = np.zeros((27, 3))
    displacements[26] = 0.3, -0.2, 0.1  # of the corner at the largest x, y, z
    moved = deform(rest, lattice(displacements), 0.0) - rest
    assert np.allclose(moved[7], displacements[26], atol=1e-6) and np.allclose(moved[:7], 0, atol=1e-6)
    together = lattice(np.tile([0.1, 0.2, -0.3], (27, 1)))
    assert np.allclose(deform(rest, together, 0.0) - rest, [0.1, 0.2, -0.3], atol=1e-6)
    flat = rest * [1, 1, 0]
    assert np.isfinite(deform(flat, together, 0.3)).all(), "a flat model has no extent to divide by"


@pytest.mark.parametrize("deformation", [WAVE, BEND, lattice(np.random.default_rng(0).normal(size=(27, 3)) / 10)])
def test_shapes_change_smoothly_also_beyond_the_video(deformation):
    rest = refined(model()).vertices
    times = [time_of(frame, 160) for frame in np.concatenate([np.arange(-1, 9, 0.5), np.arange(154, 161, 0.5)])]
    shapes = np.stack([deform(rest, deformation, time) for time in times]).astype(np.float64)
    assert shapes.dtype == np.float64 and np.isfinite(shapes).all()
    steps = np.abs(np.diff(shapes, axis=0)).max(axis=(1, 2))
    assert 0 < steps[np.diff(times) < 0.01].max() < 0.02


def test_the_rasteriser_draws_the_deformed_shape():
    spec = a_scene(0, "video.width=192", "video.height=128", "objects.count=[1, 1]")
    thing = spec.objects[0]
    models = {thing.model.id: model()}
    for frame in (0, 57):
        soft = spec.model_copy(update={"objects": (thing.model_copy(update={"deformation": BEND}),)})
        fine = refined(model())
        bent = {thing.model.id: type(fine)(deform(fine.vertices, BEND, frame / 159), fine.parts, "bent")}
        assert np.array_equal(predict(soft, models, frame), predict(spec, bent, frame))
        assert not np.array_equal(predict(soft, models, frame), predict(spec, models, frame))
