"""Data for the page: frames, masks as runs, the timeline; and studies."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from bl30k_gen.errors import UserError
from tests.support.annotator import moving_video
from training.annotator.exports import export
from training.annotator.images import encode_runs, image, shrink, view_size
from training.annotator.news import Reporter
from training.annotator.study import Study
from training.annotator.timeline import changed_in_last_round, drift_ranges, lanes
from training.annotator.work import Cancelled
from training.annotator.workspace import Workspace
from training.evaluation.session_log import read_session
from training.evaluation.study import progress, read_study
from training.inference.options import Options
from training.inference.video import FrameFolder
from training.interactive.script import BrushAction, FillAction, PropagateAction
from training.interactive.session import InteractiveSession


def decoded(data: bytes) -> np.ndarray:
    _, width, height, *runs = np.frombuffer(data, "<u4").tolist()
    return np.repeat([run >> 24 for run in runs], [run & 0xFFFFFF for run in runs]).reshape(height, width)


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (2000, 2000)])
def test_run_lengths_round_trip(shape):
    ids = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8).cumsum(1).astype(np.uint8)
    assert (decoded(encode_runs(ids, 7)) == ids).all()
    assert np.frombuffer(encode_runs(ids, 7), "<u4")[0] == 7


def test_runs_longer_than_their_field_are_split():
    data = encode_runs(np.full((4000, 6000), 254, np.uint8), 0)
    assert len(data) == 4 * (3 + 2) and (decoded(data) == 254).all()


def test_large_frames_are_shown_smaller(tmp_path):
    Image.fromarray(np.zeros((2160, 3840, 3), np.uint8)).save(tmp_path / "0.jpg")
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "1.jpg")
    big, small = FrameFolder(tmp_path), FrameFolder(tmp_path)

    def size(frames, number, which):
        data, kind = image(frames, number, which)
        assert kind == "image/jpeg"
        return Image.open(io.BytesIO(data)).size

    assert size(big, 0, "view") == (1920, 1080) and size(big, 0, "full") == (3840, 2160)
    assert size(big, 0, "thumbnail") == (160, 90)
    assert view_size((2160, 3840)) == (1080, 1920) and shrink(np.zeros((2160, 3840), np.uint8)).shape == (1080, 1920)
    assert image(small, 1, "view")[0] == (tmp_path / "1.jpg").read_bytes(), "a small file goes out as it is"


def test_an_image_with_exif_orientation_is_refused(tmp_path):
    """A browser would rotate the image, but masks match the stored pixels."""
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "0.jpg", exif=exif)
    with pytest.raises(UserError, match="orientation 6"):
        image(FrameFolder(tmp_path), 0, "view")


def lanes_of(session: InteractiveSession):
    return lanes(session.state, [session.shown(t) for t in range(len(session.frames))])


def test_an_object_that_reaches_a_corrected_frame_is_shown_there(cells):
    """The correction of frame 4 lacks object 2, which is propagated to it from frame 0."""
    video, network = cells.video(6), cells.network()
    session = InteractiveSession(network, video, [], options=Options(memory_every=2, previous=True))
    reporter = Reporter(session, {})
    for label in (1, 2):
        session.add_object(label)
    session.set_mask(4, cells.mask(video, 4, {1: (0,)}))
    before = reporter.report(everything=False)["frames"][4]
    session.set_mask(0, cells.mask(video, 0, {2: (5,)}))
    session.propagate(0)
    assert session.state.corrected.keys() == {4} and set(np.unique(session.labels(4))) == {0, 1, 2}
    after = reporter.report(everything=False)["frames"][4]
    assert after[0] not in (0, before[0]) and after[1].keys() == {1, 2}
    assert lanes_of(session)[4][2].area == pytest.approx(1 / 8)
    assert 4 not in reporter.report(everything=False)["frames"], "nothing has changed since"
    session.set_mask(5, cells.mask(video, 5, {1: (0,)}))
    session.propagate(5)
    assert set(np.unique(session.before_last_round(4))) == {0, 1, 2}


def test_a_new_tab_leaves_the_changes_to_the_others():
    session = InteractiveSession(None, moving_video(3), [1])
    reporter = Reporter(session, {})
    reporter.report(everything=False)
    session.brush(1, 1, [(0.5, 0.5)])
    assert reporter.report(everything=True)["frames"].keys() == {1}
    assert reporter.report(everything=False)["frames"].keys() == {1}
    assert not reporter.report(everything=False)["frames"]


@pytest.mark.parametrize("what", ["binary", "soft"])
def test_an_export_has_no_folders_of_deleted_objects(tmp_path, what):
    video = moving_video(2)
    session = InteractiveSession(None, video, [1, 2])
    session.brush(0, 2, [(0.5, 0.5)])

    def export_now(tick):
        said = export(what, session, video, tmp_path / "out", {}, [], tick)
        return said, sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.png"))

    names = ["00000.png", "00001.png"]
    said, files = export_now(lambda done: None)
    assert said.endswith("4 masks") and files == [f"{what}/{label}/{name}" for label in (1, 2) for name in names]

    def cancel(done):
        raise Cancelled

    session.delete_object(1)
    with pytest.raises(Cancelled):
        export_now(cancel)
    assert (tmp_path / "out" / what / "1").exists()
    assert export_now(lambda done: None)[1] == [f"{what}/2/{name}" for name in names]
    assert [file.name for file in (tmp_path / "out").iterdir()] == [what]
    for own in ("1/notes.png", "mine/00000.png"):
        (tmp_path / "out" / what / own).parent.mkdir(exist_ok=True)
        (tmp_path / "out" / what / own).write_bytes(b"the user's")
    session.delete_object(2)
    assert export_now(lambda done: None)[1] == [f"{what}/1/notes.png", f"{what}/mine/00000.png"]


def test_an_export_replaces_no_folder_of_the_users(tmp_path):
    video = moving_video(2)
    session = InteractiveSession(None, video, [1])
    session.brush(0, 1, [(0.5, 0.5)])
    (tmp_path / "coco").mkdir()
    (tmp_path / "coco/mine.json").write_text("{}")
    with pytest.raises(UserError, match="coco was not made by an export: move it away"):
        export("coco", session, video, tmp_path, {}, [], lambda done: None)
    assert (tmp_path / "coco/mine.json").exists()


def test_a_second_propagation_in_a_row_is_refused(small, tmp_path):
    """While the first one waits for the worker, as after Enter twice."""
    video, network = moving_video(4), small("stcn")
    workspace = Workspace(video, lambda: InteractiveSession(network, video, []), tmp_path, say=lambda text: None)
    workspace.wait_until_open()
    workspace.act(BrushAction(do="brush", frame=1, object=1, path=[(0.2, 0.3)], radius=9)).result()
    go, propagate = threading.Event(), PropagateAction(do="propagate", frame=1)
    workspace._worker.submit(go.wait)
    first = workspace.act(propagate)
    with pytest.raises(ValueError, match="propagation is about to begin"):
        workspace.act(propagate)
    go.set()
    assert first.result() == "Propagated to 3 frames" and workspace.session.state.rounds == 1
    workspace.act(propagate).result()
    assert workspace.session.state.rounds == 2
    workspace.close()


def test_the_timeline_finds_drift(cells):
    video, network = cells.video(20), cells.network()
    session = InteractiveSession(network, video, [], fusion="none", options=Options(memory_every=2, previous=True))
    session.add_object()
    assert lanes_of(session) == [{}] * 20 and drift_ranges(lanes_of(session)) == []
    session.set_mask(5, cells.mask(video, 5, {1: (0, 1, 2)}))
    found = lanes_of(session)
    assert found[5][1].area == pytest.approx(3 / 8) and found[6] == {}, "nothing is known of other frames"
    assert changed_in_last_round(session.state, session.history) == set()
    network.lose[9] = (0, 1)
    session.propagate()
    found = lanes_of(session)
    assert found[9][1].drift == "its area jumps" and drift_ranges(found) == [(9, 9)]
    assert changed_in_last_round(session.state, session.history) == set(range(20))
    session.set_mask(15, cells.mask(video, 15, {1: (4, 5)}))
    session.propagate()
    found = lanes_of(session)
    assert {t for t, lane in enumerate(found) if "disagree" in lane[1].drift} >= {7, 8, 11, 12}
    assert not found[15][1].drift and not found[5][1].drift, "what the user has drawn does not drift"
    network.lose[18] = (4, 5)
    session.undo()
    session.propagate()
    assert lanes_of(session)[18][1].drift == "disappears"


def test_an_area_that_changes_little_by_little_is_drift(cells):
    video, network = cells.video(20), cells.network()
    session = InteractiveSession(network, video, [1], fusion="none", options=Options(memory_every=2, previous=True))
    session.set_mask(0, cells.mask(video, 0, {1: (0, 1, 2, 3, 4)}))
    network.lose |= {7: (0,), 9: (1,)}
    session.propagate()
    found = lanes_of(session)
    assert found[9][1].drift == "its area has changed since frame 0" and drift_ranges(found) == [(9, 9)]


def test_a_study_shows_the_true_masks_before_its_clock_starts(small, tmp_path, monkeypatch):
    now = {"t": 50.0}
    monkeypatch.setattr("training.annotator.study.perf_counter", lambda: now["t"])
    video = moving_video(4)
    truth = np.zeros((4, 60, 90), np.uint8)
    truth[:, 10:30, 10:30] = 1
    truth[2:, 40:50, 60:80] = 3
    study = Study(truth, 20.0, tmp_path / "logs", "u1", "clip", "small")
    network = small("stcn")
    workspace = Workspace(
        video, lambda: InteractiveSession(network, video, []), tmp_path, study=study, say=lambda text: None
    )
    workspace.wait_until_open()
    assert workspace.session.objects == (1, 3), "those of the true masks"
    stroke = BrushAction(do="brush", frame=1, object=1, path=[(0.2, 0.3)], radius=9)
    assert (workspace.mask(2, "truth")[0] == truth[2]).all()
    with pytest.raises(ValueError, match="press Start"):
        workspace.act(stroke)
    workspace.start_study()
    assert not workspace.mask(2, "truth")[0].any(), "it is hidden now"
    with pytest.raises(ValueError, match="no study to start"):
        workspace.start_study()
    now["t"] += 5
    workspace.visit(1)
    workspace.act(stroke).result()
    workspace.act(PropagateAction(do="propagate")).result()
    assert study.seconds == pytest.approx(5)
    study.computing(True)
    now["t"] += 100
    study.computing(False)
    assert study.seconds == pytest.approx(5), "what is computed does not count"
    now["t"] += 16
    workspace.tick()
    assert study.phase == "over" and study.seconds == 20
    with pytest.raises(ValueError, match="time of the study is over"):
        workspace.act(stroke)
    workspace.close()
    kinds = [event.kind for event in read_session(study.log_file).events]
    assert kinds == ["search", "interact", "compute", "pause", "compute"]
    assert read_study(tmp_path / "logs").sessions[0].iou[-1] >= 0


def test_a_study_without_a_network_has_an_iou_after_each_correction(tmp_path):
    video = moving_video(2)
    truth = np.zeros((2, 60, 90), np.uint8)
    truth[:, 10:30, 10:30] = 1

    def open_study(user):
        study = Study(truth, 20.0, tmp_path / "study", user, "clip", "brush")
        session = lambda: InteractiveSession(None, video, [])  # noqa: E731
        workspace = Workspace(video, session, tmp_path, study=study, say=lambda text: None)
        try:
            workspace.wait_until_open()
        except BaseException:
            workspace.close()
            raise
        return workspace, study

    workspace, study = open_study("u1")
    workspace.start_study()
    square = [(10 / 89, 10 / 59), (29 / 89, 10 / 59), (29 / 89, 29 / 59), (10 / 89, 29 / 59)]
    fill = FillAction(do="fill", frame=0, object=1, path=square)
    go = threading.Event()
    workspace._submit(lambda: str(go.wait()))
    done = workspace.act(fill)
    workspace.visit(1)  # while the worker is busy
    go.set()
    done.result()
    workspace.act(fill.model_copy(update={"frame": 1})).result()
    workspace.close()
    log = read_session(study.log_file)
    assert [event.kind for event in log.events] == ["interact", "compute"] * 2
    assert progress(log).iou == pytest.approx([0, 50, 100])
    with pytest.raises(UserError, match="is not new, so a study cannot begin in it: give another --out"):
        open_study("u2")


def test_the_state_of_ten_thousand_frames_is_a_small_message(tmp_path):
    class Long(list):
        path, names = tmp_path / "long", [f"{t:05d}" for t in range(10_000)]

        def __len__(self):
            return 10_000

        def __getitem__(self, index):
            return np.full((48, 64, 3), index % 256, np.uint8)

    workspace = Workspace(
        Long(), lambda: InteractiveSession(None, Long(), []), tmp_path / "out", say=lambda text: None
    )
    workspace.wait_until_open()
    told = []
    workspace.listeners.add(told.append)
    workspace.act(BrushAction(do="brush", frame=9_000, object=1, path=[(0.5, 0.5)], radius=5)).result()
    states = [news["state"] for news in told if "state" in news]
    assert len(states) == 1 and list(states[0]["frames"]) == [9_000], "only what has changed"
    assert workspace.hello()["state"]["frames"].keys() == {9_000}
    assert (tmp_path / "out/session/maps-1.bin").stat().st_size < 3000
    workspace.close()
