"""The staging folder of a video: its scene and its finished frames."""

from collections.abc import Iterator
from pathlib import Path

from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.modalities import MODALITIES
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import holds, read_bytes
from bl30k_gen.scene.spec import SceneSpec


def write_scene(layout: Layout, spec: SceneSpec) -> Path:
    """Write the file that the child reads; discard the frames of another scene of this name."""
    path = layout.staged_scene(spec.name)
    text = spec.dumps()
    if not holds(path, text):
        discard_frames(layout, spec.name)
        # A folder with an owner is a lease: once it is gone, it must not be created again.
        files.write_atomically(path, text, parents=not layout.owner)
    return path


def discard_damaged(layout: Layout, spec: SceneSpec) -> list[str]:
    """Remove staged frames that cannot be decoded or have another size; return a line for each."""
    faults = list(_damaged(layout, spec))
    for path, _ in faults:
        path.unlink(missing_ok=True)
    return [f"{path.parent.name}/{path.name} {fault}" for path, fault in faults]


def _damaged(layout: Layout, spec: SceneSpec) -> Iterator[tuple[Path, str]]:
    size = (spec.video.height, spec.video.width)
    for frame in range(spec.video.frames):
        for folder, modality in MODALITIES.items():
            path = layout.staged_frame(folder, spec.name, frame)
            try:
                if (found := modality.decode(read_bytes(path), path).shape[:2]) != size:
                    yield path, f"is {found[1]}x{found[0]}, not {size[1]}x{size[0]}"
            except FileNotFoundError:
                yield path, "is missing"
            except UserError as error:
                yield path, error.what


def discard_frames(layout: Layout, name: str) -> None:
    """Remove all staged frames of a video."""
    for folder in MODALITIES:
        for path in (layout.staging(name) / folder).glob("*"):
            path.unlink(missing_ok=True)
