"""Train the small networks that come with the project, from built-in renders alone; resumable.

    python generate.py render --config benchmarks/learning/transfer_renders.yaml --out out/small_renders --count 68
    python -m benchmarks.learning.small_networks out/small_renders --out out/small

Propagation is trained with crops of 96 pixels first, then with crops of 128 that cover more of a frame; S2M is
trained on the frames. Both use the renders and copy-paste videos of objects cut out of them (``cutouts``). Fusion is
trained on propagations of renders by the first. No real image and no downloaded weights are used. ``train.py export
--half`` writes the files of training/weights from the runs in ``--out``.
"""

import argparse
from pathlib import Path

import cv2
import torch

from benchmarks.learning import cutouts
from benchmarks.learning.small import calibrated, small_stage, train
from benchmarks.learning.tracking import fusion_stage
from benchmarks.learning.transfer import COLOUR, PRESET
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import run_entry_point
from training.pipeline.fusion_data import make_fusion_data
from training.runs.folder import SMALL, network_file
from training.schema.stage import Stage, load_stage

FLAT = 400
"""Number of copy-paste videos."""
FUSION_VIDEOS, FUSION_ITERATIONS = 60, 800
SEPARATION, RANGE = 3, 7
"""Frames between references of fusion data, and of each propagation, in renders of eight frames."""

FRAME_COLOUR = "augmentation.frame.jitter={brightness: 0.05, contrast: 0.05, saturation: 0.05, hue: 0, grey: 0}"


def propagation_stage(renders: Path, flat: Path, iterations: int, crop: str, *changes: str) -> Stage:
    """A stage with renders twice as often as copy-paste videos. crop: range of the fraction of a frame in a crop."""
    source = "data.cutouts={kind: videos, weight: 1, split: null, names: null, share: 1, annotated_every: 1, "
    source += f"label_filter: small, crop_scale: {crop}, path: {flat}}}"
    rendered = ["data.bl30k.split=null", "data.bl30k.weight=2", f"data.bl30k.crop_scale={crop}"]
    overrides = ["model.norm=group", *rendered, source, COLOUR, FRAME_COLOUR, *changes]
    return small_stage("stcn/bl30k", {"bl30k": renders}, iterations, 0, *overrides, preset=PRESET)


def train_propagation(renders: Path, flat: Path, out: Path) -> Path:
    start = small_stage(
        "stcn/bl30k", {"bl30k": renders}, 10, 0, "model.norm=group", "data.bl30k.split=null", preset=PRESET
    )
    schedule = "optimiser.learning_rate=6e-4", "optimiser.decay_at=[5900]", "loss.warm_up=[600, 1500]"
    stage = propagation_stage(renders, flat, 6000, "[0.12, 0.6]", *schedule)
    first = train(stage, out / "propagation-96", calibrated(start, out / "start.pt"))
    schedule = "optimiser.learning_rate=5e-4", "optimiser.decay_at=[1100]", "loss.warm_up=[1, 2]"
    scale = "size=128", "augmentation.frame.scale=[0.88, 1.14]"
    return train(propagation_stage(renders, flat, 1600, "[0.2, 0.8]", *schedule, *scale), out / "propagation", first)


def s2m_stage(renders: Path, flat: Path, iterations: int) -> Stage:
    """A stage on the frames of both as still images, mostly from an empty mask."""
    left_out = [
        f"data.{name}.weight=0" for name in load_stage("s2m/static").sources if name not in ("fss", "duts_tr")
    ]
    changes = [
        "imagenet=none",
        "model={backbone: resnet18_half, dim: 64, low_dim: 16, norm: group}",
        "size=128",
        "batch=8",
        f"iterations={iterations}",
        "validation=null",
        "data.fss.weight=1",
        "data.duts_tr.weight=3",
        "augmentation.sequence.scale=[1, 1.6]",
        COLOUR,
        "scribbles.from_zero=0.6",
        f"loss.warm_up=[{iterations // 4}, {iterations // 2}]",
        "loss.kept=0.5",
        "optimiser.learning_rate=1e-3",
        "optimiser.warm_up=20",
        f"optimiser.decay_at=[{max(1, 3 * iterations // 4)}]",
        "optimiser.clip=1.0",
        "runtime.precision=bf16",
        "runtime.channels_last=true",
        "runtime.batch_per_step=8",
        "runtime.workers=0",
        "runtime.save_every=200",
        "runtime.keep=1",
    ]
    return load_stage("s2m/static", [*left_out, *changes], [f"fss={flat}", f"duts_tr={renders}"])


def train_fusion(renders: Path, out: Path) -> Path:
    """Train fusion on propagations through renders, by the network in ``out`` or else by the project's own."""
    trained = out / "propagation"
    network = network_file(trained if trained.exists() else SMALL)
    names = open_dataset(renders).videos[:FUSION_VIDEOS]
    make_fusion_data(network, renders, out / "fusion-data", names, SEPARATION, RANGE, device="cpu")
    return train(fusion_stage(out / "fusion-data", network, FUSION_ITERATIONS), out / "fusion")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path, help="rendered videos, all of them for training")
    parser.add_argument("--out", type=Path, default=Path("out/small"), help="for runs")
    parser.add_argument("--part", choices=["propagation", "s2m", "fusion"], help="train this one only")
    parser.add_argument("--s2m-iterations", type=int, default=2500)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    renders, out = arguments.renders, arguments.out
    if arguments.part != "fusion":
        flat = cutouts.make(renders, out / "cutouts", FLAT)
    if arguments.part in (None, "propagation"):
        train_propagation(renders, flat, out)
    if arguments.part in (None, "s2m"):
        train(s2m_stage(renders, flat, arguments.s2m_iterations), out / "s2m")
    if arguments.part in (None, "fusion"):
        train_fusion(renders, out)


if __name__ == "__main__":
    run_entry_point(main)
