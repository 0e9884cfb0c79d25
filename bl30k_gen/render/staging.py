"""A video in the making: its scene and the frames of it that are finished."""

from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.scene.spec import SceneSpec


def stage(layout: Layout, spec: SceneSpec) -> Path:
    """Put the scene where the child reads it; frames of another scene of this name are discarded."""
    path = layout.staged_scene(spec.name)
    text = spec.dumps()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        discard_frames(layout, spec.name)
        # A folder with an owner is a lease: it was there, and if it is not any more it must not come back.
        files.write_atomically(path, text, parents=not layout.owner)
    return path


def discard_frames(layout: Layout, name: str) -> None:
    for folder in ("JPEGImages", "Annotations"):
        for path in (layout.staging(name) / folder).glob("*"):
            path.unlink(missing_ok=True)
