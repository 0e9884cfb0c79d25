"""What pointers and keys do on the page, in Chromium: without networks, so that sessions open at once."""

import numpy as np
import pytest

from bl30k_gen.dataset.masks import encode_mask
from tests.support.annotator import Hand, chromium, moving_video, serving
from training.inference.options import Options
from training.interactive.session import InteractiveSession


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture
def opened(browser, tmp_path):
    """A user's hand and the session, of a video of ten frames with one object."""
    video = moving_video()
    with serving(video, tmp_path / "out", lambda: InteractiveSession(None, video, [])) as server:
        hand = Hand(browser.new_page(viewport={"width": 1280, "height": 800}), server.url)
        hand.page.click("#understood")  # the first steps cover a corner of the frame
        yield hand, server.workspace.session
        hand.page.close()


def painted(session: InteractiveSession, frame: int = 0) -> list[int]:
    """The box of the object: its first and last column, its first and last row."""
    rows, columns = np.nonzero(session.labels(frame))
    return [columns.min(), columns.max(), rows.min(), rows.max()]


def test_every_tool_marks_the_pixel_under_the_pointer(opened):
    hand, session = opened
    hand.page.evaluate("annotate.tab.size = 1")
    around = [(-0.4, -0.4), (0.4, 0.4), (10, 20), (36.6, 41.4), (89.4, 30), (20, 59.4)]  # the centres of pixels
    for x, y in around:
        column, row = round(x), round(y)
        hand.key("b")
        hand.click(x, y)
        assert painted(session) == [max(0, column - 1), min(89, column + 1), max(0, row - 1), min(59, row + 1)]
        hand.key("Control+z")
        hand.idle()
    for shift in (-0.4, 0.4):
        hand.key("p")
        for x, y in [(10, 20), (30, 20), (30, 40), (10, 40)]:
            hand.page.mouse.click(*hand.point(x + shift, y + shift))
        hand.key("Enter")
        hand.idle()
        assert painted(session) == [10, 30, 20, 40]
        assert (session.labels(0) != 0).sum() == 21 * 21, "its corners, edges and inside"
        hand.key("Control+z")
        hand.idle()
    assert hand.errors == []


def test_strokes_hit_the_pixel_that_a_smaller_network_works_at(browser, tmp_path):
    video = moving_video()
    make = lambda: InteractiveSession(None, video, [], options=Options(short_side=30))  # noqa: E731
    with serving(video, tmp_path / "out", make) as server:
        hand, session = Hand(browser.new_page(), server.url), server.workspace.session
        hand.page.click("#understood")
        hand.page.evaluate("annotate.tab.size = 1")
        for x in (40.0, 40.4, 40.6, 41.4, 41.6):
            hand.key("b")
            hand.click(x, 30)
            first, last, *_ = painted(session)
            assert abs((first + last) / 2 - (2 * ((x + 0.5) // 2) + 0.5)) <= 0.5, x
            hand.key("Control+z")
            hand.idle()
        assert hand.errors == []
        hand.page.close()


def test_one_pointer_draws_at_a_time(opened):
    hand, session = opened
    send = hand.page.context.new_cdp_session(hand.page).send

    def touch(what: str, **fingers: tuple[float, float]) -> None:
        points = [dict(zip("xy", hand.point(*at), strict=True), id=int(name[1:])) for name, at in fingers.items()]
        send("Input.dispatchTouchEvent", {"type": f"touch{what}", "touchPoints": points})

    hand.key("b")
    hand.page.evaluate("annotate.tab.size = 1")
    before = hand.settled()
    touch("Start", _1=(20, 20))
    touch("Start", _1=(20, 20), _2=(60, 50))
    touch("Move", _1=(30, 20), _2=(70, 50))
    touch("Move", _1=(40, 20), _2=(80, 50))
    touch("End", _2=(80, 50))
    touch("Move", _1=(50, 20))
    touch("End")
    hand.until(lambda: hand.settled() > before, 10)
    hand.idle()
    assert painted(session) == [19, 51, 19, 21] and hand.told("undo") == 1, "one line"

    def pen(what: str, buttons: int, *at: float) -> None:
        x, y = hand.point(*at)
        about = {"button": "left", "buttons": buttons, "clickCount": 1, "pointerType": "pen"}
        send("Input.dispatchMouseEvent", {"type": f"mouse{what}", "x": x, "y": y, **about})

    hand.key("ArrowRight")
    touch("Start", _1=(60, 50))  # the palm
    pen("Pressed", 1, 20, 10)
    touch("Move", _1=(80, 50))
    pen("Moved", 1, 30, 10)
    pen("Released", 0, 30, 10)
    touch("End")
    hand.until(lambda: hand.told("undo") == 2, 10)
    assert painted(session, 1) == [19, 31, 9, 11], "the pen draws, though the palm came first"
    assert hand.errors == []


def test_the_keyboard_pen_draws_nothing_with_the_tool_move(opened):
    hand, session = opened
    hand.key("h", "k", "Enter", "ArrowRight", "Enter")
    hand.idle()
    assert hand.told("undo") == 0 and not session.labels(0).any()
    assert "Move is for a pointer" in hand.page.locator("#toasts").inner_text()
    hand.key("b", "Enter", "Enter")
    hand.until(lambda: hand.told("undo") == 1, 10)
    assert session.labels(0).any() and hand.errors == []


def test_a_stroke_of_very_many_points_is_sent(opened):
    hand, session = opened
    hand.key("b")
    hand.page.evaluate("annotate.tab.size = 1")
    mouse = hand.page.mouse
    mouse.move(*hand.point(20, 20))
    mouse.down()
    move = """([x, y]) => {
      const view = document.getElementById("view");
      for (let i = 0; i < 70000; i += 1) {
        const about = { pointerId: 1, buttons: 1, clientX: x + i % 4, clientY: y };
        view.dispatchEvent(new PointerEvent("pointermove", about));
      }
    }"""
    hand.page.evaluate(move, list(hand.point(20, 20)))
    mouse.move(*hand.point(30, 20), steps=5)
    before = hand.settled()
    mouse.up()
    hand.until(lambda: hand.settled() > before, 10)
    assert painted(session) == [19, 31, 19, 21] and hand.told("undo") == 1
    assert hand.errors == []


def test_fields_and_keys(opened):
    hand, _ = opened
    page = hand.page

    # The range of frames ends with the video.
    page.click("#range summary")
    for typed, kept in [("500", "9"), ("-3", "0"), ("4.4", "4"), ("", "")]:
        page.fill("#last", typed)
        hand.key("Enter")
        assert page.input_value("#last") == kept
    assert page.get_attribute("#first", "max") == page.get_attribute("#last", "max") == "9"

    # Arrows move a slider that has the focus, and go to other frames after a click on it; other keys work as ever.
    hand.key("b")
    page.focus("#size")
    hand.key("ArrowRight", "ArrowUp")
    assert page.input_value("#size") == "14" and page.input_value("#frame") == "0"
    hand.key(".")
    assert page.input_value("#frame") == "1"
    hand.key("Space")
    assert page.evaluate("annotate.tab.playing")
    hand.key("Space", "End")
    assert page.input_value("#size") == "100" and not page.evaluate("annotate.tab.playing")
    shown = int(page.input_value("#frame"))
    page.click("#size")
    size = page.input_value("#size")
    hand.key("ArrowLeft")
    assert page.input_value("#frame") == str(shown - 1)
    assert page.input_value("#size") == size != "100"

    # Letters are those of the keyboard with Caps Lock, too, and with a layout that has no Latin ones.
    def press(key: str, code: str, shift: bool = False, control: bool = False) -> None:
        about = {"key": key, "code": code, "shiftKey": shift, "ctrlKey": control, "bubbles": True}
        page.evaluate("about => document.body.dispatchEvent(new KeyboardEvent('keydown', about))", about)

    page.evaluate("annotate.told.corrected = [2, 6]")
    for key, shift, frame in [("I", False, 2), ("i", False, 6), ("i", True, 2), ("ш", False, 6), ("Ш", True, 2)]:
        press(key, "KeyI", shift)
        assert page.input_value("#frame") == str(frame), (key, shift)
    press(",", "KeyM")  # a key of its own in a French layout
    assert page.input_value("#frame") == "1"
    page.evaluate("annotate.told.corrected = []")
    hand.key("b")
    hand.click(20, 20)
    press("я", "KeyZ", control=True)
    hand.until(lambda: hand.told("redo") == 1, 10)
    press("Я", "KeyZ", True, True)
    hand.until(lambda: hand.told("redo") == 0, 10)
    press("Z", "KeyZ", control=True)
    hand.until(lambda: hand.told("redo") == 1, 10)
    assert hand.errors == []


def test_roles_and_double_clicks_in_the_panel(opened):
    hand, _ = opened
    page = hand.page
    assert page.get_by_role("radio", name="Both", checked=True).count() == 1
    page.get_by_role("radio", name="Forward").click()
    page.get_by_role("radio", name="Contour").click()
    assert page.evaluate("[annotate.tab.direction, annotate.tab.mode]") == ["forward", "contour"]
    assert page.get_by_role("radio", checked=True).all_inner_texts() == ["Forward", "Contour"]
    assert page.locator("#objects [aria-current=true]").get_attribute("data-id") == "1"

    def renaming() -> bool:
        return page.evaluate("document.activeElement.matches('#objects input.name')")

    for button in ("Hide (G)", "Lock: nothing changes it (L)"):
        page.get_by_role("button", name=button).dblclick()
        hand.idle()
        assert not renaming()
    page.locator("#objects input.name").dblclick()
    assert renaming()
    page.keyboard.type("Red disk")
    hand.key("Enter")
    hand.until(lambda: hand.told("objects")[0]["name"] == "Red disk", 10)
    assert hand.errors == []


def test_a_polygon_stays_on_its_frame(opened):
    hand, session = opened
    hand.key("ArrowRight", "p")
    corners = [(10, 20), (30, 20), (30, 40)]
    for corner in corners:
        hand.page.mouse.click(*hand.point(*corner))
    hand.page.evaluate("annotate.go(1)")  # to where it is
    hand.key("q")
    hand.until(lambda: hand.told("undo") == 1, 10)
    for corner in corners:
        hand.page.mouse.click(*hand.point(*corner))
    hand.key("ArrowRight", "q")
    hand.idle()
    assert "The polygon on frame 1 is discarded" in hand.page.locator("#toasts").inner_text()
    assert hand.told("undo") == 1 and hand.told("corrected") == [1] and hand.errors == []


def test_masks_in_memory_have_a_limit_in_bytes(opened):
    hand, _ = opened
    count = """async () => {
      const { maskOf } = await import("/static/frames.js");
      const { told } = annotate;
      const [width, height, frames] = [4000, 2500, 14]; // 10 MB each
      const runs = new Uint32Array([1, width, height, (1 << 24) | (width * height)]);
      window.fetch = async () => new Response(runs.buffer);
      Object.assign(told, { frames, rows: Array.from({ length: frames }, () => [1, {}]) });
      const pause = () => new Promise((done) => setTimeout(done, 5));
      for (let frame = 0; frame < frames; frame += 1) {
        while (!maskOf(frame)) await pause();
        maskOf(0); // stays, as it is used
      }
      window.fetch = () => new Promise(() => {});
      return Array.from({ length: frames }, (_, frame) => Boolean(maskOf(frame))).map(Number).join("");
    }"""
    assert hand.page.evaluate(count) == "1" + "0" * 4 + "1" * 9
    assert hand.errors == []


def test_masks_go_to_the_frames_of_their_names_or_numbers(opened, tmp_path):
    hand, session = opened

    def load(*names: str) -> str:
        for label, name in enumerate(names, 1):
            (tmp_path / name).write_bytes(encode_mask(np.full((60, 90), label, np.uint8)))
        before = hand.page.locator("#toasts").inner_text()
        hand.page.set_input_files("#files", [tmp_path / name for name in names])
        hand.until(lambda: hand.page.locator("#toasts").inner_text() != before, 10)
        hand.until(lambda: not hand.page.input_value("#files"), 10)
        return hand.page.locator("#toasts").inner_text()

    hand.key("ArrowRight")
    said = load("00004.png", "mask_1_007.png", "7.png", "mask.png")
    assert (
        "Loaded 2 of 4 masks" in said and "7.png is refused: mask_1_007.png is for the same frame (and 1 more" in said
    )
    assert sorted(hand.told("corrected")) == [4, 7]
    assert (session.labels(4) == 1).all() and (session.labels(7) == 2).all()
    assert "cam_3.png is loaded for frame 3" in load("cam_3.png")
    assert hand.page.input_value("#frame") == "3"
    assert "mask_99.png is loaded for frame 3, which was shown: its name tells of no frame" in load("mask_99.png")
    assert sorted(hand.told("corrected")) == [3, 4, 7]
    assert hand.errors == []
