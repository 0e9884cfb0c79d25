"""What a build will cost: the arithmetic, and an estimate against a dataset that was rendered."""

import json
import statistics

import pytest

from bl30k_gen.dataset.pack import pack
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.render.tools.estimate import MIN_SCENES, WANTED_SCENES, interval, spread, timed_frames
from bl30k_gen.seeding import rng


@pytest.mark.parametrize("count", [1, 3, 12, 100, 30000])
def test_scenes_are_spread_over_the_build(count):
    indices = list(spread(count))
    assert sorted(indices) == list(range(count))
    if count > 4:
        assert [index * 4 // count for index in indices[:4]] == [0, 2, 1, 3]  # one in each quarter


def test_frames_at_both_ends_are_timed():
    assert timed_frames(160) == [0, 1, 158, 159]
    assert [timed_frames(frames) for frames in (1, 2, 3)] == [[0], [0, 1], [0, 1, 2]]


def test_intervals_hold_as_often_as_they_say():
    """In 400 trials, 95 % of sums of 12 random values are in the interval estimated from 5 others."""
    random, held = rng(0, "intervals"), 0
    for _ in range(400):
        values = random.normal(20, 4, 17)
        found = interval(values[:5].tolist(), 12)
        assert found.value == pytest.approx(12 * values[:5].mean())
        held += found.low <= values[5:].sum() <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_a_mean_has_a_narrower_interval_than_one_video_and_is_never_negative():
    values = [1.0, 2.0, 30.0]
    mean, one, many = interval(values, None), interval(values, 1), interval(values, 30000)
    assert mean.value == one.value == pytest.approx(11)
    assert mean.high < one.high and many.high / 30000 == pytest.approx(mean.high, rel=1e-3)
    assert mean.low == one.low == 0


def test_an_estimate_fits_a_build(rendered, tiny, generate, tmp_path):
    flags = ["--count", 3, "--threads-per-worker", 1, "--device", "cpu", "--seconds", 1]
    done = generate("estimate", *tiny, *flags, "--nodes", 1, "--json")
    said = json.loads(done.stdout)
    assert (said["videos"], said["frames"], said["size"]) == (3, 6, [128, 80])
    assert MIN_SCENES <= said["scenes"] <= WANTED_SCENES  # the time limit was reached before three, or soon after
    assert said["gpu_hours"] is None and said["files"] == 3 * (2 * 6 + 2)

    store = open_dataset(rendered)
    sizes = {"folder": sum(-(-p.stat().st_size // 4096) * 4096 for p in files_of(rendered))}
    for kind in ("tar", "hdf5"):
        shards = [*pack(store, tmp_path / kind, kind), *(tmp_path / kind).glob("*.index.json")]
        sizes[kind] = sum(path.stat().st_size for path in shards)
    for kind, size in sizes.items():
        assert said["bytes"][kind]["value"] == pytest.approx(size, rel=0.2), kind  # small files: the lists count, too
        assert said["bytes"][kind]["low"] < size < said["bytes"][kind]["high"] * 1.1

    frames = [e["total_seconds"] for log in (rendered / "Logs").glob("*.jsonl") for e in events(log) if "frame" in e]
    assert 0.2 < said["frame_seconds"]["value"] / statistics.median(frames) < 5  # the machine may be busy
    assert said["worker_hours"]["value"] * 3600 > 18 * said["frame_seconds"]["value"] > 0
    assert said["cpu_hours"]["low"] <= said["cpu_hours"]["value"] <= said["cpu_hours"]["high"]
    assert said["wall_hours"]["value"] == said["worker_hours"]["value"]  # one node of one worker


def files_of(root):
    folders = ("JPEGImages", "Annotations", "Metadata", "Logs")
    return [path for folder in folders for path in (root / folder).rglob("*.*") if "runs" not in path.parts]


def events(log):
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_a_scene_that_cannot_be_rendered_is_an_error(tiny, generate, tmp_path):
    (tmp_path / "empty").mkdir()
    done = generate("estimate", *tiny, "--set", f"assets.models={tmp_path / 'empty'}", code=2)
    assert "error:" in done.stderr and "empty" in done.stderr and "Traceback" not in done.stderr
