"""Small videos with masks for tests: a red disc that moves over blue, id 1 in the masks."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (64, 48)  # width, height


def disc(number: int, soft: float = 0.0) -> np.ndarray:
    """(H, W) float from 0 to 1, with an edge that fades over ``soft`` pixels."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    return np.clip((9.3 - np.hypot(y - 24, x - 14 - 2 * number)) / max(soft, 1e-6) + 0.5, 0, 1)


def mask(number: int, label: int = 1, soft: float = 0.0) -> np.ndarray:
    """(H, W) uint8 mask of an object; with soft edges, values rise up to ``label``."""
    return np.round(label * disc(number, soft)).astype(np.uint8)


def frame(number: int) -> np.ndarray:
    """(H, W, 3) uint8."""
    inside = disc(number)[..., None]
    return (inside * (220, 40, 40) + (1 - inside) * (40, 40, 180)).astype(np.uint8)


def write_masks(folder: Path, masks: list[np.ndarray], digits: int = 5, suffix: str = "png") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, values in enumerate(masks):
        Image.fromarray(values).save(folder / f"{number:0{digits}d}.{suffix}", "PNG")


def write_video(root: Path, name: str, frames: int, digits: int = 5, suffix: str = "jpg", **options: Any) -> None:
    """JPEGImages and Annotations of a video; ``options`` are for saving its frames."""
    (root / "JPEGImages" / name).mkdir(parents=True, exist_ok=True)
    for number in range(frames):
        image = Image.fromarray(frame(number))
        image.save(root / "JPEGImages" / name / f"{number:0{digits}d}.{suffix}", **options)
    write_masks(root / "Annotations" / name, [mask(number) for number in range(frames)], digits)
