"""The RGB pass and the segmentation pass, each rendered once per frame.

A pixel of a mask is the id of the first surface on the ray through the centre of the pixel. There is one sample, a
filter of almost no width, no denoising and no colour management, so no value between two ids can appear.
"""

import os
from collections.abc import Callable
from pathlib import Path

import bpy
import numpy as np

from bl30k_gen.blender import opengl, runtime
from bl30k_gen.blender.build import BACKDROP, MASK_SCENE, Built
from bl30k_gen.blender.composite import Composite, show
from bl30k_gen.blender.stills import render_srgb, set_png_output
from bl30k_gen.scene.spec import SceneSpec

bproc = runtime.load_blenderproc()

DENOISERS = {"openimagedenoise": "OPENIMAGEDENOISE", "optix": "OPTIX"}
PREFILTERS = {"none": "NONE", "fast": "FAST", "accurate": "ACCURATE"}
QUALITIES = {"fast": "FAST", "balanced": "BALANCED", "high": "HIGH"}
PATTERNS = {"sobol": "TABULATED_SOBOL", "blue_noise": "BLUE_NOISE"}
PIXEL_CENTRE = 0.01  # filter width in pixels; the minimum of Cycles


Draw = Callable[[int, Path], np.ndarray]  # frame, folder for temporary files -> pixels


def set_up(spec: SceneSpec, built: Built, threads: int) -> Draw:
    """Configure the renderer of both scenes that ``build`` made.

    Returns:
        A function that renders the RGB of a frame, (H, W, 3) uint8 sRGB.
    """
    rgb, masks = bpy.context.scene, bpy.data.scenes[MASK_SCENE]
    _set_up_rgb(spec, rgb, threads)
    _set_up_masks(masks)
    for scene in (rgb, masks):
        scene.render.threads_mode = "FIXED" if threads else "AUTO"
        scene.render.threads = threads or 1
        set_png_output(scene)
        scene.render.use_file_extension = False
        scene.render.use_persistent_data = True
        scene.render.dither_intensity = 0.0
        scene.cycles.device = rgb.cycles.device
    show(rgb, None)
    return render_rgb if spec.render.backdrop == "traced" else Composite(spec, built, threads).render


def _set_up_rgb(spec: SceneSpec, scene: bpy.types.Scene, threads: int) -> None:
    settings = spec.render
    scene.use_nodes = False
    scene.view_settings.view_transform = settings.view_transform
    scene.render.use_motion_blur = settings.motion_blur is not None
    if settings.motion_blur is not None:
        scene.render.motion_blur_position = "CENTER"
        scene.render.motion_blur_shutter = settings.motion_blur
    if settings.engine == "eevee":
        if threads:
            os.environ.setdefault("LP_NUM_THREADS", str(threads))  # threads of Mesa's software renderer
        opengl.require()
        scene.render.engine = "BLENDER_EEVEE_NEXT"
        scene.eevee.taa_render_samples = settings.samples
        return
    scene.render.engine = "CYCLES"
    bounces = settings.bounces
    bproc.renderer.set_max_amount_of_samples(settings.samples)
    bproc.renderer.set_noise_threshold(spec.noise_threshold)
    bproc.renderer.toggle_light_tree(True)
    bproc.renderer.set_light_bounces(
        diffuse_bounces=bounces.diffuse,
        glossy_bounces=bounces.glossy,
        ao_bounces_render=0,
        max_bounces=bounces.total,
        transmission_bounces=bounces.transmission,
        volume_bounces=bounces.volume,
    )
    backdrop = bpy.data.materials[BACKDROP]
    backdrop.cycles.emission_sampling = "FRONT_BACK" if settings.backdrop_as_light else "NONE"
    cycles = scene.cycles
    cycles.min_light_bounces = bounces.minimum
    cycles.adaptive_min_samples = settings.adaptive_minimum
    cycles.sampling_pattern = PATTERNS[settings.sampling_pattern]
    cycles.seed = spec.seed & 0x7FFFFFFF
    cycles.use_animated_seed = True  # networks would learn noise that is the same in all frames as texture
    _set_up_denoising(spec, scene)


def _set_up_denoising(spec: SceneSpec, scene: bpy.types.Scene) -> None:
    settings, cycles = spec.render, scene.cycles
    denoise = settings.denoiser != "none"
    cycles.use_denoising = scene.view_layers[0].cycles.use_denoising = denoise  # BlenderProc turns both off
    if denoise:
        preferences = runtime.cycles_preferences()
        if settings.denoiser == "optix":
            runtime.require_optix_denoiser(preferences)
        cycles.denoiser = DENOISERS[settings.denoiser]
        cycles.denoising_use_gpu = runtime.denoises_on_gpu(preferences)
        cycles.denoising_input_passes = "RGB_ALBEDO_NORMAL"
        cycles.denoising_prefilter = PREFILTERS[settings.denoise_prefilter]
        cycles.denoising_quality = QUALITIES[settings.denoise_quality]


def _set_up_masks(scene: bpy.types.Scene) -> None:
    scene.render.engine = "CYCLES"
    scene.view_settings.view_transform = "Raw"
    cycles = scene.cycles
    cycles.device = bpy.context.scene.cycles.device
    cycles.samples = 1
    cycles.use_adaptive_sampling = False
    cycles.use_denoising = False
    cycles.max_bounces = 0
    cycles.pixel_filter_type = "BOX"
    cycles.filter_width = PIXEL_CENTRE


def render_rgb(frame: int, scratch: Path) -> np.ndarray:
    """(H, W, 3) uint8 sRGB of one frame."""
    return render_srgb(bpy.context.scene, frame, scratch)


def render_mask(frame: int, scratch: Path) -> np.ndarray:
    """(H, W) uint8 object ids of one frame."""
    return render_srgb(bpy.data.scenes[MASK_SCENE], frame, scratch)[..., 0]  # "Raw" view transform: ids unchanged
