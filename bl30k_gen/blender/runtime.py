"""BlenderProc 2.8.0 on the bpy wheel, and the choice of the device.

BlenderProc as released has five obstacles, which ``load_blenderproc`` works around:

1. It refuses to be imported unless it was started by ``blenderproc run``.
2. Started so, it installs packages into Blender's Python with pip.
3. It removes site-packages from ``sys.path``.
4. ``init()`` sets a language of the user interface that the wheel was built without.
5. It imports GitPython, which needs an installed ``git``.
"""

import os
import sys
import tempfile
import types
from dataclasses import asdict, dataclass
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from bl30k_gen.errors import MachineLacks, UserError

SYSTEM_LIBRARIES = Path(__file__).with_name("system_libraries.sh")
GPU_KINDS = ("OPTIX", "CUDA", "HIP", "ONEAPI", "METAL")


@dataclass(frozen=True)
class Started:
    """The devices and versions of a child, in its event ``ready``."""

    device: str  # cpu, cuda, optix, hip, oneapi, metal
    device_name: str
    denoising: str  # device of OpenImageDenoise: cpu, or as ``device``
    threads: int
    bpy: str
    blenderproc: str

    def to_json(self) -> dict[str, str | int]:
        return asdict(self)


def load_blenderproc() -> types.ModuleType:
    """Import BlenderProc into a plain Python with the bpy wheel; idempotent.

    Raises:
        UserError: bpy, BlenderProc or a dependency of them is not installed.
    """
    if "blenderproc" in sys.modules:
        return sys.modules["blenderproc"]
    try:
        import bpy  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed", _how_to_install()) from None
    except ImportError as error:
        remedy = f"install what it needs: sh {SYSTEM_LIBRARIES} {sys.executable}"
        raise UserError(f"bpy cannot start: {error}", remedy) from None
    spec = PathFinder.find_spec("blenderproc")
    if spec is None:
        raise UserError("blenderproc is not installed", _how_to_install())

    # SetupUtility is first imported through an empty package, because the real one calls setup() on import.
    bare = types.ModuleType("blenderproc")
    bare.__path__ = list(spec.submodule_search_locations or [])
    sys.modules["blenderproc"] = bare
    from blenderproc.python.utility.SetupUtility import SetupUtility

    python_path = list(sys.path)

    def setup(*_: object, **__: object) -> list[str]:
        sys.path[:] = python_path  # the package has just removed site-packages from it
        SetupUtility.setup_utility_paths(tempfile.gettempdir())
        return sys.argv

    SetupUtility.setup = staticmethod(setup)
    del sys.modules["blenderproc"]
    os.environ["INSIDE_OF_THE_INTERNAL_BLENDER_PYTHON_ENVIRONMENT"] = "1"
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")  # only a tool that is not used here needs git
    try:
        import blenderproc
    except ImportError as error:
        raise UserError(f"blenderproc cannot start: {str(error).splitlines()[0]}", _how_to_install()) from None
    _initialise()
    return blenderproc


def _how_to_install() -> str:
    if sys.version_info[:2] != (3, 11):
        return "run this with Python 3.11: Blender's wheel exists for no other"
    return "install it with: pip install -c constraints.txt -e '.[render]'"


def _initialise() -> None:
    """Do the work of ``blenderproc.init()``, except for setting the language."""
    import bpy
    from blenderproc.python.renderer import RendererUtility
    from blenderproc.python.utility.GlobalStorage import GlobalStorage
    from blenderproc.python.utility.Initializer import _Initializer, clean_up

    clean_up(clean_up_camera=True)
    bpy.context.scene.render.engine = "CYCLES"
    RendererUtility.set_render_devices(use_only_cpu=True)
    if not hasattr(bpy.context.scene, "node_tree"):  # Blender 5, where BlenderProc's default denoiser fails
        RendererUtility.set_denoiser = lambda denoiser: None  # passes.py turns on another one
    _Initializer.set_default_parameters()
    GlobalStorage.add("bproc_init_complete", True)


def start(device: str, threads: int) -> Started:
    """Load Blender and choose the device: ``auto`` or one of ``Device``; ``threads`` 0 means all.

    Raises:
        UserError: the device is not available. Only ``auto`` falls back to the CPU.
    """
    load_blenderproc()
    import blenderproc
    import bpy
    from blenderproc.python.renderer import RendererUtility

    preferences = cycles_preferences()
    present = _gpus(preferences)
    if device == "auto":
        device = next((kind.lower() for kind in GPU_KINDS if kind in present), "cpu")
    if device == "cpu":
        RendererUtility.set_render_devices(use_only_cpu=True)
        name = "CPU"
    elif device.upper() in present:
        RendererUtility.set_render_devices(desired_gpu_device_type=device.upper())
        # Cycles lists the CPU under every kind; rendering on both would make results depend on the load.
        for entry in preferences.devices:
            entry.use = entry.type == device.upper()
        name = ", ".join(present[device.upper()])
    else:
        found = ", ".join(["cpu", *(kind.lower() for kind in present)])
        raise UserError(f"device {device} is not available here (found: {found})", "set runtime.device=auto or cpu")
    RendererUtility.set_cpu_threads(threads)
    return Started(
        device=device,
        device_name=name,
        denoising=device if denoises_on_gpu(preferences) else "cpu",
        threads=threads or os.cpu_count() or 1,
        bpy=bpy.app.version_string,
        blenderproc=blenderproc.__version__,
    )


def cycles_preferences() -> Any:
    """The preferences of Cycles: its devices, and which of them it uses."""
    import bpy

    return bpy.context.preferences.addons["cycles"].preferences


def denoises_on_gpu(preferences: Any) -> bool:
    """Whether OpenImageDenoise can run on a rendering device. Cycles runs it on the CPU by default."""
    return bool(preferences.has_oidn_gpu_devices())


def require_optix_denoiser(preferences: Any) -> None:
    """Raises MachineLacks where no rendering device has the denoiser of OptiX."""
    if not preferences.has_optixdenoiser_gpu_devices():
        raise MachineLacks(
            "render.denoiser optix needs an NVIDIA GPU that renders with OptiX, which is not here",
            "give --device optix where there is one, or set render.denoiser=openimagedenoise",
        )


def _gpus(preferences: Any) -> dict[str, list[str]]:
    """``{kind: names}`` of the GPUs that Cycles can use, best kind first."""
    present: dict[str, list[str]] = {}
    for kind in GPU_KINDS:
        try:
            names = [d.name for d in preferences.get_devices_for_type(kind) if d.type == kind]
        except (TypeError, ValueError):  # this build of Blender lacks the kind
            continue
        if names:
            present[kind] = names
    return present
