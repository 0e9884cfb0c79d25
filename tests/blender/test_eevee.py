"""EEVEE: images similar to those of Cycles, equal masks, and errors where it cannot render."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

EEVEE = ("render.engine=eevee", "render.backdrop=traced")
SMALL = "video={frames: 1, width: 96, height: 64}"


@pytest.fixture
def opengl():
    """OpenGL is tested in a separate process: its libraries conflict with torch's compiler."""
    code = "from bl30k_gen.blender import opengl; print(opengl.why_not() or '')"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    if said:
        pytest.skip(f"EEVEE needs libegl1 and libgl1-mesa-dri: {said}")


def test_eevee_draws_what_cycles_draws(opengl, sample, draw):
    cycles, masks = draw(sample(5, SMALL, "render.samples=16"))
    eevee, same = draw(sample(5, SMALL, "render.samples=4", *EEVEE))
    assert masks.any() and (same == masks).all()
    blurred = [gaussian_filter(rgb[0].astype(float), (2, 2, 0)) for rgb in (cycles, eevee)]
    correlation = np.corrcoef(blurred[0].ravel(), blurred[1].ravel())[0, 1]
    assert correlation > 0.95, "other shadows and bounces, but the same things in the same places and colours"
    assert np.abs(blurred[0] - blurred[1]).mean() < 15
    assert (eevee != cycles).any(), "it is another engine"


def test_without_opengl_the_error_comes_at_the_start(generate, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("__EGL_VENDOR_LIBRARY_DIRS", str(tmp_path))  # without a driver
    flags = [*(word for key in EEVEE for word in ("--set", key)), "--out", tmp_path / "d", "--count", 2]
    error = generate("render", *tiny, *flags, code=2).stderr.splitlines()[-1]
    assert error.startswith("error: render.engine eevee needs OpenGL 4.3 through EGL, which is not here (")
    assert error.endswith("install libegl1 and libgl1-mesa-dri (or the GPU's driver), or set render.engine=cycles")
    assert not (tmp_path / "d/JPEGImages").exists() and not list(tmp_path.glob("d/Logs/*.failed.json"))
