"""Four arms on one GPU in eight minutes: what are renders worth on real video? Goes on in a next run.

    python3 -m benchmarks.gpu.experiment DATA --out out/gpu/experiment        # DATA: made by benchmarks.gpu.pack
    python3 -m benchmarks.gpu.experiment --dry-run                            # every step once, on the processor

From the folder of the project, without installation: PyTorch with torchvision, pydantic and pyyaml must be
importable. STCN with ResNet-18, from nothing, in bf16: still images for 15 % of the time, then in turns and with the
same number of iterations

    static > renders            on rendered videos
    static > real               on two thirds of the real videos
    static > renders > real     on rendered videos for the first half of the turns, then on the real ones

The first and the last are one network until the second half. After every turn J&F are taken on the real videos that
were held out. An arm whose gain is decided is stopped, and its time goes to the others: a gain of two points or more,
whose bootstrap interval over the videos leaves out zero in two turns running.

``--out`` gets the state and the network after the still images, in half precision, in files of at most 15 MB and
45 MB in all. A next run trains it longer, and repeats the arms from it with another third of the real videos held
out; where ``--arms`` names the same folder again, the arms continue instead.
"""

import copy
import json
import math
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.experiment_page import describe
from benchmarks.gpu.half_weights import load_half, save_half
from benchmarks.gpu.run import Row, Run, device_of, fail, hardware, parser_of, require

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.gpu.resident import Clip, Clips, Sampler
    from models.propagation import PropagationNetwork
    from training.schema.stage import Stage

MINUTES = 8.0
STATIC = 0.15
"""Of the time, for still images."""
TWO_OBJECTS = 0.6
"""Rate of iterations with two objects of videos beside those of still images, until it is measured."""
FOLDS = 3
MODEL = {"backbone": "resnet18", "memory_backbone": "resnet18", "value_dim": 256}
"""Published widths but for the values', which have 512 channels: the network would take 66 MB in half precision."""
BASE = "static"
RENDERS, REAL, BOTH = "static > renders", "static > real", "static > renders > real"
PAIRS = ((RENDERS, BASE), (BOTH, REAL))
"""Gains that are asked for: the first less the second."""
COPIED = "first mask copied"
DECIDED, ENOUGH = 2.0, 3
"""Points of J&F that a gain has at least, and videos that it was found on, before it counts as decided."""
KEPT = 0.6
"""Of the pixels, the hardest, that the loss of videos counts, as in benchmarks/learning/small.yaml."""


@dataclass(frozen=True)
class Sizes:
    crop: int = 224
    batch: int = 16
    turns: int = 4
    rate: float = 2e-4
    rise: int = 100  # iterations of linear growth of the rate
    warm_up: int = 20  # iterations before the speed is measured, and those that it is measured on
    most: int | None = None  # iterations of a turn
    model: dict[str, Any] = field(default_factory=lambda: MODEL)
    judged_frames: int | None = None  # of a video; all if None


DRY = Sizes(
    crop=64,
    batch=2,
    turns=2,
    rise=1,
    warm_up=1,
    most=1,
    model={"backbone": "resnet18", "memory_backbone": "resnet18", "key_dim": 16, "value_dim": 16, "decoder_dim": 16},
    judged_frames=4,
)


# Training.


class Arm:
    """A network with its optimiser and the number of its iterations."""

    def __init__(self, network: "PropagationNetwork", rate: float, rise: int):
        import torch

        self.network = network.train().to(memory_format=torch.channels_last)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self.device = self.parameters[0].device
        fused = True if self.device.type == "cuda" else None
        self.optimiser = torch.optim.Adam(self.parameters, rate, weight_decay=1e-7, fused=fused)
        self.rate, self.rise = rate, rise
        self.steps = 0  # of this optimiser
        self.iterations = 0  # of all turns
        self.broken = False

    def copy(self) -> "Arm":
        """The same network and the same optimiser once more."""
        other = Arm(copy.deepcopy(self.network), self.rate, self.rise)
        other.optimiser.load_state_dict(copy.deepcopy(self.optimiser.state_dict()))
        other.steps, other.iterations, other.broken = self.steps, self.iterations, self.broken
        return other

    def train(
        self, sampler: "Sampler", stage: "Stage", iterations: int, progress: tuple[float, float], deadline: float
    ) -> tuple[int, float, list[float]]:
        """Iterations that were made, seconds, and the loss in ten parts.

        Args:
            progress: of the arm's training, 0 to 1, at the first and after the last iteration.
            deadline: as ``time.time()`` tells; later iterations are left out.
        """
        import torch

        from training.tasks.propagation import TrainingStep, run

        step = TrainingStep(self.network, stage.loss)
        share = KEPT if stage.objects > 1 else 1.0
        began, losses, done = time.time(), [], 0
        for number in range(iterations):
            if time.time() > deadline:
                break
            at = progress[0] + (progress[1] - progress[0]) * number / iterations
            self.steps += 1
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * min(1.0, self.steps / self.rise) * (1.0 if at < 0.8 else 0.2)
            batch = sampler.batch(at)
            self.optimiser.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                total, _ = step.losses(run(self.network, batch), batch, share)
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimiser.step()
            losses.append(total.detach())
            done += 1
        self.iterations += done
        values = torch.stack(losses).float().cpu() if losses else torch.zeros(0)
        parts = [part.mean().item() for part in values.chunk(10)] if len(values) else []
        self.broken = self.broken or not all(math.isfinite(part) for part in parts)
        return done, time.time() - began, parts


def new_network(sizes: Sizes, seed: int, device: str) -> "PropagationNetwork":
    """STCN whose batch norms learn their statistics: from nothing, with batches of 48 frames."""
    import torch

    from models import checkpoint
    from models.backbone import widen_stem
    from models.stcn import STCN

    torch.manual_seed(seed)
    network = checkpoint.build("stcn", {**sizes.model, "multi_object": True})
    assert isinstance(network, STCN)
    stem = network.value_encoder.resnet.conv1
    with torch.no_grad():
        stem.weight.copy_(widen_stem(stem.weight[:, :3].clone(), stem.in_channels))
    return network.to(device)


def stages(sizes: Sizes, seed: int) -> dict[str, "Stage"]:
    """What still images, renders and real videos are changed by: the published stages, at this size."""
    from training.schema.stage import load_stage

    common = [f"size={sizes.crop}", f"batch={sizes.batch}", f"seed={seed}", "imagenet=none"]
    sources = {"static": ("static", "fss"), "renders": ("bl30k", "bl30k"), "real": ("vos", "davis")}
    found = {}
    for name, (stage, source) in sources.items():
        whole = load_stage(f"stcn/{stage}", common)
        only = {source: whole.data[source].model_copy(update={"path": "in memory"})}
        if name != "static":
            only[source] = only[source].model_copy(update={"crop_scale": (0.1, 0.7)})  # frames are small already
        found[name] = whole.model_copy(update={"data": only})
    return found


# Judging.


def judge(network: "PropagationNetwork", clips: "Clips", limit: int | None) -> dict[str, float]:
    """J&F of each video, per cent: the first frame's mask is given, the last frame does not count."""
    import torch

    from training.inference.options import published_options
    from training.inference.propagate import Propagator
    from training.inference.tensors import label_map

    network.eval()
    precision = "bfloat16" if clips.frames.is_cuda else "float32"
    scores = {}
    for clip in clips.clips:
        propagator = Propagator(network, published_options(network, precision=precision), say=lambda text: None)
        first = clips.mask(clip, 0)
        objects = [int(label) for label in torch.unique(first).tolist() if label]
        given = {label: (first == label).float() for label in objects}
        last = min(clip.count, limit or clip.count) - 1
        predicted = []
        for number in range(last):
            prob = propagator.step(clips.image(clip, number), given if number == 0 else None)
            if number:
                predicted.append(label_map(prob, objects))
        scores[clip.name] = _score(clips, clip, predicted, objects)
    network.train()
    return scores


def copied(clips: "Clips", limit: int | None) -> dict[str, float]:
    """J&F of the first mask in every frame."""
    import numpy as np

    scores = {}
    for clip in clips.clips:
        first = clips.mask(clip, 0).cpu().numpy()
        count = min(clip.count, limit or clip.count) - 2
        scores[clip.name] = _score(clips, clip, [first] * count, [int(label) for label in np.unique(first) if label])
    return scores


def _score(clips: "Clips", clip: "Clip", predicted: list["np.ndarray"], objects: list[int]) -> float:
    """Of label maps of the second frame and those after it."""
    import numpy as np

    from training.evaluation.metrics import score_frame

    frames = enumerate(predicted, 1)
    return 100 * float(np.mean([score_frame(clips.mask(clip, n).cpu().numpy(), ids, objects) for n, ids in frames]))


def gain(arm: dict[str, float], other: dict[str, float]) -> tuple[float, float, float]:
    """Mean gain over the videos that both were judged on, and its 95 % bootstrap interval."""
    import numpy as np

    gains = np.array([arm[name] - other[name] for name in arm if name in other])
    means = np.random.default_rng(0).choice(gains, (2000, len(gains))).mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(gains.mean()), float(low), float(high)


# The run.


class Experiment:
    """One run: still images, then the arms in turns."""

    def __init__(self, run: Run, sizes: Sizes, data: dict[str, "Clips"], state: Row, device: str, arms: Path | None):
        from bl30k_gen.seeding import rng

        self.run, self.sizes, self.state, self.device, self.kept = run, sizes, state, device, arms
        self.repetition = int(state["repetition"])
        names = [clip.name for clip in data["real"].clips]
        held_out = [name for i, name in enumerate(names) if i % FOLDS == self.repetition % FOLDS]
        self.judged = data["real"].only(held_out)
        self.others = data["real"].only([name for name in names if name not in held_out])
        self.stages = stages(sizes, self.repetition)
        sources = {"static": data["renders"], "renders": data["renders"], "real": self.others}
        from benchmarks.gpu.resident import Sampler

        self.samplers = {
            name: Sampler(clips, self.stages[name], rng(self.repetition, "samples", name, state["runs"]))
            for name, clips in sources.items()
        }
        self.judging = 0.0  # seconds of the last judging of one arm

    def work(self, out: Path, minutes: float) -> None:
        sizes = self.sizes
        base = Arm(new_network(sizes, 0, self.device), sizes.rate, sizes.rise)
        went_on = load_half(base.network, out, "base")
        self._record_scores(0, COPIED, copied(self.judged, sizes.judged_frames))
        arms = self._kept_arms(base)
        if arms:
            rate = float(self.state["rate"])
        else:
            rate = self._still_images(base, out, STATIC * 60 * minutes, went_on)
            arms = {RENDERS: base.copy(), REAL: base.copy()}
        scores = {BASE: self._judge(0, BASE, base)}
        self._turns(arms, scores, rate)
        self._judge_all(scores, base, arms)

    def _still_images(self, base: Arm, out: Path, seconds: float, went_on: bool) -> float:
        """Iterations a second. The base's weights are saved."""
        began, sampler, stage = time.time(), self.samplers["static"], self.stages["static"]
        warm_up = self.sizes.warm_up
        base.train(sampler, stage, warm_up, (0, 0), math.inf)  # kernels are loaded, memory is taken
        done, took, _ = base.train(sampler, stage, warm_up, (0, 0), math.inf)
        count = self._at_most(max(warm_up, int((began + seconds - time.time()) * done / took * 1.1)))
        done, took, losses = base.train(sampler, stage, count, (0, 0.79), max(began + seconds, time.time() + 1))
        if base.broken:
            raise ArithmeticError("the loss on still images is not finite")
        base.iterations += int(self.state["static_iterations"])
        rate = done / took
        self.run.record(
            "training",
            repetition=self.repetition,
            turn=0,
            arm=BASE,
            source="static",
            iterations=base.iterations,
            iterations_per_second=rate,
            loss=losses,
            went_on=went_on,
        )
        save_half(base.network, out, "base")
        self.state |= {"static_iterations": base.iterations, "rate": rate}
        base.iterations = 0
        return rate * TWO_OBJECTS

    def _turns(self, arms: dict[str, Arm], scores: dict[str, dict[str, float]], rate: float) -> None:
        turns, half = self.sizes.turns, self.sizes.turns // 2
        first = int(self.state["turn"]) + 1
        decided: dict[tuple[str, str], int] = {}
        for turn in range(first, first + turns):
            second = turn > half
            if second and BOTH not in arms:
                arms[BOTH] = arms[RENDERS].copy()  # a broken arm stays one
            working = {name: arm for name, arm in arms.items() if not arm.broken and not self._is_over(name, decided)}
            if not working:
                print("every gain is decided, or every arm is broken", flush=True)
                return
            to_come = sum(3 if t > half else 2 for t in range(turn, first + turns))
            spare = self.run.left() - 10 - (to_come + 3) * self.judging
            count = self._at_most(int(rate * spare / to_come * (3 if second else 2) / len(working)))
            if count < 1:
                print("the time is up for another turn", flush=True)
                return
            progress = ((turn - first) / turns, (turn - first + 1) / turns)
            speeds = []
            for name, arm in working.items():
                source = self._source(name, second)
                deadline = self.run.ends - 5
                done, took, losses = arm.train(self.samplers[source], self.stages[source], count, progress, deadline)
                speeds.append(done / took)
                self.run.record(
                    "training",
                    repetition=self.repetition,
                    turn=turn,
                    arm=name,
                    source=source,
                    iterations=arm.iterations,
                    iterations_per_second=done / took,
                    loss=losses,
                )
                if done < count:
                    print("the time was up within a turn, which does not count", flush=True)
                    return
            rate = min(speeds)
            for name, arm in working.items():
                scores[name] = self._judge(turn, name, arm)
            self._compare(turn, scores, decided)
            self.state |= {"turn": turn, "rate": rate}
            self._keep_arms(arms)

    def _at_most(self, count: int) -> int:
        return count if self.sizes.most is None else min(count, self.sizes.most)

    def _source(self, name: str, second: bool) -> str:
        return "real" if name == REAL or (name == BOTH and second) else "renders"

    def _is_over(self, name: str, decided: dict[tuple[str, str], int]) -> bool:
        """An arm takes part in no gain that is open. Renders alone are needed until the arms part."""
        open_pairs = [pair for pair in PAIRS if decided.get(pair, 0) < 2]
        waits_for_both = name == RENDERS and int(self.state["turn"]) < self.sizes.turns // 2
        return not waits_for_both and not any(name in pair for pair in open_pairs)

    def _compare(self, turn: int, scores: dict[str, dict[str, float]], decided: dict[tuple[str, str], int]) -> None:
        for pair in PAIRS:
            if not all(name in scores for name in pair) or decided.get(pair, 0) >= 2:
                continue
            mean, low, high = gain(scores[pair[0]], scores[pair[1]])
            clear = abs(mean) >= DECIDED and (low > 0 or high < 0) and len(self.judged.clips) >= ENOUGH
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

    def _judge(self, turn: int, name: str, arm: Arm) -> dict[str, float]:
        began = time.time()
        scores = judge(arm.network, self.judged, self.sizes.judged_frames)
        self.judging = time.time() - began
        return self._record_scores(turn, name, scores)

    def _judge_all(self, scores: dict[str, dict[str, float]], base: Arm, arms: dict[str, Arm]) -> None:
        """Arms without real training on the other real videos, too."""
        for name, arm in ((BASE, base), (RENDERS, arms[RENDERS])):
            if self.run.left() < 5 + self.judging * FOLDS or arm.broken:
                return
            more = judge(arm.network, self.others, self.sizes.judged_frames)
            self._record_scores(int(self.state["turn"]), f"{name}, all videos", scores[name] | more)

    def _record_scores(self, turn: int, name: str, scores: dict[str, float]) -> dict[str, float]:
        mean = sum(scores.values()) / len(scores)
        self.run.record("score", repetition=self.repetition, turn=turn, arm=name, mean=mean, videos=scores)
        return scores

    def _kept_arms(self, base: Arm) -> dict[str, Arm]:
        """Arms of an earlier run, with what they have learned; empty where they are not all there."""
        if self.kept is None or not self.state["turn"]:
            return {}
        arms = {}
        for number, name in enumerate((RENDERS, REAL, BOTH)):
            arm = base.copy()
            if load_half(arm.network, self.kept, f"arm{number}"):
                arm.iterations = int(self.state["arms"][name])
                arms[name] = arm
        return arms if len(arms) == 3 else {}

    def _keep_arms(self, arms: dict[str, Arm]) -> None:
        self.state["arms"] = {name: arm.iterations for name, arm in arms.items()}
        if self.kept is not None:
            for number, name in enumerate((RENDERS, REAL, BOTH)):
                if name in arms:
                    save_half(arms[name].network, self.kept, f"arm{number}")


def main(arguments: list[str] | None = None) -> int:
    parser = parser_of(__doc__, MINUTES)
    parser.add_argument("data", type=Path, nargs="?", help="folder with renders/ and real/")
    parser.add_argument("--out", type=Path, default=Path("out/gpu/experiment"), help="state and weights")
    parser.add_argument("--arms", type=Path, help="keep the arms' weights here, and continue with them")
    options = parser.parse_args(arguments)
    require("torch", "torchvision", "pydantic", "yaml")
    device, sizes = device_of(options.dry_run), DRY if options.dry_run else Sizes()
    with tempfile.TemporaryDirectory() as folder:
        data = options.data
        if data is None and options.dry_run:
            data = Path(folder)
            _draw(data)
        if data is None or not all((data / kind).is_dir() for kind in ("renders", "real")):
            fail(f"{data or 'DATA'} has no folders renders and real", "make it: python -m benchmarks.gpu.pack")
        return _run(options.minutes, options.out, options.results, options.arms, data, device, sizes)


def _draw(folder: Path) -> None:
    from benchmarks.gpu.drawn import draw_dataset

    draw_dataset(folder / "renders", (80, 112), 2)
    draw_dataset(folder / "real", (80, 96), 3)


def _run(
    minutes: float, out: Path, results: Path | None, arms: Path | None, data: Path, device: str, sizes: Sizes
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
    told = ", ".join(f"{kind} {len(c.clips)} videos of {len(c.frames)} frames" for kind, c in clips.items())
    print(f"[{run.left():5.0f} s left] {told}", flush=True)
    with run.attempt("training", repetition=state["repetition"], turn=0, arm="all"):
        Experiment(run, sizes, clips, state, device, arms).work(out, minutes)
    return run.close()


if __name__ == "__main__":
    raise SystemExit(main())
