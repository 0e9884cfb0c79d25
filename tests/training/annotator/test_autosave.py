"""Sessions on disk after every step, after a crash, and after kill -9."""

import errno
import hashlib
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.dataset.masks import encode_mask
from bl30k_gen.errors import UserError
from tests.support import commands
from tests.support.annotator import Video, moving_video
from training.annotator import autosave, maps_file
from training.annotator.autosave import Autosave, identify, recorded_short_side
from training.annotator.news import Reporter
from training.annotator.workspace import Workspace
from training.evaluation.scribbles import Stroke
from training.inference.options import Options
from training.interactive.script import BrushAction, FillAction, ObjectAction, PageAction, PropagateAction, UndoAction
from training.interactive.session import InteractiveSession

ROOT = Path(__file__).resolve().parents[3]


def open_saved(folder, video, network=None):
    session = InteractiveSession(network, video, [], options=Options(memory_every=2))
    return session, Autosave(folder, identify(video, session), session)


def hashes(session):
    return [hashlib.sha256(session.labels(t).tobytes()).hexdigest() for t in range(len(session.frames))]


def do(session, saved, action):
    action.apply(session, Path())
    saved.record(action.model_dump(exclude_defaults=True))


def brush(frame, label, x, y, radius=8.0):
    return BrushAction(do="brush", frame=frame, object=label, path=[(x, y)], radius=radius)


def test_a_session_continues_with_its_history(cells, small, tmp_path):
    video, network = moving_video(6), small("stcn")
    session, saved = open_saved(tmp_path, video, network)
    assert not saved.restored
    steps = [hashes(session)]
    actions: list[PageAction] = [
        ObjectAction(do="add", object=1),
        brush(0, 1, 0.2, 0.3),
        PropagateAction(do="propagate"),
        ObjectAction(do="add", object=2),
        FillAction(do="fill", frame=3, object=2, path=[(0.5, 0.5), (0.9, 0.5), (0.9, 0.9)], box=(10, 30, 60, 90)),
        PropagateAction(do="propagate", direction="backward"),
        UndoAction(do="undo"),
    ]
    for action in actions:
        do(session, saved, action)
        steps.append(hashes(session))
    session.lock(1)
    saved.record({"do": "lock", "object": 1})
    saved.close()

    again, reopened = open_saved(tmp_path, video, network)
    assert reopened.restored and hashes(again) == steps[-1] and again.locked == {1}
    assert again.state.draft.box == session.state.draft.box and again.state.draft.frame == 3
    assert again.redo() and hashes(again) == steps[6]
    for expected in (steps[5], steps[4], steps[3], steps[2], steps[1], steps[0]):
        assert again.undo()
        assert hashes(again) == expected
    assert not again.undo()
    reopened.close()


def test_scribbles_of_a_draft_are_kept(cells, tmp_path):
    video = cells.video(3)

    class Film(list):
        path, names = Path("cells"), ["0", "1", "2"]

    film = Film(video)
    session = InteractiveSession(cells.network(), film, [1], s2m=cells.strokes())
    saved = Autosave(tmp_path, identify(film, session), session)
    session.scribble(1, [Stroke(np.array([[0.3, 0.3], [0.5, 0.3]]), 1)])
    saved.record({"do": "scribble"})
    more = [Stroke(np.array([[0.3, 0.7], [0.5, 0.7]]), 1)]
    expected = session.scribble(1, more)
    saved.close()
    again = InteractiveSession(cells.network(), film, [1], s2m=cells.strokes())
    saved = Autosave(tmp_path, identify(film, again), again)
    assert (again.scribble(1, more) == expected).all()
    saved.close()


def test_an_incomplete_line_after_a_crash_is_removed(tmp_path):
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    do(session, saved, brush(1, 1, 0.5, 0.5))
    complete = hashes(session)
    size = (tmp_path / "journal.jsonl").stat().st_size
    do(session, saved, brush(2, 1, 0.5, 0.5))
    saved.close()
    journal = (tmp_path / "journal.jsonl").read_bytes()
    for cut in (size, size + 1, size + 40, len(journal) - 1):
        (tmp_path / "journal.jsonl").write_bytes(journal[:cut])
        again, reopened = open_saved(tmp_path, video)
        assert hashes(again) == complete
        assert (tmp_path / "journal.jsonl").stat().st_size == size
        do(again, reopened, brush(0, 1, 0.2, 0.2))
        expected = hashes(again)
        reopened.close()
        again, reopened = open_saved(tmp_path, video)
        assert hashes(again) == expected
        reopened.close()


@pytest.mark.parametrize(
    "damage", ["{", "[]", '{"state": {}}', '{"state": {"objects": 3}}', '{"action": {"x": 1}}', "NaN"]
)
def test_lines_after_a_damaged_one_are_kept_in_another_file_and_reported(tmp_path, caplog, damage):
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    do(session, saved, brush(1, 1, 0.5, 0.5))
    before = hashes(session)
    do(session, saved, brush(2, 1, 0.5, 0.5))
    do(session, saved, brush(0, 1, 0.5, 0.5))
    saved.close()
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    lines[3] = damage.encode() + b"\n"
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines))
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == before and "is damaged in line 4 of 5" in caplog.text
    assert (tmp_path / "journal.damaged.jsonl").read_bytes() == b"".join(lines)
    reopened.close()


def test_a_session_of_another_video_is_refused(tmp_path, monkeypatch, caplog):
    video = moving_video(3)
    _, saved = open_saved(tmp_path, video)
    with pytest.raises(UserError, match="open in another program"):
        open_saved(tmp_path, video)
    saved.close()

    def no_locks(*_):
        raise OSError(errno.ENOSYS, "no locks here")

    with monkeypatch.context() as patch:
        patch.setattr("fcntl.flock", no_locks)
        open_saved(tmp_path, video)[1].close()
    assert "cannot be locked" in caplog.text
    other = moving_video(3)
    other[1] = other[1].copy()
    other[1][0, 0, 0] ^= 1
    with pytest.raises(UserError, match="another video"):
        open_saved(tmp_path, other)
    with pytest.raises(UserError, match="a video of 3 frames, and this one has 4"):
        open_saved(tmp_path, moving_video(4))
    smaller = InteractiveSession(None, video, [], options=Options(short_side=30))
    with pytest.raises(UserError, match="short-side"):
        Autosave(tmp_path, identify(video, smaller), smaller)
    (tmp_path / "journal.jsonl").write_text('{"format": "other"}\n')
    with pytest.raises(UserError, match="no session"):
        open_saved(tmp_path, video)


def test_a_full_disk_loses_nothing_in_memory(tmp_path, monkeypatch):
    video = moving_video(3)
    workspace = Workspace(video, lambda: InteractiveSession(None, video, []), tmp_path, say=lambda text: None)
    workspace.wait_until_open()
    session = workspace.session

    def full(descriptor):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        workspace.act(brush(0, 1, 0.5, 0.5)).result()
        assert "no space left" in workspace.hello()["state"]["unsaved"]
    workspace.act(brush(1, 1, 0.5, 0.5)).result()
    assert workspace.hello()["state"]["unsaved"] == ""
    expected = hashes(session)
    workspace.close()
    again, saved = open_saved(tmp_path / "session", video)
    assert hashes(again) == expected
    saved.close()


class FullDisk(io.FileIO):
    """A file whose writes store a part of their bytes, and then fail while ``full``."""

    full: int | None = None  # the number of the error

    def write(self, data):
        if FullDisk.full is None:
            return super().write(data)
        super().write(bytes(data)[: len(data) // 2])
        raise OSError(FullDisk.full, os.strerror(FullDisk.full))


def test_a_mask_of_a_few_pixels_in_a_large_frame_is_shown_after_a_restart(tmp_path):
    video = Video([np.zeros((2160, 3840, 3), np.uint8)])
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    do(session, saved, brush(0, 1, 0.5, 0.5, 2.8))
    pixels = int((session.labels(0) == 1).sum())
    assert 20 < pixels < 30
    saved.close()
    again, reopened = open_saved(tmp_path, video)
    version, lane = Reporter(again, {}).report(everything=True)["frames"][0]
    assert version and lane[1][0] == pytest.approx(pixels / (2160 * 3840), rel=1e-4)
    reopened.close()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_line_that_the_disk_refused_is_not_written_twice(tmp_path, monkeypatch, number):
    def on_full_disk(path, mode, buffering=-1):
        raw = FullDisk(path, mode.replace("b", ""))
        return raw if buffering == 0 else io.BufferedRandom(raw)

    monkeypatch.setattr(autosave, "open", on_full_disk, raising=False)
    video = moving_video(3)
    workspace = Workspace(video, lambda: InteractiveSession(None, video, []), tmp_path, say=lambda text: None)
    workspace.wait_until_open()
    for t, full in enumerate((number, number, None)):
        monkeypatch.setattr(FullDisk, "full", full)
        workspace.act(brush(t, 1, 0.5, 0.5)).result()
        assert bool(workspace.hello()["state"]["unsaved"]) == (full is not None)
    monkeypatch.setattr(FullDisk, "full", number)
    workspace.act(UndoAction(do="undo")).result()
    expected = hashes(workspace.session)
    monkeypatch.setattr(FullDisk, "full", None)
    workspace._submit(workspace._save_missed).result()
    workspace.close()
    again, saved = open_saved(tmp_path / "session", video)
    assert hashes(again) == expected
    assert [action["do"] for action in saved.actions] == ["add", "brush", "brush", "brush", "undo"]
    saved.close()


def test_an_unsaved_step_is_saved_with_the_next_one(tmp_path, monkeypatch):
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    do(session, saved, brush(0, 1, 0.5, 0.5))
    do(session, saved, brush(1, 1, 0.5, 0.5))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        for action in (UndoAction(do="undo"), brush(2, 1, 0.3, 0.5)):
            with pytest.raises(UserError, match="no space left"):
                do(session, saved, action)
        with pytest.raises(UserError, match="no space left"):
            saved.record(looks={1: {"name": "Disk"}})
    do(session, saved, UndoAction(do="undo"))
    saved.close()
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == hashes(session) and reopened.looks == {1: {"name": "Disk"}}
    assert [action["do"] for action in reopened.actions] == ["add", "brush", "brush", "undo", "brush", "undo"]
    reopened.close()


def test_files_are_rewritten_when_most_of_their_content_is_obsolete(tmp_path, monkeypatch):
    monkeypatch.setattr(maps_file, "MAX_UNUSED", 200)
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    session.history.budget = 150_000
    do(session, saved, ObjectAction(do="add", object=1))
    for number in range(40):
        do(session, saved, brush(number % 3, 1, 0.1 + 0.02 * number, 0.5, 4 + number % 5))
    do(session, saved, UndoAction(do="undo"))
    saved.record({"do": "lock", "object": 1}, {1: {"hidden": True}})
    session.lock(1)
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert saved.maps.path.name != "maps-1.bin" and [f.name for f in tmp_path.glob("*.bin")] == [saved.maps.path.name]
    assert saved.maps.path.stat().st_size < 20_000
    saved.compact()
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < size
    expected = [hashes(session)]
    while session.undo():
        expected.append(hashes(session))
    assert 5 < len(expected) < 20
    saved.close()

    (tmp_path / "maps-99.bin").write_bytes(b"of a rewriting that a crash has interrupted")
    again, reopened = open_saved(tmp_path, video)
    assert not (tmp_path / "maps-99.bin").exists()
    assert len(reopened.actions) == 43 and reopened.looks == {1: {"hidden": True}} and again.locked == {1}
    assert again.redo() and again.undo() and not again.history.future - 1
    for number, step in enumerate(expected):
        assert hashes(again) == step
        assert again.undo() == (number + 1 < len(expected))
    reopened.close()


def test_a_rewriting_that_fails_changes_nothing(tmp_path, monkeypatch):
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    do(session, saved, brush(1, 1, 0.5, 0.5))
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        saved.compact()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    do(session, saved, brush(2, 1, 0.5, 0.5))
    saved.close()
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == hashes(session)
    reopened.close()


def test_a_line_has_only_the_corrections_that_have_changed(tmp_path):
    video = moving_video(40)
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    for t in [*range(40), 7, 3]:
        do(session, saved, brush(t, 1, 0.5, 0.5, 5 + t % 3))
    do(session, saved, UndoAction(do="undo"))
    do(session, saved, brush(5, 1, 0.2, 0.5))
    expected, order = hashes(session), list(session.state.corrected)
    saved.close()
    lines = (tmp_path / "journal.jsonl").read_text().splitlines()
    assert max(map(len, lines[-5:])) < 1.5 * len(lines[2])
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == expected and list(again.state.corrected) == order
    reopened.close()


def test_a_journal_that_grows_is_rewritten(tmp_path, monkeypatch):
    monkeypatch.setattr(autosave, "MAX_GROWTH", 20_000)
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    session.history.budget = 1  # one step
    do(session, saved, ObjectAction(do="add", object=1))
    for number in range(150):
        do(session, saved, brush(number % 3, 1, 0.1 + 0.005 * number, 0.5))
    assert saved.maps.path.name != "maps-1.bin" and (tmp_path / "journal.jsonl").stat().st_size < 80_000
    expected = hashes(session)
    saved.close()
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == expected and len(reopened.actions) == 151
    reopened.close()


def test_a_journal_of_version_3_opens(tmp_path):
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    do(session, saved, brush(0, 1, 0.5, 0.5))
    do(session, saved, brush(2, 1, 0.5, 0.5))
    expected, corrected = hashes(session), []
    saved.close()
    head, *lines = map(json.loads, (tmp_path / "journal.jsonl").read_text().splitlines())
    for line in lines:
        corrected += line["state"]["corrected"]["more"]
        line["state"] |= {"corrected": list(corrected), "trusted": [], "disagreement": {}}
    text = "".join(json.dumps(line) + "\n" for line in (head | {"version": 3}, *lines))
    (tmp_path / "journal.jsonl").write_text(text)
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == expected and list(again.state.corrected) == [0, 2] and again.history.past == 3
    assert json.loads((tmp_path / "journal.jsonl").read_text().splitlines()[0])["version"] == 4
    do(again, reopened, brush(1, 1, 0.5, 0.5))
    expected = hashes(again)
    reopened.close()
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == expected
    reopened.close()


def opened(video, out, given, objects=0):
    workspace = Workspace(
        video, lambda: InteractiveSession(None, video, []), out, objects, given, say=lambda text: None
    )
    try:
        workspace.wait_until_open()
    except BaseException:
        workspace.close()
        raise
    return workspace


def given_masks(*labels):
    masks = {t: np.zeros((60, 90), np.uint8) for t in range(len(labels))}
    for t, label in enumerate(labels):
        masks[t][10:30, 10:40] = label
    return masks


def test_given_masks_are_checked_before_any_is_used(tmp_path):
    video = moving_video(3)
    for wrong, said in (
        (given_masks(1, 255), "frame 00001: object 255 does not fit"),
        ({0: given_masks(1)[0], 2: np.ones((6, 9), np.uint8)}, "frame 00002: the mask is 9x6, and frames are 90x60"),
    ):
        with pytest.raises(UserError, match=said):
            opened(video, tmp_path, wrong)
    workspace = opened(video, tmp_path, given_masks(1, 2))
    assert workspace.session.objects == (1, 2) and workspace.session.state.corrected.keys() == {0, 1}
    workspace.close()


def test_an_import_that_was_interrupted_begins_again(tmp_path, monkeypatch):
    video, real = moving_video(3), InteractiveSession.set_mask

    def interrupted(session, frame, mask):
        if frame == 1:
            raise KeyboardInterrupt
        return real(session, frame, mask)

    with monkeypatch.context() as patch:
        patch.setattr(InteractiveSession, "set_mask", interrupted)
        with pytest.raises(KeyboardInterrupt):
            opened(video, tmp_path, given_masks(3, 4))
    workspace = opened(video, tmp_path, given_masks(3, 4))
    assert workspace.session.objects == (3, 4) and workspace.session.state.corrected.keys() == {0, 1}
    workspace.act(brush(2, 3, 0.5, 0.5)).result()
    workspace._opened.autosave.compact()
    workspace.close()
    workspace = opened(video, tmp_path, given_masks(5))
    assert workspace.session.objects == (3, 4) and len(workspace.session.state.corrected) == 3, "it goes on"
    workspace.close()


def test_an_upload_that_is_refused_adds_no_object(tmp_path):
    video = moving_video(2)
    workspace = opened(video, tmp_path, {}, objects=1)
    wide = io.BytesIO()
    ids = np.zeros((60, 90), np.uint16)
    ids[0, 0], ids[1, 1], ids[2, 2] = 1, 7, 300
    Image.fromarray(ids).save(wide, "PNG")
    with pytest.raises(ValueError, match="300 does not fit"):
        workspace.set_mask(0, wide.getvalue()).result()
    workspace.act(ObjectAction(do="add", object=2)).result()
    workspace.act(ObjectAction(do="delete", object=2)).result()
    state = workspace.session.state
    ids = np.zeros((60, 90), np.uint8)
    ids[0, 0], ids[1, 1] = 1, 2
    with pytest.raises(ValueError, match="object 2 was deleted"):
        workspace.set_mask(0, encode_mask(ids)).result()
    assert workspace.session.state is state and workspace.session.objects == (1,)
    workspace.close()


@pytest.fixture
def frames(tmp_path) -> Path:
    folder = tmp_path / "clip"
    folder.mkdir()
    for number, rgb in enumerate(moving_video(3)):
        Image.fromarray(rgb).save(folder / f"{number:05d}.png")
    return folder


class Program:
    """``train.py annotate`` as a user starts it, and its websocket."""

    def __init__(self, frames: Path, out: Path):
        self.log = out.with_suffix(".log")
        with open(self.log, "w") as log:
            command = [sys.executable, "-u", "train.py", "annotate", str(frames), "--out", str(out)]
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        while not (found := re.search(r"Open http://127.0.0.1:(\d+)/#(\S+)", self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        self.port, self.token = int(found[1]), found[2]

    def act(self, *actions: dict) -> dict:
        """Perform actions in order; returns the first message to the page."""
        from websockets.sync.client import connect

        protocols = ["annotate", f"token.{self.token}"]
        with connect(f"ws://127.0.0.1:{self.port}/api/socket", subprotocols=protocols) as socket:
            hello = None
            while hello is None or not hello["ready"]:
                hello = json.loads(socket.recv(60)).get("hello") or hello
            for action in actions:
                socket.send(json.dumps({"id": 1, "action": action}))
                while "answer" not in (news := json.loads(socket.recv(60))):
                    pass
                assert "error" not in news, news
        return hello

    def mask(self, number: int) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", f"/api/mask/{number}", headers={"Authorization": f"Bearer {self.token}"})
        return connection.getresponse().read()[4:]  # without the version


def test_kill_9_and_reopen(frames, tmp_path):
    program = Program(frames, tmp_path / "out")
    stroke = {"do": "brush", "frame": 1, "object": 1, "path": [[0.3, 0.3], [0.6, 0.4]], "radius": 6}
    program.act(stroke, stroke | {"frame": 2})
    expected = [program.mask(t) for t in range(3)]
    assert expected[0] != expected[1] and expected[1] == expected[2]
    program.process.kill()
    program.process.wait()
    program = Program(frames, tmp_path / "out")
    try:
        hello = program.act()
        assert hello["state"]["corrected"] == [1, 2] and hello["state"]["undo"] == 2
        assert [program.mask(t) for t in range(3)] == expected
    finally:
        program.process.send_signal(signal.SIGINT)
        program.process.wait(30)
    assert "Traceback" not in program.log.read_text()


def test_mistakes_are_said_in_one_line(frames, tmp_path):
    def fails(*arguments):
        done = commands.run("train.py", "annotate", *arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    assert "does not exist" in fails(tmp_path / "absent", "--out", tmp_path / "o")
    assert "checkpoint" in fails(frames, "--network", tmp_path / "no.pt", "--out", tmp_path / "o")
    assert "own folder" in fails(frames, "--out", frames / "masks")
    (tmp_path / "no.pt").write_bytes(b"x")
    assert "no.pt" in fails(frames, "--network", tmp_path / "no.pt", "--out", tmp_path / "o")


def test_a_pipe_instead_of_the_journal_is_refused_without_waiting(tmp_path):
    (tmp_path / "journal.jsonl").write_text("[" * 100_000 + "\n")
    assert recorded_short_side(tmp_path) is None
    (tmp_path / "journal.jsonl").unlink()
    os.mkfifo(tmp_path / "journal.jsonl")
    assert recorded_short_side(tmp_path) is None
    with pytest.raises(UserError, match="journal.jsonl is a pipe"):
        open_saved(tmp_path, moving_video(2))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.update(waiting=[float("inf")]),
        lambda state: state["corrected"]["more"][0][1][4].__setitem__(0, "much"),
        lambda state: state.update(rounds={}),
    ],
)
def test_a_damaged_journal_line_has_no_effect(tmp_path, spoil):
    video = moving_video(3)
    session, saved = open_saved(tmp_path, video)
    do(session, saved, ObjectAction(do="add", object=1))
    expected = hashes(session)
    do(session, saved, brush(1, 1, 0.5, 0.5))
    saved.close()
    *lines, last = (tmp_path / "journal.jsonl").read_text().splitlines()
    damaged = json.loads(last)
    spoil(damaged["state"])
    (tmp_path / "journal.jsonl").write_text("\n".join([*lines, json.dumps(damaged), ""]))
    again, reopened = open_saved(tmp_path, video)
    assert hashes(again) == expected and again.objects == (1,)
    assert [action["do"] for action in reopened.actions] == ["add"]
    do(again, reopened, brush(1, 1, 0.5, 0.5))
    reopened.close()
