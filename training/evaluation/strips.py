"""Images for visual checks: frames with annotation, prediction and error map in rows."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from bl30k_gen.dataset.files import decode_rgb, write_atomically
from bl30k_gen.dataset.images import IMAGE_LIMIT, SUFFIXES
from bl30k_gen.dataset.listing import by_frame
from bl30k_gen.dataset.masks import Rule, palette
from bl30k_gen.errors import UserError
from bl30k_gen.inputs import read_bytes
from training.evaluation.captions import EMPTY, captioned
from training.evaluation.folders import MaskVideo
from training.evaluation.metrics import boundary

#: Colours of the error map.
ERROR_COLOURS = {
    "right": (70, 160, 90),
    "missed": (60, 110, 230),  # only in the annotation
    "invented": (220, 60, 50),  # only predicted
    "confused": (240, 190, 40),  # predicted as another object
}
LEGEND = {**ERROR_COLOURS, "void": (96, 96, 96)}


def overlay(image: np.ndarray, ids: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """The image (H, W, 3) uint8 with each object of (H, W) tinted in its palette colour and outlined."""
    colours = palette()[ids & 255].astype(np.float32)
    tinted = np.where((ids != 0)[..., None], (1 - opacity) * image + opacity * colours, image)
    return np.where(boundary(ids)[..., None], colours * 0.3 + 0.7 * 255, tinted).astype(np.uint8)


def error_map(truth: np.ndarray, prediction: np.ndarray, void: np.ndarray | None = None) -> np.ndarray:
    """(H, W, 3) uint8: ``ERROR_COLOURS`` by pixel, black for correct background, grey for void."""
    out = np.zeros((*truth.shape, 3), np.uint8)
    out[(truth == prediction) & (truth != 0)] = ERROR_COLOURS["right"]
    out[(truth != 0) & (prediction == 0)] = ERROR_COLOURS["missed"]
    out[(truth == 0) & (prediction != 0)] = ERROR_COLOURS["invented"]
    out[(truth != 0) & (prediction != 0) & (truth != prediction)] = ERROR_COLOURS["confused"]
    if void is not None:
        out[void] = LEGEND["void"]
    return out


def write_strip(
    truth: str | Path,
    predictions: str | Path,
    video: str,
    out: str | Path,
    images: str | Path | None = None,
    frames: Sequence[str] | None = None,
    columns: int = 5,
    width: int = 320,
    rules: tuple[Rule, Rule] | tuple[None, None] = (None, None),
) -> None:
    """Write a PNG with three rows: annotation, prediction, error map; with labels, frame names and a legend.

    Frames without any annotated or predicted object have a note.

    Args:
        truth, predictions: folders of video folders, as for ``score_folders``.
        images: folder of video folders of RGB frames to draw the masks on; black if None.
        frames: names of the frames to show; ``columns`` evenly spaced ones if None.
        width: of one image, pixels.
        rules: the mask rules of both folders, see ``MaskVideo``.

    Raises:
        UserError: a mask or image is missing or damaged, or sizes differ.
    """
    annotated = MaskVideo(Path(truth) / video, rule=rules[0])
    predicted = MaskVideo(Path(predictions) / video, rule=rules[1])
    if frames is None:
        shared = [name for name in annotated.names if name in set(predicted.names)]
        if not shared:
            raise UserError(f"no mask of {predicted.folder} has the name of an annotation", "name the frames alike")
        frames = [shared[i] for i in np.linspace(0, len(shared) - 1, min(columns, len(shared))).round().astype(int)]
    strip: list[np.ndarray] = []
    notes: dict[tuple[int, int], str] = {}
    for column, name in enumerate(frames):
        expected, found = annotated.read(name), predicted.read(name)
        image = _image(Path(images) / video, name) if images else np.zeros((*expected.ids.shape, 3), np.uint8)
        if not expected.ids.shape == found.ids.shape == image.shape[:2]:
            raise UserError(f"{video} {name}: image, annotation and prediction differ in size", "use one resolution")
        errors = error_map(expected.ids, found.ids, expected.void)
        notes |= {(row, column): EMPTY for row, mask in enumerate((expected, found)) if not mask.ids.any()}
        cells = overlay(image, expected.ids), overlay(image, found.ids), errors
        height = round(width * image.shape[0] / image.shape[1])
        strip.append(np.concatenate([_shrink(cell, width, height) for cell in cells]))
    buffer = io.BytesIO()
    grid = np.concatenate(strip, axis=1)
    rows = f"{video}\nannotation", "prediction", "errors"
    Image.fromarray(captioned(grid, rows, frames, LEGEND, notes)).save(buffer, "PNG")
    write_atomically(out, buffer.getvalue())


def _shrink(image: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))


def _image(folder: Path, name: str) -> np.ndarray:
    if folder.is_dir() and (file := by_frame((p.name for p in folder.iterdir()), SUFFIXES, folder).get(name)):
        return decode_rgb(read_bytes(folder / file, IMAGE_LIMIT), folder / file)
    raise UserError(f"{folder / name}.jpg is missing", "give the folder that holds the videos' RGB frames")
