"""True annotations raise no alarm; planted faults are found and named."""

import json
import shutil
from copy import copy
from dataclasses import replace

import h5py
import numpy as np
import pytest

from bl30k_gen.annotations import faults
from bl30k_gen.annotations import store as storing
from bl30k_gen.annotations.check import check, compare_ids
from bl30k_gen.annotations.derive import by_field, of_view, open_video
from bl30k_gen.annotations.view import View
from bl30k_gen.dataset.derived import every_kind, parse_wanted
from bl30k_gen.dataset.reader import open_dataset

from .conftest import DEFORM, SHAKE

NAME = "a00000"


@pytest.fixture(scope="module")
def stored(rendered, tmp_path_factory):
    out = tmp_path_factory.mktemp("checked") / "all"
    storing.write(open_dataset(rendered), every_kind(), out, [NAME])
    return out


@pytest.fixture
def spoiled(rendered, stored, tmp_path):
    """``spoiled(kind, field, change)``: the problems found when ``change(array)`` and ``others`` are stored."""

    def spoil(kind, field, change, others=()):
        out = tmp_path / "spoiled"
        for each in (kind, *others):
            shutil.copytree(stored / each, out / each)
        shutil.copy(stored / "annotations.json", out)
        with h5py.File(out / kind / f"{NAME}.h5", "r+") as file:
            file[field][...] = change(file[field][...])
        return [str(finding) for finding in check(open_dataset(rendered, annotations=out), NAME)]

    return spoil


def test_correct_annotations_raise_no_alarm(rendered, stored):
    derived = open_dataset(rendered)
    for name in derived.videos:
        assert check(derived, name) == []
    assert check(open_dataset(rendered, annotations=stored), NAME, every_frame=True) == []


def test_ids_may_differ_in_single_pixels_inside_an_object():
    """Blender's rays pass between two faces that touch; a gap in the mesh is found."""
    ids = np.zeros((256, 384), np.uint8)
    ids[50:150, 50:150] = 3
    mask = ids.copy()
    mask[100, 90:93] = 0
    assert list(compare_ids(mask, ids)) == []
    mask[100, 93] = 0
    assert list(compare_ids(mask, ids)) == [("ids", "are not those of the mask on 4 pixels away from all edges")]
    mask[60:80, 60:80] = 0
    assert "on 404 of 98304 pixels (objects [3])" in str(list(compare_ids(mask, ids)))


def test_a_video_that_is_not_stored_is_found(rendered, stored):
    assert "no annotations of a00001" in str(check(open_dataset(rendered, annotations=stored), "a00001")[0])


def other_view(rendered, kind, field, view_of):
    """A field as it would be, were the geometry another one."""
    video, wanted = open_video(open_dataset(rendered), NAME), parse_wanted(kind)

    def change(array):
        for frame in range(len(array)):
            if 0 <= frame + wanted.offset < len(array):
                array[frame] = by_field(wanted, of_view(View(view_of(video.geometry), frame), wanted))[field]
        return array

    return change


SIMPLE = [
    ("flow+1", "flow", lambda a: a[..., ::-1], "`flow` has x and y swapped"),
    ("flow+1", "flow", lambda a: a * [1, -1], "`flow` has the sign of y reversed"),
    ("flow-1", "flow", lambda a: -a, "`flow` has all signs reversed"),
    ("flow+1", "flow", lambda a: a + 0.5, "`flow` leads half a pixel beside its target"),
    ("normals", "normals", lambda a: a * [1, -1, 1], "`normals` has the sign of y reversed"),
    ("object_coordinates", "object_coordinates", lambda a: a[..., [1, 0, 2]], "has x and y swapped"),
    ("depth", "depth", lambda a: np.roll(a, 1, axis=0), "`depth` is that of frame"),
    ("flow+1", "flow", lambda a: np.roll(a, 1, axis=0), "`flow` is that of frame"),
    ("amodal", "amodal", lambda a: np.roll(a, 1, axis=1), "amodal mask of object"),
    ("order", "visible", lambda a: a + 50, "order says that object"),
    ("boxes", "visible", lambda a: a[..., [1, 0, 3, 2]], "boxes say"),
    ("cameras", "extrinsics", lambda a: np.linalg.inv(a), "cameras have other extrinsics"),
    ("poses", "to_world", lambda a: np.swapaxes(a, -1, -2), "poses of object"),
    ("tracks", "places", lambda a: a + 0.5, "tracks are not where the camera sees their points"),
    ("tracks", "places", lambda a: a[..., ::-1], "tracks are not where the camera sees their points"),
    ("tracks", "visible", lambda a: np.ones_like(a), "tracks show on frame"),
]


@pytest.mark.parametrize(("kind", "field", "change", "named"), SIMPLE, ids=[f"{k}: {n}" for k, _, _, n in SIMPLE])
def test_a_planted_fault_is_found_and_named(spoiled, kind, field, change, named):
    found = spoiled(kind, field, change)
    assert any(named in line for line in found), found


@pytest.mark.parametrize("kind", ["depth", "flow+1"])
def test_samples_off_the_pixel_centres_are_named(rendered, spoiled, kind):
    video, wanted = open_video(open_dataset(rendered), NAME), parse_wanted(kind)
    field = wanted.name

    def change(array):
        for frame in range(len(array) - wanted.offset):
            view = faults.shifted(video.view(frame), -faults.HALF_PIXEL)
            array[frame] = by_field(wanted, of_view(view, wanted))[field]
        return array

    found = spoiled(kind, field, change)
    assert any("is taken half a pixel beside" in line for line in found), found


def test_distance_for_depth_is_named_and_does_not_fit_the_flow(rendered, spoiled):
    change = other_view(rendered, "distance", "distance", lambda geometry: geometry)
    found = spoiled("depth", "depth", change, others=["flow+1"])
    assert any("`depth` holds distance" in line for line in found)
    assert any("is not that of depth, camera and poses" in line for line in found)


@pytest.mark.parametrize("kind", ["depth", "normals", "flow+1"])
def test_an_object_that_is_missing_is_named(rendered, spoiled, kind):
    store = open_dataset(rendered)
    largest = max(store.metadata(NAME)["objects"], key=lambda each: sum(each["visible_area"]))["id"]
    field = parse_wanted(kind).name
    found = spoiled(kind, field, other_view(rendered, kind, field, lambda geometry: geometry.without(largest)))
    assert any(f"`{field}` lacks object {largest}" in line for line in found), found


def test_a_stale_mesh_is_named(rendered, spoiled):
    store = open_dataset(rendered)
    largest = max(store.metadata(NAME)["objects"], key=lambda each: sum(each["visible_area"]))["id"]

    def shrunk(geometry):
        other = copy(geometry)
        other.bodies = tuple(replace(b, rest=b.rest * 0.97) if b.id == largest else b for b in geometry.bodies)
        return other

    found = spoiled("object_coordinates", "object_coordinates",
                    other_view(rendered, "object_coordinates", "object_coordinates", shrunk))  # fmt: skip
    assert any(f"is wrong on object {largest} alone" in line for line in found), found


def test_masks_of_other_meshes_are_found(rendered, tmp_path):
    """The scene names a mesh that is not the one of the masks; and one that has changed since is refused."""
    for part in ("model", "scale"):
        changed = shutil.copytree(rendered, tmp_path / part)
        path = changed / f"Metadata/{NAME}.json"
        metadata = json.loads(path.read_text())
        thing = metadata["scene"]["objects"][0]
        if part == "model":
            thing["model"]["sha256"] = "0" * 64
        else:
            thing["scale"] = [[1.3 * s for s in point] for point in thing["scale"]]
        path.write_text(json.dumps(metadata))
        found = [str(finding) for finding in check(open_dataset(changed), NAME)]
        expected = "has changed since" if part == "model" else f"(objects [{thing['id']}"
        assert any(expected in line for line in found), found


def test_from_the_command_line(rendered, stored, generate, tmp_path):
    done = generate("verify", rendered, "--annotations", "--json")
    assert json.loads(done.stdout)["annotations"] == []
    out = shutil.copytree(stored, tmp_path / "out", ignore=lambda _, names: [n for n in names if "_" in n])
    with h5py.File(out / f"depth/{NAME}.h5", "r+") as file:
        file["depth"][...] *= 2
    report = json.loads(generate("verify", rendered, "--stored", out, "--json", code=1).stdout)
    assert report["ok"] and {finding["kind"] for finding in report["annotations"]} >= {"depth", "flow+1"}


@pytest.mark.parametrize("extras", [(DEFORM, SHAKE)])
def test_the_checks_hold_for_shapes_that_change(sampled, extras):
    """Those that need no images: there and back, and tracks where rays meet them."""
    video = sampled(4, *extras)
    for wanted in every_kind():
        if wanted.kind.of_frames:
            found = of_view(video.view(3), wanted)
            assert faults.compare(video.view(3), wanted, found) is None
