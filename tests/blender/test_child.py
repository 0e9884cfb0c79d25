"""The child process: BlenderProc on the wheel, devices, memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bl30k_gen.errors import UserError
from bl30k_gen.render.child import BlenderChild

ROOT = Path(__file__).resolve().parents[2]
CHEAP = ("render.samples=1", "render.denoiser=none")
SOFT = (
    "objects.count=[2, 2]",
    "video.frames=40",
    "objects.deformation={chance: 1.0, kinds: [lattice, wave, bend], cycles: [2, 4], displacement: [0.2, 0.4],"
    " amplitude: [0.04, 0.1], wavelength: [0.4, 0.9], angle: [0.8, 1.8]}",
    "render.motion_blur=0.5",
)

ADAPTER = """
import os, sys
before = list(sys.path)
from bl30k_gen.blender import runtime
started = runtime.start("cpu", 1)
import bpy, blenderproc, numpy
assert set(before) <= set(sys.path), "site-packages stays on the path"
assert started.blenderproc == "2.8.0" and started.bpy.startswith("4.2")
assert started.device == "cpu" and started.threads == 1
assert bpy.context.scene.render.engine == "CYCLES"
sys.stdout.write("fine")
sys.stdout.flush()
os._exit(0)
"""

CROSS_CHECK = """
import os, sys
from pathlib import Path
import numpy as np
from bl30k_gen.blender import runtime
runtime.start("cpu", 1)
import blenderproc as bproc
import bpy
from bl30k_gen.blender import build, passes
from bl30k_gen.scene.spec import read_spec
scratch = Path(sys.argv[2])
spec = read_spec(sys.argv[1])
passes.set_up(spec, build.build(spec), 1)
ours = np.stack([passes.render_mask(frame, scratch) for frame in range(spec.video.frames)])
bpy.context.scene.render.use_file_extension = True
for entity in bproc.object.get_all_mesh_objects():
    number = entity.get_name().split()[-1]
    entity.set_cp("category_id", int(number) if number.isdigit() else 0)
theirs = bproc.renderer.render_segmap(output_dir=str(scratch), temp_dir=str(scratch), map_by="class")
np.savez(scratch / "both.npz", ours=ours, theirs=np.stack(theirs["class_segmaps"]))
sys.stdout.flush()
os._exit(0)
"""


def run(code, folder, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"TMPDIR": str(folder)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment)


def test_blenderproc_runs_on_the_wheel_and_does_not_change_python(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # also without git, as in a container
    done = run(ADAPTER, tmp_path)
    assert done.stdout.endswith("fine"), done.stderr


def test_a_missing_device_is_an_error():
    with pytest.raises(UserError, match="device metal is not available here"):
        BlenderChild("metal", 1, timeout=60.0)


def test_masks_agree_with_blenderprocs_own(sample, tmp_path):
    import numpy as np

    (tmp_path / "scene.json").write_text(sample(1).dumps())
    done = run(CROSS_CHECK, tmp_path, tmp_path / "scene.json", tmp_path)
    assert (tmp_path / "both.npz").exists(), done.stderr[-3000:]
    both = np.load(tmp_path / "both.npz")
    assert both["ours"].max() >= 3
    assert (both["ours"] == both["theirs"]).mean() > 0.995  # BlenderProc's masks sample anywhere in a pixel


@pytest.mark.parametrize("extras", [(), SOFT], ids=["rigid", "deforming"])
def test_memory_does_not_grow_with_the_number_of_frames(sample, tmp_path, extras):
    from bl30k_gen.dataset.layout import Layout
    from bl30k_gen.render.staging import write_scene

    child = BlenderChild("cpu", 1, timeout=120.0)
    try:
        spec = sample(2, "video={frames: 60, width: 256, height: 160}", *CHEAP, *extras)
        memory = [
            child.memory_gb()
            for event in child.render(write_scene(Layout(tmp_path), spec))
            if event["event"] == "frame"
        ]
    finally:
        child.close()
    one_frame = 256 * 160 * 4 * 4 / 2**30  # as Blender holds it
    assert len(memory) == spec.video.frames
    assert all((thing.deformation is not None) == bool(extras) for thing in spec.objects)
    assert memory[-1] - memory[9] < 20 * one_frame, "all after the tenth take less than twenty frames of memory"


def test_no_temporary_file_is_left(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    child = BlenderChild("cpu", 1, timeout=60.0)
    child.close()
    assert list(tmp_path.iterdir()) == []
    assert not child.scratch.exists()


def test_optix_denoiser_without_an_optix_device_is_one_clear_error(child, sample, tmp_path):
    (tmp_path / "scene.json").write_text(sample(1, "render.denoiser=optix").dumps())
    *_, event = child.render(tmp_path / "scene.json")
    assert event["event"] == "failed" and event["fatal"], "no other video would do better"
    assert event["what"].startswith("render.denoiser optix needs an NVIDIA GPU")
    assert not list(tmp_path.glob("*/*.jpg"))


class Preferences:
    """Cycles' preferences on a machine with such a GPU."""

    def __init__(self, openimagedenoise: bool, optix: bool):
        self.has_oidn_gpu_devices = lambda: openimagedenoise
        self.has_optixdenoiser_gpu_devices = lambda: optix


def test_denoising_runs_on_the_device_that_cycles_supports():
    from bl30k_gen.blender import runtime

    assert runtime.denoises_on_gpu(Preferences(True, False))
    assert not runtime.denoises_on_gpu(Preferences(False, True)), "CUDA without tensor cores, or an old driver"
    runtime.require_optix_denoiser(Preferences(False, True))
    with pytest.raises(UserError, match="give --device optix"):
        runtime.require_optix_denoiser(Preferences(True, False))


def test_doctor_names_the_denoisers_device(tmp_path):
    from bl30k_gen.render.tools.doctor import examine

    checks = {check.name: check for check in examine("cpu", 1, tmp_path)}
    assert checks["denoising"].ok and checks["denoising"].found == "OpenImageDenoise on the processor"
