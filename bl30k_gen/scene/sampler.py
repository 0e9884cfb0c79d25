"""Sample a video's SceneSpec as a pure function of (config, catalogue, seed, index).

Each random decision has its own stream, named after what it decides, so videos are independent of each other, and a
new decision does not change the existing ones. ``docs/scene.md`` describes the sampling in words.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import numpy as np

from bl30k_gen.config import Block, Config, Frustum, Motion
from bl30k_gen.errors import UserError
from bl30k_gen.library.asset import AssetRefused, ImageAsset, Model
from bl30k_gen.scene.extras import rounded, sample_deformation, sample_shake, uniform
from bl30k_gen.scene.spec import DIGITS, SCHEMA_VERSION, CameraSpec, SceneSpec, parse_spec
from bl30k_gen.scene.thickness import thickness
from bl30k_gen.scene.trajectory import camera_poses, clearance, curve, intrinsics
from bl30k_gen.seeding import rng

if TYPE_CHECKING:
    from bl30k_gen.library.catalogue.catalogue import Catalogue
    from bl30k_gen.library.catalogue.listed import Asset

Split = Literal["train", "val"]
Loaded = TypeVar("Loaded", bound=Model | ImageAsset)

VIEW_MARGIN = 2.0  # pixels by which a covering backdrop extends beyond the image, for the pixel filter
MIN_SCALE = 0.1  # relative to the smallest control point; a scale curve below it has overshot


@dataclass(frozen=True)
class SampledScene:
    spec: SceneSpec
    refusals: tuple[tuple[str, str], ...]  # (asset id, reason) of every refused asset that was replaced


# --- Names and splits -------------------------------------------------------------------------------------------


def split_of(index: int, val_share: float) -> Split:
    """The split of a video. Of the first n videos, floor(n * val_share) belong to ``val``, evenly spread."""
    return "val" if _val_before(index + 1, val_share) > _val_before(index, val_share) else "train"


def rank_in_split(index: int, val_share: float) -> int:
    """The number of earlier videos in the same split."""
    val = _val_before(index, val_share)
    return val if split_of(index, val_share) == "val" else index - val


def _val_before(count: int, val_share: float) -> int:
    return int(count * Fraction(repr(val_share)))  # exact for the decimal that the user wrote: 10 * 0.3 is 3


def video_name(index: int, videos_per_segment: int) -> str:
    """Segment letter and number in the segment, as published: ``a00000``.

    Raises:
        UserError: the index lies beyond segment z.
    """
    segment, number = divmod(index, videos_per_segment)
    if not 0 <= segment < 26:
        raise UserError(
            f"video {index} has no name: segments of {videos_per_segment} end at {26 * videos_per_segment - 1}",
            "raise dataset.videos_per_segment",
        )
    return f"{chr(ord('a') + segment)}{number:05d}"


def video_index(name: str, videos_per_segment: int) -> int:
    """The inverse of ``video_name``. Raises UserError if no video has this name."""
    letter, digits = name[:1], name[1:]
    valid = "a" <= letter <= "z" and len(digits) == 5 and digits.isascii() and digits.isdigit()
    if not valid or int(digits) >= videos_per_segment:
        raise UserError(
            f"{name!r} is no video's name",
            f"a name is a letter a-z and five digits from 00000 to {videos_per_segment - 1:05d}",
        )
    return (ord(letter) - ord("a")) * videos_per_segment + int(digits)


def is_sampled_name(name: str, videos_per_segment: int) -> bool:
    """Whether a sampled video has this name; planned ones may have others."""
    try:
        return video_index(name, videos_per_segment) >= 0
    except UserError:
        return False


# --- Assets -----------------------------------------------------------------------------------------------------


def split_assets(
    assets: "tuple[Asset, ...]", kind: str, val_share: float, seed: int, split: Split
) -> "tuple[Asset, ...]":
    """The assets from which one split draws; the splits are disjoint.

    A seeded shuffle gives ``val`` the rounded ``val_share`` of the assets, at least one, and leaves ``train`` at
    least one. A single asset serves both splits.
    """
    if val_share == 0 or val_share == 1 or len(assets) < 2:
        return assets
    of_val = min(max(round(len(assets) * Fraction(repr(val_share))), 1), len(assets) - 1)
    order = rng(seed, kind, "split").permutation(len(assets))
    chosen = order[:of_val] if split == "val" else order[of_val:]
    return tuple(assets[i] for i in sorted(chosen))


class _Drawer(Generic[Loaded]):
    """Draws assets of one kind for one split by slot. Skips models that are too thick; records refused assets."""

    def __init__(
        self,
        assets: "tuple[Asset, ...]",
        kind: str,
        key: tuple[int, str, str],
        load: "Callable[[Asset], Loaded]",
        max_thickness: float | None = None,
    ):
        if not assets:
            raise UserError(f"assets.{kind} holds nothing", "name a folder that has some, or `builtin`")
        self.assets, self.kind, self.key, self.load = assets, kind, key, load
        self.max_thickness = max_thickness
        self.refusals: list[tuple[str, str]] = []

    def draw(self, slot: int) -> tuple[dict[str, str], Loaded]:
        """The slot's asset: the fields of its AssetRef, and the loaded asset.

        The slots go through shuffled epochs of all assets, so each is used equally often. If the asset is refused or
        too thick, the slot's own shuffle of all assets gives the candidates to replace it.

        Raises:
            UserError: every asset is refused or too thick.
        """
        count, reasons = len(self.assets), []
        epoch, place = divmod(slot, count)
        first = int(_shuffle(*self.key, "epoch", epoch, count)[place])
        for position in _candidates(first, self.key, slot, count):
            asset = self.assets[position]
            try:
                loaded = self.load(asset)
            except AssetRefused as refused:
                reasons.append((asset.id, refused.reason))
                continue
            if (
                isinstance(loaded, Model)
                and self.max_thickness is not None
                and thickness(loaded) > self.max_thickness
            ):
                continue
            self.refusals += reasons
            return {"id": asset.id, "path": str(asset.path), "sha256": loaded.sha256}, loaded
        if len(reasons) < count:
            raise UserError(
                f"objects.max_thickness = {self.max_thickness}: every model of assets.{self.kind} is thicker",
                "raise it, or name a folder that has thinner ones",
            )
        some = "; ".join(reason for _, reason in reasons[:3])
        raise UserError(f"assets.{self.kind}: all {count} are refused ({some})", "see `generate.py assets check`")


def _candidates(first: int, key: tuple[int, str, str], slot: int, count: int) -> Iterator[int]:
    """Indices of assets in the order in which a slot tries them."""
    yield first
    yield from (int(i) for i in rng(*key, "fallback", slot).permutation(count) if i != first)


@lru_cache(maxsize=16)
def _shuffle(seed: int, kind: str, split: str, purpose: str, number: int, count: int) -> np.ndarray:
    return rng(seed, kind, split, purpose, number).permutation(count)


# --- Paths ------------------------------------------------------------------------------------------------------


def location_in_frustum(generator: np.random.Generator, frustum: Frustum) -> np.ndarray:
    """(3,) x, y, z: the depth y uniform, then x and z uniform over the frustum's width at that depth."""
    depth = generator.uniform(frustum.near, frustum.far)
    half_width = frustum.half_width * (depth - frustum.apex) / (frustum.near - frustum.apex)
    x, z = generator.uniform(-half_width, half_width, size=2)
    return np.array([x, depth, z])


def static_moves(generator: np.random.Generator, motion: Motion) -> list[bool]:
    """Whether the path rests during each move: a Markov chain."""
    static, moves = generator.random() < motion.static_enter, []
    for _ in range(motion.degree):
        moves.append(bool(static))
        static = generator.random() < (motion.static_stay if static else motion.static_enter)
    return moves


def move_toward(generator: np.random.Generator, last: np.ndarray, target: np.ndarray, deviation: float) -> np.ndarray:
    """Move from ``last`` toward ``target``, on each axis by at most |Normal(0, deviation)|."""
    limit = np.abs(generator.normal(0.0, deviation, size=last.shape))
    return last + np.clip(target - last, -limit, limit)


def object_path(generator: np.random.Generator, config: Config) -> dict[str, np.ndarray]:
    """Control points of ``location``, ``rotation`` and ``scale``, each (degree + 1, 3); all rest together."""
    motion = config.motion
    frames_a_move = config.video.frames / motion.degree
    low, high = np.array([motion.scale_change.low, motion.scale_change.high]) ** (1 / motion.degree)
    location = [location_in_frustum(generator, config.objects.frustum)]
    rotation = [generator.uniform(0.0, 2 * np.pi, size=3)]
    scale = [generator.uniform(config.objects.scale.low, config.objects.scale.high, size=3)]
    for static in static_moves(generator, motion):
        target = location_in_frustum(generator, config.objects.frustum)
        next_location = move_toward(generator, location[-1], target, motion.location_speed * frames_a_move)
        turn = generator.normal(0.0, motion.rotation_speed * frames_a_move, size=3)
        factor = generator.uniform(low, high, size=3)
        location.append(location[-1] if static else next_location)
        rotation.append(rotation[-1] if static else rotation[-1] + turn)
        scale.append(scale[-1] if static else scale[-1] * factor)
    return {"location": rounded(location), "rotation": rounded(rotation), "scale": rounded(scale)}


# --- The parts of a scene ---------------------------------------------------------------------------------------


def sample_objects(
    config: Config, seed: int, index: int, models: _Drawer[Model], textures: _Drawer[ImageAsset]
) -> list[dict[str, Any]]:
    """The fields of every ObjectSpec of a video."""
    recipe = config.objects
    slot = rank_in_split(index, config.dataset.val_share) * recipe.count[1]
    texture_slot = index * recipe.count[1]
    placed: list[np.ndarray] = []
    objects = []
    for k in range(int(rng(seed, "video", index, "objects").integers(*recipe.count, endpoint=True))):
        model_ref, model = models.draw(slot + k)
        probability = recipe.retexture_mapped if model.has_texture else recipe.retexture_unmapped
        retextured = rng(seed, "video", index, "object", k, "texture").random() < probability
        path, locations, failed = _clear_path(config, seed, index, k, placed)
        placed.append(locations)
        objects.append(
            {
                "id": k + 1,
                "model": model_ref,
                "texture": textures.draw(texture_slot + k)[0] if retextured else None,
                **{name: points.tolist() for name, points in path.items()},
                "deformation": recipe.deformation
                and sample_deformation(rng(seed, "video", index, "object", k, "deformation"), recipe.deformation),
                "clearance_failed": failed,
            }
        )
    return objects


def _clear_path(
    config: Config, seed: int, index: int, k: int, placed: list[np.ndarray]
) -> tuple[dict[str, np.ndarray], np.ndarray, bool]:
    """Draw paths until one keeps the clearance from those ``placed``, or the tries run out.

    A path whose scale curve overshoots towards zero is never taken.

    Returns:
        The path, its (frames, 3) locations, and whether its clearance failed.

    Raises:
        UserError: no try has a usable scale.
    """
    frames, static = config.video.frames, config.motion.static
    last_usable = None
    for attempt in range(config.objects.clearance_tries + 1):
        path = object_path(rng(seed, "video", index, "object", k, "path", attempt), config)
        if np.any(curve(path["scale"], frames, static).min(axis=0) < MIN_SCALE * path["scale"].min(axis=0)):
            continue
        locations = curve(path["location"], frames, static)
        last_usable = path, locations
        if all(clearance(locations, other) >= config.objects.clearance for other in placed):
            return path, locations, False
    if last_usable is None:
        raise UserError(
            f"video {index}, object {k + 1}: its scale falls to zero between control points in every try",
            "narrow motion.scale_change",
        )
    return *last_usable, True


def sample_camera(config: Config, seed: int, index: int) -> dict[str, Any]:
    """The fields of CameraSpec: location and target move within blocks, and rest in the same moves."""
    generator = rng(seed, "video", index, "camera")
    recipe, motion = config.camera, config.motion
    deviation = recipe.speed * config.video.frames / motion.degree
    field_of_view = uniform(generator, recipe.field_of_view)
    location, target = [_in_block(generator, recipe.location)], [_in_block(generator, recipe.target)]
    for static in static_moves(generator, motion):
        for points, block in (location, recipe.location), (target, recipe.target):
            moved = move_toward(generator, points[-1], _in_block(generator, block), deviation)
            points.append(points[-1] if static else moved)
    return {
        "field_of_view": field_of_view,
        "location": rounded(location).tolist(),
        "target": rounded(target).tolist(),
        "shake": recipe.shake and sample_shake(rng(seed, "video", index, "camera shake"), recipe.shake),
    }


def _in_block(generator: np.random.Generator, block: Block) -> np.ndarray:
    return np.array([generator.uniform(axis.low, axis.high) for axis in (block.x, block.y, block.z)])


def sample_lights(config: Config, seed: int, index: int) -> list[dict[str, Any]]:
    """The fields of every LightSpec: uniform by area on a sphere around the origin."""
    recipe = config.lights
    lights = []
    for k in range(int(rng(seed, "video", index, "lights").integers(*recipe.count, endpoint=True))):
        generator = rng(seed, "video", index, "light", k)
        direction = generator.normal(size=3)
        colour = generator.uniform(recipe.colour_floor, 1.0, size=3)
        lights.append(
            {
                "location": rounded(recipe.radius * direction / np.linalg.norm(direction)).tolist(),
                "power": uniform(generator, recipe.power),
                "radius": recipe.size,
                "colour": rounded(colour / colour.max()).tolist(),
            }
        )
    return lights


def sample_backdrop(config: Config, seed: int, index: int, camera: CameraSpec, image: ImageAsset) -> dict[str, Any]:
    """The fields of BackdropSpec but ``image``."""
    recipe = config.backdrop
    if recipe.fit == "plane":
        centre, width, height = (0.0, recipe.distance, 0.0), recipe.size, recipe.size
    else:
        centre, width, height = _cover(config, camera, image.size[0] / image.size[1])
    strength = uniform(rng(seed, "video", index, "backdrop"), recipe.strength)
    return {"centre": centre, "width": width, "height": height, "strength": strength}


def _cover(config: Config, camera: CameraSpec, aspect: float) -> tuple[tuple[float, float, float], float, float]:
    """Centre, width and height of the smallest rectangle of this aspect that fills every view of the camera."""
    video, distance = config.video, config.backdrop.distance
    poses = camera_poses(camera, video.frames, config.motion.static)
    k = intrinsics(camera.field_of_view, video.width, video.height)
    right = (0.5 * video.width + VIEW_MARGIN) / k[0, 0]
    up = (0.5 * video.height + VIEW_MARGIN) / k[1, 1]
    corners = np.array([[x, y, -1.0] for x in (-right, right) for y in (-up, up)])
    rays = np.einsum("fij,cj->fci", poses[:, :3, :3], corners)
    eyes = poses[:, None, :3, 3]
    reach = distance - eyes[..., 1]
    if np.any(reach <= 0) or np.any(rays[..., 1] <= 1e-6):
        raise UserError(
            "backdrop.fit: cover needs a camera that sees the plane y = backdrop.distance in all of its image",
            "use backdrop.fit: plane, or move camera.location and camera.target",
        )
    hits = eyes + rays * (reach / rays[..., 1])[..., None]
    low, high = hits[..., [0, 2]].min(axis=(0, 1)), hits[..., [0, 2]].max(axis=(0, 1))
    x, z = (round(float(v), DIGITS) for v in (low + high) / 2)
    width, height = high - low
    width = max(width, height * aspect)
    return (x, distance, z), round(float(width), DIGITS), round(float(width / aspect), DIGITS)


def sample_scene(
    config: Config,
    catalogue: "Catalogue",
    load_model: "Callable[[Asset], Model]",
    load_image: "Callable[[Asset], ImageAsset]",
    index: int,
    seed: int | None = None,
) -> SampledScene:
    """Sample the scene of video ``index``: a pure function of its arguments.

    Args:
        load_model, load_image: called only for assets of this video; may raise AssetRefused.
        seed: None: ``config.seed``.

    Raises:
        UserError: a kind of asset has nothing usable, or the configuration leads to no valid scene.
    """
    seed = config.seed if seed is None else seed
    share = config.dataset.val_share
    split = split_of(index, share)

    of_split = split_assets(catalogue.models, "models", share, seed, split)
    models = _Drawer(of_split, "models", (seed, "models", split), load_model, config.objects.max_thickness)
    textures = _Drawer(catalogue.textures, "textures", (seed, "textures", "all"), load_image)
    of_split = split_assets(catalogue.backgrounds, "backgrounds", share, seed, split)
    backgrounds = _Drawer(of_split, "backgrounds", (seed, "backgrounds", split), load_image)

    objects = sample_objects(config, seed, index, models, textures)
    camera = sample_camera(config, seed, index)
    image_ref, image = backgrounds.draw(rank_in_split(index, share))
    backdrop = sample_backdrop(config, seed, index, CameraSpec.model_validate(camera), image)
    values = {
        "schema_version": SCHEMA_VERSION,
        "name": video_name(index, config.dataset.videos_per_segment),
        "index": index,
        "seed": seed,
        "split": split,
        "video": config.video,
        "static": config.motion.static,
        "camera": camera,
        "objects": objects,
        "lights": sample_lights(config, seed, index),
        "ambient": config.lights.ambient,
        "backdrop": {"image": image_ref, **backdrop},
        "render": config.render,
        "image": config.image,
        "limits": config.assets.limits,
    }
    spec = parse_spec(values, f"of video {index}")
    return SampledScene(spec, (*models.refusals, *textures.refusals, *backgrounds.refusals))
