"""Effect of single factors of renders, training and network on real video, on one core; resumable.

    python -m benchmarks.learning.transfer_renders out/transfer/renders
    python -m benchmarks.learning.transfer out/transfer/renders DAVIS --out out/transfer [--results docs/results]

Small STCNs of benchmarks/learning/transfer.yaml are trained from random weights on rendered videos. They are
evaluated on every video of DAVIS at 240 pixels, none of which is used in training: J&F, and J at some distances from
the given mask, compared with the first mask copied. Intervals come from bootstrapping videos and seeds. Videos
outside of the list ``val`` are for choosing factors; those of the list are held out, and their mean is shown
separately.

Existing runs and scores are kept, so that more seeds or factors cost only what is missing. ``--factor`` limits the
run to some factors; the page has all that exist.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import nn

from benchmarks.learning import cutouts
from benchmarks.learning.small import (
    axes_of,
    calibrated,
    interval,
    save,
    shrink,
    small_stage,
    spread,
    stills,
    write_page,
)
from benchmarks.learning.transfer_renders import VARIANTS
from benchmarks.page import load, table
from bl30k_gen.dataset import files
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.errors import run_entry_point
from bl30k_gen.seeding import rng
from models.propagation import PropagationNetwork
from training.engine.distributed import processes
from training.engine.trainer import Trainer
from training.evaluation.metrics import score_frame
from training.evaluation.semi_supervised import PROTOCOLS
from training.experiments.evaluate import given_masks
from training.inference.load import load_network
from training.inference.segment import checked_options, segment_frames
from training.inference.video import StoredFrames
from training.schema.stage import Stage

PRESET = Path(__file__).with_name("transfer.yaml")
SHORT_SIDE = 240
DISTANCES = (1, 5, 10, 20)
COPIED = "first mask copied"

Scores = dict[str, list[list[float]]]
"""By video: J and F of each frame after the first, as fractions."""

USUAL = "usual"
"""The dataset of benchmarks/learning/transfer_renders.py that factors train on unless they say otherwise."""
PHOTOS = "photos"
"""The dataset whose backdrops are photographs, for which transfer_renders.py needs ``--photos``."""
HIDE = "augmentation.hide_and_seek={cells: 24, chance: [0, 0.5]}"
COLOUR = "augmentation.sequence.jitter={brightness: 0.3, contrast: 0.3, saturation: 0.3, hue: 0.05, grey: 0.1}"


@dataclass(frozen=True)
class Factor:
    """One factor: a change of another factor's training or inference.

    start: the factor that it is compared with. changes: of the stage. learns: batch norms' statistics are trained.
    calibration: what batch norms' statistics come from; frames of real videos are those of the list ``train``.
    renders: dataset that it is trained on. mixed: datasets that are added, together as often as the first. camera:
    frames look like a camera's. cutouts: copy-paste videos are added, as often. stills: single frames, warped, in
    place of videos. amount: number of videos; all if None. options: of inference; then the network of ``start`` is
    used.
    """

    name: str
    start: str | None = None
    changes: tuple[str, ...] = ()
    learns: bool = False
    calibration: Literal["renders", "real", "both"] = "renders"
    renders: str = USUAL
    mixed: tuple[str, ...] = ()
    camera: bool = False
    cutouts: bool = False
    stills: bool = False
    amount: int | None = None
    options: tuple[tuple[str, Any], ...] = ()


GROUP = ("model.norm=group",)
FACTORS = (
    Factor("statistics frozen"),
    Factor("statistics learned", "statistics frozen", learns=True),
    Factor("statistics of real frames", "statistics frozen", calibration="real"),
    Factor("statistics of both", "statistics frozen", calibration="both"),
    Factor("batch norms, wide colours", "statistics frozen", (COLOUR,)),
    Factor("group norm", "statistics frozen", GROUP),
    Factor("judged at 160", "group norm", GROUP, options=(("short_side", 160),)),
    Factor("judged at 336", "group norm", GROUP, options=(("short_side", 336),)),
    Factor("rate 1e-3", "group norm", (*GROUP, "optimiser.learning_rate=1e-3")),
    Factor("cut-outs too", "group norm", GROUP, cutouts=True),
    Factor("wide colours", "group norm", (*GROUP, COLOUR)),
    Factor("as a camera", "group norm", GROUP, camera=True),
    Factor("crops of 128", "group norm", (*GROUP, "size=128")),
    Factor("larger parts", "group norm", (*GROUP, "data.bl30k.crop_scale=[0.3, 1.0]")),
    Factor("two objects", "group norm", (*GROUP, "objects=2")),
    Factor("all pixels", "group norm", (*GROUP, "loss.kept=1.0")),
    Factor("16 videos", "group norm", GROUP, amount=16),
    Factor("256 videos", "group norm", GROUP, renders="many", amount=256),
    Factor("1,024 videos", "group norm", GROUP, renders="many"),
    Factor("half the motion", "group norm", GROUP, renders="slow"),
    Factor("sharp backdrops", "group norm", GROUP, renders="sharp"),
    Factor("photographs", "group norm", GROUP, renders=PHOTOS),
    Factor("own materials", "group norm", GROUP, renders="own_materials"),
    Factor("variants too", "group norm", GROUP, mixed=VARIANTS),
    Factor("still images", "group norm", GROUP, stills=True),
    Factor("hide-and-seek", "still images", (*GROUP, HIDE), stills=True),
)
BY_NAME = {factor.name: factor for factor in FACTORS}


@dataclass(frozen=True)
class Study:
    """The study's data, runs and scores.

    renders: folder of the rendered datasets. iterations: of a run. flat: number of copy-paste videos.
    """

    renders: Path
    real: Path
    out: Path
    iterations: int
    flat: int

    def folder(self, factor: Factor, seed: int) -> Path:
        trained = BY_NAME[factor.start] if factor.options and factor.start else factor
        return self.out / "runs" / f"{trained.name.replace(' ', '-')}-{self.iterations}-{seed}"

    def train(self, factor: Factor, seed: int) -> Path:
        """Train a factor unless its run exists; returns the run's folder."""
        out = self.folder(factor, seed)
        if (out / "network.pt").exists():
            return out
        stage = self.stage(factor, seed)
        print(f"--- {out}", flush=True)
        with processes("cpu") as group:
            start = calibrated(self.calibration(factor, seed), self.out / "starts" / f"{out.name}.pt")
            trainer = Trainer(stage, out, group, start)
            for module in trainer.network.modules() if factor.learns else ():
                if isinstance(module, nn.BatchNorm2d):
                    module.train()
            trainer.run()
        return out

    def stage(self, factor: Factor, seed: int) -> Stage:
        """The stage of a factor's run. Writes the data that it needs and that do not exist."""
        data, changes = self.renders / factor.renders, [*factor.changes]
        if factor.stills:
            images = {"fss": stills(data, self.out / "stills")}
            return small_stage("stcn/static", images, self.iterations, seed, *changes, preset=PRESET)
        if factor.camera:
            data = as_a_camera(data, self.out / "camera")
        mixed = {name: self.renders / name for name in factor.mixed}
        if factor.cutouts:
            mixed["cutouts"] = cutouts.make(data, self.out / "cutouts", self.flat)
        names = open_dataset(data).videos
        for name, path in mixed.items():
            weight = len(names) / len(mixed) / len(open_dataset(path).videos)
            changes.append(added(name, path, weight))
        if factor.amount is not None:
            chosen = self.out / f"names-{factor.amount}.txt"
            files.write_atomically(chosen, "".join(f"{name}\n" for name in names[: factor.amount]))
            changes.append(f"data.bl30k.names={chosen}")
        changes.append("data.bl30k.split=null")
        return small_stage("stcn/bl30k", {"bl30k": data}, self.iterations, seed, *changes, preset=PRESET)

    def calibration(self, factor: Factor, seed: int) -> Stage:
        """The stage whose samples give the batch norms of a factor's first network their statistics."""
        if factor.calibration == "renders":
            return self.stage(factor, seed)
        if factor.calibration == "real":
            data, changes = self.real, ["data.bl30k.split=train"]
        else:
            data = self.renders / factor.renders
            weight = len(open_dataset(data).videos) / len(open_dataset(self.real).image_set("train"))
            changes = ["data.bl30k.split=null", added("real", self.real, weight, split="train")]
        changes += factor.changes
        return small_stage("stcn/bl30k", {"bl30k": data}, self.iterations, seed, *changes, preset=PRESET)

    def score(self, factor: Factor | None, seed: int) -> Scores | None:
        """Stored scores of a factor's network, or of the first mask copied if it is None; None if there are none."""
        file = self._file(factor, seed)
        return json.loads(file.read_text()) if file.exists() else None

    def train_and_score(self, factor: Factor | None, seed: int) -> None:
        """Train and score a factor, unless its scores exist."""
        file = self._file(factor, seed)
        if not file.exists():
            network = None if factor is None else self.train(factor, seed)
            options = {} if factor is None else dict(factor.options)
            files.write_atomically(file, json.dumps(scores(network, self.real, options)))

    def _file(self, factor: Factor | None, seed: int) -> Path:
        name = "copied" if factor is None else f"{factor.name.replace(' ', '-')}-{self.iterations}-{seed}"
        return self.out / "scores" / f"{name}.json"


def added(name: str, path: Path, weight: float, split: str | None = None) -> str:
    """The change of a stage that adds the videos of a dataset or of a list in it; weight: of one of its videos."""
    source = {
        "kind": "videos",
        "path": str(path),
        "weight": weight,
        "split": split,
        "names": None,
        "share": 1,
        "annotated_every": 1,
        "label_filter": "small",
        "crop_scale": [0.1, 0.5],
    }
    return f"data.{name}={json.dumps(source)}"


def scores(network: Path | None, real: Path, options: dict[str, Any]) -> Scores:
    """Scores on every video, of a network or (if None) of the first mask copied."""
    store = open_dataset(real)
    loaded = None if network is None else load_network(network, PropagationNetwork, device="cpu")
    found = {}
    for name in store.videos:
        truth = [store.read_mask(name, i).ids for i in range(len(store.frames(name)))]
        masks = [truth[0]] * len(truth)
        if loaded is not None:
            given = given_masks(store, name, PROTOCOLS["davis17"])
            settings = checked_options(loaded, **options)
            results = segment_frames(loaded, StoredFrames(store, name), given, settings)
            masks = [result.labels() for result in results]
        pairs = zip(truth[1:], masks[1:], strict=True)
        found[name] = [score_frame(true, mask, [1])[0].round(4).tolist() for true, mask in pairs]
    return found


def as_a_camera(renders: Path, out: Path) -> Path:
    """Write copies of the videos as of a poor camera: exposure drift, blur, noise, JPEG; kept if ``out`` exists."""
    if out.exists():
        return out
    store, staged = open_dataset(renders), Layout(out.with_name(f".{out.name}.part"))
    for name in store.videos:
        random = rng(0, "camera", name)
        blur, noise = random.choice([0, 0.5, 0.9, 1.3]), random.choice([0, 3, 8])
        quality, gain = int(random.integers(30, 90)), random.uniform(0.6, 1.25)
        for number in store.mask_frames(name):
            frame = store.read_rgb(name, number).astype(np.float32)
            if random.random() < 0.5:  # motion blur
                length, angle = random.integers(2, 8), random.uniform(0, np.pi)
                frame = cv2.filter2D(frame, -1, streak(int(length), angle))
            rgb = cutouts.exposed(random, frame, blur, noise, gain)
            files.write_atomically(staged.rgb(name, number), files.encode_jpeg(rgb, quality, "4:2:0"))
            files.write_atomically(staged.mask(name, number), store.mask_bytes(name, number))
    files.replace(staged.root, out)
    return out


def streak(length: int, angle: float) -> np.ndarray:
    """The kernel of motion blur over ``length`` pixels."""
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    reach = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, end = (tuple(np.round(length + sign * reach).astype(int).tolist()) for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return kernel / kernel.sum()


def by_video(found: Scores) -> np.ndarray:
    """J&F of each video, per cent; as in DAVIS, the last frame does not count."""
    return np.array([100 * np.mean(frames[:-1]) for frames in found.values()])


def at_distance(found: Scores, distance: int) -> float:
    """J in per cent at a distance from the given mask, mean over videos."""
    return float(100 * np.mean([frames[distance - 1][0] for frames in found.values()]))


def rows_of(study: Study, seeds: int) -> dict[str, list[Scores]]:
    """The existing scores of the first seeds, by factor; those of the first mask copied come first."""
    copied = study.score(None, 0)
    assert copied is not None  # main scores it first
    rows = {COPIED: [copied]}
    for factor in FACTORS:
        found = [study.score(factor, seed) for seed in range(seeds)]
        if known := [entry for entry in found if entry is not None]:
            rows[factor.name] = known
    return rows


def describe(rows: dict[str, list[Scores]], held: Sequence[str], picture: Path, page: Path) -> list[str]:
    """The table of all factors."""
    is_held = np.array([name in held for name in rows[COPIED][0]])
    lines = []
    for name, found in rows.items():
        values = np.array([by_video(entry) for entry in found])
        start = BY_NAME[name].start if name != COPIED else None
        gain = ""
        if start in rows:
            pairs = min(len(found), len(rows[start]))
            gain = spread(values[:pairs] - [by_video(entry) for entry in rows[start][:pairs]], "+") + f" to {start}"
        lines.append(
            [
                name,
                str(len(found)) if name != COPIED else "",
                spread(values),
                f"{values[:, ~is_held].mean():.1f}",
                f"{values[:, is_held].mean():.1f}",
                *(f"{np.mean([at_distance(entry, d) for entry in found]):.1f}" for d in DISTANCES),
                gain,
            ]
        )
    columns = ["", "seeds", "J&F (95 %)", f"of {(~is_held).sum()} to choose by", f"of {is_held.sum()} held out"]
    columns += [*(f"J at {d}" for d in DISTANCES), "gain (95 %)"]
    return [table(columns, lines), "", f"![J&F of the factors]({picture.relative_to(page.parent)})"]


def plot(rows: dict[str, list[Scores]], out: Path) -> None:
    """Plot J&F of each factor with its interval, and a dot for each seed."""
    figure, axes = axes_of(7, 0.5 + 0.35 * len(rows), xlabel="J&F (%), all videos", xlim=(0, 60))
    for place, found in enumerate(rows.values()):
        values = np.array([by_video(entry) for entry in found])
        axes.plot(interval(values), [place, place], color="tab:blue", linewidth=2)
        axes.plot(values.mean(1), [place] * len(found), "k.")
    axes.axvline(by_video(rows[COPIED][0]).mean(), color="grey", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    save(figure, out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("renders", type=Path, help="rendered datasets, all videos for training")
    parser.add_argument("davis", type=Path, help="real videos; those of its list val are held out")
    parser.add_argument("--out", type=Path, default=Path("out/transfer"), help="for runs and scores")
    parser.add_argument("--iterations", type=int, default=400)
    parser.add_argument("--flat", type=int, default=400, help="number of copy-paste videos")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--factor", action="append", choices=list(BY_NAME), help="only this factor; repeatable")
    parser.add_argument("--results", type=Path, default=Path("out/transfer/results"), help="folder of the page")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    before, page = load(), arguments.results / "transfer.md"
    real = shrink(arguments.davis, arguments.out / "real", SHORT_SIDE)
    study = Study(arguments.renders, real, arguments.out, arguments.iterations, arguments.flat)
    wanted = [BY_NAME[name] for name in arguments.factor or BY_NAME]
    if not (study.renders / PHOTOS).exists():
        print(f"no {study.renders / PHOTOS}: the factor that needs photographs is left out", flush=True)
        wanted = [factor for factor in wanted if factor.renders != PHOTOS]
    study.train_and_score(None, 0)
    for seed in range(arguments.seeds):  # all factors once, before any is repeated
        for factor in wanted:
            study.train_and_score(factor, seed)
    rows, picture = rows_of(study, arguments.seeds), arguments.results / "transfer.png"
    plot(rows, picture)
    lines = [
        f"STCN of benchmarks/learning/transfer.yaml, {study.iterations} iterations from random weights on "
        f"{len(open_dataset(study.renders / USUAL).videos)} rendered videos; evaluated on "
        f"{len(open_dataset(real).videos)} real ones at {SHORT_SIDE} pixels.",
        "",
        *describe(rows, open_dataset(real).image_set("val"), picture, page),
    ]
    write_page(page, "What makes renders worth something on real video?", lines, before)


if __name__ == "__main__":
    run_entry_point(main)
