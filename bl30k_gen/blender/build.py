"""Builds animated Blender scenes from a SceneSpec: one for RGB, one for the masks.

Both scenes share meshes and animation, but have materials, lights and renderer settings of their own: rendering one
changes nothing in the other.
"""

from dataclasses import dataclass
from typing import Any

import bpy
import numpy as np

from bl30k_gen.blender import runtime
from bl30k_gen.blender.deforming import DeformingMesh
from bl30k_gen.library.asset import Model, Part, Wrap
from bl30k_gen.library.formats.uv import box_projection
from bl30k_gen.scene.assets import load_image, load_model
from bl30k_gen.scene.deformation import refined
from bl30k_gen.scene.spec import ObjectSpec, SceneSpec
from bl30k_gen.scene.trajectory import camera_poses, curve

bproc = runtime.load_blenderproc()

SMART_PROJECTION_BELOW = 1000  # faces; with more, Blender's smart projection takes seconds
SHARP_EDGE = np.radians(30)  # the normal is not smoothed across edges with a larger angle
MASK_SCENE = "masks"
BACKDROP = "backdrop"  # name of the object and of its material
REPEATED: tuple[Wrap, Wrap] = ("repeat", "repeat")


@dataclass(frozen=True)
class Built:
    """The parts of a built scene that rendering its frames needs."""

    deforming: list[DeformingMesh]  # meshes to pose before a frame is rendered; everything else is animated
    vertices: dict[int, np.ndarray]  # (V, 3) of each object's mesh at rest, by the object's id
    backdrop: np.ndarray  # (H, W, 3) uint8 sRGB


def build(spec: SceneSpec) -> Built:
    """Replace everything in Blender by the scenes of ``spec``.

    Raises:
        UserError: an asset is missing, has changed since the scene was planned, or is refused.
    """
    bproc.clean_up(clean_up_camera=True)
    rgb = bpy.context.scene
    masks = bpy.data.scenes.new(MASK_SCENE)
    for scene in (rgb, masks):
        scene.frame_start, scene.frame_end = 0, spec.video.frames - 1
        scene.render.resolution_x, scene.render.resolution_y = spec.video.width, spec.video.height
        scene.render.resolution_percentage = 100
    _add_camera(spec)
    masks.collection.objects.link(rgb.camera)
    masks.camera = rgb.camera
    masks.world = bpy.data.worlds.new("nothing")
    masks.world.color = (0, 0, 0)
    _add_lights(spec)
    built = Built([], {}, load_image(spec.backdrop.image, "background", spec).pixels)
    _add_backdrop(spec, built.backdrop, masks)
    for described in spec.objects:
        _add_object(described, spec, masks, built)
    if spec.render.motion_blur is not None:
        _move_straight_between_frames()
    return built


def _add_camera(spec: SceneSpec) -> None:
    bproc.camera.set_intrinsics_from_blender_params(
        lens=spec.camera.field_of_view,
        image_width=spec.video.width,
        image_height=spec.video.height,
        lens_unit="FOV",
    )
    for frame, pose in enumerate(camera_poses(spec.camera, spec.video.frames, spec.static)):
        bproc.camera.add_camera_pose(pose, frame=frame)


def _add_lights(spec: SceneSpec) -> None:
    bproc.renderer.set_world_background([spec.ambient] * 3)
    for described in spec.lights:
        light = bproc.types.Light("POINT")
        light.set_location(described.location)
        light.set_energy(described.power)
        light.set_color(described.colour)
        light.set_radius(described.radius)


def _add_backdrop(spec: SceneSpec, pixels: np.ndarray, masks: bpy.types.Scene) -> None:
    backdrop = spec.backdrop
    plane = bproc.object.create_primitive("PLANE", size=1)
    plane.set_name(BACKDROP)
    plane.set_location(backdrop.centre)
    plane.set_rotation_euler([np.pi / 2, 0, 0])
    plane.set_scale([backdrop.width, backdrop.height, 1])
    image = _image(BACKDROP, pixels)
    material, tree, output = _bare_material(BACKDROP)
    texture = _texture_node(tree, image, extension="EXTEND")
    emission = tree.nodes.new("ShaderNodeEmission")
    emission.inputs["Strength"].default_value = backdrop.strength
    tree.links.new(texture.outputs["Color"], emission.inputs["Color"])
    tree.links.new(emission.outputs["Emission"], output.inputs["Surface"])
    plane.blender_obj.data.materials.append(material)
    _add_to_masks(plane.blender_obj, masks, [_mask_material(0, None)])


def _add_object(described: ObjectSpec, spec: SceneSpec, masks: bpy.types.Scene, built: Built) -> None:
    model = load_model(described.model, spec)
    if described.deformation is not None:
        model = refined(model)
    shared = None
    if described.texture is not None:
        shared = _image(described.texture.id, load_image(described.texture, "texture", spec).pixels)
    entity = make_mesh(f"object {described.id}", model)
    clip = spec.render.alpha == "clip"
    mask_materials = []
    for number, part in enumerate(model.parts):
        image, cut_out = shared, None
        if image is None and part.texture is not None:
            holes = clip and part.has_holes
            # Without "clip" alpha is dropped: Cycles multiplies colours by it, so transparent texels would be black.
            image = _image(f"object {described.id} part {number}", part.texture[..., : 4 if holes else 3])
            cut_out = image if holes else None
        entity.blender_obj.data.materials.append(_surface(part, image, shared is not None, cut_out is not None))
        mask_materials.append(_mask_material(described.id, cut_out, part.wrap))
    locations, rotations, scales = (
        curve(points, spec.video.frames, spec.static)
        for points in (described.location, described.rotation, described.scale)
    )
    for frame in range(spec.video.frames):
        entity.set_location(locations[frame], frame=frame)
        entity.set_rotation_euler(rotations[frame], frame=frame)
        entity.set_scale(scales[frame], frame=frame)
    built.vertices[described.id] = model.vertices
    if described.deformation is not None:
        frames, shutter = spec.video.frames, spec.render.motion_blur
        built.deforming.append(
            DeformingMesh(entity.blender_obj, model.vertices, described.deformation, frames, shutter)
        )
    _add_to_masks(entity.blender_obj, masks, mask_materials)


def _move_straight_between_frames() -> None:
    """Interpolate linearly, also beyond the first and last frame: each frame is the middle of its motion blur."""
    for action in bpy.data.actions:
        for curve_ in action.fcurves:
            curve_.extrapolation = "LINEAR"
            for point in curve_.keyframe_points:
                point.interpolation = "LINEAR"


def make_mesh(name: str, model: Model) -> Any:
    """One Blender object (BlenderProc's MeshObject) for all parts of a model; each part gets a material slot."""
    entity = bproc.object.create_with_empty_mesh(name)
    mesh = entity.get_mesh()
    faces = np.concatenate([part.faces for part in model.parts])
    mesh.vertices.add(len(model.vertices))
    mesh.vertices.foreach_set("co", model.vertices.ravel())
    mesh.loops.add(faces.size)
    mesh.loops.foreach_set("vertex_index", faces.ravel())
    mesh.polygons.add(len(faces))
    mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, 3, dtype=np.int32))
    slots = np.repeat(np.arange(len(model.parts), dtype=np.int32), [len(part.faces) for part in model.parts])
    mesh.polygons.foreach_set("material_index", slots)
    mesh.polygons.foreach_set("use_smooth", np.ones(len(faces), dtype=bool))
    mesh.update(calc_edges=True)
    mesh.set_sharp_from_angle(angle=SHARP_EDGE)
    if len(faces) < SMART_PROJECTION_BELOW and all(part.uv is None for part in model.parts):
        entity.add_uv_mapping("smart")
    else:
        uv = [box_projection(model.vertices, p.faces) if p.uv is None else p.uv for p in model.parts]
        mesh.uv_layers.new(name="uv").data.foreach_set("uv", np.concatenate(uv).astype(np.float32).ravel())
    return entity


def _surface(part: Part, image: bpy.types.Image | None, retextured: bool, clip: bool) -> bpy.types.Material:
    material = bproc.material.create("surface")
    shader = material.get_the_one_node_with_type("BsdfPrincipled")
    shader.inputs["Roughness"].default_value = part.roughness
    shader.inputs["Metallic"].default_value = 0.0 if retextured else part.metallic
    if image is None:
        shader.inputs["Base Color"].default_value = (*part.colour, 1)
        return material.blender_obj
    tree = material.blender_obj.node_tree
    texture = _texture_node(tree, image, wrap=REPEATED if retextured else part.wrap)
    colour = texture.outputs["Color"]
    if not retextured and part.colour != (1.0, 1.0, 1.0):
        tint = tree.nodes.new("ShaderNodeMix")
        tint.data_type, tint.blend_type = "RGBA", "MULTIPLY"
        tint.inputs["Factor"].default_value = 1.0
        tint.inputs["B"].default_value = (*part.colour, 1)
        tree.links.new(colour, tint.inputs["A"])
        colour = tint.outputs["Result"]
    tree.links.new(colour, shader.inputs["Base Color"])
    if clip:
        tree.links.new(_opaque_where(tree, texture), shader.inputs["Alpha"])
    return material.blender_obj


def _mask_material(
    object_id: int, cut_out: bpy.types.Image | None, wrap: tuple[Wrap, Wrap] = REPEATED
) -> bpy.types.Material:
    """A material that emits id / 255; with ``cut_out``, invisible where that image is transparent."""
    material, tree, output = _bare_material(f"mask {object_id}")
    emission = tree.nodes.new("ShaderNodeEmission")
    emission.inputs["Color"].default_value = (*[object_id / 255] * 3, 1)
    surface = emission.outputs["Emission"]
    if cut_out is not None:
        mix = tree.nodes.new("ShaderNodeMixShader")
        see_through = tree.nodes.new("ShaderNodeBsdfTransparent")
        tree.links.new(_opaque_where(tree, _texture_node(tree, cut_out, wrap=wrap)), mix.inputs["Fac"])
        tree.links.new(see_through.outputs["BSDF"], mix.inputs[1])
        tree.links.new(surface, mix.inputs[2])
        surface = mix.outputs["Shader"]
    tree.links.new(surface, output.inputs["Surface"])
    material.cycles.emission_sampling = "NONE"
    return material


def _add_to_masks(entity: bpy.types.Object, masks: bpy.types.Scene, materials: list[bpy.types.Material]) -> None:
    """Add ``entity`` to the mask scene, too: same mesh, same animation, but ``materials``."""
    twin = entity.copy()
    masks.collection.objects.link(twin)
    for slot, material in zip(twin.material_slots, materials, strict=True):
        slot.link = "OBJECT"
        slot.material = material


def _bare_material(name: str) -> tuple[bpy.types.Material, bpy.types.NodeTree, bpy.types.Node]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    material.node_tree.nodes.clear()
    return material, material.node_tree, material.node_tree.nodes.new("ShaderNodeOutputMaterial")


def _texture_node(
    tree: bpy.types.NodeTree, image: bpy.types.Image, extension: str = "REPEAT", wrap: tuple[Wrap, Wrap] = REPEATED
) -> bpy.types.Node:
    node = tree.nodes.new("ShaderNodeTexImage")
    node.image = image
    node.extension = extension
    if wrap != REPEATED:
        coordinates = tree.nodes.new("ShaderNodeTexCoord").outputs["UV"]
        parts, joined = tree.nodes.new("ShaderNodeSeparateXYZ"), tree.nodes.new("ShaderNodeCombineXYZ")
        tree.links.new(coordinates, parts.inputs[0])
        for axis, (name, kind, side) in enumerate(zip("XY", wrap, image.size, strict=True)):
            tree.links.new(_wrapped(tree, parts.outputs[name], kind, side), joined.inputs[axis])
        tree.links.new(joined.outputs[0], node.inputs["Vector"])
    return node


def _wrapped(
    tree: bpy.types.NodeTree, coordinate: bpy.types.NodeSocket, kind: Wrap, side: int
) -> bpy.types.NodeSocket:
    """A texture coordinate wrapped into 0..1, clamped to the centres of the outer texels of ``side`` texels."""
    if kind == "repeat":
        return coordinate
    half = 0.5 / side
    steps = [("PINGPONG", 1.0)] if kind == "mirror" else []
    for operation, value in [*steps, ("MAXIMUM", half), ("MINIMUM", 1 - half)]:
        node = tree.nodes.new("ShaderNodeMath")
        node.operation = operation
        node.inputs[1].default_value = value
        tree.links.new(coordinate, node.inputs[0])
        coordinate = node.outputs["Value"]
    return coordinate


def _opaque_where(tree: bpy.types.NodeTree, texture: bpy.types.Node) -> bpy.types.NodeSocket:
    """1 where the alpha of the texture is above one half, else 0: image and mask have the same edge."""
    threshold = tree.nodes.new("ShaderNodeMath")
    threshold.operation = "GREATER_THAN"
    threshold.inputs[1].default_value = 0.5
    tree.links.new(texture.outputs["Alpha"], threshold.inputs[0])
    return threshold.outputs["Value"]


def _image(name: str, pixels: np.ndarray) -> bpy.types.Image:
    """A Blender image in memory from (H, W, 3 or 4) uint8 sRGB, top row first."""
    height, width, channels = pixels.shape
    image = bpy.data.images.new(name, width, height, alpha=channels == 4)
    values = np.ones((height, width, 4), dtype=np.float32)
    values[..., :channels] = pixels[::-1].astype(np.float32) / 255
    image.pixels.foreach_set(values.ravel())
    image.update()
    return image
