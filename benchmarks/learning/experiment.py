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
change the initial weights and the samples. Scores are J&F on the validation videos.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from benchmarks.learning.small import axes_of, calibrated, save, shrink, small_stage, stills, train, write_page
from benchmarks.page import load, table
from training.evaluation.semi_supervised import Results
from training.experiments.evaluate import evaluate_semi_supervised

SHORT_SIDE = 240
ARMS = ("static", "static > renders", "static > real", "static > renders > real")
COPIED = "first mask copied"


def run_arms(renders: Path, real: Path, out: Path, static: int, iterations: int, seed: int) -> dict[str, Path]:
    """Train all arms with one seed; returns their networks by name."""
    images = {"fss": stills(renders, out.parent / "stills")}
    half = iterations // 2

    def stage(name: str, data: dict[str, Path], count: int, part: int):
        return small_stage(name, data, count, 10 * seed + part)  # each part has other samples

    first = stage("stcn/static", images, static, 0)
    base = train(first, out / "static", calibrated(first, out / "start.pt"))
    on_renders = train(stage("stcn/bl30k", {"bl30k": renders}, half, 1), out / "renders-half", base)
    return {
        "static": train(stage("stcn/static", images, iterations, 1), out / "static-static", base),
        "static > renders": train(stage("stcn/bl30k", {"bl30k": renders}, iterations, 1), out / "renders", base),
        "static > real": train(stage("stcn/vos", {"davis": real}, iterations, 1), out / "real", base),
        "static > renders > real": train(
            stage("stcn/vos", {"davis": real}, iterations - half, 2), out / "renders-real", on_renders
        ),
    }


def score(network: Path, real: Path, out: Path) -> tuple[Results, Results]:
    """Results of a network and of the copied first mask on the validation videos."""
    results = evaluate_semi_supervised(network, real, out, "davis17", "val", device="cpu", say=lambda text: None)
    ours, copied, *_ = results.values()
    return ours, copied


def by_video(results: Results) -> dict[str, float]:
    """J&F of each video, per cent."""
    return {score.video: (score.j.mean + score.f.mean) / 2 for score in results.objects}


def describe(scores: dict[str, list[dict[str, float]]], image: Path, page: Path) -> list[str]:
    """Tables of all arms: ``scores`` has J&F by video for each seed."""
    videos = list(scores[COPIED][0])
    rows = []
    for arm, runs in scores.items():
        means = [np.mean(list(run.values())) for run in runs]
        spread = f"{np.mean(means):.1f}" + (f" ({min(means):.1f} to {max(means):.1f})" if len(runs) > 1 else "")
        rows.append([arm, spread, *(f"{np.mean([run[video] for run in runs]):.1f}" for video in videos)])
    lines = [table(["arm", "J&F, mean (smallest to largest seed)", *videos], rows)]
    for arm, other in (("static > renders", "static"), ("static > renders > real", "static > real")):
        gains = [run[v] - base[v] for run, base in zip(scores[arm], scores[other], strict=True) for v in videos]
        lines += [
            "",
            f"{arm} less {other}: {np.mean(gains):+.1f} J&F over {len(gains)} pairs of seed and video, standard "
            f"error {np.std(gains, ddof=1) / np.sqrt(len(gains)):.1f}; better in {sum(g > 0 for g in gains)}.",
        ]
    return [*lines, "", f"![J&F of the four arms]({image.relative_to(page.parent)})"]


def plot(scores: dict[str, list[dict[str, float]]], out: Path) -> None:
    """A bar for the mean of each arm, a cross for each seed, dots for the videos."""
    figure, axes = axes_of(6.5, 4, ylabel="J&F (%), validation videos", ylim=(0, 100))
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
    parser.add_argument("--results", type=Path, default=Path("out/experiment/results"), help="folder of the page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    before, page = load(), arguments.results / "experiment.md"
    real = shrink(arguments.davis, arguments.out / "real", SHORT_SIDE)
    scores: dict[str, list[dict[str, float]]] = {COPIED: [], **{arm: [] for arm in ARMS}}
    for seed in range(arguments.seeds):
        out = arguments.out / f"seed-{seed}"
        networks = run_arms(arguments.renders, real, out, arguments.static, arguments.iterations, seed)
        for arm, network in networks.items():
            results, copied = score(network, real, out / f"scores-{network.name}")
            scores[arm].append(by_video(results))
        scores[COPIED] = [by_video(copied)]
    image = arguments.results / "experiment.png"
    plot(scores, image)
    lines = [
        f"STCN of benchmarks/learning/small.yaml, from nothing: {arguments.static} iterations on still images, then "
        f"{arguments.iterations} in each arm, {arguments.seeds} seeds. Real videos at {SHORT_SIDE} pixels.",
        "",
        *describe(scores, image, page),
    ]
    write_page(page, "Does pretraining on renders help on real video?", lines, before)


if __name__ == "__main__":
    main()
