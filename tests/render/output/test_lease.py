"""Exactly one of several workers acquires a video, and a late worker changes nothing."""

import contextlib
import errno
import functools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from bl30k_gen.dataset.layout import (
    Layout,
    describe_staged,
    finish_publishing,
    frame_name,
    publish,
)
from bl30k_gen.dataset.modalities import MODALITIES
from bl30k_gen.errors import FatalError, UserError
from bl30k_gen.render import process
from bl30k_gen.render.output import lease
from bl30k_gen.render.output.journal import run_log
from bl30k_gen.render.output.lease import FREE, HEARTBEAT, LeaseLost, Leases, holders

TIMEOUT = 60.0
ELSEWHERE = "othernode.17.4711.0000abcd.{}"  # the name of an unknown process


class Clock:
    def __init__(self, now: float):
        self.now = now

    def __call__(self) -> float:
        return self.now


def worker(root, number, clock=None):
    return Leases(Layout(root, ELSEWHERE.format(number)), TIMEOUT, clock or Clock(0.0))


def race(root, names, barrier, results, timeout):
    leases = Leases(Layout(root, process.new_name()), timeout)
    won = []
    for name in names:
        leases.acquire(name)  # see the counter once
        barrier.wait()
        won += [name] if leases.acquire(name) else []
        barrier.wait()
    results.put((leases.area.owner, won))


def race_of_four(root, names, timeout):
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    takers = [context.Process(target=race, args=(root, names, barrier, results, timeout)) for _ in range(4)]
    for taker in takers:
        taker.start()
    found = [results.get(timeout=60) for _ in takers]
    for taker in takers:
        taker.join()
    return dict(found)


def test_of_several_simultaneous_workers_one_acquires_the_lease(tmp_path):
    names = [f"a{n:05d}" for n in range(60)]
    for name in names[:20]:  # free again, with frames
        lease = worker(tmp_path, 1).acquire(name)
        lease.release()
    for name in names[20:40]:  # stale
        assert worker(tmp_path, 1).acquire(name)
    race_of_four(tmp_path, names, timeout=0.0)
    owners = {name: [entry.name for entry in (tmp_path / ".staging" / name).iterdir()] for name in names}
    assert all(len(found) == 1 and found[0] != FREE for found in owners.values())
    assert set(os.listdir(tmp_path / ".staging")) == set(names), "nothing prepared is left"


def test_an_acquired_lease_is_not_acquired_again(tmp_path):
    names = [f"a{n:05d}" for n in range(40)]
    won = race_of_four(tmp_path, names, timeout=1000.0)
    both = sorted(name for names_won in won.values() for name in names_won)
    assert both == sorted(set(both)), "two takers hold one lease"
    assert {name: holder.name for name, holder in holders(Layout(tmp_path)).items()}.keys() == set(names)


def test_a_lease_expires_by_the_observers_clock_alone(tmp_path, monkeypatch):
    owner = worker(tmp_path, 1)
    lease = owner.acquire("a00000")
    heartbeat = lease.folder / HEARTBEAT
    clock = Clock(1e9)
    observer = worker(tmp_path, 2, clock)
    for skew in (0.0, 4e9):  # the owner's clock is in 1970, or in 2096
        os.utime(heartbeat, (skew, skew))
        monkeypatch.setattr(time, "time", lambda skew=skew: 2e9 - skew)
        assert observer.acquire("a00000") is None
    for _ in range(5):  # long pauses of the observer do not matter while the counter changes
        lease.beat()
        os.utime(heartbeat, (0.0, 0.0))
        clock.now += 10 * TIMEOUT
        assert observer.acquire("a00000") is None
    clock.now += TIMEOUT - 1.0
    assert observer.acquire("a00000") is None
    assert lease.held() and observer.seen_alive("a00000")
    clock.now += 1.0
    assert observer.acquire("a00000") is not None
    assert not lease.held()


def test_a_new_owner_gets_the_frames_and_the_late_owner_notices(tmp_path):
    lease = worker(tmp_path, 1).acquire("a00000")
    (lease.folder / "00000.jpg").write_bytes(b"a frame")
    clock = Clock(0.0)
    observer = worker(tmp_path, 2, clock)
    assert observer.acquire("a00000") is None
    clock.now = TIMEOUT
    mine = observer.acquire("a00000")
    assert (mine.folder / "00000.jpg").read_bytes() == b"a frame"
    lease.beat()
    assert lease.lost
    with pytest.raises(LeaseLost):
        lease.require()
    lease.release()
    assert mine.held(), "what the late owner releases is not the late owner's any more"


def test_a_released_lease_is_free_with_its_frames(tmp_path):
    first = worker(tmp_path, 1)
    lease = first.acquire("a00000")
    (lease.folder / "00000.jpg").write_bytes(b"a frame")
    first.release(lease)
    assert (worker(tmp_path, 2).acquire("a00000").folder / "00000.jpg").exists()


def test_heartbeats_continue_in_the_background(tmp_path):
    owner = Leases(Layout(tmp_path, ELSEWHERE.format(1)), timeout=0.3)
    observer = Leases(Layout(tmp_path, ELSEWHERE.format(2)), timeout=0.3)
    with owner:
        lease = owner.acquire("a00000")
        for _ in range(10):
            assert observer.acquire("a00000") is None
            time.sleep(0.1)
    assert lease.held() and observer.seen_alive("a00000")


def test_an_owner_known_to_be_dead_is_not_waited_for(tmp_path, monkeypatch):
    ended = subprocess.run(
        [sys.executable, "-c", "from bl30k_gen.render import process; print(process.new_name())"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    assert process.surely_dead(ended) and not process.surely_dead(process.new_name())
    assert not process.surely_dead(ELSEWHERE.format(1)), "nothing is known of other machines"
    with monkeypatch.context() as patch:
        patch.setattr(process, "_exists", lambda pid: True)
        assert not process.surely_dead(ended), "/proc may hide the processes of other users"
    assert Leases(Layout(tmp_path, ended), TIMEOUT).acquire("a00000")
    assert worker(tmp_path, 2).acquire("a00000")


# A video rendered by two workers whose processors round differently: other bytes, the same names.


def stage_frames(layout, content):
    for folder in MODALITIES:
        (layout.staging("a00000") / folder).mkdir(exist_ok=True)
        for frame in range(2):
            (layout.staging("a00000") / folder / frame_name(folder, frame)).write_bytes(content + folder.encode())
    return {"name": "a00000", "by": content.decode(), "files": describe_staged(layout, "a00000", 2)}


def overtaken_at(monkeypatch, step, overtake):
    """Call ``overtake`` just before the given change of the file system; return the count of changes so far."""
    seen = [0]

    def counted(*args, original, **kwargs):
        seen[0] += 1
        if seen[0] == step:
            overtake()
        return original(*args, **kwargs)

    for name in ("replace", "rename", "unlink", "rmdir", "mkdir", "open"):
        monkeypatch.setattr(os, name, functools.partial(counted, original=getattr(os, name)))
    return seen


def test_a_late_owner_overtaken_at_any_step_of_publishing_changes_nothing(tmp_path, monkeypatch, content):
    def attempt(root, step):
        """Publish; another worker takes over before ``step``. Returns whether the step exists, and who published."""
        root.mkdir(exist_ok=True)
        late, clock = worker(root, 1), Clock(0.0)
        early = worker(root, 2, clock)
        late.acquire("a00000")
        metadata = stage_frames(late.area, b"late")
        early.acquire("a00000")
        clock.now = TIMEOUT
        published = {}

        def overtake():
            lease = early.acquire("a00000")
            if lease is not None:
                if not finish_publishing(early.area, "a00000"):
                    publish(early.area, "a00000", stage_frames(early.area, b"early"))
                early.release(lease)
                published.update(content(root))

        with monkeypatch.context() as patch:
            seen = overtaken_at(patch, step, overtake)
            with contextlib.suppress(FileNotFoundError, UserError):
                publish(late.area, "a00000", metadata)
        if published:
            assert content(root) == published, f"overtaken at step {step}"
        by = json.loads((root / "Metadata/a00000.json").read_text())["by"]
        assert all(data.startswith(by.encode()) for path, data in content(root).items() if "Metadata" not in path)
        return seen[0] >= step, by

    results = []
    while not results or results[-1][0]:
        results.append(attempt(tmp_path / str(len(results)), len(results) + 1))
    assert len(results) > 10 and {by for _, by in results} == {"early", "late"}


@pytest.mark.xdist_group("render")
def test_a_stopped_worker_that_resumes_publishes_nothing_twice(tiny, generate, rendered, content, tmp_path):
    """The first worker is frozen during a frame; the second waits, takes over; the first wakes up."""
    flags = [*tiny, "--out", tmp_path, "--index", 1, "--threads-per-worker", 1, "--set", "runtime.lease_timeout=3"]
    command = [sys.executable, "generate.py", "render", *map(str, flags), "--json"]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        log = tmp_path / "Logs/a00001.jsonl"
        deadline = time.monotonic() + 60
        while not (log.exists() and '"frame": 1' in log.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.kill(first.pid, signal.SIGSTOP)
        second = json.loads(generate("render", *flags, "--json").stdout)
        before = content(tmp_path)
        os.kill(first.pid, signal.SIGCONT)
        output, _ = first.communicate(timeout=60)
    finally:
        first.kill()
    assert second["rendered"] == ["a00001"]
    late = json.loads(output)
    assert first.returncode == 0 and late["rendered"] == [] and late["already"] == ["a00001"]
    assert content(tmp_path) == before == {p: data for p, data in content(rendered).items() if "a00001" in p}
    assert not os.listdir(tmp_path / ".staging")


def stale(*_, **__):
    raise OSError(errno.ESTALE, "Stale file handle")


def test_a_stale_handle_is_a_missed_heartbeat_and_loses_nothing(tmp_path, monkeypatch):
    leases = Leases(Layout(tmp_path, process.new_name()), 60)
    taken = leases.acquire("a00000")
    monkeypatch.setattr(lease, "open", stale, raising=False)
    taken.beat()
    assert not taken.lost and taken.held()
    shutil.rmtree(taken.folder)
    taken.beat()
    assert taken.lost


def test_a_renamed_folder_is_not_created_again(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    leases = Leases(Layout(root, process.new_name()), 60)
    assert leases.acquire("a00000").held()
    root.rename(tmp_path / "moved")
    with pytest.raises(FatalError, match="data is not there any more"):
        leases.acquire("a00001")
    with pytest.raises(FatalError, match="data is not there any more"):
        run_log(Layout(root, "x")).write({"event": "ready"})
    assert not root.exists()
