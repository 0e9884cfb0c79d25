"""Annotations against Blender's own passes: of real cameras, shaken, and objects that change their shape."""

import numpy as np
import pytest

from bl30k_gen.annotations import dense
from bl30k_gen.annotations.view import Points, Video, project
from bl30k_gen.scene.assets import load_models
from bl30k_gen.scene.rays import cast
from tests.support.blender_passes import render_passes

from .test_variants import BLUR, DEFORM, SHAKE


@pytest.fixture(scope="module")
def judged(sample, tmp_path_factory):
    """A video and what Blender says of two of its frames."""
    folder = tmp_path_factory.mktemp("passes")
    spec = sample(1, "video.frames=4", "camera.speed=0.1", DEFORM, SHAKE, BLUR)
    (folder / "scene.json").write_text(spec.dumps())
    return Video(spec, load_models(spec)), render_passes(folder / "scene.json", folder / "passes", [1, 2])


@pytest.mark.parametrize("frame", [1, 2])
def test_blender_sees_the_same(judged, frame):
    video, passes = judged
    geometry, view, seen = video.geometry, video.view(frame), passes[frame]
    ids = seen["index"].round().astype(np.uint8)
    same = ids == view.surface.ids
    assert same.mean() >= 0.9999 and len(np.unique(ids)) > 2
    # Blender's ray is not quite at the pixel's centre, so it is followed to where it went.
    points = (
        seen["position"].reshape(-1, 3) @ geometry.extrinsics[frame][:3, :3].T + geometry.extrinsics[frame][:3, 3]
    )
    places = project(geometry, points.astype(np.float64))
    met = cast(geometry, frame, places)
    both = (met.ids == ids.ravel()) & met.seen
    assert both.mean() >= 0.9999
    depth = met.depth[both]
    assert (abs(depth - seen["z"].ravel()[both]) <= 1e-5 + 1e-6 * depth).mean() > 0.9999
    normals = dense.normals(view, "world").reshape(-1, 3)
    cosine = np.clip((normals * seen["normal"].reshape(-1, 3)).sum(axis=1), -1, 1)
    assert (np.degrees(np.arccos(cosine[both & same.ravel()])) <= 0.1).mean() > 0.999
    vector = seen["vector"].reshape(-1, 4)
    followed = Points.of(geometry, met)
    for other, motion in ((frame + 1, [-1, 1] * vector[:, 2:]), (frame - 1, [1, -1] * vector[:, :2])):
        flow = project(geometry, followed.in_camera(other)) - places[met.seen]
        error = np.linalg.norm(flow - motion[met.seen], axis=1)[both[met.seen]]
        assert (error <= 0.01).mean() > 0.999 and np.median(np.abs(flow)) > 0.5
