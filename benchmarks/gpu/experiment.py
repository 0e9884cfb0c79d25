"""Four arms on one GPU in eight minutes: what are renders worth on real video? A next run continues the work.

    python3 -m benchmarks.gpu.experiment DATA --out out/gpu/experiment        # DATA: made by benchmarks.gpu.pack
    python3 -m benchmarks.gpu.experiment --dry-run                            # every step once, on the processor

From the folder of the project, without installation: PyTorch with torchvision, pydantic and pyyaml must be
importable. STCN with ResNet-18 is trained in bf16 from random weights: on still images for 15 % of the time, then in
arms that take turns, each with the same number of iterations:

    static > renders            on rendered videos
    static > real               on two thirds of the real videos
    static > renders > real     on rendered videos for the first half of the turns, then on the real ones

The first and the last are one network until the second half. After every turn J&F are measured on the held-out third
of the real videos. The gain of one arm over another is decided if, in two consecutive turns, it is two points or more
and its bootstrap interval over the videos excludes zero. Arms whose gains are all decided stop, and the others get
their time.

``--out`` gets the state and the network after the still images, in half precision, in files of at most 15 MB and
45 MB in all. A next run trains that network longer, and repeats the arms from it with another third of the real
videos held out; if ``--arms`` names the same folder again, the arms continue instead.
"""

import json
import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu.experiment_page import describe
from benchmarks.gpu.experiment_scores import Scores, gain, score_copied_mask, score_network
from benchmarks.gpu.experiment_training import DRY_EXPERIMENT, Arm, ExperimentSizes, Trained, new_network, stages
from benchmarks.gpu.half_weights import load_half, save_half
from benchmarks.gpu.run import Row, Run, device_of, fail, hardware, parser_of, require

if TYPE_CHECKING:
    from benchmarks.gpu.resident import Clips

MINUTES = 8.0
STATIC_FRACTION = 0.15
"""Of the time, for still images."""
VIDEO_SPEED = 0.6
"""Iterations on videos, which have two objects, in the time of one on still images; used until it is measured."""
FOLDS = 3
BASE = "static"
RENDERS, REAL, BOTH = "static > renders", "static > real", "static > renders > real"
PAIRS = ((RENDERS, BASE), (BOTH, REAL))
"""The gains of interest: the first arm's score minus the second's."""
COPIED = "first mask copied"
MIN_GAIN, MIN_VIDEOS = 2.0, 3
"""Points of J&F, and videos that it was measured on, of a gain that counts as decided."""


class Experiment:
    """One run: training on still images, then the arms in turns.

    Args:
        data: clips of "renders" and "real".
        state: of the runs before; updated by this one.
        arms: folder of the arms' weights, read and written; None to keep none.
    """

    def __init__(
        self, run: Run, sizes: ExperimentSizes, data: dict[str, "Clips"], state: Row, device: str, arms: Path | None
    ):
        from bl30k_gen.seeding import rng

        self.run, self.sizes, self.state, self.device, self.arms_folder = run, sizes, state, device, arms
        self.repetition = int(state["repetition"])
        names = [clip.name for clip in data["real"].clips]
        held_out = [name for i, name in enumerate(names) if i % FOLDS == self.repetition % FOLDS]
        self.held_out = data["real"].only(held_out)
        self.real = data["real"].only([name for name in names if name not in held_out])
        self.stages = stages(sizes, self.repetition)
        sources = {"static": data["renders"], "renders": data["renders"], "real": self.real}
        from benchmarks.gpu.resident import Sampler

        self.samplers = {
            name: Sampler(clips, self.stages[name], rng(self.repetition, "samples", name, state["runs"]))
            for name, clips in sources.items()
        }
        self.scoring_seconds = 0.0  # of the last scoring of one arm

    def train_and_score(self, out: Path, minutes: float) -> None:
        """Do the whole run.

        Args:
            out: folder of the base's weights, read and written.
            minutes: of the run.
        """
        base = Arm(new_network(self.sizes, 0, self.device), self.sizes.rate, self.sizes.rate_warm_up)
        is_continued = load_half(base.network, out, "base")
        self._record_scores(0, COPIED, score_copied_mask(self.held_out, self.sizes.scored_frames))
        arms = self._load_arms(base)
        if arms:
            rate = float(self.state["rate"])
        else:
            rate = VIDEO_SPEED * self._train_base(base, out, STATIC_FRACTION * 60 * minutes, is_continued)
            arms = {RENDERS: base.copy(), REAL: base.copy()}
        scores = {BASE: self._score(0, BASE, base)}
        self._train_arms(arms, scores, rate)
        self._score_all_real(scores, base, arms)

    def _train_base(self, base: Arm, out: Path, seconds: float, is_continued: bool) -> float:
        """Train on still images and save the weights; returns the iterations a second."""
        began, sampler, stage = time.time(), self.samplers["static"], self.stages["static"]
        timed = self.sizes.timed
        base.train(sampler, stage, timed, (0, 0), math.inf)  # loads kernels and allocates memory
        speed = base.train(sampler, stage, timed, (0, 0), math.inf).rate
        count = self._limited(max(timed, int((began + seconds - time.time()) * speed * 1.1)))
        trained = base.train(sampler, stage, count, (0, 0.79), max(began + seconds, time.time() + 1))
        if base.diverged:
            raise ArithmeticError("the loss on still images is not finite")
        base.iterations += int(self.state["static_iterations"])
        self._record_training(0, BASE, "static", base, trained, went_on=is_continued)
        save_half(base.network, out, "base")
        self.state |= {"static_iterations": base.iterations, "rate": trained.rate}
        base.iterations = 0
        return trained.rate

    def _train_arms(self, arms: dict[str, Arm], scores: dict[str, Scores], rate: float) -> None:
        """Train and score the arms in turns, until the time is up or all gains are decided.

        Args:
            scores: on the held-out videos, by arm; updated after every turn.
            rate: iterations a second to expect.
        """
        turns, half = self.sizes.turns, self.sizes.turns // 2
        first = int(self.state["turn"]) + 1
        decided: dict[tuple[str, str], int] = {}
        for turn in range(first, first + turns):
            second_half = turn > half
            if second_half and BOTH not in arms:
                arms[BOTH] = arms[RENDERS].copy()  # a diverged arm stays diverged
            active = {n: arm for n, arm in arms.items() if not arm.diverged and not self._is_decided(n, decided)}
            if not active:
                print("every gain is decided, or every arm has diverged", flush=True)
                return
            remaining = sum(3 if t > half else 2 for t in range(turn, first + turns))  # trainings of one arm each
            spare = self.run.left() - 10 - (remaining + 3) * self.scoring_seconds
            count = self._limited(int(rate * spare / remaining * (3 if second_half else 2) / len(active)))
            if count < 1:
                print("the time is up for another turn", flush=True)
                return
            progress = ((turn - first) / turns, (turn - first + 1) / turns)
            speeds = []
            for name, arm in active.items():
                source = self._source(name, second_half)
                deadline = self.run.ends - 5
                trained = arm.train(self.samplers[source], self.stages[source], count, progress, deadline)
                speeds.append(trained.rate)
                self._record_training(turn, name, source, arm, trained)
                if trained.iterations < count:
                    print("the time was up within a turn, which does not count", flush=True)
                    return
            rate = min(speeds)
            for name, arm in active.items():
                scores[name] = self._score(turn, name, arm)
            self._compare(turn, scores, decided)
            self.state |= {"turn": turn, "rate": rate}
            self._save_arms(arms)

    def _record_training(self, turn: int, name: str, source: str, arm: Arm, trained: Trained, **more: bool) -> None:
        self.run.record(
            "training",
            repetition=self.repetition,
            turn=turn,
            arm=name,
            source=source,
            iterations=arm.iterations,
            iterations_per_second=trained.rate,
            loss=trained.losses,
            **more,
        )

    def _limited(self, iterations: int) -> int:
        return iterations if self.sizes.max_iterations is None else min(iterations, self.sizes.max_iterations)

    def _source(self, name: str, second_half: bool) -> str:
        return "real" if name == REAL or (name == BOTH and second_half) else "renders"

    def _is_decided(self, name: str, decided: dict[tuple[str, str], int]) -> bool:
        """Whether all gains of an arm are decided. RENDERS is needed in the first half: BOTH is copied from it."""
        open_pairs = [pair for pair in PAIRS if decided.get(pair, 0) < 2]
        is_needed = name == RENDERS and int(self.state["turn"]) < self.sizes.turns // 2
        return not is_needed and not any(name in pair for pair in open_pairs)

    def _compare(self, turn: int, scores: dict[str, Scores], decided: dict[tuple[str, str], int]) -> None:
        """Record the gains, and count the consecutive turns that each was clear in."""
        for pair in PAIRS:
            if not all(name in scores for name in pair) or decided.get(pair, 0) >= 2:
                continue
            mean, low, high = gain(scores[pair[0]], scores[pair[1]])
            clear = abs(mean) >= MIN_GAIN and (low > 0 or high < 0) and len(self.held_out.clips) >= MIN_VIDEOS
            decided[pair] = decided.get(pair, 0) + 1 if clear else 0
            self.run.record(
                "gain",
                repetition=self.repetition,
                turn=turn,
                pair=f"{pair[0]} less {pair[1]}",
                mean=mean,
                low=low,
                high=high,
                decided=decided[pair] >= 2,
            )

    def _score(self, turn: int, name: str, arm: Arm) -> Scores:
        began = time.time()
        scores = score_network(arm.network, self.held_out, self.sizes.scored_frames)
        self.scoring_seconds = time.time() - began
        return self._record_scores(turn, name, scores)

    def _score_all_real(self, scores: dict[str, Scores], base: Arm, arms: dict[str, Arm]) -> None:
        """Score the arms that were not trained on real videos on all of these."""
        for name, arm in ((BASE, base), (RENDERS, arms[RENDERS])):
            if self.run.left() < 5 + self.scoring_seconds * FOLDS or arm.diverged:
                return
            others = score_network(arm.network, self.real, self.sizes.scored_frames)
            self._record_scores(int(self.state["turn"]), f"{name}, all videos", scores[name] | others)

    def _record_scores(self, turn: int, name: str, scores: Scores) -> Scores:
        mean = sum(scores.values()) / len(scores)
        self.run.record("score", repetition=self.repetition, turn=turn, arm=name, mean=mean, videos=scores)
        return scores

    def _load_arms(self, base: Arm) -> dict[str, Arm]:
        """The arms of an earlier run; empty unless all three were saved."""
        if self.arms_folder is None or not self.state["turn"]:
            return {}
        arms = {}
        for number, name in enumerate((RENDERS, REAL, BOTH)):
            arm = base.copy()
            if load_half(arm.network, self.arms_folder, f"arm{number}"):
                arm.iterations = int(self.state["arms"][name])
                arms[name] = arm
        return arms if len(arms) == 3 else {}

    def _save_arms(self, arms: dict[str, Arm]) -> None:
        self.state["arms"] = {name: arm.iterations for name, arm in arms.items()}
        if self.arms_folder is not None:
            for number, name in enumerate((RENDERS, REAL, BOTH)):
                if name in arms:
                    save_half(arms[name].network, self.arms_folder, f"arm{number}")


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of(__doc__, MINUTES)
    parser.add_argument("data", type=Path, nargs="?", help="folder with renders/ and real/")
    parser.add_argument("--out", type=Path, default=Path("out/gpu/experiment"), help="state and weights")
    parser.add_argument("--arms", type=Path, help="folder to keep the arms' weights in, and to continue from")
    options = parser.parse_args(arguments)
    require("torch", "torchvision", "pydantic", "yaml")
    device, sizes = device_of(options.dry_run), DRY_EXPERIMENT if options.dry_run else ExperimentSizes()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data
        if data is None and options.dry_run:
            data = Path(folder)
            _draw_data(data)
        if data is None or not all((data / kind).is_dir() for kind in ("renders", "real")):
            fail(f"{data or 'DATA'} has no folders renders and real", "make it: python -m benchmarks.gpu.pack")
        return _run(options.minutes, options.out, options.results, options.arms, data, device, sizes)


def _draw_data(folder: Path) -> None:
    from benchmarks.gpu.drawn import draw_dataset

    draw_dataset(folder / "renders", (80, 112), 2)
    draw_dataset(folder / "real", (80, 96), 3)


def _run(
    minutes: float,
    out: Path,
    results: Path | None,
    arms: Path | None,
    data: Path,
    device: str,
    sizes: ExperimentSizes,
) -> int:
    from benchmarks.gpu.resident import Clips
    from benchmarks.page import command
    from bl30k_gen.dataset.reader import open_dataset

    path = out / "state.json"
    state: Row = {"repetition": 0, "turn": 0, "runs": 0, "static_iterations": 0, "rate": 0.0, "arms": {}}
    earlier: list[Row] = []
    if path.exists():
        stored = json.loads(path.read_text(encoding="utf-8"))
        state, earlier = stored["state"], stored["rows"]
    if state["runs"] and not (state["turn"] and arms is not None and any(arms.glob("arm2-*.pt"))):
        state |= {"repetition": state["repetition"] + 1, "turn": 0, "arms": {}}
    state["runs"] += 1
    head = {
        "command": command(),
        "hardware": hardware(device),
        "date": time.strftime("%Y-%m-%d"),
        "device": device,
        "what": f"STCN with {', '.join(f'{key} {value}' for key, value in sizes.model.items())}; batches of "
        f"{sizes.batch} at crops of {sizes.crop}, {'bf16' if device == 'cuda' else 'float32'}.",
        "state": state,
    }
    run = Run(results or out / "gpu_experiment.md", path, minutes, head, describe, earlier)
    print(head["hardware"], flush=True)
    stores = {kind: open_dataset(data / kind) for kind in ("renders", "real")}
    clips = {kind: Clips.load(store, sorted(store.videos), device) for kind, store in stores.items()}
    loaded = ", ".join(f"{kind} {len(c.clips)} videos of {len(c.frames)} frames" for kind, c in clips.items())
    print(f"[{run.left():5.0f} s left] {loaded}", flush=True)
    with run.attempt("training", repetition=state["repetition"], turn=0, arm="all"):
        Experiment(run, sizes, clips, state, device, arms).train_and_score(out, minutes)
    return run.close()


if __name__ == "__main__":
    raise SystemExit(main())
