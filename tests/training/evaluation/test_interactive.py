import csv
import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.errors import UserError
from training.evaluation.interactive import (
    MIVOS_ROUNDS,
    Interaction,
    InteractiveBenchmark,
    InteractiveReport,
    ScribbleSample,
    Submission,
    baselines,
    read_report,
    read_samples,
    worst_frame,
)
from training.evaluation.robot import Robot
from training.evaluation.scribbles import Scribbles, Stroke


def write_scribbles(scribbles, path):
    """The rule of davisinteractive."""
    frames = [[vars(stroke) | {"path": stroke.path.tolist()} for stroke in strokes] for strokes in scribbles.frames]
    data = {"scribbles": frames, "sequence": scribbles.sequence, "annotated_frame": scribbles.annotated_frame}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


@dataclass
class FakeClock:
    now: float = 1000.0

    def __call__(self):
        return self.now


@dataclass(frozen=True)
class SlowRobot(Robot):
    clock: FakeClock = None
    takes: float = 5.0

    def correct(self, *args):
        self.clock.now += self.takes
        return super().correct(*args)


@dataclass
class FakeSystem:
    """A system that takes ``seconds`` per round, returns ``answer(round)``, and records the rounds."""

    clock: FakeClock
    answer: object
    seconds: float = 10.0
    opening: float = 0.0
    rounds: list = field(default_factory=list)

    def open_video(self, sequence, objects):
        self.clock.now += self.opening
        return self

    def __call__(self, task):
        self.rounds.append(task)
        self.clock.now += self.seconds
        return self.answer(task)


def sample_of(truth, name="walk", frame=0):
    objects = tuple(int(v) for v in np.unique(truth) if v > 0)
    return ScribbleSample(name, 1, truth, objects, Scribbles.on_frame(name, len(truth), frame, []))


def run(truth, answer, robot_takes=5.0, frame=0, **settings):
    clock = FakeClock()
    system = FakeSystem(clock, answer, settings.pop("seconds", 10.0), settings.pop("opening", 0.0))
    robot = SlowRobot(clock=clock, takes=robot_takes)
    benchmark = InteractiveBenchmark(robot=robot, clock=clock, **settings)
    report = benchmark.run([sample_of(truth, frame=frame)], system.open_video, say=lambda line: None)
    return report, system


def test_true_masks_score_100_and_time_is_the_systems(squares):
    report, system = run(squares, lambda task: squares)
    assert [i.seconds for i in report.interactions] == [10.0] * 8  # without the robot's five
    times, values = report.curve()
    assert times.tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 80, 480]  # two objects: 2 * 240 s
    assert values.tolist() == [0] + [100] * 9
    assert report.auc() == pytest.approx((10 * 100 / 2 + 470 * 100) / 480)
    assert report.value_at(60) == 100 and report.value_at(5) == 50
    assert set(report.summary()) == {"AUC J", "AUC F", "AUC J&F", "J@60s", "F@60s", "J&F@60s"}
    assert all(not task.scribbles.frames[task.frame] for task in system.rounds[1:])  # nothing to correct


def test_empty_masks_score_0(squares):
    report, _ = run(squares, lambda task: np.zeros_like(squares))
    assert report.auc() == 0 and report.value_at(60) == 0


def test_opening_the_video_counts_in_the_first_interaction(squares):
    report, _ = run(squares, lambda task: squares, opening=7.0)
    assert [i.seconds for i in report.interactions] == [17.0] + [10.0] * 7


def test_the_limit_is_wall_clock_time_with_the_robot(squares):
    one = np.where(squares == 1, 1, 0)  # one object: 240 s
    report, system = run(one, lambda task: one, seconds=100.0, robot_takes=100.0)
    # 0-100 round 1, 100-200 robot, 200-300 round 2: late and ignored
    assert len(system.rounds) == 2 and len(report.interactions) == 1
    report, system = run(one, lambda task: one, seconds=100.0, robot_takes=141.0)
    assert len(system.rounds) == 1 and len(report.interactions) == 1  # at 241 s no round begins
    report, _ = run(one, lambda task: one, seconds=240.0)
    assert len(report.interactions) == 1  # in time to the second
    report, _ = run(one, lambda task: one, seconds=240.5)
    assert report.interactions == [] and report.auc() == 0 and len(report.samples) == 1


def test_the_benchmarks_robot_opens_regions_by_a_fifth():
    assert InteractiveBenchmark().robot.radius_share == 0.2


def interaction(name, number, seconds, j, f, objects=(1,)):
    return Interaction(name, 1, number, seconds, objects, np.array([[[j, f]] * len(objects)] * 3))


def test_rounds_without_interaction_keep_the_score_and_take_no_time():
    report = InteractiveReport(3, 100.0, [("a", 1, (1,)), ("b", 1, (1, 2))])
    report.interactions = [
        interaction("a", 1, 4.0, 0.4, 0.6),
        interaction("a", 2, 6.0, 0.8, 0.8),
        interaction("a", 3, 6.0, 0.9, 0.9),
        interaction("b", 1, 8.0, 0.2, 0.2, (1, 2)),
    ]
    times, values = report.curve("J&F")
    assert times == pytest.approx([0, 6, 9, 12, 150])  # means 6, 3, 3; the limit is 1.5 objects * 100 s
    # a has one row, b two: (50 + 2 * 20) / 3 and so on
    assert values == pytest.approx([0, 30, 40, 130 / 3, 130 / 3])
    assert report.curve("J")[1] == pytest.approx([0, 80 / 3, 40, 130 / 3, 130 / 3])
    # Another set of scribbles of a sequence is another sample, but the limit averages over sequences.
    report.samples.append(("a", 2, (1,)))
    assert report.curve("J&F")[0][-1] == pytest.approx(150)
    report.samples.pop()
    area = 6 * 30 / 2 + 3 * 35 + 3 * (40 + 130 / 3) / 2 + 138 * 130 / 3
    assert report.auc() == pytest.approx(area / 150)
    assert report.value_at(7.5) == pytest.approx(35)
    with pytest.raises(ValueError, match="metric X"):
        report.auc("X")


def test_the_robot_moves_to_the_worst_frame_it_has_not_annotated(squares):
    wrong = squares.copy()
    wrong[5] = 0  # worst
    wrong[2][wrong[2] == 1] = 0
    wrong[7, :12] = 0
    _, system = run(squares, lambda task: wrong)
    frames = [task.frame for task in system.rounds]
    assert frames[1:4] == [5, 2, 7]
    assert len(set(frames[1:])) == 7  # never a frame twice
    assert system.rounds[1].scribbles.frames[5]


def test_the_first_frame_may_be_chosen_again_by_the_robot(squares):
    wrong = squares.copy()
    wrong[0] = 0
    _, system = run(squares, lambda task: wrong, frame=0)
    assert [task.frame for task in system.rounds[:2]] == [0, 0]
    assert system.rounds[2].frame != 0


def test_a_system_may_name_candidates(squares):
    _, system = run(squares, lambda task: Submission(squares, [3, 4]))
    # the earliest of equals; then the other; then, with none left, all candidates
    assert [task.frame for task in system.rounds] == [0, 3, 4, 3, 3, 3, 3, 3]


def test_the_robot_follows_mivos(squares):
    wrong = squares.copy()
    wrong[5] = 0
    _, system = run(squares, lambda task: wrong, new_frame_rounds=MIVOS_ROUNDS)
    frames = [task.frame for task in system.rounds]
    assert len(set(frames[:3])) == len(set(frames[3:6])) == len(set(frames[6:])) == 1
    assert frames[0] == 0 and frames[3] == 5 and frames[6] not in (0, 5)
    assert [task.number for task in system.rounds if task.propagate] == [3, 6, 8]


def test_worst_frame_is_of_the_mean_over_objects_and_both_metrics():
    scores = np.array([[[1, 0.1], [1, 0.9]], [[0.8, 0.8], [0.8, 0.5]], [[0, 0], [0, 0]]])
    assert worst_frame(scores, {0, 1}) == 1  # 0.725 against 0.75
    assert worst_frame(scores, {0, 1, 2}) == 2


def test_void_is_not_scored(squares):
    truth = squares.astype(np.int16)
    truth[squares == 2] = -1
    report, _ = run(truth, lambda task: squares)
    assert report.value_at(60) == 100 and report.interactions[0].objects == (1,)


def test_masks_of_the_wrong_shape_are_a_mistake_of_the_system(squares):
    with pytest.raises(ValueError, match="masks of walk are"):
        run(squares, lambda task: squares[:, :-1])
    with pytest.raises(ValueError, match=r"candidates \[8\] are no frames of walk"):
        run(squares, lambda task: Submission(squares, [8]))


def test_report_csv(tmp_path, squares):
    wrong = np.roll(squares, 3, axis=2)
    report, _ = run(squares, lambda task: wrong, interactions=3)
    report.write_csv(tmp_path / "report.csv", session="mine")
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "",
        "session_id",
        "sequence",
        "scribble_idx",
        "interaction",
        "object_id",
        "frame",
        "jaccard",
        "contour",
        "j_and_f",
        "timing",
    ]
    assert len(rows) == 3 * 8 * 2 and rows[-1][""] == "47"
    assert float(rows[0]["j_and_f"]) == pytest.approx((float(rows[0]["jaccard"]) + float(rows[0]["contour"])) / 2)
    again = read_report(tmp_path / "report.csv", interactions=3)
    assert again.summary() == pytest.approx(report.summary())
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="other.csv is no interactive report"):
        read_report(tmp_path / "other.csv")
    with pytest.raises(UserError, match="no samples"):
        InteractiveReport(8, 240).summary()


def test_samples_from_folders(tmp_path, write_video, squares):
    write_video(tmp_path / "Annotations" / "walk", squares)
    with_void = squares.copy()
    with_void[:, 0, 0] = 255
    write_video(tmp_path / "Annotations" / "void", with_void)
    for number in (1, 2):
        strokes = Scribbles.on_frame("walk", 8, number, [])
        write_scribbles(strokes, tmp_path / "Scribbles" / "walk" / f"00{number}.json")
    given = list(read_samples(tmp_path / "Annotations", tmp_path / "Scribbles", ["walk"]))
    assert [(s.scribble_idx, s.scribbles.annotated_frame) for s in given] == [(1, 1), (2, 2)]
    made = {s.sequence: s for s in read_samples(tmp_path / "Annotations")}
    assert made["walk"].scribbles.frames[made["walk"].scribbles.annotated_frame]
    assert (made["void"].truth[:, 0, 0] == -1).all() and made["void"].objects == (1, 2)


def test_baselines(tmp_path, write_video, squares):
    write_video(tmp_path / "walk", squares)
    systems = baselines(tmp_path)
    (sample,) = read_samples(tmp_path)
    scores = {
        label: InteractiveBenchmark().run([sample], open_video, lambda line: None).curve()[1][-1]
        for label, open_video in systems.items()
    }
    assert scores["oracle"] == 100 > scores["scribbled frame copied"] > 0


def test_bad_samples_are_one_clear_line(tmp_path, write_video, squares):
    write_video(tmp_path / "Annotations" / "walk", squares)
    write_scribbles(Scribbles.on_frame("goat", 8, 1, []), tmp_path / "Scribbles" / "walk" / "001.json")
    with pytest.raises(UserError, match="001.json is for 8 frames of goat, not 8 of walk"):
        list(read_samples(tmp_path / "Annotations", tmp_path / "Scribbles"))
    stroke = Stroke(np.zeros((2, 2)), 7)
    write_scribbles(Scribbles.on_frame("walk", 8, 1, [stroke]), tmp_path / "Scribbles" / "walk" / "001.json")
    with pytest.raises(UserError, match="001.json has strokes for object 7, which walk has not: its objects are 1"):
        list(read_samples(tmp_path / "Annotations", tmp_path / "Scribbles"))
    with pytest.raises(UserError, match="walk has no scribbles"):
        list(read_samples(tmp_path / "Annotations", tmp_path))
    (tmp_path / "nothing" / "walk").mkdir(parents=True)
    (tmp_path / "nothing" / "walk" / "00000.png").write_bytes(encode_mask(np.zeros((4, 4), np.uint8)))
    with pytest.raises(UserError, match="no annotation of walk has an object"):
        list(read_samples(tmp_path / "nothing"))


def test_a_real_video_gets_better_round_by_round(davis):
    """A system that applies the scribbles to the given frame only."""
    (sample,) = read_samples(davis / "Annotations" / "480p", videos=["car-shadow"])
    truth = sample.truth[::8]
    sample = ScribbleSample("car-shadow", 1, truth, (1,), Robot().begin("car-shadow", truth, [1]))
    masks = np.zeros_like(truth)

    def system(task):
        masks[task.frame] = truth[task.frame]
        return masks.copy()

    report = InteractiveBenchmark(interactions=5).run([sample], lambda sequence, objects: system, lambda line: None)
    scores = [i.scores.mean() for i in report.interactions]
    assert scores == pytest.approx([k / 5 for k in (1, 2, 3, 4, 5)])
