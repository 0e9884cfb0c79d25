"""Checks whether this machine can render; each check reports what it found, and the remedy if it failed.

No check needs the internet.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy
import PIL

from bl30k_gen import platforms
from bl30k_gen.config import load_config
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.processors import usable
from bl30k_gen.render.child import BlenderChild, ChildDied, allotted_threads
from bl30k_gen.render.dataset import sampler
from bl30k_gen.render.progress import median_frame_seconds
from bl30k_gen.render.staging import write_scene
from bl30k_gen.text import aligned, byte_size, plural

FULL_VIDEO_BYTES = 25e6  # approximate size of a published video of 160 frames
MIN_FREE_BYTES = 2e9
TEST_FRAMES = 3


@dataclass(frozen=True)
class Check:
    name: str
    ok: bool
    found: str
    remedy: str = ""


def examine(device: str, threads: int, out: Path) -> list[Check]:
    """Run all checks; those that depend on a failed one are left out."""
    checks = [Check("system", True, platforms.tested()), _python(), _libraries(), _processors(threads), _disk(out)]
    try:
        child = BlenderChild(device, threads or allotted_threads(1), timeout=600.0)
    except UserError as error:
        return [*checks, Check("blender", False, error.what, error.remedy)]
    except ChildDied as death:
        last = next((line for line in reversed(death.log) if line.strip()), "it printed nothing")
        return [*checks, Check("blender", False, f"{death.reason}: {last}", "try: python -c 'import bpy'")]
    ready = child.ready
    checks.append(Check("blender", True, f"bpy {ready['bpy']}, BlenderProc {ready['blenderproc']}"))
    checks.append(
        Check("device", True, f"{ready['device']} ({ready['device_name']}), {plural(ready['threads'], 'thread')}")
    )
    checks.append(Check("denoising", True, f"OpenImageDenoise on {_device_name(ready['denoising'])}"))
    try:
        checks.append(_test_frame(child))
    finally:
        child.close()
    return checks


def table(checks: list[Check]) -> str:
    """A line for each check, and below a failed one its remedy."""
    rows = []
    for check in checks:
        rows.append(["ok" if check.ok else "NOT", check.name, check.found])
        if not check.ok:
            rows.append(["", "", f"-> {check.remedy}"])
    return "\n".join(aligned(rows))


def _python() -> Check:
    found = ".".join(str(n) for n in sys.version_info[:3])
    remedy = "Blender's wheel exists for Python 3.11 alone: apt install python3.11, or conda create python=3.11"
    return Check("python", sys.version_info[:2] == (3, 11), found, remedy)


def _libraries() -> Check:
    return Check("libraries", True, f"numpy {numpy.__version__}, pillow {PIL.__version__}, h5py {h5py.__version__}")


def _processors(threads: int) -> Check:
    available = usable()
    found = f"{available} usable of {os.cpu_count()}"
    allotted = os.environ.get("SLURM_CPUS_PER_TASK")
    if allotted:
        found += f", {allotted} allotted by Slurm"
    remedy = f"ask for {threads} processors, or give --threads-per-worker {available}"
    return Check("processors", threads <= available, found, remedy)


def _disk(out: Path) -> Check:
    existing = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    found = f"{byte_size(free)} free at {existing}: about {free / FULL_VIDEO_BYTES:.0f} full videos"
    writable = os.access(existing, os.W_OK)
    if not writable:
        return Check("disk", False, f"{existing} may not be written", "give another --out, or change its permissions")
    return Check("disk", free > MIN_FREE_BYTES, found, "free some space, or give another --out")


def _device_name(denoising: str) -> str:
    return "the processor" if denoising == "cpu" else f"the GPU ({denoising})"


def _test_frame(child: BlenderChild) -> Check:
    config = load_config("demo", [f"video.frames={TEST_FRAMES}"])
    name = "a00000"
    with tempfile.TemporaryDirectory(prefix="bl30k-doctor-") as folder:
        layout = Layout(Path(folder))
        scene = sampler(config, open_catalogue(config.assets))(name)
        try:
            events = child.render_once(write_scene(layout, scene.spec))
        except ChildDied as death:
            return Check("test frame", False, death.reason, "look at the last lines: " + " | ".join(death.log[-3:]))
        except UserError as error:
            return Check("test frame", False, error.what, error.remedy)
    video = config.video
    found = f"{median_frame_seconds(events):.2f} s a frame of {video.width}x{video.height} (demo recipe)"
    return Check("test frame", True, found)
