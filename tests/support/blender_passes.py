"""Cycles' passes of geometry, to compare annotations with: depth, normals, ids, motion. Runs in a child process.

    python -m tests.support.blender_passes SCENE.json OUT FRAME...

writes ``OUT/<frame>.npz`` with (H, W, ...) float32 arrays: ``z`` (planar depth, metres), ``position`` (of the visible
point, in the world), ``normal`` (in the world), ``index`` (object id) and ``vector`` (motion in pixels: from the last
frame in the first two channels, to the next one in the others, with Blender's signs).
Meshes are shaded flat, so that a normal is that of its triangle. Blender places its one ray anywhere in the middle
hundredth of a pixel; ``position`` tells where.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bl30k_gen.annotations import dense
from bl30k_gen.annotations.view import Points, VideoGeometry, project
from bl30k_gen.scene.rays import cast

ROOT = Path(__file__).resolve().parents[2]
PASSES = {
    "z": ("Depth", "Z"),
    "position": ("Position", "XYZ"),
    "normal": ("Normal", "XYZ"),
    "index": ("IndexOB", "X"),
    "vector": ("Vector", "XYZW"),
}


def render_passes(scene: Path, out: Path, frames: list[int]) -> dict[int, dict[str, np.ndarray]]:
    """Render the passes in a process of its own; returns ``{frame: {pass: array}}``."""
    command = [sys.executable, "-m", "tests.support.blender_passes", str(scene), str(out), *map(str, frames)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return {frame: dict(np.load(out / f"{frame}.npz")) for frame in frames}


class Differences(NamedTuple):
    """Differences of a frame's annotations from Blender's passes, at the N pixels where both see the same object."""

    ids: float  # ratio of the image's pixels on which both see the same object
    depth: np.ndarray  # (N,) difference / (1e-5 m + 1e-6 of the depth)
    normals: np.ndarray  # (N,) degrees
    flow: np.ndarray  # (M,) pixels, of flow to the frames before and after


def compare(video: VideoGeometry, frame: int, passes: dict[str, np.ndarray]) -> Differences:
    """Compare annotations with ``render_passes``, along Blender's own rays, which miss the pixels' centres."""
    geometry, ids = video.geometry, passes["index"].round().astype(np.uint8)
    to_camera = geometry.extrinsics[frame]
    points = passes["position"].reshape(-1, 3).astype(np.float64) @ to_camera[:3, :3].T + to_camera[:3, 3]
    places = project(geometry, points)
    met = cast(geometry, frame, places)
    both = (met.ids == ids.ravel()) & met.seen
    depth = np.abs(met.depth - passes["z"].ravel())[both] / (1e-5 + 1e-6 * met.depth[both])
    view = video.view(frame)
    same = (view.surface.ids == ids).ravel() & both
    cosine = (dense.normals(view, "world") * passes["normal"]).sum(axis=-1).ravel()[same]
    vector, errors = passes["vector"].reshape(-1, 4), []
    for other, motion in ((frame + 1, [-1, 1] * vector[:, 2:]), (frame - 1, [1, -1] * vector[:, :2])):
        if 0 <= other < geometry.frames:
            flow = np.full(places.shape, np.nan)
            flow[met.seen] = project(geometry, Points.of(geometry, met).in_camera(other)) - places[met.seen]
            errors.append(np.linalg.norm(flow - motion, axis=1)[both])
    equal = float((view.surface.ids == ids).mean())
    return Differences(equal, depth, np.degrees(np.arccos(np.clip(cosine, -1, 1))), np.concatenate(errors))


def main(scene: Path, out: Path, frames: list[int]) -> None:
    import bpy

    from bl30k_gen.blender import build, runtime
    from bl30k_gen.scene.spec import read_spec

    out.mkdir(parents=True, exist_ok=True)
    runtime.start("cpu", 1)
    spec = read_spec(scene)
    deforming = build.build(spec).deforming
    for mesh in deforming:
        _move_to_neighbours(mesh)
    for mesh in bpy.data.meshes:
        mesh.shade_flat()
    current = bpy.context.scene
    for thing in spec.objects:
        bpy.data.objects[f"object {thing.id}"].pass_index = thing.id
    _set_up(current)
    for frame in frames:
        for mesh in deforming:
            mesh.pose(frame)
        for each in bpy.data.scenes:
            each.frame_set(frame)
        current.render.filepath = str(out / "passes.exr")
        bpy.ops.render.render(write_still=True, scene=current.name)
        channels = read_exr(out / "passes.exr")
        arrays = {
            name: [channels[f"ViewLayer.{stem}.{c}"] for c in letters] for name, (stem, letters) in PASSES.items()
        }
        stacked: dict[str, Any] = {name: np.stack(planes, axis=-1).squeeze() for name, planes in arrays.items()}
        np.savez(out / f"{frame}.npz", **stacked)


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
