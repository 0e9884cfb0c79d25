import json

import numpy as np
import pytest

from bl30k_gen.errors import UserError
from training.evaluation.session_log import SessionLog, read_session
from training.evaluation.study import increment_table, progress, read_study, summary_table, user_seconds


class FakeClock:
    now = 50.0

    def __call__(self):
        return self.now


def play(path, method, script, user="u1"):
    """Log a scripted session: (event, seconds) or (event, seconds, iou)."""
    clock = FakeClock()
    log = SessionLog(path, user, "camel", method, clock)
    for kind, seconds, *iou in script:
        with log.event(kind) as about:
            clock.now += seconds
            if iou:
                about["iou"] = iou[0]


SCRIPT = [
    ("pause", 2),
    ("interact", 8),
    ("compute", 30, 0.5),  # after 10 s of the user's
    ("search", 5),
    ("compute", 1),
    ("interact", 5),
    ("compute", 30, 0.8),  # after 20 s
]


@pytest.fixture
def study(tmp_path):
    play(tmp_path / "a.jsonl", "ours", SCRIPT)
    play(tmp_path / "b.jsonl", "ours", [("interact", 20), ("compute", 1, 0.6), ("pause", 20), ("compute", 9, 0.9)])
    play(tmp_path / "c.jsonl", "theirs", [("interact", 40), ("compute", 100, 0.4)])
    return read_study(tmp_path)


def test_user_time_is_without_computation(tmp_path):
    play(tmp_path / "a.jsonl", "ours", SCRIPT)
    session = read_session(tmp_path / "a.jsonl")
    assert (session.user, session.video, session.method) == ("u1", "camel", "ours")
    assert user_seconds(session) == pytest.approx(20)
    assert user_seconds(session, until=6.0) == pytest.approx(6)  # two of pause, four of interaction
    points = progress(session)
    assert points.seconds == pytest.approx([0, 10, 20]) and points.iou == pytest.approx([0, 50, 80])


def test_curve_by_hand(study):
    assert study.methods == ["ours", "theirs"] and study.horizon == pytest.approx(40)
    curve = study.curve("ours", points=5)  # at 0, 10, 20, 30, 40 s
    first, second = np.array([0, 50, 80, 80, 80]), np.array([0, 30, 60, 75, 90])
    assert curve.seconds == pytest.approx([0, 10, 20, 30, 40])
    assert curve.mean == pytest.approx((first + second) / 2)
    assert curve.median == pytest.approx((first + second) / 2)
    low, high = np.minimum(first, second), np.maximum(first, second)
    assert curve.lower == pytest.approx(low + (high - low) / 4)
    assert curve.upper == pytest.approx(high - (high - low) / 4)


def test_auc_by_hand(study):
    first = (10 * 25 + 10 * 65 + 20 * 80) / 40
    second = (20 * 30 + 20 * 75) / 40
    assert study.auc("ours") == pytest.approx((first + second) / 2)
    assert study.auc("theirs") == pytest.approx(20)


def test_auc_up_to_a_given_horizon(tmp_path):
    play(tmp_path / "a.jsonl", "ours", SCRIPT)
    assert read_study([tmp_path / "a.jsonl"], horizon=15).auc("ours") == pytest.approx((10 * 25 + 5 * 57.5) / 15)
    assert read_study([tmp_path / "a.jsonl"], horizon=100).auc("ours") == pytest.approx((250 + 650 + 6400) / 100)


def test_increments_by_hand(study):
    assert study.increments("ours") == [pytest.approx((55, 2)), pytest.approx((30, 2))]
    assert study.increments("theirs") == [pytest.approx((40, 1))]
    assert [row.split() for row in increment_table(study).text().splitlines()[2:]] == [
        ["ours", "55.00", "30.00"],
        ["theirs", "40.00"],
    ]
    (ours, theirs) = summary_table(study).rows
    assert ours == ["ours", 2, 2.0, pytest.approx(30), pytest.approx(85), pytest.approx(57.5)]
    assert theirs[:3] == ["theirs", 1, 1.0]


def test_bad_logs_are_one_clear_line(tmp_path):
    head = {"user": "u", "video": "v", "method": "m"}

    def refused(match, *lines):
        lines = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        (tmp_path / "x.jsonl").write_text("\n".join(lines))
        with pytest.raises(UserError, match=match) as caught:
            read_study(tmp_path)
        assert "\n" not in str(caught.value)

    refused("x.jsonl is no session log", "")
    refused("x.jsonl is not valid JSON", head, '{"event": "inter')
    refused("unknown event sleep", head, {"event": "sleep", "start": 0, "end": 1})
    refused("lasts from 3.0 to 1.0", head, {"event": "pause", "start": 3, "end": 1})
    refused("an iou of 81", head, {"event": "compute", "start": 0, "end": 1, "iou": 81})
    refused(
        "search at 1.0 s begins before interact ends",
        head,
        {"event": "interact", "start": 0, "end": 2},
        {"event": "search", "start": 1, "end": 3},
    )
    refused("x.jsonl holds no IoU", head, {"event": "interact", "start": 0, "end": 2})
    refused("no user time", head, {"event": "compute", "start": 0, "end": 2, "iou": 0.5})
    for horizon in (-1.0, 0.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"a horizon of {horizon} s"):
            line = {"event": "compute", "start": 0, "end": 2, "iou": 0.5}
            (tmp_path / "x.jsonl").write_text(f"{json.dumps(head)}\n{json.dumps(line)}")
            read_study(tmp_path, horizon)
    (tmp_path / "x.jsonl").unlink()
    with pytest.raises(UserError, match="has no session logs"):
        read_study(tmp_path)
    with pytest.raises(UserError, match="nowhere is no folder"):
        read_study(tmp_path / "nowhere")


def test_the_journal_of_an_annotated_video_is_no_log(tmp_path):
    play(tmp_path / "camel/study/u1.jsonl", "ours", SCRIPT)
    (tmp_path / "camel/session").mkdir()
    (tmp_path / "camel/session/journal.jsonl").write_text('{"format": "bl30k-annotation"}\n{"begin": true}\n')
    assert len(read_study(tmp_path).sessions) == 1
    with pytest.raises(UserError, match="has no session logs"):
        read_study(tmp_path / "camel/session")


def test_corrections_are_no_rounds_of_a_session_that_propagates(tmp_path):
    clock = FakeClock()
    log = SessionLog(tmp_path / "a.jsonl", "u1", "camel", "m", clock)
    for about, expected in (
        ({"iou": 0.2}, [0, 20]),
        ({"iou": 0.6, "round": 1}, [0, 60]),
        ({"iou": 0.7}, [0, 60]),
    ):
        with log.event("compute", **about):
            clock.now += 1
        assert progress(read_session(tmp_path / "a.jsonl")).iou == pytest.approx(expected)


def test_an_event_that_fails_is_not_the_users_time(tmp_path):
    clock = FakeClock()
    log = SessionLog(tmp_path / "a.jsonl", "u1", "camel", "m", clock)
    clock.now += 2
    log.since_last("interact")
    with pytest.raises(KeyboardInterrupt), log.event("compute"):
        clock.now += 30
        raise KeyboardInterrupt
    clock.now += 1
    log.since_last("pause")
    session = read_session(tmp_path / "a.jsonl")
    assert [event.kind for event in session.events] == ["interact", "compute", "pause"]
    assert user_seconds(session) == pytest.approx(3)


def test_a_log_needs_a_file(tmp_path):
    with pytest.raises(UserError, match="is a folder: give a file's name"):
        SessionLog(tmp_path, "u", "v", "m")


def test_unknown_events_are_not_logged(tmp_path):
    log = SessionLog(tmp_path / "a.jsonl", "u", "v", "m")
    with pytest.raises(ValueError, match="event sleep"), log.event("sleep"):
        pass


def test_the_command_writes_what_it_prints(tmp_path, study, capsys):
    from training.cli.evaluate import study as command

    out = tmp_path.with_name(f"{tmp_path.name}_out")
    command(tmp_path, out)
    assert {p.name for p in out.iterdir()} == {
        ".claim.json",
        "summary.txt",
        "summary.csv",
        "summary.tex",
        "rounds.txt",
        "rounds.csv",
        "rounds.tex",
        "study.png",
    }
    assert (out / "rounds.csv").read_text() == increment_table(study).csv()
    assert (out / "summary.txt").read_text() in capsys.readouterr().out


def test_figures(tmp_path, study):
    from PIL import Image

    from training.evaluation.interactive import Interaction, InteractiveReport
    from training.evaluation.plots import plot_reports, plot_study

    plot_study(study, tmp_path / "study.png")
    report = InteractiveReport(
        2, 240.0, [("a", 1, (1,))], [Interaction("a", 1, 1, 5.0, (1,), np.full((3, 1, 2), 0.5))]
    )
    plot_reports({"mine": report}, tmp_path / "curve.png")
    for name, width in (("study.png", 900), ("curve.png", 1575)):
        with Image.open(tmp_path / name) as image:
            assert image.size == (width, 600) and len(image.getcolors(100_000)) > 10
