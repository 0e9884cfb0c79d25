"""The DAVIS interactive benchmark: a robot corrects a system's masks round by round, against the clock.

Source: S. Caelles et al., "The 2018 DAVIS Challenge on Video Object Segmentation", with the rules of its software.

    report = InteractiveBenchmark().run(read_samples("Annotations/480p", "Scribbles"), open_video)
    report.write_csv("out/report.csv")
    report.summary()  # per cent: AUC of J&F over time, J&F after 60 s, ...

``open_video(sequence, objects)`` prepares a video and returns a callable that takes a ``Round`` and returns masks of
the whole video, (T, H, W) object ids, or a ``Submission`` of such masks.
"""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
from scipy.integrate import trapezoid

from bl30k_gen.dataset.files import write_atomically
from bl30k_gen.dataset.masks import Rule
from bl30k_gen.errors import UserError
from training.evaluation.folders import MaskVideo, find_videos, folder_rule, object_ids
from training.evaluation.metrics import score_frame
from training.evaluation.robot import BENCHMARK_ROBOT, Robot
from training.evaluation.scribbles import Scribbles, read_scribbles

#: Rounds in which MiVOS moves to a new frame: it scribbles on a frame for up to three rounds.
MIVOS_ROUNDS = (1, 4, 7)
METRICS = ("J", "F", "J&F")

_COLUMNS = ["session_id", "sequence", "scribble_idx", "interaction", "object_id", "frame"]
_COLUMNS += ["jaccard", "contour", "j_and_f", "timing"]


@dataclass(frozen=True)
class ScribbleSample:
    """A video with one set of first scribbles.

    truth: (T, H, W) integer label maps, -1 where void. scribble_idx counts the video's sets from 1.
    """

    sequence: str
    scribble_idx: int
    truth: np.ndarray
    objects: tuple[int, ...]
    scribbles: Scribbles


@dataclass(frozen=True)
class Round:
    """The input of a system in one round. ``scribbles`` are only the new ones, drawn on ``frame``.

    propagate: whether the whole video may change. If not, another round on the same frame follows, and only the mask
    of this frame should change (in MiVOS in all rounds but the last on a frame).
    """

    number: int
    frame: int
    scribbles: Scribbles
    propagate: bool


@dataclass(frozen=True)
class Submission:
    """Masks (T, H, W), and the frames from which the robot chooses the next one; empty: all."""

    masks: np.ndarray
    candidates: Sequence[int] = ()


System = Callable[[Round], np.ndarray | Submission]


@dataclass(frozen=True)
class Interaction:
    """One counted round. ``scores`` is (T, O, 2): J and F as fractions for each frame and object."""

    sequence: str
    scribble_idx: int
    number: int
    seconds: float
    objects: tuple[int, ...]
    scores: np.ndarray


@dataclass(frozen=True)
class InteractiveBenchmark:
    """The benchmark with its rules.

    interactions: rounds of a sample. seconds_per_object: the time limit of a sample, per object. new_frame_rounds:
    rounds in which the robot moves to another frame; None: all. clock: returns seconds.
    """

    interactions: int = 8
    seconds_per_object: float = 8 * 30.0
    new_frame_rounds: Sequence[int] | None = None
    robot: Robot = BENCHMARK_ROBOT
    clock: Callable[[], float] = perf_counter

    def run(
        self,
        samples: Iterable[ScribbleSample],
        open_video: Callable[[str, tuple[int, ...]], System],
        say: Callable[[str], None] = print,
    ) -> "InteractiveReport":
        """Run all samples. Raises ValueError for masks of a wrong shape."""
        report = InteractiveReport(self.interactions, self.seconds_per_object)
        for sample in samples:
            done = self.run_sample(sample, open_video)
            report.samples.append((sample.sequence, sample.scribble_idx, sample.objects))
            report.interactions.extend(done)
            score = f"J&F {100 * done[-1].scores.mean():.1f}" if done else "no masks in time"
            seconds = sum(interaction.seconds for interaction in done)
            say(f"{sample.sequence} {sample.scribble_idx}: {len(done)} interactions, {seconds:.1f} s, {score}")
        return report

    def run_sample(
        self, sample: ScribbleSample, open_video: Callable[[str, tuple[int, ...]], System]
    ) -> list[Interaction]:
        """The rounds that were submitted in time.

        The time of an interaction is that of the system; the first one includes opening the video. The limit is for
        wall-clock time, including the robot. A submission after the limit is ignored.
        """
        limit = self.seconds_per_object * len(sample.objects)
        done: list[Interaction] = []
        annotated: set[int] = set()  # by the robot; the frame of the first scribbles is not among them
        scribbles, frame = sample.scribbles, sample.scribbles.annotated_frame
        if frame is None:
            raise ValueError(f"the first scribbles of {sample.sequence} are on no frame")
        start = self.clock()
        system = None
        while len(done) < self.interactions and self.clock() - start <= limit:
            number = len(done) + 1
            began = self.clock()
            system = system or open_video(sample.sequence, sample.objects)
            submission = system(Round(number, frame, scribbles, self._is_last_on_frame(number)))
            ended = self.clock()
            if ended - start > limit:
                break
            if not isinstance(submission, Submission):
                submission = Submission(submission)
            masks = np.asarray(submission.masks)
            if masks.shape != sample.truth.shape:
                raise ValueError(f"masks of {sample.sequence} are {masks.shape}, not {sample.truth.shape} (T, H, W)")
            scores = _scores(sample, masks)
            done.append(
                Interaction(sample.sequence, sample.scribble_idx, number, ended - began, sample.objects, scores)
            )
            if number == self.interactions:
                break
            candidates = {frame}
            if self._is_last_on_frame(number):
                candidates = _candidates(submission, sample.sequence)
            frame = worst_frame(scores, candidates - annotated or candidates)
            annotated.add(frame)
            scribbles = self.robot.correct(sample.sequence, sample.truth, masks, sample.objects, frame)
        return done

    def _is_last_on_frame(self, number: int) -> bool:
        return self.new_frame_rounds is None or number == self.interactions or number + 1 in self.new_frame_rounds


def _scores(sample: ScribbleSample, masks: np.ndarray) -> np.ndarray:
    """(T, O, 2) J and F of masks (T, H, W); void pixels of the truth, which are negative, do not count."""
    void = sample.truth < 0
    return np.stack(
        [
            score_frame(truth, mask, sample.objects, ignored if ignored.any() else None)
            for truth, mask, ignored in zip(sample.truth, masks, void, strict=True)
        ]
    )


def _candidates(submission: Submission, sequence: str) -> set[int]:
    """The frames that the next scribbles may be on. Raises ValueError if one is no frame."""
    frames = set(range(len(submission.masks)))
    candidates = set(submission.candidates or frames)
    if not candidates <= frames:
        raise ValueError(f"candidates {sorted(candidates)} are no frames of {sequence}")
    return candidates


def worst_frame(scores: np.ndarray, candidates: Iterable[int]) -> int:
    """The candidate with the lowest mean (J + F) / 2 over objects, the earliest of equals; scores are (T, O, 2)."""
    means = scores.mean(axis=(1, 2))
    return min(sorted(candidates), key=lambda frame: means[frame])


@dataclass
class InteractiveReport:
    """The result of a benchmark: ``samples`` are (sequence, scribble_idx, objects), with or without interactions."""

    max_interactions: int
    seconds_per_object: float
    samples: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)
    interactions: list[Interaction] = field(default_factory=list)

    def curve(self, metric: str = "J&F") -> tuple[np.ndarray, np.ndarray]:
        """Seconds and per cent: (0, 0), each interaction, and the time limit with the last score.

        A point is the mean score over samples and objects, at the sum of the mean times so far. A sample that ran out
        of time keeps its score and adds no time; one without any submission scores 0. The limit is the mean number of
        objects over the sequences (not over the samples) times ``seconds_per_object``.
        """
        if not self.samples:
            raise UserError("the report has no samples", "run the benchmark on at least one video")
        seconds = np.zeros((self.max_interactions, len(self.samples)))
        values: list[list[np.ndarray]] = [[] for _ in range(self.max_interactions)]
        by_sample = {(s.sequence, s.scribble_idx, s.number): s for s in self.interactions}
        for column, (sequence, scribble_idx, objects) in enumerate(self.samples):
            score = np.zeros(len(objects))
            for row in range(self.max_interactions):
                interaction = by_sample.get((sequence, scribble_idx, row + 1))
                if interaction:
                    score = _pick(interaction.scores, metric).mean(axis=0)
                    seconds[row, column] = interaction.seconds
                values[row].append(score)
        objects_of = {sequence: len(objects) for sequence, _, objects in self.samples}
        limit = self.seconds_per_object * float(np.mean(list(objects_of.values())))
        means = [100 * float(np.concatenate(row).mean()) for row in values]
        times = np.cumsum(seconds.mean(axis=1))
        return np.array([0.0, *times, limit]), np.array([0.0, *means, means[-1]])

    def by_interaction(self, metric: str = "J&F") -> tuple[np.ndarray, np.ndarray]:
        """The numbers 1, 2 ... of interactions, and the per cent after each, as in ``curve``."""
        return np.arange(1, self.max_interactions + 1), self.curve(metric)[1][1:-1]

    def auc(self, metric: str = "J&F") -> float:
        """Area under ``curve`` (trapezoidal rule) divided by its last time, per cent."""
        times, values = self.curve(metric)
        return float(trapezoid(values, times) / times[-1]) if times[-1] else 0.0

    def value_at(self, seconds: float = 60.0, metric: str = "J&F") -> float:
        """The value of ``curve`` at a time, linearly interpolated, per cent."""
        return float(np.interp(seconds, *self.curve(metric)))

    def summary(self) -> dict[str, float]:
        """AUC and value at 60 s for J, F and J&F, per cent."""
        return {f"AUC {metric}": self.auc(metric) for metric in METRICS} | {
            f"{metric}@60s": self.value_at(60.0, metric) for metric in METRICS
        }

    def write_csv(self, path: str | Path, session: str = "local") -> None:
        """One row for each interaction, frame and object, in the columns of davisinteractive's report."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["", *_COLUMNS])
        row = 0
        for done in self.interactions:
            for frame, scores in enumerate(done.scores):
                for label, (j, f) in zip(done.objects, scores, strict=True):
                    numbers = [float(j), float(f), float(j + f) / 2, done.seconds]
                    head = [session, done.sequence, done.scribble_idx, done.number, label, frame]
                    writer.writerow([row, *head, *numbers])
                    row += 1
        write_atomically(path, out.getvalue())


def read_report(path: str | Path, interactions: int = 8, seconds_per_object: float = 240.0) -> InteractiveReport:
    """Read a report CSV; its samples are those with at least one interaction. Raises UserError for another file."""
    rounds: dict[tuple[str, int, int], dict] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                key = row["sequence"], int(row["scribble_idx"]), int(row["interaction"])
                entry = rounds.setdefault(key, {"seconds": float(row["timing"]), "scores": {}})
                pair = float(row["jaccard"]), float(row["contour"])
                entry["scores"][int(row["frame"]), int(row["object_id"])] = pair
        report = InteractiveReport(interactions, seconds_per_object)
        for (sequence, scribble_idx, number), entry in rounds.items():
            frames, objects = (sorted(set(part)) for part in zip(*entry["scores"], strict=True))
            scores = np.array([[entry["scores"][frame, label] for label in objects] for frame in frames])
            sample = (sequence, scribble_idx, tuple(objects))
            if sample not in report.samples:
                report.samples.append(sample)
            report.interactions.append(
                Interaction(sequence, scribble_idx, number, entry["seconds"], tuple(objects), scores)
            )
    except OSError as error:
        raise UserError(f"report {path} cannot be read", str(error.strerror)) from None
    except (KeyError, TypeError, ValueError) as error:
        what = f"{path} is no interactive report ({error!r})"
        raise UserError(what, f"its columns are {', '.join(_COLUMNS)}") from None
    return report


def read_samples(
    annotations: str | Path,
    scribbles: str | Path | None = None,
    videos: Iterable[str] | None = None,
    robot: Robot | None = None,
    rule: Rule | None = None,
) -> Iterator[ScribbleSample]:
    """Samples from folders, one video in memory at a time.

    Args:
        annotations: folder of video folders of masks.
        scribbles: folder of video folders with one JSON for each set of first scribbles (DAVIS's ``Scribbles``); if
            None, ``robot`` makes one set.
        videos: the subset; all if None.
        rule: the mask rule; None: decided over these videos.

    Raises:
        UserError: something is missing, or scribbles do not fit their video.
    """
    names = find_videos(Path(annotations), videos)
    rule = rule or folder_rule(Path(annotations), names)
    for name in names:
        video = MaskVideo(Path(annotations) / name, rule=rule)
        masks = [video.read(frame) for frame in video.names]
        truth = np.stack([mask.ids for mask in masks])
        truth = truth.astype(np.int16 if truth.dtype == np.uint8 else np.int32)  # for -1
        for ids, mask in zip(truth, masks, strict=True):
            if mask.void is not None:
                ids[mask.void] = -1
        objects = tuple(sorted(set().union(*(object_ids(mask.ids) for mask in masks))))
        if not objects:
            raise UserError(f"no annotation of {name} has an object", "leave the video out of the list")
        if scribbles is None:
            yield ScribbleSample(name, 1, truth, objects, (robot or BENCHMARK_ROBOT).begin(name, truth, objects))
            continue
        paths = sorted((Path(scribbles) / name).glob("*.json"))
        if not paths:
            what = f"{Path(scribbles) / name} has no scribbles"
            raise UserError(what, "it holds one JSON for each set of scribbles: 001.json, 002.json ...")
        for number, path in enumerate(paths, 1):
            first = read_scribbles(path)
            if first.sequence != name or len(first.frames) != len(truth) or first.annotated_frame is None:
                what = f"{path} is for {len(first.frames)} frames of {first.sequence}, not {len(truth)} of {name}"
                raise UserError(what, "take the video's own file")
            unknown = {stroke.object_id for strokes in first.frames for stroke in strokes} - {0, *objects}
            if unknown:
                what = f"{path} has strokes for object {min(unknown)}, which {name} has not"
                raise UserError(what, f"its objects are {', '.join(map(str, objects))}, and 0 is the background")
            yield ScribbleSample(name, number, truth, objects, first)


def baselines(
    annotations: str | Path, rule: Rule | None = None
) -> dict[str, Callable[[str, tuple[int, ...]], System]]:
    """``open_video`` of the lower and the upper bound for any system; both know the truth.

    One corrects the scribbled frame perfectly and copies it to all others; the other returns the truth.
    """

    def truth_of(sequence: str) -> np.ndarray:
        video = MaskVideo(Path(annotations) / sequence, rule=rule)
        return np.stack([video.read(name).ids for name in video.names])

    def copier(sequence: str, objects: tuple[int, ...]) -> System:
        truth = truth_of(sequence)
        return lambda task: np.broadcast_to(truth[task.frame], truth.shape)

    def oracle(sequence: str, objects: tuple[int, ...]) -> System:
        truth = truth_of(sequence)
        return lambda task: truth

    return {"scribbled frame copied": copier, "oracle": oracle}


def _pick(scores: np.ndarray, metric: str) -> np.ndarray:
    """(..., 2) J and F to (...)."""
    if metric not in METRICS:
        raise ValueError(f"metric {metric} is none of {', '.join(METRICS)}")
    return scores.mean(axis=-1) if metric == "J&F" else scores[..., METRICS.index(metric)]
