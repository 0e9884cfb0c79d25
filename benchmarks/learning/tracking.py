"""Training of a small network on renders: tracking and fusion, on the processor, resumable, with held-out videos.

    python generate.py render --config benchmarks/learning/renders.yaml --out out/renders --count 80
    python -m benchmarks.learning.tracking out/renders --out out/learning [--seeds 2] [--results docs/results]

RENDERS is a dataset with the lists ``train`` and ``val``, whose videos share no model and no background.

1. **Tracking.** Compared are a small STCN trained from random weights on the training videos; as a control, the same
   network on the same samples with the masks of all frames shuffled; and each object's first mask copied. J is
   measured on the held-out videos as a function of the distance to the frame whose mask was given. All is repeated
   with other seeds.
2. **Fusion.** Fusion data are made with the first seed's network. A fusion network is trained on those of the
   training videos, and compared with linear blending on held-out videos. Its change of two identical inputs is
   measured too.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.learning.small import axes_of, calibrated, save, small_stage, train, write_page
from benchmarks.page import load, table
from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.reader import VideoStore, open_dataset
from bl30k_gen.errors import run_entry_point
from bl30k_gen.seeding import rng
from models import checkpoint
from models.aggregate import object_logits
from models.fusion import Fusion, blend
from training.data.mixture import Draw, open_mixture
from training.data.sample import FusionBatch
from training.evaluation.semi_supervised import Results
from training.experiments.evaluate import evaluate_semi_supervised
from training.pipeline.fusion_data import make_fusion_data
from training.runs.folder import network_file
from training.schema.stage import Stage, load_stage
from training.tasks.fusion import FusionStep
from training.tasks.losses import overlap

FAR = 10
"""Frames between the given mask and a scored one that counts as distant."""

COPIED = "first mask copied"

SEPARATION, RANGE = 9, 12
"""Of the fusion data: frames between references, and frames that they are propagated."""

STILL = "augmentation.sequence={flip: 0, scale: null, crop_ratio: null, jitter: {brightness: 0, contrast: 0, "
STILL += "saturation: 0, hue: 0, grey: 0}}"


def shuffled(renders: Path, out: Path, seed: int) -> Path:
    """Write the training videos with the masks of all their frames shuffled; kept if ``out`` exists."""
    if out.exists():
        return out
    store, staged = open_dataset(renders), Layout(out.with_name(f".{out.name}.part"))
    names = store.image_set("train")
    places = [(name, number) for name in names for number in store.mask_frames(name)]
    masks = [places[i] for i in rng(seed, "shuffled").permutation(len(places))]
    for (name, number), (other, frame) in zip(places, masks, strict=True):
        files.write_atomically(staged.rgb(name, number), store.rgb_bytes(name, number))
        files.write_atomically(staged.mask(name, number), store.mask_bytes(other, frame))
    files.write_atomically(staged.image_set("train"), "".join(f"{name}\n" for name in names))
    files.replace(staged.root, out)
    return out


def by_distance(results: Results, store: VideoStore) -> dict[int, np.ndarray]:
    """J of all objects, as fractions, by the distance from the frame in which the object was given."""
    found: dict[int, list[float]] = {}
    for score in results.objects:
        numbers = {frame: number for number, frame in enumerate(store.frames(score.video))}
        given = numbers[score.frames[0]] - 1
        for frame, (j, _) in zip(score.frames, score.values / 100, strict=True):
            found.setdefault(numbers[frame] - given, []).append(j)
    return {distance: np.array(values) for distance, values in sorted(found.items())}


def track(renders: Path, out: Path, iterations: int, seed: int) -> dict[str, dict[int, np.ndarray]]:
    """Train and score the network and its control; returns J by distance of each."""
    stage = small_stage("stcn/bl30k", {"bl30k": renders}, iterations, seed)
    start = calibrated(stage, out / "start.pt")
    pairs = shuffled(renders, out / "shuffled", seed)
    networks = {
        "trained on renders": train(stage, out / "network", start),
        "control, masks shuffled": train(
            small_stage("stcn/bl30k", {"bl30k": pairs}, iterations, seed), out / "control", start
        ),
    }
    store, curves = open_dataset(renders), {}
    for label, folder in networks.items():
        scored = evaluate_semi_supervised(
            folder, renders, out / f"scores-{folder.name}", "youtube", "val", device="cpu", say=lambda text: None
        )
        network, copied, _ = scored.values()
        curves[label] = by_distance(network, store)
        curves[COPIED] = by_distance(copied, store)
    return curves


def far(curve: dict[int, np.ndarray]) -> float:
    """Mean J at distances of ``FAR`` and more."""
    return float(np.concatenate([values for distance, values in curve.items() if distance >= FAR]).mean())


def plot(runs: list[dict[str, dict[int, np.ndarray]]], out: Path) -> None:
    """Plot J against distance: the mean over seeds, and bands from the smallest to the largest seed."""
    figure, axes = axes_of(6, 4, xlabel="frames since the given mask", ylabel="J, mean over objects", ylim=(0, 1))
    for label, curve in runs[0].items():
        distances = list(curve)
        means = np.array([[values.mean() for values in run[label].values()] for run in runs])
        (line,) = axes.plot(distances, means.mean(0), marker="o", markersize=3, label=label)
        axes.fill_between(distances, means.min(0), means.max(0), color=line.get_color(), alpha=0.2, linewidth=0)
    axes.axvline(FAR, color="grey", linewidth=0.8, linestyle=":")
    axes.legend(frameon=False)
    save(figure, out)


def fusion_stage(fusion_set: Path, alignment: Path, iterations: int, *overrides: str) -> Stage:
    schedule = [
        f"iterations={iterations}",
        f"loss.warm_up=[{iterations // 5}, {iterations // 2}]",
        f"optimiser.decay_at=[{max(1, 3 * iterations // 4)}]",
        f"alignment={network_file(alignment)}",
        "model={difference_aware: true, dim: 16}",
        "size=160",
        "optimiser.learning_rate=2e-3",
        "runtime.precision=fp32",
        "runtime.save_every=100",
    ]
    return load_stage("fusion/bl30k", [*schedule, *overrides], [f"bl30k_fusion={fusion_set}"], preset="tiny-fusion")


def fuse(renders: Path, network: Path, out: Path, iterations: int, samples: int) -> dict[str, float]:
    """Train a fusion network; returns means of ``evaluate_fusion`` over samples of held-out videos."""
    for split, part in (("train", (0, 2)), ("val", (0, 1))):
        names = open_dataset(renders).image_set(split)
        make_fusion_data(network, renders, out / split, names, SEPARATION, RANGE, shard=part, device="cpu", say=print)
    folder = train(fusion_stage(out / "train", network, iterations), out / "network")
    trained = checkpoint.load(network_file(folder))
    assert isinstance(trained, Fusion)
    fusion = FusionStep(trained, checkpoint.load(network_file(network)))
    mixture = open_mixture(fusion_stage(out / "val", network, iterations, STILL))
    videos = len(mixture.sources[0])
    rows = []
    for number in range(samples):
        sample = mixture[Draw(0, number, 0, number % videos, 1)]
        rows.append(evaluate_fusion(fusion, FusionBatch.collate([sample]).to(torch.device("cpu"))))
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]} | {
        "better than blending, share of samples": float(np.mean([r["fused"] > r["linear blending"] for r in rows])),
        "standard error of the gain": float(
            np.std([r["fused"] - r["linear blending"] for r in rows], ddof=1) / np.sqrt(len(rows))
        ),
    }


@torch.no_grad()
def evaluate_fusion(fusion: FusionStep, batch: FusionBatch) -> dict[str, float]:
    """Mean IoU of one sample's objects by each method, and the mean change of a mask that both inputs are."""
    inside = batch.true > 0.5
    labels = torch.where(inside.any(1), inside.float().argmax(1) + 1, 0)

    def iou(masks: torch.Tensor) -> float:
        return overlap(masks[:, None], labels[:, None], batch.present).item()

    def softness(*masks: torch.Tensor) -> float:
        """Mean distance of pixels from the nearer of 0 and 1."""
        return float(np.mean([torch.minimum(mask, 1 - mask)[batch.present].mean().item() for mask in masks]))

    def aggregated(masks: torch.Tensor) -> torch.Tensor:
        return object_logits(masks * batch.present[:, :, None, None]).softmax(1)[:, 1:]

    def fused(one: torch.Tensor, other: torch.Tensor, difference: torch.Tensor) -> torch.Tensor:
        logits = fusion.network(batch.image, one, other, batch.distance, difference)
        return aggregated(torch.sigmoid(logits))

    difference = fusion.differences(batch)

    def change(mask: torch.Tensor) -> float:
        """Mean change over the pixels of a mask that is given as both inputs."""
        return (fused(mask, mask, torch.zeros_like(difference)) - mask)[batch.present].abs().mean().item()

    return {
        "farther or nearer reference, the better": max(iou(batch.older), iou(batch.newer)),
        "older": iou(batch.older),
        "newer": iou(batch.newer),
        "linear blending": iou(aggregated(blend(batch.older, batch.newer, batch.distance))),
        "fused": iou(fused(batch.older, batch.newer, difference)),
        "change of identical inputs, true masks": change(inside.float()),
        "change of identical inputs, propagated masks": (change(batch.older) + change(batch.newer)) / 2,
        "how soft propagated masks are": softness(batch.older, batch.newer),
    }


def describe_tracking(runs: list[dict[str, dict[int, np.ndarray]]], image: Path, page: Path) -> list[str]:
    def spread(values: list[float], sign: str = "") -> str:
        mean = f"{np.mean(values):{sign}.3f}"
        return mean if len(values) == 1 else f"{mean} ({min(values):{sign}.3f} to {max(values):{sign}.3f})"

    rows = []
    for label in runs[0]:
        near, distant = [run[label][1].mean() for run in runs], [far(run[label]) for run in runs]
        gains = [value - far(run[COPIED]) for value, run in zip(distant, runs, strict=True)]
        rows.append([label, spread(near), spread(distant), spread(gains, "+")])
    columns = ["", "J at distance 1", f"J at distances of {FAR} and more", "more than copying"]
    return [
        table(columns, rows),
        "",
        f"![J against distance]({image.relative_to(page.parent)})",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path, help="rendered videos, with lists train and val")
    parser.add_argument("--out", type=Path, default=Path("out/learning"), help="for runs and scores")
    parser.add_argument("--iterations", type=int, default=3200, help="of the tracking networks")
    parser.add_argument("--fusion-iterations", type=int, default=1200)
    parser.add_argument("--samples", type=int, default=200, help="samples that fusion is evaluated on")
    parser.add_argument("--seeds", type=int, default=2, help="of the tracking networks")
    parser.add_argument("--results", type=Path, default=Path("out/learning/results"), help="folder of the page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before, page = load(), arguments.results / "learning.md"
    store = open_dataset(arguments.renders)
    folders = [arguments.out / f"seed-{seed}" for seed in range(arguments.seeds)]
    runs = [track(arguments.renders, out, arguments.iterations, seed) for seed, out in enumerate(folders)]
    image = arguments.results / "learning.png"
    plot(runs, image)
    fused = fuse(
        arguments.renders,
        folders[0] / "network",
        arguments.out / "fusion",
        arguments.fusion_iterations,
        arguments.samples,
    )
    lines = [
        f"{len(store.image_set('train'))} rendered videos for training, {len(store.image_set('val'))} held out with "
        "models and backgrounds of their own. STCN of benchmarks/learning/small.yaml, "
        f"{arguments.iterations} iterations from random weights; means over {arguments.seeds} seeds (smallest to "
        "largest).",
        "",
        "## Tracking",
        "",
        *describe_tracking(runs, image, page),
        "",
        "## Fusion",
        "",
        f"Trained {arguments.fusion_iterations} iterations on propagations by the network above; evaluated on "
        f"{arguments.samples} samples of the held-out videos.",
        "",
        table(["", "value"], [[label, f"{value:.4f}"] for label, value in fused.items()]),
    ]
    write_page(page, "A small network learns from renders", lines, before)


if __name__ == "__main__":
    run_entry_point(main)
