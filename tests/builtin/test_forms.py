"""The building blocks of built-in shapes: closed, facing outwards, of the size that was asked for."""

import numpy as np
import pytest
import trimesh

from bl30k_gen.builtin.shapes.forms import box, cylinder, extrude, lathe, smooth, sphere, tube
from bl30k_gen.builtin.shapes.outline import triangulate as triangulate_cap
from bl30k_gen.library.formats.polygon import split, triangulate

ANGLE = np.linspace(0, 2 * np.pi, 80)
RING = np.stack([np.cos(ANGLE), np.sin(ANGLE), 0.3 * np.sin(3 * ANGLE)], axis=1)
RING[-1] = RING[0]
STAR = np.stack([np.cos(ANGLE[:-1:8]), np.sin(ANGLE[:-1:8])], axis=1) * np.tile([1, 0.5], 5)[:, None]


@pytest.mark.parametrize(
    "form, volume",
    [
        (lathe([(0, 0), (1, 0), (1, 1), (0, 1)], 200), np.pi),
        (sphere(1, 128), 4 / 3 * np.pi),
        (cylinder(1, 2, bevel=0, segments=200), 2 * np.pi),
        (cylinder(1, 2, top=0.5, bevel=0, segments=200), np.pi * 2 / 3 * 1.75),
        (tube(np.array([(0, 0, 0), (0, 0, 1), (0, 0, 2.0)]), 0.5, sides=100), np.pi / 2),
        (tube(RING, 0.2, sides=40, closed=True), None),
        (box(1, 2, 3, bevel=1e-4), 6),
        (box(1, 2, 3, bevel=0.2), None),
        (extrude(np.array([(0, 0), (2, 0), (2, 1), (0, 1)]), 0.5), 1),
        (extrude(STAR, 0.3, 0.02), None),
        (extrude(STAR[::-1], 0.3), None),
        (sphere(1, 128).scaled(-1, 2, 1).moved(5, 5, 5).turned("x", 1), 8 / 3 * np.pi),
    ],
)
def test_closed_and_facing_outwards(form, volume):
    mesh = trimesh.Trimesh(form.vertices, form.faces, process=False)
    mesh.merge_vertices()
    mesh.update_faces(mesh.nondegenerate_faces())
    assert mesh.is_watertight and mesh.is_winding_consistent
    assert mesh.volume > 0 if volume is None else mesh.volume == pytest.approx(volume, rel=0.01)
    assert form.uv.shape == (*form.faces.shape, 2) and np.isfinite(form.uv).all()


def test_round_things_repeat_a_texture_whole_times():
    form = lathe([(0.7, 0), (0.7, 1)])
    assert form.uv[..., 0].max() == round(2 * np.pi * 0.7)


def test_smooth_passes_through_its_points():
    points = [(0, 0), (1, 2), (3, 1), (4, 4)]
    curve = smooth(points, 31)
    np.testing.assert_allclose(curve[::10], points, atol=1e-12)


def test_corners_on_straight_lines_are_kept_so_that_neighbours_join():
    square = np.array([(0, 0), (1, 0), (2, 0), (2, 2), (1, 1.5), (0.5, 2), (0, 2), (0, 1.5), (0, 1)], float)
    triangles = triangulate(square)
    assert len(triangles) == len(square) - 2 and set(triangles.ravel()) == set(range(len(square)))
    edges = {(a, b) for t in triangles.tolist() for a, b in zip(t, t[1:] + t[:1], strict=True)}
    assert {(n, (n + 1) % len(square)) for n in range(len(square))} <= edges


@pytest.mark.parametrize("triangulate", [triangulate, triangulate_cap])
def test_triangulate_keeps_area_and_winding(triangulate):
    for outline in (STAR, STAR[::-1]):
        a, b, c = (outline[triangulate(outline)[:, k]] for k in range(3))
        areas = ((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
        after = np.roll(outline, -1, axis=0)
        whole = (outline[:, 0] * after[:, 1] - outline[:, 1] * after[:, 0]).sum() / 2
        assert (np.sign(areas) == np.sign(whole)).all()
        assert areas.sum() == pytest.approx(whole)


def test_split_cuts_each_polygon_into_at_most_two_less_than_its_corners():
    random = np.random.default_rng(0)
    sizes = np.array([3, 5, 4, 7, 3, 80])
    points = random.normal(size=(sizes.sum(), 3))
    triangles = split(sizes, points)
    owner = np.repeat(np.arange(len(sizes)), sizes)[triangles]
    assert (owner == owner[:, :1]).all()
    found = np.bincount(owner[:, 0])
    assert ((found > 0) & (found <= sizes - 2)).all(), "polygons that cross themselves may give fewer"
