"""Checks whether EEVEE can render here. It needs OpenGL 4.3 through EGL; without it Blender ends the whole process.

Only for the child process: a software driver loads LLVM, after which torch's compiler cannot be imported.
"""

import ctypes
import functools

from bl30k_gen.errors import MachineLacks

# Constants of EGL's headers.
_OPENGL_API, _SURFACELESS = 0x30A2, 0x31DD
_RENDERABLE_TYPE, _OPENGL_BIT, _SURFACE_TYPE, _OFF_SCREEN = 0x3040, 0x0008, 0x3033, 0x0001
_MAJOR, _MINOR, _PROFILE, _CORE, _NONE = 0x3098, 0x30FB, 0x30FD, 0x0001, 0x3038


@functools.cache
def require() -> None:
    """Raises MachineLacks where Blender would find no OpenGL."""
    if reason := why_not():
        raise MachineLacks(
            f"render.engine eevee needs OpenGL 4.3 through EGL, which is not here ({reason})",
            "install libegl1 and libgl1-mesa-dri (or the GPU's driver), or set render.engine=cycles",
        )


def why_not() -> str | None:
    """What is missing for the OpenGL context that Blender will request (with or without a display); None: nothing."""
    try:
        egl = ctypes.CDLL("libEGL.so.1")
    except OSError as error:
        return str(error)
    for function in (egl.eglGetDisplay, egl.eglGetPlatformDisplay, egl.eglCreateContext):
        function.restype = ctypes.c_void_p
    display = ctypes.c_void_p(egl.eglGetDisplay(None))
    if not egl.eglInitialize(display, None, None):
        display = ctypes.c_void_p(egl.eglGetPlatformDisplay(_SURFACELESS, None, None))
        if not egl.eglInitialize(display, None, None):
            return "EGL finds no driver"
    config, found = ctypes.c_void_p(), ctypes.c_int()
    wanted = (ctypes.c_int * 5)(_RENDERABLE_TYPE, _OPENGL_BIT, _SURFACE_TYPE, _OFF_SCREEN, _NONE)
    egl.eglBindAPI(_OPENGL_API)
    egl.eglChooseConfig(display, wanted, ctypes.byref(config), 1, ctypes.byref(found))
    if not found.value:
        return "its driver knows no OpenGL"
    version = (ctypes.c_int * 7)(_MAJOR, 4, _MINOR, 3, _PROFILE, _CORE, _NONE)
    context = ctypes.c_void_p(egl.eglCreateContext(display, config, None, version))
    if not context:
        return "its driver knows an older OpenGL"
    egl.eglDestroyContext(display, context)
    return None
