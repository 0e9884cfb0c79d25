"""The page in Chromium gives the same bytes as a script through the session class."""

import hashlib
import json
import threading
import time
from pathlib import Path

import pytest
import torch

from models.clicks import ClickConfig, ClickNetwork
from models.s2m import S2M, S2MConfig
from tests.support.annotator import Hand, chromium, moving_video, serving
from training.inference.options import published_options
from training.inference.tracker import Tracker
from training.interactive.script import Script, run_script
from training.interactive.session import InteractiveSession


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def networks(small):
    torch.manual_seed(1)
    others = {"s2m": S2M(S2MConfig("resnet18", 8, 8)).eval(), "clicks": ClickNetwork(ClickConfig(8, 8)).eval()}
    return {"network": small("stcn"), **others}


@pytest.fixture
def new_session(networks):
    """new_session(video): sessions with the same stateless networks."""

    def make(video) -> InteractiveSession:
        options = published_options(networks["network"], memory_every=2)
        parts = {name: network for name, network in networks.items() if name != "network"}
        return InteractiveSession(networks["network"], video, [], options=options, **parts)

    return make


@pytest.fixture
def slow(monkeypatch):
    """slow["seconds"] = 0.2 makes propagation wait at every frame."""
    pause = {"seconds": 0.0}
    segment = Tracker.segment

    def waiting(self, query):
        time.sleep(pause["seconds"])
        return segment(self, query)

    monkeypatch.setattr(Tracker, "segment", waiting)
    return pause


def hashes(session: InteractiveSession) -> list[str]:
    return [hashlib.sha256(session.labels(t).tobytes()).hexdigest() for t in range(len(session.frames))]


def exported(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((out / "masks").glob("*.png"))}


def export(hand: Hand, *what: str) -> None:
    hand.page.click("#export")
    for one in what:
        hand.page.click(f"#export-{one}")
        hand.idle()
    hand.page.keyboard.press("Escape")


def replayed(out: Path, session: InteractiveSession) -> list[str]:
    """The masks that the exported script gives through the session class, and their hashes."""
    run_script(session, Script.model_validate_json((out / "script.json").read_bytes()), out)
    return hashes(session)


def test_three_rounds_with_every_tool_equal_the_script(browser, new_session, slow, tmp_path):
    video = moving_video()
    with serving(video, tmp_path, lambda: new_session(video), objects=2) as server:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        hand = Hand(page, server.url)
        session = server.workspace.session

        # Round 1: a scribble on one object, clicks on the other.
        assert hand.page.get_attribute("#tool-scribble", "aria-pressed") == "true"
        hand.drag((14, 16), (20, 20), (26, 22))
        hand.key("2", "c")
        hand.click(70, 42)
        hand.click(60, 20, button="right")
        hand.key("Enter")
        hand.idle()
        assert session.state.rounds == 1

        # Round 2: brush, eraser and polygon on another frame; a propagation is paused, cancelled, and done again.
        hand.key("ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight", "b", "1")
        hand.drag((30, 18), (38, 22))
        hand.drag((36, 22), (37, 22), button="right")
        hand.key("2", "p")
        for corner in ((55, 36), (66, 36), (66, 47), (55, 47)):
            page.mouse.click(*hand.point(*corner))
        before = hand.settled()
        hand.key("Enter")
        hand.until(lambda: hand.settled() > before)
        slow["seconds"] = 0.25
        state = session.state
        page.click("#propagate")
        hand.until(lambda: (hand.told("progress") or {}).get("done", 0) >= 1)
        assert hand.told("progress")["total"] == 4 + 4, "up to frame 0, and to the end"
        page.click("#pause")
        hand.until(lambda: hand.told("progress")["paused"])
        done = hand.told("progress")["done"]
        page.wait_for_timeout(600)
        assert hand.told("progress")["done"] <= done + 1, "a pause takes hold within one frame"
        hand.key("Home", "End")
        assert page.input_value("#frame") == "9", "the page stays usable"
        page.click("#pause")
        hand.until(lambda: hand.told("progress")["done"] > done + 1)
        page.click("#cancel")
        hand.idle()
        assert session.state is state and hand.told("progress") is None, "a cancelled propagation changes nothing"
        page.click("#propagate")
        page.check("#follow")
        slow["seconds"] = 0
        hand.idle()
        assert session.state.rounds == 2
        hand.key("End")

        # Round 3: local control.
        hand.key("r")
        page.mouse.move(*hand.point(30, 5))
        page.mouse.down()
        page.mouse.move(*hand.point(70, 50), steps=4)
        page.mouse.up()
        assert page.locator("#box-row").is_visible()
        outside = session.labels(9).copy()
        hand.key("s", "1")
        hand.drag((40, 20), (52, 24))
        changed = session.labels(9) != outside
        assert not changed[:, :30].any() and not changed[:5].any() and not changed[:, 71:].any()
        hand.key("Enter")
        hand.idle()
        assert session.state.rounds == 3
        final = hashes(session)

        # Undo and redo everything: all labels of all frames are restored.
        steps = [final]
        while hand.told("undo"):
            hand.key("Control+z")
            hand.idle()
            steps.append(hashes(session))
        assert len(set(steps[-1])) == 1 and len(steps) == 11, "the beginning has no object"
        for expected in reversed(steps[:-1]):
            hand.key("Control+Shift+z")
            hand.idle()
            assert hashes(session) == expected

        # After a reload the page has the same state, and exports the session's script.
        hand.reload()
        assert hand.told("rounds") == 3 and hand.told("undo") == 10
        export(hand, "masks", "script")
        masks = exported(tmp_path)
        origins = {request.split("/")[2] for request in hand.requests if not request.startswith(("data:", "blob:"))}
        assert origins == {f"127.0.0.1:{server.port}"} and hand.errors == []
        page.close()
    assert len(masks) == 10
    assert replayed(tmp_path, again := new_session(video)) == final
    from bl30k_gen.dataset.masks import encode_mask

    assert masks == {f"{t:05d}.png": encode_mask(again.labels(t)) for t in range(10)}


def test_the_keyboard_alone_does_the_same(browser, new_session, tmp_path):
    """Scribble, click, brush, polygon, box, objects, propagation, undo, export: no pointer."""
    video = moving_video()
    with serving(video, tmp_path, lambda: new_session(video)) as server:
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        hand = Hand(page, server.url)
        session = server.workspace.session

        def keys(*names: str) -> None:
            hand.key(*names)
            hand.idle()

        keys("k", *["Shift+ArrowLeft"] * 2, *["Shift+ArrowUp"])  # the pen goes to (25, 20)
        keys("Enter", *["ArrowLeft"] * 8, "Enter")
        assert session.state.draft.kind == "scribble" and session.state.draft.marks[0].object_id == 1
        (x, y), *_ = session.state.draft.marks[0].path * (89, 59)
        assert (int(x), int(y)) == (25, 20), "the pixel under the pen"
        keys("a")
        assert session.objects == (1, 2) and hand.page.evaluate("annotate.tab.object") == 2
        keys("c", *["Shift+ArrowRight"] * 5, "Enter", "Shift+Enter")
        assert [mark[1].positive for mark in session.state.draft.marks] == [True, False]
        shown = hand.told("draft.clicks")
        assert [click["positive"] for click in shown] == [True, False]
        x, y = page.evaluate("annotate.tab.pen.at")
        assert shown[0]["at"] == pytest.approx([x / 90, y / 60]), "clicks are shown where they were made"
        keys("b", "]", *["ArrowDown"] * 4, "Enter", *["ArrowDown"] * 5, "Enter")
        keys("p", "Enter", *["Shift+ArrowLeft"], "Enter", *["Shift+ArrowDown"], "Enter", "q")
        assert session.state.draft.kind == "fill"
        keys("r", "Enter", *["Shift+ArrowRight"] * 2, *["Shift+ArrowDown"], "Enter")
        assert hand.page.locator("#box-row").is_visible()
        keys("e", "Enter", "Enter", "k", "Escape", "u")
        assert not session.labels(0).any()
        keys("Control+z")
        keys("Enter")
        assert session.state.rounds == 1
        keys("l")
        assert session.locked == {2}
        keys("l", ".", "1", "Delete")
        assert session.objects == (2,)
        keys("Control+z")
        assert session.objects == (1, 2)
        keys("Control+Shift+z", "Control+z")
        final = hashes(session)
        keys("o")
        for _ in range(30):
            if page.evaluate("document.activeElement.id") == "export-script":
                break
            hand.key("Tab")
        keys("Enter")
        hand.until(lambda: (tmp_path / "script.json").exists())
        assert hand.errors == []
        page.close()
    assert replayed(tmp_path, new_session(video)) == final


def test_two_tabs_see_one_session(browser, new_session, tmp_path):
    video = moving_video(4)
    with serving(video, tmp_path, lambda: new_session(video)) as server:
        one, two = (Hand(browser.new_page(viewport={"width": 1280, "height": 800}), server.url) for _ in range(2))
        one.key("b")
        one.drag((20, 20), (30, 20))
        two.until(lambda: two.told("corrected") == [0])
        two.key("Control+z")
        one.until(lambda: one.told("corrected") == [])
        two.key("n")
        two.page.keyboard.type("Red disk")
        two.key("Enter")
        one.until(lambda: one.told("objects")[0]["name"] == "Red disk")
        busy = threading.Event()
        server.workspace._worker.submit(busy.wait, 30)
        one.page.mouse.click(*one.point(60, 40))
        one.until(lambda: one.page.inner_text("#saved") == "Computing …")
        busy.set()
        one.until(lambda: one.page.inner_text("#saved") == "Saved")
        two.key("l", "p")
        one.until(lambda: one.told("objects")[0]["locked"])
        before = one.settled()
        one.page.mouse.click(*one.point(40, 30))
        assert "Red disk is locked: press L" in one.page.locator("#toasts").inner_text()
        assert one.settled() == before, "a tool says so at the first press, not when its outline is closed"
        one.key("ArrowRight", "ArrowRight")
        one.reload()
        one.until(lambda: one.page.input_value("#frame") == "2")
        one.page.close()
        two.page.close()


def test_masks_are_imported_and_datasets_exported(browser, new_session, tmp_path):
    import numpy as np

    from bl30k_gen.dataset.masks import encode_mask
    from bl30k_gen.dataset.reader import open_dataset

    video = moving_video(4)
    ids = np.zeros((60, 90), np.uint8)
    ids[10:30, 10:30], ids[35:50, 60:80] = 1, 7
    (tmp_path / "00002.png").write_bytes(encode_mask(ids))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with serving(video, tmp_path / "out", lambda: new_session(video)) as server:
        hand = Hand(browser.new_page(viewport={"width": 1280, "height": 800}), server.url)
        hand.page.set_input_files("#files", [tmp_path / "00002.png"])
        hand.until(lambda: hand.told("corrected") == [2])
        assert (server.workspace.session.labels(2) == ids).all()
        hand.page.set_input_files("#files", [tmp_path / "broken.png"])
        hand.until(lambda: "damaged" in hand.page.locator("#toasts").inner_text())
        export(hand, "dataset", "overlay", "binary", "soft", "script", "coco", "youtube-vis", "burst", "sav")
        # The browser logs refused requests on its console.
        assert [error for error in hand.errors if "422" not in error] == []
        hand.page.goto((tmp_path / "out/overlay.mp4").as_uri())
        hand.until(lambda: hand.page.evaluate("document.querySelector('video').videoWidth") == 90)
        hand.page.close()
    store = open_dataset(tmp_path / "out/dataset")
    assert store.videos == ["video"] and store.frames("video") == ["00002"]
    assert (store.read_mask("video", 0).ids == ids).all()
    assert len(list((tmp_path / "out/binary/7").iterdir())) == 4
    coco = json.loads((tmp_path / "out/coco/annotations/instances_train.json").read_text())
    assert [(one["track_id"], one["area"]) for one in coco["annotations"]] == [(1, 400), (7, 300)]
    vis = json.loads((tmp_path / "out/youtube-vis/train/instances.json").read_text())
    assert [one["areas"] for one in vis["annotations"]] == [[400], [300]]
    assert (tmp_path / "out/burst/annotations/train/all_classes.json").exists()
    assert (tmp_path / "out/sav/sav_train/video_manual.json").exists()
    script = json.loads((tmp_path / "out/script.json").read_text())
    assert [action["do"] for action in script["actions"]] == ["add", "add", "mask"]
    replayed(tmp_path / "out", again := new_session(video))
    assert (again.labels(2) == ids).all()
