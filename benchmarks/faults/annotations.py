"""The accuracy and the cost of annotations.

Ids, depth, normals and flow are compared with Blender's own passes, tracks and flow with rays, flow with images of a
rendered dataset. Then every kind of annotation is timed, and hundreds of meshes are drawn to see whether memory
grows.

    python -m benchmarks.faults.annotations --out out/annotations --results docs/results/annotations.md
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import trimesh

from benchmarks.faults.mask_check import render
from benchmarks.page import ROOT, command, load, machine, parser_of, publish, table
from bl30k_gen.annotations import store as storing
from bl30k_gen.annotations.check import check, warp
from bl30k_gen.annotations.motion import flow
from bl30k_gen.annotations.tracks import tracks
from bl30k_gen.annotations.view import Points, VideoGeometry, project
from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset.derived import every_kind
from bl30k_gen.dataset.files import sha256, write_atomically
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import run_entry_point
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.dataset import sampler
from bl30k_gen.scene.assets import load_models
from bl30k_gen.scene.rays import cast
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.scene.spec import AssetRef, SceneSpec
from tests.support.blender_passes import Differences, compare, render_passes

DEFORM = (
    "objects.deformation={chance: 0.7, kinds: [lattice, wave, bend], cycles: [1, 4], displacement: [0.15, 0.3],"
    " amplitude: [0.04, 0.1], wavelength: [0.4, 0.9], angle: [0.8, 1.8]}"
)
VARIANTS = {
    "rigid": [],
    "deforming, shaken, motion blur": [
        DEFORM,
        "camera.shake={angle: [0.01, 0.02], roll: 0.5, cycles: [3, 30], waves: 6}",
        "render.motion_blur=0.8",
    ],
}
RENDER_SECONDS = 5.8  # of processor time a frame of bl30k_fast, see render_quality.md


def scenes(arguments: argparse.Namespace, variant: list[str], size: str) -> Iterator[SceneSpec]:
    """Descriptions of the campaign's videos. variant, size: overrides of the configuration."""
    config = configuration(arguments, [*variant, size])
    describe = sampler(config, open_catalogue(config.assets))
    for index in range(arguments.videos):
        yield describe(video_name(index, 5000)).spec


def configuration(arguments: argparse.Namespace, overrides: list[str]) -> Config:
    assets = [f"assets.{kind}={getattr(arguments, kind)}" for kind in ("models", "textures", "backgrounds")]
    return load_config(ROOT / "render_configs/bl30k_fast.yaml", [*assets, *overrides])


def blender_section(arguments: argparse.Namespace) -> str:
    rows = []
    for variant, overrides in VARIANTS.items():
        found: list[Differences] = []
        motion: list[float] = []
        for spec in scenes(arguments, overrides, "video={frames: 160, width: 384, height: 256}"):
            frames = [0, 53, 107, 159]
            with tempfile.TemporaryDirectory() as folder:
                scene = Path(folder) / "scene.json"
                scene.write_text(spec.dumps())
                passes = render_passes(scene, Path(folder) / "passes", frames)
            video = VideoGeometry(spec, load_models(spec))
            found += [compare(video, frame, passes[frame]) for frame in frames]
            motion += [float(np.abs(passes[frame]["vector"]).mean()) for frame in frames]
        depth, normals, flows = (np.concatenate(part) for part in list(zip(*found, strict=True))[1:])
        rows.append(
            [
                *(variant, str(len(found)), f"{100 * np.mean([differences.ids for differences in found]):.4f} %"),
                *(f"{100 * (depth <= 1).mean():.4f} %", f"{np.percentile(depth, 99.9):.2f}"),
                *(f"{100 * (normals <= 0.1).mean():.4f} %", f"{np.percentile(normals, 99.9):.3f}"),
                *(f"{100 * (flows <= 0.01).mean():.4f} %", f"{np.percentile(flows, 99.9):.5f}"),
                f"{statistics.mean(motion):.2f}",
            ]
        )
    columns = [
        *("videos", "frames", "ids equal", "depth within", "99.9 % below", "normals within 0.1°"),
        *("99.9 % below", "flow within 0.01 pixels", "99.9 % below", "mean motion, pixels"),
    ]
    return f"""## Compared with Blender's passes

Cycles' passes of geometry at one sample, 384x256, four frames of each video from the first to the last. Flow goes
to the frame before and to the one after. Depth is within tolerance where it differs by at most 1e-5 m + 1e-6 of
itself; the column beside it is in units of that. Only pixels count on which both see the same object.

{table(columns, rows)}"""


def rays_section(arguments: argparse.Namespace) -> str:
    rows = []
    for variant, overrides in VARIANTS.items():
        at_query, back, toggles, points = [], [], 0, 0
        for spec in scenes(arguments, overrides, "video={frames: 160, width: 384, height: 256}"):
            video = VideoGeometry(spec, load_models(spec))
            geometry = video.geometry
            found = tracks(video)
            number, frame = np.arange(len(found.queries)), found.queries[:, 0].astype(int)
            at_query.append(np.abs(found.places[number, frame] - found.queries[:, 1:]).max())
            points += len(number)
            view = video.view(80)
            there = flow(view, 1)
            shown = there.valid & ~there.occluded
            rows_, columns = np.nonzero(shown)
            start = np.stack([columns, rows_], axis=1) + 0.5
            met = cast(geometry, 81, (start + there.flow[shown]).astype(np.float64))
            returned = project(geometry, Points.of(geometry, met).in_camera(80))
            same = met.ids[met.seen] == view.surface.ids[shown][met.seen]
            back.append(np.linalg.norm(returned - start[met.seen], axis=1)[same])
            toggles += int(np.count_nonzero(np.diff(found.visible.astype(np.int8), axis=1)))
        errors = np.concatenate(back)
        rows.append(
            [
                *(variant, str(points), f"{max(at_query):.1e}", f"{toggles / points:.2f}"),
                *(f"{np.percentile(errors, 99):.1e}", f"{errors.max():.1e}"),
            ]
        )
    columns = [
        *("videos", "tracks", "furthest from the query", "changes of visibility a track"),
        *("there and back, 99 % below", "all below"),
    ]
    return f"""## Compared with rays

Tracks of 256 points a video over 160 frames. Flow from frame 80 to 81: a ray through its target pixel meets a
surface, and that point is followed back to frame 80. Errors in pixels.

{table(columns, rows)}"""


def images_section(arguments: argparse.Namespace) -> str:
    rows, findings, frames = [], 0, 0
    for variant, overrides in VARIANTS.items():
        small = [
            "video={frames: 8, width: 384, height: 256}",
            "motion.location_speed=0.3",
            "motion.rotation_speed=0.2",
        ]
        config = configuration(arguments, [*overrides, *small, "render.samples=8"])
        folder = arguments.out / f"renders-{variant.split(',')[0]}"
        render(config, folder, [video_name(index, 5000) for index in range(arguments.videos)])
        store = open_dataset(folder)
        found = [
            warp(store, name, frame, store.read_flow(name, frame))
            for name in store.videos
            for frame in range(0, 6, 2)
        ]
        motion, right, late = np.mean(found, axis=0)
        better = sum(r < w for _, r, w in found)
        rows.append(
            [variant, str(len(found)), f"{motion:.2f}", f"{right:.2f}", f"{late:.2f}", f"{better} of {len(found)}"]
        )
        for name in store.videos:
            findings += len(check(store, name, every_frame=True))
            frames += len(store.frames(name))
    columns = ["videos", "pairs", "mean motion, pixels", "next frame", "one frame late", "next is better"]
    return f"""## Compared with images

Rendered videos, three frames each. Mean difference of grey values, of 255, between a frame and the next one warped by
flow; and the same with the frame after that, which should be larger.

{table(columns, rows)}

`verify --annotations --deep` of these {frames} frames: {findings} findings."""


def cost_section(arguments: argparse.Namespace) -> str:
    out = arguments.out
    overrides = ["video={frames: 16, width: 768, height: 512}", "render.samples=1", "render.denoiser=none"]
    config = configuration(arguments, overrides)
    render(config, out / "full", [video_name(1, 5000)])
    store = open_dataset(out / "full")
    rows = []
    for kinds in [*([kind] for kind in every_kind()), every_kind()]:
        begin = time.process_time()
        with tempfile.TemporaryDirectory(dir=out) as folder:
            storing.write_video(store, store.videos[0], kinds, Path(folder))
            size = sum(path.stat().st_size for path in Path(folder).rglob("*.h5"))
        seconds = (time.process_time() - begin) / 16
        name = str(kinds[0]) if len(kinds) == 1 else "all of them in one run"
        rows.append([name, f"{seconds:.3f}", f"{size / 16 / 1e6:.2f}", f"{100 * seconds / RENDER_SECONDS:.1f} %"])
    return f"""## Cost

One video of 16 frames of 768x512, processor seconds and stored megabytes a frame, loading the models included.
The last column compares with the {RENDER_SECONDS} s that `bl30k_fast` takes to render a frame.

{table(["kind", "seconds", "MB", "of rendering"], rows)}"""


def memory_section(arguments: argparse.Namespace) -> str:
    """Peak memory over many videos, each with a mesh file of its own."""
    meshes = arguments.meshes
    spec = next(scenes(arguments, [], "video={frames: 160, width: 384, height: 256}"))
    ring = trimesh.creation.torus(0.4, 0.15, major_sections=250, minor_sections=200)  # 100,000 faces
    # Written here: copies of a mesh by trimesh stay in memory until Python collects them.
    faces = np.zeros(len(ring.faces), [("count", "u1"), ("corners", "<i4", 3)])
    faces["count"], faces["corners"] = 3, ring.faces
    head = (
        f"ply\nformat binary_little_endian 1.0\nelement vertex {len(ring.vertices)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    vertices = np.array(ring.vertices)
    peaks = []
    for number in range(meshes):
        with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
            moved = (vertices * (1 + 0.1 * np.sin(number + 9 * vertices))).astype("<f4")
            file = Path(folder) / f"{number}.ply"
            file.write_bytes(head.encode() + moved.tobytes() + faces.tobytes())
            model = AssetRef(id=str(number), path=str(file), sha256=sha256(file))
            things = [thing.model_copy(update={"model": model}) for thing in spec.objects]
            scene = spec.model_copy(update={"objects": things})
            flow(VideoGeometry(scene, load_models(scene)).view(80))
        peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    early = min(21, meshes)
    return (
        f"Peak memory of flow of {meshes} videos one after the other, each with a mesh file of its own of"
        f" {len(ring.faces):,} faces: {peaks[early - 1]:.0f} MB after {early}, {peaks[-1]:.0f} MB after {meshes}."
    )


PARTS: dict[str, Callable[[argparse.Namespace], str]] = {
    "blender": blender_section,
    "rays": rays_section,
    "pictures": images_section,
    "cost": cost_section,
    "memory": memory_section,
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--videos", type=int, default=4, help="of each variant")
    parser.add_argument("--meshes", type=int, default=300)
    parser.add_argument("--models", default="builtin")
    parser.add_argument("--textures", default="builtin")
    parser.add_argument("--backgrounds", default="builtin")
    parser.add_argument("--out", type=Path, default=Path("out/annotations"))
    parser.add_argument("--parts", default=",".join(PARTS), help="to measure; those stored in --out are not repeated")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    sections = [
        "# The accuracy and the cost of annotations",
        f"`{command()}` on {machine()}, {load():.1f} processes a processor at the start.",
    ]
    for part in arguments.parts.split(","):
        section = arguments.out / f"{part}.md"
        if not section.exists():
            write_atomically(section, PARTS[part](arguments))
        sections.append(section.read_text(encoding="utf-8"))
    publish("\n\n".join(sections), arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
