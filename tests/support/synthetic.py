"""Small synthetic datasets: coloured ellipses that move over a gradient, published like rendered ones."""

from pathlib import Path

import numpy as np

from bl30k_gen.config import Config, load_config
from bl30k_gen.dataset import files, layout, masks, metadata
from bl30k_gen.render import process
from bl30k_gen.render.output.store import open_store
from bl30k_gen.scene.spec import parse_spec

ROOT = Path(__file__).parents[2]
FRAMES, WIDTH, HEIGHT = 8, 96, 64


def synthetic_config(*overrides: str) -> Config:
    size = [f"video.frames={FRAMES}", f"video.width={WIDTH}", f"video.height={HEIGHT}"]
    return load_config(ROOT / "render_configs/bl30k.yaml", [*size, *overrides])


def ellipse_masks(index: int, frames: int = FRAMES) -> np.ndarray:
    """(F, H, W) uint8: objects 1 to 3, the later ones in front."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    ids = np.zeros((frames, HEIGHT, WIDTH), np.uint8)
    for frame in range(frames):
        for number in (1, 2, 3):
            cx = 20 + 22 * number + (frame - 4) * (1 + number + index)
            cy = 30 + 6 * number - frame * (number - 2)
            ids[frame][((x - cx) / 14) ** 2 + ((y - cy) / 9) ** 2 < 1] = number
    return ids


def image(ids: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: a gradient with the objects drawn in it."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rgb = np.stack([x * 2, y * 3, 120 + 0 * x], -1).astype(np.uint8)
    colours = np.array([[0, 0, 0], [220, 60, 50], [60, 190, 80], [70, 90, 230]], np.uint8)
    rgb[ids > 0] = colours[ids[ids > 0]]
    return rgb


def scene(config, index: int) -> dict:
    """A valid SceneSpec as JSON."""
    still = [[0.0, 0.0, 0.0]] * 5
    asset = {"id": "builtin/thing", "path": "builtin:thing", "sha256": "0" * 64}
    thing = {"model": asset, "texture": asset, "location": still, "rotation": still, "scale": [[1.0] * 3] * 5}
    resolved = config.model_dump(mode="json")
    values = {
        "schema_version": 1,
        "name": f"a{index:05d}",
        "index": index,
        "seed": 0,
        "split": "val" if index % 3 == 2 else "train",
        "video": resolved["video"],
        "static": "drift",
        "camera": {"field_of_view": 0.75, "location": still, "target": still},
        "objects": [{"id": i, **thing, "clearance_failed": False} for i in (1, 2, 3)],
        "lights": [{"location": [0.0, 0.0, 11.0], "power": 1000.0, "radius": 0.0, "colour": [1.0, 0.5, 0.5]}],
        "ambient": 0.05,
        "backdrop": {"image": asset, "centre": [0.0, 12.0, 0.0], "width": 40.0, "height": 40.0, "strength": 0.5},
        "render": resolved["render"],
        "image": resolved["image"],
        "limits": resolved["assets"]["limits"],
    }
    return parse_spec(values, "test").to_json()


def stage(places: layout.Layout, config, index: int) -> dict:
    """Write a video's frames into its staging folder; return its metadata."""
    spec = scene(config, index)
    ids = ellipse_masks(index)
    for frame in range(FRAMES):
        jpeg = files.encode_jpeg(image(ids[frame]), 90, "4:4:4")
        files.write_atomically(places.staged_rgb(spec["name"], frame), jpeg)
        files.write_atomically(places.staged_mask(spec["name"], frame), masks.encode_mask(ids[frame]))
    files.write_atomically(places.staged_scene(spec["name"]), "{}")
    return metadata.build_metadata(
        spec,
        config_digest=config.digest(),
        versions={"bpy": "4.2.0"},
        visible_area=np.stack([(ids == i).sum((1, 2)) for i in (1, 2, 3)], 1),
        intrinsics=np.eye(3),
        extrinsics=np.tile(np.eye(4), (FRAMES, 1, 1)),
        poses=np.tile(np.eye(4) / 3, (3, FRAMES, 1, 1)),
        files=layout.describe_staged(places, spec["name"], FRAMES),
    )


def make_dataset(root: Path, config, videos: int = 3) -> layout.Layout:
    places = layout.Layout(root)
    files.write_atomically(places.config, config.to_yaml())
    for index in range(videos):
        described = stage(places, config, index)
        layout.publish(places, described["name"], described)
    layout.write_image_sets(places)
    return places


def make_sharded(root: Path, config: Config, names: list[str]) -> layout.Layout:
    """Publish videos in shards of the kind ``config.runtime.store``, like a worker but without Blender.

    A video that another worker has is skipped.
    """
    places = layout.Layout(root)
    if not places.config.exists():
        files.write_atomically(places.config, config.to_yaml())
    with open_store(config, layout.Layout(root, process.new_name()), None, names) as store:
        for name in names:
            claim = None if store.has(name) else store.acquire(name)
            if claim is None:
                continue
            if not store.complete(name):
                store.publish(claim, stage(store.frames, config, int(name[1:])))
            store.release(claim)
    layout.write_image_sets(places)
    return places
