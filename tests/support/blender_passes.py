"""What Blender itself says of a scene: Cycles' passes of geometry, to judge annotations by. Runs in a child process.

    python -m tests.support.blender_passes SCENE.json OUT FRAME...

writes ``OUT/<frame>.npz`` with (H, W, ...) float32 arrays: ``z`` (planar depth, metres), ``position`` (of the point
that is seen, in the world), ``normal`` (in the world), ``index`` (object id) and ``vector`` (motion in pixels: from
the last frame in the first two channels, to the next one in the others, with signs as Blender has them).
Meshes are shaded flat, so that a normal is that of its triangle. Blender places its one ray anywhere in the middle
hundredth of a pixel; ``position`` tells where.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PASSES = {
    "z": ("Depth", "Z"),
    "position": ("Position", "XYZ"),
    "normal": ("Normal", "XYZ"),
    "index": ("IndexOB", "X"),
    "vector": ("Vector", "XYZW"),
}


def render_passes(scene: Path, out: Path, frames: list[int]) -> dict[int, dict[str, np.ndarray]]:
    """Run this module in a process of its own; ``{frame: {pass: array}}``."""
    command = [sys.executable, "-m", "tests.support.blender_passes", str(scene), str(out), *map(str, frames)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return {frame: dict(np.load(out / f"{frame}.npz")) for frame in frames}


def main(scene: Path, out: Path, frames: list[int]) -> None:
    import bpy

    from bl30k_gen.blender import build, runtime
    from bl30k_gen.scene.spec import read_spec

    out.mkdir(parents=True, exist_ok=True)
    runtime.start("cpu", 1)
    spec = read_spec(scene)
    soft = build.build(spec).soft
    for mesh in soft:
        _move_to_neighbours(mesh)
    for mesh in bpy.data.meshes:
        mesh.shade_flat()
    picture = bpy.context.scene
    for thing in spec.objects:
        bpy.data.objects[f"object {thing.id}"].pass_index = thing.id
    _set_up(picture)
    for frame in frames:
        for mesh in soft:
            mesh.pose(frame)
        for each in bpy.data.scenes:
            each.frame_set(frame)
        picture.render.filepath = str(out / "passes.exr")
        bpy.ops.render.render(write_still=True, scene=picture.name)
        channels = read_exr(out / "passes.exr")
        arrays = {
            name: [channels[f"ViewLayer.{stem}.{c}"] for c in letters] for name, (stem, letters) in PASSES.items()
        }
        np.savez(
            out / f"{frame}.npz", **{name: np.stack(planes, axis=-1).squeeze() for name, planes in arrays.items()}
        )


def _move_to_neighbours(mesh) -> None:
    """Give a mesh that changes its shape those of the frames before and after, too."""
    import bpy

    data = mesh.keys[0][0].id_data
    entity = next(e for e in bpy.data.objects if e.type == "MESH" and e.data.shape_keys == data)
    mesh.keys = mesh.keys[:1] + [(entity.shape_key_add(name=f"neighbour {shift}"), shift) for shift in (-1, 1)]


def _set_up(scene) -> None:
    scene.render.engine = "CYCLES"
    cycles = scene.cycles
    cycles.samples, cycles.max_bounces = 1, 0
    cycles.use_adaptive_sampling = cycles.use_denoising = False
    cycles.pixel_filter_type, cycles.filter_width = "BOX", 0.01
    scene.render.use_motion_blur = False
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    layer = scene.view_layers[0]
    layer.use_pass_z = layer.use_pass_position = layer.use_pass_normal = True
    layer.use_pass_object_index = layer.use_pass_vector = True
    layer.cycles.use_denoising = False
    scene.use_nodes = False
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "NONE"


def read_exr(path: Path) -> dict[str, np.ndarray]:
    """``{channel: (H, W) float32}`` of an OpenEXR file of scan lines, 32 bits a value and no compression."""
    data = path.read_bytes()
    at, attributes = 8, {}
    while data[at]:
        name, kind, rest = data[at:].split(b"\0", 2)
        at += len(name) + len(kind) + 2
        size = int.from_bytes(data[at : at + 4], "little")
        attributes[name.decode()] = data[at + 4 : at + 4 + size]
        at += 4 + size
    left, top, right, bottom = np.frombuffer(attributes["dataWindow"], "<i4")
    width, height = right - left + 1, bottom - top + 1
    names, entries = [], attributes["channels"]
    while entries != b"\0":
        name, _, entries = entries.partition(b"\0")
        assert int.from_bytes(entries[:4], "little") == 2, "32-bit floating point"
        names.append(name.decode())
        entries = entries[16:]
    assert attributes["compression"] == b"\0"
    start = at + 1 + 8 * height  # after the table of offsets
    rows = np.frombuffer(data, "<i4", count=height * (2 + len(names) * width), offset=start).reshape(height, -1)
    planes = rows[:, 2:].view("<f4").reshape(height, len(names), width)
    return {name: planes[:, number] for number, name in enumerate(names)}


if __name__ == "__main__":
    _scene, _out, *_frames = sys.argv[1:]
    _folder = Path(_out).resolve()
    main(Path(_scene), _folder, [int(frame) for frame in _frames])
    sys.stdout.flush()
    os._exit(0)  # the wheel's own shutdown can crash after all work is done
