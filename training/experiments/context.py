"""The common settings of all rows of a table, and the result of a measurement."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bl30k_gen.dataset.masks import Meaning
from bl30k_gen.dataset.reader import VideoStore
from bl30k_gen.errors import UserError
from models.backbone import Network
from models.clicks import ClickNetwork
from models.fusion import Fusion
from models.propagation import PropagationNetwork
from models.s2m import S2M
from training.evaluation.semi_supervised import PROTOCOLS
from training.experiments.evaluate import given_masks, open_annotated
from training.inference.load import load_network
from training.inference.options import Options
from training.inference.segment import checked_options
from training.inference.video import StoredFrames
from training.schema.table import NO_CHECKPOINT, TableRow

MAX_FRAMES = 60
"""Frames of the first video that are used for timing and for the embeddings in memory."""


@dataclass(frozen=True)
class Measurement:
    """values: {column: number}. series: {name: values along a curve}, all of one length."""

    values: dict[str, float]
    series: dict[str, list] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationContext:
    """Data, checkpoints and options for all rows of a table.

    checkpoints: {name: path}. options: defaults of all rows. scribbles: first scribbles; None: the robot's.
    masks: what the dataset's masks mean; None: decided over the whole dataset.
    """

    dataset: Path
    checkpoints: Mapping[str, Path]
    split: str | None = None
    protocol: str = "davis17"
    scribbles: Path | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    workers: int = 1
    masks: Meaning | None = None
    say: Callable[[str], None] = print

    @cached_property
    def data(self) -> tuple[VideoStore, list[str], Path]:
        """The dataset, the names of the videos to evaluate, and the folder of annotations."""
        return open_annotated(self.dataset, self.split, self.masks)

    def network(self, row: TableRow) -> tuple[PropagationNetwork, Options]:
        network = self.load(row.network, PropagationNetwork)
        return network, self._options(network, row)

    def check(self, rows: Sequence[TableRow]) -> None:
        """Raise UserError for a checkpoint or an option that does not fit its row, before anything is measured."""
        kinds: dict[str, type[torch.nn.Module]] = {"s2m": S2M, "clicks": ClickNetwork, "fusion": Fusion}
        parts = ((getattr(row, part), kind) for row in rows for part, kind in kinds.items())
        for name, kind in dict.fromkeys(parts):
            if name not in NO_CHECKPOINT:
                self.load(name, kind)
        names = dict.fromkeys(row.network for row in rows if row.network)
        networks = {name: self.load(name, PropagationNetwork) for name in names}
        for row in rows:
            if row.network:
                try:
                    self._options(networks[row.network], row)
                except UserError as error:
                    raise UserError(f"row {row.name}: {error.what}", error.remedy) from None

    def _options(self, network: PropagationNetwork, row: TableRow) -> Options:
        return checked_options(network, **{**self.options, **row.options})

    def load(self, name: str | None, kind: type[Network]) -> Network:
        """The checkpoint that a row names."""
        assert name is not None  # checked by TableSpec
        return load_network(self.checkpoints[name], kind, device=self.device)

    def first_video(self) -> tuple[str, list[np.ndarray], np.ndarray, tuple[int, ...]]:
        """The first video: its name, at most ``MAX_FRAMES`` frames, the mask of the first one and its objects."""
        store, names, _ = self.data
        given = given_masks(store, names[0], PROTOCOLS["davis17"])
        if 0 not in given:
            raise UserError(f"video {names[0]} shows no object in its first frame", "begin the list with another")
        objects = tuple(int(label) for label in np.unique(given[0]) if label)
        return names[0], list(islice(StoredFrames(store, names[0]), MAX_FRAMES)), given[0], objects
