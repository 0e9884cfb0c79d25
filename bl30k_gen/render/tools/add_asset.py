"""Adding a user's asset: checked by the loader, rendered as a strip of images, then copied to a folder."""

import io
import tempfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from bl30k_gen.config import Config
from bl30k_gen.dataset.files import sha256_bytes, write_atomically
from bl30k_gen.errors import UserError, printable
from bl30k_gen.library.asset import AssetRefused, ImageAsset, Model
from bl30k_gen.library.catalogue import manifest
from bl30k_gen.library.catalogue.folder import SUFFIXES
from bl30k_gen.library.catalogue.licence import UNKNOWN, Credit
from bl30k_gen.library.catalogue.measure import measure
from bl30k_gen.library.checking.inspector import Inspector
from bl30k_gen.library.formats.glb import as_glb
from bl30k_gen.library.formats.source import MESH, model_folder
from bl30k_gen.library.load import load_image, load_model
from bl30k_gen.render.child import BlenderChild, ChildDied
from bl30k_gen.render.tools import turntable
from bl30k_gen.text import plural

MAX_FACES = 5_000_000  # of a model before it is reduced


@dataclass(frozen=True)
class Added:
    """The outcome for one file."""

    file: str
    facts: str
    strip: str  # path of the image
    kept: str | None  # path of the copy; None if no copy was asked for


@dataclass(frozen=True)
class AddOptions:
    strips: Path  # folder for the images
    to: Path | None  # folder for copies of the assets
    max_faces: int | None
    credit: Credit


class Studio:
    """The Blender process that renders strips: started for the first one, and again after a crash."""

    def __init__(self, device: str, timeout: float):
        self._device, self._timeout = device, timeout
        self._child: BlenderChild | None = None

    def __enter__(self) -> "Studio":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def child(self) -> BlenderChild:
        """The running process. Raises UserError if it does not start."""
        if self._child is None:
            try:
                self._child = BlenderChild(self._device, 0, self._timeout)
            except ChildDied as death:
                last = next((line.strip() for line in reversed(death.log) if line.strip()), "it printed nothing")
                raise UserError(f"{death.reason}: {last}", "try `generate.py doctor`") from None
        return self._child

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


def add(path: Path, config: Config, options: AddOptions, inspector: Inspector, studio: Studio) -> Added:
    """Check one model or image, render its strip, and copy it.

    Images, and models in one file, are copied byte for byte. A model in several files, or a reduced one, is stored as
    a GLB; author and licence that its own file states go into the manifest.

    Raises:
        AssetRefused: it cannot be used or rendered.
        UserError: it is neither model nor image, or another file has the name of the copy.
    """
    try:
        return _add(path, config, options, inspector, studio)
    except ChildDied as death:
        studio.close()
        raise AssetRefused(f"{printable(str(path))}: cannot be drawn: {death.reason}") from None


def _add(path: Path, config: Config, options: AddOptions, inspector: Inspector, studio: Studio) -> Added:
    kind = kind_of(path)
    limits = config.assets.limits
    if options.max_faces is not None:
        limits = limits.model_copy(update={"max_faces": max(limits.max_faces, MAX_FACES)})
    if reason := inspector.examine(str(path), kind, limits).refused:
        raise AssetRefused(reason)
    with tempfile.TemporaryDirectory(prefix="bl30k-add-") as folder:
        used, suffix, data = path, path.suffix.lower(), path.read_bytes()
        if kind == "model":
            model = load_model(str(path), limits)
            original_faces = sum(len(part.faces) for part in model.parts)
            too_many = options.max_faces is not None and original_faces > options.max_faces
            if too_many or sha256_bytes(data) != model.sha256:
                data = (
                    turntable.reduce(str(path), options.max_faces, limits, studio.child())
                    if options.max_faces is not None and too_many
                    else as_glb(model)
                )
                suffix, used = ".glb", Path(folder) / "model.glb"
                used.write_bytes(data)
                model = load_model(str(used), config.assets.limits)
            rows = turntable.model_rows(str(used), model, config, Path(folder))
            facts = describe(model, original_faces)
        else:
            rows = turntable.image_rows(str(used), Path(folder))
            facts = describe(load_image(str(path), kind, limits))
        name = _name(path)
        sheet = turntable.strip(rows, f"{path.name}: {facts}", config, studio.child(), Path(folder))
        image = io.BytesIO()
        sheet.save(image, "PNG")
        strip = options.strips / f"{name}{suffix}.png"
        write_atomically(strip, image.getvalue())
        credit = options.credit if options.credit != Credit() else measure(str(path)).credit or Credit()
        kept = _keep(options.to / f"{name}{suffix}", data, credit) if options.to is not None else None
    return Added(str(path), facts, str(strip), kept)


def kind_of(path: Path) -> Literal["model", "texture"]:
    """``model`` or ``texture``, by a file's suffix. Raises UserError for another suffix or a missing file."""
    if not path.is_file():
        raise UserError(f"{path} {'is no file' if path.exists() else 'does not exist'}", "give a model or an image")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES["model"]:
        return "model"
    if suffix in SUFFIXES["texture"]:
        return "texture"
    known = ", ".join(SUFFIXES["model"] + SUFFIXES["texture"])
    raise UserError(f"{path} is neither a model nor an image", f"give a file that ends in one of {known}")


def require_names(files: Iterable[Path]) -> None:
    """Raises UserError as ``kind_of``, and where two files would get the same name."""
    known: dict[tuple[str, str], Path] = {}
    for file in files:
        other = known.setdefault((kind_of(file), _name(file)), file)
        if other is not file:
            raise UserError(f"{other} and {file} would both be called {_name(file)}", "rename one of the two")


def describe(asset: Model | ImageAsset, original_faces: int | None = None) -> str:
    """One line of facts. ``original_faces``: number of faces before the model was reduced."""
    if isinstance(asset, ImageAsset):
        height, width = asset.pixels.shape[:2]
        return f"{width} x {height} pixels"
    faces = sum(len(part.faces) for part in asset.parts)
    size = " x ".join(f"{extent:.2f}" for extent in np.ptp(asset.vertices, axis=0))
    mapped = sum(part.uv is not None for part in asset.parts)
    textured = sum(part.texture is not None for part in asset.parts)
    of_all = f" of {original_faces}" if original_faces not in (None, faces) else ""
    return (
        f"{faces} faces{of_all} in {plural(len(asset.parts), 'part')} "
        f"({mapped} with UVs, {textured} with a texture{', with holes' if turntable.has_holes(asset) else ''}), "
        f"width x depth x height {size} at a diagonal of 1"
    )


def _name(path: Path) -> str:
    """The name of an asset: that of its file, or of its folder for ShapeNet models, whose files share one name."""
    model = model_folder(path.absolute())
    if model is None and path.name == Path(MESH).name:
        model = path.absolute().parent
    return model.name if model is not None else path.stem


def _keep(target: Path, data: bytes, credit: Credit) -> str:
    if target.exists() and target.read_bytes() != data:
        raise UserError(f"{target} is another file already", "rename one of the two")
    write_atomically(target, data)
    if credit != Credit():
        known = {key: value for key, value in asdict(credit).items() if value not in ("", UNKNOWN)}
        line = {"file": target.name, "sha256": sha256_bytes(data), **known}
        manifest.append(target.parent / manifest.NAME, line)
    return str(target)
