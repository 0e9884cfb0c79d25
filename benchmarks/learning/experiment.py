"""The effect of pretraining on renders on real video: four arms at equal iterations, on the processor, resumable.

    python generate.py render --config benchmarks/learning/renders.yaml --out out/renders --count 80
    python -m benchmarks.learning.experiment out/renders DAVIS --out out/experiment [--results docs/results]

DAVIS is a dataset with the lists ``train`` and ``val``; it is scaled to 240 pixels first. Every arm begins with the
same network, trained on still images for ``--static`` iterations, and continues for ``--iterations``:

    static                      on still images
    static > renders            on rendered videos
    static > real               on the training videos of DAVIS
    static > renders > real     half on rendered videos, then half on the training videos of DAVIS

The still images are single frames of the rendered training videos. The experiment is repeated with other seeds, which
change the initial weights and the samples. Scores are J&F on the validation videos; with ``--folds``, on all videos:
cross-validation, whose first fold has the list ``val``.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.learning import small
from benchmarks.learning.small import (
    axes_of,
    calibrated,
    save,
    shrink,
    small_stage,
    spread,
    stills,
    train,
    write_page,
)
from benchmarks.page import load, table
from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import run_entry_point
from training.evaluation.semi_supervised import Results
from training.experiments.evaluate import evaluate_semi_supervised
from training.schema.stage import Stage

SHORT_SIDE = 240
ARMS = ("static", "static > renders", "static > real", "static > renders > real")
COPIED = "first mask copied"


@dataclass(frozen=True)
class Experiment:
    """The data and settings of all arms.

    static: iterations on still images, common to all arms. iterations: of each arm after that. changes: of every
    stage, as ``KEY=VALUE``. folds: (training list, validation list) of the real videos.
    """

    renders: Path
    real: Path
    out: Path
    static: int
    iterations: int
    preset: Path
    changes: tuple[str, ...]
    folds: tuple[tuple[str, str], ...]

    def run(self, seed: int) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
        """Train and score all arms with one seed: J&F by arm and video, and that of the copied first mask."""
        scores: dict[str, dict[str, float]] = {arm: {} for arm in ARMS}
        copied: dict[str, float] = {}
        for training, validation in self.folds:
            for arm, network in self.train_arms(seed, training).items():
                out = self.out / f"seed-{seed}" / validation / arm.replace(" > ", "-")
                ours, first_mask = score(network, self.real, validation, out)
                scores[arm] |= by_video(ours)
                copied |= by_video(first_mask)
        return scores, copied

    def train_arms(self, seed: int, training: str) -> dict[str, Path]:
        """Train all arms with the real videos of one list; returns their networks. Complete runs are kept."""
        out, half = self.out / f"seed-{seed}", self.iterations // 2
        images, renders = {"fss": stills(self.renders, self.out.parent / "stills")}, {"bl30k": self.renders}
        real, split = {"davis": self.real}, f"data.davis.split={training}"

        def stage(name: str, data: dict[str, Path], iterations: int, part: int, *changes: str) -> Stage:
            settings = *self.changes, *changes
            seed_of_part = 10 * seed + part  # each part has other samples
            return small_stage(name, data, iterations, seed_of_part, *settings, preset=self.preset)

        first = stage("stcn/static", images, self.static, 0)
        base = train(first, out / "static", calibrated(first, out / "start.pt"))
        on_renders = train(stage("stcn/bl30k", renders, half, 1), out / "renders-half", base)
        return {
            "static": train(stage("stcn/static", images, self.iterations, 1), out / "static-static", base),
            "static > renders": train(stage("stcn/bl30k", renders, self.iterations, 1), out / "renders", base),
            "static > real": train(stage("stcn/vos", real, self.iterations, 1, split), out / training / "real", base),
            "static > renders > real": train(
                stage("stcn/vos", real, self.iterations - half, 2, split), out / training / "renders-real", on_renders
            ),
        }


def write_folds(real: Path, count: int) -> tuple[tuple[str, str], ...]:
    """Write lists for cross-validation into the dataset and return their names: of training, and of validation.

    The first validation list is ``val``; the other videos are dealt out in alphabetical order.
    """
    store = open_dataset(real)
    if count == 1:
        return (("train", "val"),)
    held = store.image_set("val")
    rest = [name for name in store.videos if name not in held]
    folds = [held, *(rest[part :: count - 1] for part in range(count - 1))]
    for number, fold in enumerate(folds):
        lists = {"val": fold, "train": [name for name in store.videos if name not in fold]}
        for kind, names in lists.items():
            text = "".join(f"{name}\n" for name in names)
            files.write_atomically(Layout(real).image_set(f"{kind}-{number}"), text)
    return tuple((f"train-{number}", f"val-{number}") for number in range(count))


def score(network: Path, real: Path, split: str, out: Path) -> tuple[Results, Results]:
    """Results of a network and of the copied first mask on the videos of a list."""
    results = evaluate_semi_supervised(network, real, out, "davis17", split, device="cpu", say=lambda text: None)
    ours, copied, *_ = results.values()
    return ours, copied


def by_video(results: Results) -> dict[str, float]:
    """J&F of each video, per cent."""
    return {score.video: (score.j.mean + score.f.mean) / 2 for score in results.objects}


def describe(scores: dict[str, list[dict[str, float]]], image: Path, page: Path) -> list[str]:
    """Tables of all arms: ``scores`` has J&F by video for each seed."""
    videos = list(scores[COPIED][0])
    values = {arm: np.array([[run[video] for video in videos] for run in runs]) for arm, runs in scores.items()}
    rows = []
    for arm, found in values.items():
        seeds = ", ".join(f"{mean:.1f}" for mean in found.mean(1)) if arm != COPIED else ""
        rows.append([arm, spread(found), seeds, *(f"{mean:.1f}" for mean in found.mean(0))])
    lines = [table(["arm", "J&F (95 %)", "seeds", *videos], rows)]
    for arm, other in (
        ("static > renders", "static"),
        ("static > renders > real", "static > real"),
        *((arm, COPIED) for arm in ARMS),
    ):
        gains = values[arm] - values[other]
        lines += ["", f"{arm} less {other}: {spread(gains, '+')} J&F; better in {(gains > 0).sum()} of {gains.size}."]
    return [*lines, "", f"![J&F of the four arms]({image.relative_to(page.parent)})"]


def plot(scores: dict[str, list[dict[str, float]]], out: Path) -> None:
    """A bar for the mean of each arm, a cross for each seed, dots for the videos."""
    figure, axes = axes_of(6.5, 4, ylabel="J&F (%)", ylim=(0, 100))
    for place, (arm, runs) in enumerate(scores.items()):
        means = [np.mean(list(run.values())) for run in runs]
        axes.bar(place, np.mean(means), width=0.6, color="lightgrey" if arm == COPIED else "tab:blue", alpha=0.5)
        axes.plot([place] * len(means), means, "kx", label="mean of a seed" if place == 0 else None)
        dots = [value for run in runs for value in run.values()]
        axes.plot([place + 0.2] * len(dots), dots, "k.", alpha=0.4, label="a video of a seed" if place == 0 else None)
    axes.set_xticks(range(len(scores)), [arm.replace(" > ", "\n> ") for arm in scores])
    axes.legend(frameon=False, loc="upper right")
    save(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path, help="rendered videos, with a list train")
    parser.add_argument("davis", type=Path, help="real videos, with lists train and val")
    parser.add_argument("--out", type=Path, default=Path("out/experiment"), help="for runs and scores")
    parser.add_argument("--static", type=int, default=400, help="iterations on still images, common to all arms")
    parser.add_argument("--iterations", type=int, default=800, help="of each arm after that")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--folds", type=int, default=1, help="of cross-validation on the real videos")
    parser.add_argument("--preset", type=Path, default=small.PRESET, help="settings of all stages")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting; repeatable"
    )
    parser.add_argument("--results", type=Path, default=Path("out/experiment/results"), help="folder of the page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before, page = load(), arguments.results / "experiment.md"
    real = shrink(arguments.davis, arguments.out / "real", SHORT_SIDE)
    experiment = Experiment(
        arguments.renders,
        real,
        arguments.out,
        arguments.static,
        arguments.iterations,
        arguments.preset,
        tuple(arguments.set),
        write_folds(real, arguments.folds),
    )
    scores: dict[str, list[dict[str, float]]] = {COPIED: [], **{arm: [] for arm in ARMS}}
    for seed in range(arguments.seeds):
        found, copied = experiment.run(seed)
        for arm in ARMS:
            scores[arm].append(found[arm])
        scores[COPIED] = [copied]
    image = arguments.results / "experiment.png"
    plot(scores, image)
    lines = [
        f"STCN of {arguments.preset.name}, from random weights: {arguments.static} iterations on still images, then "
        f"{arguments.iterations} in each arm, {arguments.seeds} seeds. Real videos at {SHORT_SIDE} pixels.",
        "",
        *describe(scores, image, page),
    ]
    write_page(page, "Does pretraining on renders help on real video?", lines, before)


if __name__ == "__main__":
    run_entry_point(main)
