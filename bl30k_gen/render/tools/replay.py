"""Renders a published video again from its own metadata alone, and compares the two."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bl30k_gen.config import Assets
from bl30k_gen.dataset.files import decode_rgb
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import read_values
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import UserError
from bl30k_gen.library.catalogue.catalogue import open_catalogue
from bl30k_gen.render.child import BlenderChild
from bl30k_gen.render.dataset import AssetResolver
from bl30k_gen.render.staging import write_scene
from bl30k_gen.scene.spec import parse_spec
from bl30k_gen.text import plural


@dataclass(frozen=True)
class Replay:
    """How a second rendering differs from the published one."""

    video: str
    frames: int
    mask_pixels_different: int
    rgb_pixels_different: int
    largest_rgb_difference: int  # of 255
    published_by: str  # version of Blender
    replayed_by: str

    @property
    def same(self) -> bool:
        return not (self.mask_pixels_different or self.rgb_pixels_different)

    def sentence(self) -> str:
        differ = self.published_by != self.replayed_by
        note = f" (published by Blender {self.published_by}, replayed by {self.replayed_by})" if differ else ""
        if self.same:
            return f"{self.video}: {plural(self.frames, 'frame')}, not one pixel differs{note}"
        return (
            f"{self.video}: {plural(self.frames, 'frame')}, {self.mask_pixels_different} mask pixels and "
            f"{self.rgb_pixels_different} RGB pixels differ, by at most {self.largest_rgb_difference} of 255{note}"
        )


def replay(root: Path, video: str, device: str | None, threads: int) -> Replay:
    """Render a video again and compare it with the published one.

    Raises:
        UserError: the video is not published, or one of its assets is gone, has changed or has another id.
    """
    published = open_dataset(root)
    described = published.required_metadata(video)
    if "scene" not in described:
        raise UserError(f"{video} of {root} has no scene", "only datasets of this project can be rendered again")
    config = published.config()
    if config is None:
        raise UserError(f"{root} holds no config.yaml", "it names the folders of the assets: put it back")
    resolver = AssetResolver(open_catalogue(_existing_sources(config.assets)))
    spec = resolver.resolve(parse_spec(described["scene"], f"of {video}"), f"of {video}")
    runtime = config.runtime
    masks = pixels = largest = 0
    with tempfile.TemporaryDirectory(prefix="bl30k-replay-") as folder:
        again = Layout(Path(folder))
        child = BlenderChild(device or runtime.device, threads, runtime.frame_timeout)
        try:
            child.render_once(write_scene(again, spec))
        finally:
            child.close()
        for frame in range(spec.video.frames):
            mask = read_values(again.staged_mask(video, frame))
            masks += int((published.read_mask(video, frame).ids != mask).sum())
            path = again.staged_rgb(video, frame)
            rgb = decode_rgb(path.read_bytes(), path)
            difference = np.abs(published.read_rgb(video, frame).astype(np.int16) - rgb.astype(np.int16))
            pixels += int(difference.any(axis=2).sum())
            largest = max(largest, int(difference.max()))
    versions = str(described.get("versions", {}).get("bpy", "unknown")), str(child.ready["bpy"])
    return Replay(video, spec.video.frames, masks, pixels, largest, *versions)


def _existing_sources(assets: Assets) -> Assets:
    """The sources of assets that exist, without filters: one video needs few of them, and filters a current index."""
    kinds = ("models", "textures", "backgrounds")
    existing = {kind: [s for s in getattr(assets, kind) if s == "builtin" or Path(s).is_dir()] for kind in kinds}
    return assets.model_copy(update={**existing, "select": None, "licences": None})
