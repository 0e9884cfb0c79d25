"""How far a dataset is, and clearing up, on synthetic datasets of which only the bookkeeping exists."""

import contextlib
import json
import os
import pty
import subprocess
import sys
import time

import pytest

from bl30k_gen.cluster import history
from bl30k_gen.cluster.prune import prune
from bl30k_gen.cluster.status import status, watch
from bl30k_gen.config import Config
from bl30k_gen.dataset.layout import Layout
from bl30k_gen.errors import UserError
from bl30k_gen.render import child, process
from bl30k_gen.render.output.lease import FREE, HEARTBEAT, Leases
from bl30k_gen.scene.sampler import video_name
from tests.conftest import ROOT

ELSEWHERE = "othernode.17.4711.0000abcd.{}"


def a_name_of_the_dead():
    _, pid, _, place, _ = process.new_name().split(".")
    return f"here.{pid}.1.{place}.00000000"  # not the start of this process


def build(root, config: Config, videos: int, nodes: int = 4):
    """A build in the middle: 70 % done, a few running, interrupted and failed; one node is three times as slow."""
    layout, now = Layout(root), time.time()
    names = [video_name(index, config.dataset.videos_per_segment) for index in range(videos)]
    for folder in ("Metadata", "Logs/runs", "Slurm/001", ".staging"):
        (root / folder).mkdir(parents=True)
    layout.config.write_text(config.to_yaml())
    (root / "Slurm/001/array-0.indices").write_text("".join(f"{index}\n" for index in range(videos)))
    done = names[: videos * 7 // 10]
    for name in done:
        layout.metadata(name).write_text("{}")
    for number in range(nodes):
        with open(root / f"Logs/runs/node{number}.jsonl", "w") as journal:
            ready = {"event": "ready", "device_name": "x", "threads": 2}
            journal.write(json.dumps({**ready, "time": now - 1000.0, "host": f"node{number}"}) + "\n")
            spent = 1000.0 / len(done[number::nodes])
            for place, name in enumerate(done[number::nodes]):
                seconds = 3.0 if number == 3 else 1.0
                line = {"event": "published", "name": name, "frames": 6, "frame_seconds": seconds, "seconds": spent}
                when = now - 1000.0 + spent * (place + 1)
                journal.write(json.dumps({**line, "time": when, "host": f"node{number}"}) + "\n")
            journal.write('{"event": "publ')  # the line that a killed run was writing
    rest = names[len(done) :]
    owners = [ELSEWHERE.format(0), ELSEWHERE.format(1), a_name_of_the_dead(), FREE]
    for name, owner in zip(rest, owners, strict=False):
        (root / ".staging" / name / owner).mkdir(parents=True)
        (root / ".staging" / name / owner / HEARTBEAT).write_text("1")
    os.utime(root / ".staging" / rest[1] / owners[1] / HEARTBEAT, (now - 9999.0, now - 9999.0))
    for name in rest[4:7]:
        (root / f"Logs/{name}.failed.json").write_text(json.dumps({"reason": "Blender was ended by SIGSEGV"}))
    return layout, rest


def test_a_build_in_the_middle(tmp_path, config):
    _, rest = build(tmp_path, config, 100)
    found = status(tmp_path)
    assert (found.wanted, found.done, found.pending) == (100, 70, 24)
    assert found.running == [rest[0]] and found.interrupted == [rest[1], rest[2]]
    assert found.failed == dict.fromkeys(rest[4:7], "Blender was ended by SIGSEGV")
    assert found.frames_per_second == pytest.approx(70 * 6 / 1000, rel=0.1)
    assert found.seconds_left == pytest.approx(27 * 6 / found.frames_per_second)
    assert found.slow_nodes == {"node3": 3.0}
    text = "\n".join(found.lines())
    assert "70 of 100 videos done (70.0%), 1 running, 3 failed, 2 interrupted, 24 pending" in text
    assert "3 x Blender was ended by SIGSEGV" in text and "slow: node3 takes 3.0 times" in text
    assert status(tmp_path, count=10).wanted == 10


def test_watching_prints_only_changes_and_ends_with_the_last_video(tmp_path, config, monkeypatch):
    layout, rest = build(tmp_path, config, 10)
    steps = iter([lambda: None, lambda: [layout.metadata(name).write_text("{}") for name in rest]])
    monkeypatch.setattr(time, "sleep", lambda seconds: next(steps)())
    assert [found.done for found in watch(tmp_path)] == [7, 10], "not twice the same"
    assert next(steps, None) is None, "it has looked before, between and after"


def test_watching_waits_while_no_video_is_known(tmp_path, config, monkeypatch):
    layout = Layout(tmp_path)
    layout.config.write_text(config.to_yaml())
    layout.metadata("a00000").parent.mkdir()
    monkeypatch.setattr(time, "sleep", lambda seconds: layout.metadata("a00000").write_text("{}"))
    assert [(found.wanted, found.done) for found in watch(tmp_path)] == [(0, 0), (1, 1)]


def test_pauses_do_not_slow_the_speed(tmp_path, config):
    """A build was resumed after a night: the time left was twelve times too long."""
    (tmp_path / "Logs/runs").mkdir(parents=True)
    Layout(tmp_path).config.write_text(config.to_yaml())
    line = {"event": "published", "host": "node", "pid": 1, "frames": 60, "frame_seconds": 1.0, "seconds": 30.0}
    begins = [*range(1000, 1300, 30), *range(3000, 3300, 30)]  # two workers, one of them 15 seconds later
    lines = [line | {"name": f"a{n:05d}", "time": b + 30.0 + late} for n, b in enumerate(begins) for late in (0, 15)]
    (tmp_path / "Logs/runs/0.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in lines))
    assert status(tmp_path).frames_per_second == pytest.approx(40 * 60 / 630)


@pytest.mark.parametrize("seconds", [20, 900, 3000, 4000])
def test_the_speed_does_not_depend_on_the_length_of_videos(tmp_path, config, seconds):
    (tmp_path / "Logs/runs").mkdir(parents=True)
    Layout(tmp_path).config.write_text(config.to_yaml())
    line = {"event": "published", "host": "node", "frames": 160, "frame_seconds": 1.0, "seconds": float(seconds)}
    workers, hours = 100, 6
    ends = [end for w in range(workers) for end in range(seconds + w * seconds // workers, hours * 3600, seconds)]
    lines = [line | {"name": f"v{number}", "time": 1e9 + end} for number, end in enumerate(ends)]
    (tmp_path / "Logs/runs/0.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in lines))
    assert status(tmp_path).frames_per_second == pytest.approx(workers * 160 / seconds, rel=0.15)


def test_videos_that_are_not_wanted_are_not_counted(tmp_path, config):
    _, rest = build(tmp_path, config, 100)
    found = status(tmp_path, count=60)
    assert (found.pending, found.running, found.interrupted, found.failed) == (0, [], [], {})
    assert found.ended


def test_a_screen_is_cleared_between_two_states(tmp_path, config):
    layout, rest = build(tmp_path, config, 10)
    for name in rest:
        layout.metadata(name).write_text("{}")
    shown = run_in_terminal("generate.py", "status", str(tmp_path), "--watch")
    assert shown.startswith("\033[H\033[J10 of 10 videos done")


def run_in_terminal(*command: str) -> str:
    controller, terminal = pty.openpty()
    done = subprocess.run([sys.executable, *command], cwd=ROOT, stdout=terminal, stdin=terminal, check=True)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end
        while data := os.read(controller, 4096):
            shown += data
    os.close(controller)
    assert done.returncode == 0
    return shown.decode()


def test_no_dataset(tmp_path):
    with pytest.raises(UserError, match="no dataset was begun there"):
        status(tmp_path)


def test_the_number_of_files_opened_does_not_grow_with_the_videos(tmp_path, config):
    opened, counting = [], [False]

    def audit(event, arguments):
        if (
            counting[0]
            and event in ("open", "os.listdir", "os.scandir")
            and str(arguments[0]).startswith(str(tmp_path))
        ):
            opened.append(str(arguments[0]))  # only files of the dataset: imports and other threads open others

    sys.addaudithook(audit)
    counts = []
    for videos in (100, 1000):
        build(tmp_path / str(videos), config, videos)
        opened.clear()
        counting[0] = True
        assert status(tmp_path / str(videos)).wanted == videos
        counting[0] = False
        counts.append(len(opened))
        assert not any("JPEGImages" in path or "Annotations" in path for path in opened)
    assert 0 < counts[0] == counts[1] < 60


def test_prune_frees_stale_leases_and_keeps_live_ones(tmp_path, config, monkeypatch):
    quick = config.model_copy(update={"runtime": config.runtime.model_copy(update={"lease_timeout": 0.6})})
    layout, rest = build(tmp_path, config, 20)
    published = layout.published()[0]
    for name in (published, rest[0]):
        layout.log(name).write_text("{}\n")
    part = tmp_path / "ImageSets/.train.txt.0a1b.part"
    part.parent.mkdir()
    for path in (part, tmp_path / "Logs/.recent.part"):
        path.write_text("half")
    os.utime(part, (0.0, 0.0))
    (tmp_path / "Slurm/002").mkdir()
    for name in ("ended", "running"):
        (tmp_path / f"Slurm/001/{name}.log").touch()
    os.utime(tmp_path / "Slurm/001/ended.log", (0.0, 0.0))
    scratch = tmp_path / "scratch"
    for name in (a_name_of_the_dead(), process.new_name(), "unrelated"):
        (scratch / f"{child.SCRATCH}{name}").mkdir(parents=True)

    with Leases(Layout(tmp_path, process.new_name()), timeout=0.6) as living:
        lease = living.acquire(rest[7 if len(rest) > 7 else -1])
        pruned = prune(layout, quick, scratch)
        assert lease.held()
    assert pruned.leases == sorted(rest[:3])
    assert all((tmp_path / ".staging" / name / FREE / HEARTBEAT).exists() for name in rest[:4])
    assert (pruned.logs, pruned.leftovers, pruned.scratch) == (2, 1, 1)
    assert [path.name for path in (tmp_path / "Slurm").rglob("*.log")] == ["running.log"]
    assert not layout.log(published).exists() and layout.log(rest[0]).exists() and not part.exists()
    assert len(list(scratch.iterdir())) == 2


def test_the_requested_count_is_recorded(tmp_path, config):
    (tmp_path / "Logs/runs").mkdir(parents=True)
    Layout(tmp_path).config.write_text(config.to_yaml())
    line = {"event": "asked", "time": 1.0, "host": "node", "pid": 1}
    for number, count in enumerate((7, 12)):
        (tmp_path / f"Logs/runs/{number}.jsonl").write_text(json.dumps(line | {"count": count}) + "\n")
    found = status(tmp_path)
    assert (found.wanted, found.pending) == (12, 12)
    assert status(tmp_path, count=3).wanted == 3


BAD_LINES = ["{", "[1]", '{"event": "published", "time": "x"}', '{"event": "published", "frames": 6}', "[" * 99999]
BAD_LINES += [
    '{"event": "asked", "time": 1, "host": "n", "count": 1e999}',
    '{"event": "ready", "time": NaN, "host": "n"}',
]


def test_bad_lines_of_a_journal_are_counted_and_skipped(tmp_path, config, caplog):
    layout, _ = build(tmp_path, config, 20)
    before = status(tmp_path)
    with open(tmp_path / "Logs/runs/node0.jsonl", "a") as journal:
        journal.write("\n" + "\n".join(BAD_LINES) + "\n")
    (tmp_path / "Logs/a00019.failed.json").write_text("{")
    found = status(tmp_path)
    assert (found.done, found.frames_per_second) == (before.done, before.frames_per_second)
    assert found.failed["a00019"] == "its note cannot be read"
    assert caplog.text.count(f"{len(BAD_LINES) + 1} of its lines are damaged and skipped") == 1
    assert history.render_time(tmp_path)["videos"] == before.done
