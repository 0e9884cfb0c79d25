"""Which properties of renders, training and network count on real video? One factor at a time, on one core; resumable.

    python -m benchmarks.learning.transfer DAVIS --out out/transfer [--results docs/results]

Small STCNs of benchmarks/learning/transfer.yaml learn from nothing on rendered videos. They are judged on all videos
of DAVIS at 240 pixels, none of which plays any part in training: J&F, and J at some distances from the given mask,
beside the first mask copied. Intervals come from bootstrapping videos and seeds.

The renders are drawn first by ``generate.py`` with benchmarks/learning/transfer_renders.yaml. A run and its scores
that are there already are not made again: more seeds, factors or a later continuation cost what is missing.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from benchmarks.learning.small import calibrated, small_stage
from bl30k_gen.dataset import files
from bl30k_gen.dataset.reader import open_dataset
from models.propagation import PropagationNetwork
from training.engine.distributed import processes
from training.engine.trainer import Trainer
from training.evaluation.metrics import score_frame
from training.evaluation.semi_supervised import PROTOCOLS
from training.experiments.evaluate import StoredFrames, given_masks
from training.inference.load import load_network
from training.inference.segment import checked_options, segment_frames

PRESET = Path(__file__).with_name("transfer.yaml")
SHORT_SIDE = 240
DISTANCES = (1, 5, 10, 20)
COPIED = "first mask copied"


@dataclass(frozen=True)
class Factor:
    """One change of the start.

    changes: of the stage. learns: the batch norms' statistics follow the samples. data: name of the videos.
    calibration: name of the videos whose statistics batch norms begin with, the training's own if None. options: of
    inference.
    """

    name: str
    changes: tuple[str, ...] = ()
    data: str = "renders"
    learns: bool = False
    calibration: str | None = None
    options: tuple[tuple[str, object], ...] = ()


def train(factor: Factor, data: Path, calibration: Path, iterations: int, seed: int, out: Path) -> Path:
    """The finished run of a factor."""
    stage = small_stage("stcn/bl30k", {"bl30k": data}, iterations, seed, *factor.changes, preset=PRESET)
    before = small_stage("stcn/bl30k", {"bl30k": calibration}, iterations, seed, *factor.changes, preset=PRESET)
    print(f"--- {out}", flush=True)
    with processes("cpu") as group:
        trainer = Trainer(stage, out, group, calibrated(before, out.with_name(f"{out.name}-start.pt")))
        for module in trainer.network.modules() if factor.learns else ():
            if isinstance(module, nn.BatchNorm2d):
                module.train()
        trainer.run()
    return out


def score(network: Path | None, real: Path, out: Path, options: dict) -> dict[str, list[list[float]]]:
    """J and F of every frame after the first, [[J, F], ...] by video; of the first mask copied if no network."""
    if not out.exists():
        store = open_dataset(real)
        loaded = None if network is None else load_network(network, PropagationNetwork, device="cpu")
        found = {}
        for name in store.videos:
            truth = [store.read_mask(name, i).ids for i in range(len(store.frames(name)))]
            if loaded is None:
                masks = [truth[0]] * len(truth)
            else:
                given = given_masks(store, name, PROTOCOLS["davis17"])
                settings = checked_options(loaded, **options)
                masks = [r.labels() for r in segment_frames(loaded, StoredFrames(store, name), given, settings)]
            pairs = zip(truth[1:], masks[1:], strict=True)
            found[name] = [score_frame(true, mask, [1])[0].round(4).tolist() for true, mask in pairs]
        files.write_atomically(out, json.dumps(found))
    return json.loads(out.read_text())
