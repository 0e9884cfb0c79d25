"""Annotations compared with Blender's own passes, with shaken cameras and deforming objects."""

import numpy as np
import pytest

from bl30k_gen.annotations.view import VideoGeometry
from bl30k_gen.scene.assets import load_models
from tests.support.blender_passes import compare, render_passes

from .test_variants import BLUR, DEFORM, SHAKE


@pytest.fixture(scope="module")
def judged(sample, tmp_path_factory):
    """A video and Blender's passes of two of its frames."""
    folder = tmp_path_factory.mktemp("passes")
    spec = sample(1, "video.frames=4", "camera.speed=0.1", DEFORM, SHAKE, BLUR)
    (folder / "scene.json").write_text(spec.dumps())
    return VideoGeometry(spec, load_models(spec)), render_passes(folder / "scene.json", folder / "passes", [1, 2])


@pytest.mark.parametrize("frame", [1, 2])
def test_blender_renders_the_same_model(judged, frame):
    video, passes = judged
    found = compare(video, frame, passes[frame])
    assert found.ids >= 0.9999 and len(np.unique(passes[frame]["index"])) > 2
    assert len(found.depth) >= 0.9999 * passes[frame]["z"].size
    assert (found.depth <= 1).mean() > 0.9999
    assert (found.normals <= 0.1).mean() > 0.999
    assert (found.flow <= 0.01).mean() > 0.999
    assert np.median(np.abs(passes[frame]["vector"])) > 0.5, "the camera moves"
