"""Time and image quality of renderer settings, compared with those of the published recipe.

    python -m benchmarks.speed.render_quality --out docs/results/render_quality.md
    python -m benchmarks.speed.render_quality --quick --out quick.md
    python -m benchmarks.speed.render_quality --try "bl30k_fast render.samples=32" --out trial.md

Renders a few frames of a few videos with every setting, through the project's own scene building and passes, in one
Blender child process. The settings alternate in a shuffled order, and consecutive stills never show the same frame,
so that every still includes the update of the scene, like a frame of a video. The reference for quality is an image
of many samples without denoising; references are kept in a folder, so that a second run is fast.

Times are processor seconds (user and system, of the Blender process, over one RGB still) unless called wall: they
hardly depend on the load of the machine.
"""

import argparse
import hashlib
import json
import os
import random
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.page import ROOT, command, machine, table
from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset.files import decode_rgb, encode_jpeg, write_atomically
from bl30k_gen.errors import UserError
from bl30k_gen.library.cache import cached_model
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.dataset import sampler
from bl30k_gen.scene import raster
from bl30k_gen.scene.sampler import video_name
from bl30k_gen.scene.spec import SceneSpec

RECIPES = ROOT / "render_configs"
BASELINE, SHIPPED = "bl30k", ("bl30k_fast", "bl30k_turbo")
SAME_VIDEOS = ("video", "motion", "objects", "camera", "lights", "backdrop", "assets")  # sections of a Config
# Settings of a reference. The threshold is an eighth of an 8-bit step: it only ends the bare backdrop early.
UNBIASED = {"adaptive_threshold": 0.0005, "adaptive_minimum": 128, "denoiser": "none", "backdrop_as_light": False}
VISIBLE = 0.1  # dB; a larger loss of PSNR counts
BAND = 3  # pixels on either side of a silhouette
QUICK = {"size": (192, 128), "reference": 64, "rounds": 1}


@dataclass(frozen=True)
class Setting:
    """A configuration whose sections ``render`` and ``image`` are compared."""

    name: str
    config: Config


@dataclass(frozen=True)
class Still:
    """Time and quality of one frame by one setting. PSNR and SSIM to the reference, PSNR in dB; processor seconds."""

    seconds: float
    wall: float
    mask_seconds: float
    whole: float  # PSNR of the whole frame
    objects: float  # PSNR of the pixels of objects
    band: float  # PSNR of the pixels at most BAND away from a silhouette
    ssim: float
    jpeg: float  # PSNR of the whole frame after encoding
    jpeg_objects: float
    jpeg_band: float
    jpeg_ssim: float


# --- The parent process -----------------------------------------------------------------------------------------


def main() -> int:
    options = _options()
    if options.child:
        _render(Path(options.child))
        return 0
    try:
        report = _compare(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    write_atomically(options.out, report)
    print(report)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("render_quality.md"), help="the report, Markdown")
    parser.add_argument("--work", type=Path, default=Path("out/render_quality"), help="images, references, times")
    parser.add_argument(
        "--try",
        dest="trials",
        action="append",
        default=[],
        metavar="'RECIPE KEY=VALUE ...'",
        help="an additional setting: a shipped recipe or a YAML, with changes; repeatable",
    )
    parser.add_argument("--only-trials", action="store_true", help="leave out bl30k_fast and bl30k_turbo")
    parser.add_argument("--models", help="folder of models (default: shared data if they exist, else builtin)")
    parser.add_argument("--textures", help="folder of textures")
    parser.add_argument("--backgrounds", help="folder of backgrounds")
    parser.add_argument("--videos", type=int, nargs="+", default=[0, 1, 2], metavar="INDEX")
    parser.add_argument("--frames", type=int, nargs="+", metavar="FRAME", help="default: first, middle and last")
    parser.add_argument("--size", type=int, nargs=2, default=[768, 512], metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--reference", type=int, default=1024, metavar="SAMPLES")
    parser.add_argument("--rounds", type=int, default=2, help="number of times each still is rendered")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="small images, a rough reference, one round")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        vars(options).update(QUICK)
    return options


def _compare(options: argparse.Namespace) -> str:
    settings = _settings(options)
    baseline = settings[0].config
    frames = options.frames or [0, baseline.video.frames // 2, baseline.video.frames - 1]
    if len(set(frames)) < 2:
        raise UserError("one frame is too few", "name two or more, so that a still never repeats the one before")
    describe = sampler(baseline, open_catalogue(baseline.assets))
    specs = [describe(video_name(i, baseline.dataset.videos_per_segment)).spec for i in options.videos]
    work: Path = options.work
    load = [os.getloadavg()]
    steps, references = _plan(settings, specs, frames, options, work)
    times = _run_child(steps, options.threads, work)
    load.append(os.getloadavg())
    measured: dict[str, dict[tuple[str, int], Still]] = {}
    for setting in settings:
        measured[setting.name] = {
            (spec.name, frame): _score(setting, spec, frame, times, references, work)
            for spec in specs
            for frame in frames
        }
    problems = [p for spec in specs for frame in frames for p in _mask_problems(spec, frame, baseline, work)]
    build_seconds = [t["wall"] for t in times if t["kind"] == "build"]
    return _report(measured, options, frames, specs, load, build_seconds, problems)


def _settings(options: argparse.Namespace) -> list[Setting]:
    """The settings to compare, the baseline first; all render the baseline's videos."""
    shared = Path(os.environ.get("BL30K_SHARED", ROOT.parent / "shared")) / "data"
    known = {"models": shared / "shapenet_layout", "textures": shared / "photos", "backgrounds": shared / "photos"}
    common = [f"video.width={options.size[0]}", f"video.height={options.size[1]}"]
    for kind, folder in known.items():
        source = getattr(options, kind) or (folder if folder.is_dir() else "builtin")
        common.append(f"assets.{kind}={json.dumps(str(source))}")
    wanted = [BASELINE, *(() if options.only_trials else SHIPPED), *options.trials]
    settings: list[Setting] = []
    for text in wanted:
        recipe, *changes = shlex.split(text)
        path = RECIPES / f"{recipe}.yaml" if (RECIPES / f"{recipe}.yaml").exists() else Path(recipe)
        config = load_config(path, [*common, *changes])
        for section in SAME_VIDEOS:
            if settings and getattr(config, section) != getattr(settings[0].config, section):
                raise UserError(f"{text}: section {section} is not {BASELINE}'s", "compare render.* and image.* only")
        settings.append(Setting(" ".join([Path(recipe).stem, *changes]), config))
    return settings


def _plan(
    settings: list[Setting], specs: list[SceneSpec], frames: list[int], options: argparse.Namespace, work: Path
) -> tuple[list[dict[str, Any]], dict[tuple[str, int], Path]]:
    """The stills in the order of rendering, and the paths of the references."""
    order = random.Random(0)
    steps, references = [], {}
    for spec in specs:
        exact = spec.model_copy(
            update={
                "seed": spec.seed + 1,  # so that its noise is independent of the others'
                "render": spec.render.model_copy(update={**UNBIASED, "samples": options.reference}),
            }
        )
        key = hashlib.sha256(exact.dumps().encode()).hexdigest()[:16]

        def step(described: SceneSpec, frame: int, **more: Any) -> dict[str, Any]:
            return {"scene": described.dumps(), "frame": frame, **more}

        for frame in frames:
            path = work / "references" / f"{key}-{frame:05d}.png"
            references[spec.name, frame] = path
            if not path.exists():
                steps.append(step(exact, frame, image=str(path)))
        one = {"samples": 1, "denoiser": "none"}
        warm = spec.model_copy(update={"render": spec.render.model_copy(update=one)})
        steps.append(step(warm, frames[-1]))  # so that loading does not count for the first still
        for _ in range(options.rounds):
            shuffled = order.sample(settings, len(settings))
            for shift in range(len(frames)):
                for place, setting in enumerate(shuffled):
                    frame = frames[(place + shift) % len(frames)]
                    steps.append(
                        step(
                            spec.model_copy(update={"render": setting.config.render}),
                            frame,
                            setting=setting.name,
                            image=str(_image(work, setting.name, spec, frame)),
                            mask=str(_mask(work, spec, frame)),
                        )
                    )
    return steps, references


def _image(work: Path, setting: str, spec: SceneSpec, frame: int) -> Path:
    return work / "pictures" / f"{spec.name}-{frame:05d}" / f"{setting.replace('/', '_')}.png"


def _mask(work: Path, spec: SceneSpec, frame: int) -> Path:
    return work / "pictures" / f"{spec.name}-{frame:05d}" / "mask.png"


def _run_child(steps: list[dict[str, Any]], threads: int, work: Path) -> list[dict[str, Any]]:
    job, answer, log = work / "job.json", work / "times.json", work / "blender.log"
    work.mkdir(parents=True, exist_ok=True)
    answer.unlink(missing_ok=True)
    write_atomically(job, json.dumps({"threads": threads, "steps": steps, "answer": str(answer)}))
    call = [sys.executable, "-m", "benchmarks.speed.render_quality", "--child", str(job)]
    with open(log, "wb") as output:
        result = subprocess.run(call, stdout=output, stderr=output)
    if not answer.exists():
        raise UserError(f"Blender ended early (exit code {result.returncode})", f"see {log}")
    return json.loads(answer.read_text())


def _score(
    setting: Setting,
    spec: SceneSpec,
    frame: int,
    times: list[dict[str, Any]],
    references: dict[tuple[str, int], Path],
    work: Path,
) -> Still:
    """Compare one frame by a setting with its reference."""
    from skimage.metrics import structural_similarity

    mine = [t for t in times if (t.get("setting"), t["name"], t["frame"]) == (setting.name, spec.name, frame)]
    reference = _read(references[spec.name, frame])
    rendered = _read(_image(work, setting.name, spec, frame))
    mask = _read(_mask(work, spec, frame))
    on_object, near_edge = mask > 0, _band(mask)
    image = setting.config.image
    stored = decode_rgb(encode_jpeg(rendered, image.quality, image.subsampling), "the JPEG in memory")

    def ssim(image: np.ndarray) -> float:
        return float(structural_similarity(reference, image, channel_axis=2))

    everywhere = np.ones_like(on_object)
    return Still(
        seconds=float(np.median([t["cpu"] for t in mine])),
        wall=float(np.median([t["wall"] for t in mine])),
        mask_seconds=float(np.median([t["mask_cpu"] for t in mine])),
        whole=_psnr(reference, rendered, everywhere),
        objects=_psnr(reference, rendered, on_object),
        band=_psnr(reference, rendered, near_edge),
        ssim=ssim(rendered),
        jpeg=_psnr(reference, stored, everywhere),
        jpeg_objects=_psnr(reference, stored, on_object),
        jpeg_band=_psnr(reference, stored, near_edge),
        jpeg_ssim=ssim(stored),
    )


def _psnr(reference: np.ndarray, image: np.ndarray, where: np.ndarray) -> float:
    error = reference[where].astype(np.float64) - image[where]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def _band(mask: np.ndarray) -> np.ndarray:
    """Pixels at most ``BAND`` away from where the ids of a mask change."""
    from scipy.ndimage import binary_dilation, maximum_filter, minimum_filter

    edge = maximum_filter(mask, 2) != minimum_filter(mask, 2)  # of a pixel and its left and upper neighbours
    return binary_dilation(edge, np.ones((2 * BAND + 1, 2 * BAND + 1), dtype=bool))


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def _mask_problems(spec: SceneSpec, frame: int, config: Config, work: Path) -> list[str]:
    models = {o.model.id: cached_model(o.model.path, spec.limits) for o in spec.objects}
    found = raster.compare(_read(_mask(work, spec, frame)), spec, models, frame, config.check)
    return [f"{spec.name}, frame {frame}: {problem}" for problem in found]


# --- The report -------------------------------------------------------------------------------------------------


_QUALITIES = ("whole", "objects", "band", "ssim", "jpeg", "jpeg_objects", "jpeg_band", "jpeg_ssim")
"""Fields of ``Still``."""
_Stills = dict[tuple[str, int], Still]
"""By video and frame."""


def _compared(measured: dict[str, _Stills]) -> str:
    """Table of each setting's time and quality compared with the baseline's."""
    base = measured[BASELINE]
    rows = []
    for name, stills in measured.items():
        if name == BASELINE:
            continue
        total = sum(still.seconds for still in stills.values()) / sum(base[key].seconds for key in stills)
        ratios = [
            _spread([getattr(still, field) / getattr(base[key], field) for key, still in stills.items()])
            for field in ("seconds", "wall")
        ]
        cells = [f"{total:.3f}", *ratios]
        for field in _QUALITIES:
            differences = [getattr(still, field) - getattr(base[key], field) for key, still in stills.items()]
            cells.append(_spread(differences, "+.4f" if "ssim" in field else "+.2f"))
        worse = (
            sum(getattr(still, field) < getattr(base[key], field) - VISIBLE for key, still in stills.items())
            for field in ("whole", "objects", "band")
        )
        rows.append([name, *cells, ", ".join(map(str, worse))])
    columns = [before + label for before in ("", "stored: ") for label in ("whole", "objects", "band", "SSIM")]
    counted = f"frames of {len(base)} worse by {VISIBLE} dB: whole, objects, band"
    return table(("setting", "time of all frames", "time", "wall time", *columns, counted), rows)


def _seconds(measured: dict[str, _Stills]) -> str:
    """Table of the seconds of each setting."""
    rows = []
    for name, stills in measured.items():
        values = stills.values()
        cells = [_spread([getattr(s, field) for s in values]) for field in ("seconds", "wall", "mask_seconds")]
        rows.append([name, *cells, _spread([s.mask_seconds / s.seconds for s in values])])
    return table(("setting", "RGB still, s", "wall, s", "mask still, s", "mask : RGB"), rows)


def _absolute(stills: _Stills) -> str:
    """The baseline's own quality, in words."""
    labels = ["PSNR of the whole frame", "of object pixels", "of the band", "SSIM"]
    labels += ["stored as JPEG, PSNR", *labels[1:]]
    return "; ".join(
        f"{label} {_spread([getattr(s, field) for s in stills.values()], '.4f' if 'ssim' in field else '.1f')}"
        for label, field in zip(labels, _QUALITIES, strict=True)
    )


def _report(
    measured: dict[str, _Stills],
    options: argparse.Namespace,
    frames: list[int],
    specs: list[SceneSpec],
    load: list[tuple[float, float, float]],
    build_seconds: list[float],
    problems: list[str],
) -> str:
    loads = " to ".join(f"{one:.1f}" for one, *_ in load)
    lines = [
        "# Time and quality of the renderer's settings",
        "",
        f"`{command()}`",
        "",
        f"{machine()}, {options.threads} threads; load average of the machine {loads}. "
        f"Videos {', '.join(spec.name for spec in specs)}, frames {', '.join(map(str, frames))}, "
        f"{options.size[0]}x{options.size[1]}, each still {options.rounds} times, against {options.reference} "
        "samples without denoising. Smallest / median / largest over the frames. "
        f"Band: the pixels at most {BAND} away from a silhouette.",
        "",
        f"`{BASELINE}` itself: {_absolute(measured[BASELINE])}.",
        "",
        f"Ratio to `{BASELINE}`'s time for an RGB still, and difference from its quality (dB, SSIM):",
        "",
        _compared(measured),
        "",
        "Seconds a still (processor time, all threads together, unless called wall):",
        "",
        _seconds(measured),
        "",
        f"Building a scene of {specs[0].video.frames} frames: {_spread(build_seconds, '.1f')} s (wall). "
        f"Masks compared with the rasteriser: {'; '.join(problems) or 'no problem found'}.",
        "",
    ]
    return "\n".join(lines)


def _spread(values: list[float], form: str = ".2f") -> str:
    return " / ".join(format(f(values), form) for f in (np.min, np.median, np.max))


# --- The child process: the only part that imports Blender ------------------------------------------------------


def _render(job_file: Path) -> None:
    import resource
    import tempfile
    import time

    from bl30k_gen.blender import runtime
    from bl30k_gen.scene.spec import parse_spec

    job = json.loads(job_file.read_text())
    runtime.start("cpu", job["threads"])
    from bl30k_gen.blender import build, passes

    def measured(action: Any, *arguments: Any) -> tuple[Any, float, float]:
        def now() -> np.ndarray:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            return np.array([time.perf_counter(), usage.ru_utime + usage.ru_stime])

        begin = now()
        result = action(*arguments)
        return result, *map(float, now() - begin)

    times, built_name = [], None
    with tempfile.TemporaryDirectory() as scratch:
        for step in job["steps"]:
            spec, frame = parse_spec(json.loads(step["scene"]), "of the benchmark"), step["frame"]
            if spec.name != built_name:
                built, wall, cpu = measured(build.build, spec)
                times.append({"kind": "build", "name": spec.name, "frame": None, "wall": wall, "cpu": cpu})
                built_name = spec.name
            draw = passes.set_up(spec, built, job["threads"])
            mask, _, mask_cpu = measured(passes.render_mask, frame, Path(scratch))
            rgb, wall, cpu = measured(draw, frame, Path(scratch))
            entry = {"kind": "still", "name": spec.name, "frame": frame, "setting": step.get("setting")}
            times.append({**entry, "wall": wall, "cpu": cpu, "mask_cpu": mask_cpu})
            for pixels, kind in ((rgb, "image"), (mask, "mask")):
                if kind in step:
                    _write_png(Path(step[kind]), pixels)
            print(json.dumps(times[-1]), flush=True)
    write_atomically(Path(job["answer"]), json.dumps(times))
    sys.stdout.flush()
    os._exit(0)  # the wheel's shutdown can crash after all work is done


def _write_png(path: Path, pixels: np.ndarray) -> None:
    import io

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, buffer.getvalue())


if __name__ == "__main__":
    sys.exit(main())
