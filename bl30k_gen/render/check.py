"""The mask check: compares rendered masks with those that the scene description predicts."""

import numpy as np

from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.masks import read_values
from bl30k_gen.library.cache import cached_model
from bl30k_gen.scene import raster
from bl30k_gen.scene.spec import SceneSpec


def check_masks(spec: SceneSpec, config: Config, layout: Layout) -> tuple[list[str], np.ndarray]:
    """Compare every staged mask with the predicted one.

    Returns:
        Problems, empty if the masks agree; and the visible area of each object, (frames, objects) pixels.
    """
    models = {o.model.id: cached_model(o.model.path, spec.limits) for o in spec.objects}
    ids = [described.id for described in spec.objects]
    problems: list[str] = []
    areas = np.zeros((spec.video.frames, len(ids)), dtype=np.int64)
    for frame in range(spec.video.frames):
        mask = read_values(layout.staged_mask(spec.name, frame))
        areas[frame] = np.bincount(mask.ravel(), minlength=256)[ids]
        problems += (f"frame {frame}: {line}" for line in raster.compare(mask, spec, models, frame, config.check))
    if ids and not areas.any():
        problems.append("no object is seen in any frame")
    return problems, areas
