"""What pointers and keys do on the page, in Chromium: without networks, so that sessions open at once."""

import numpy as np
import pytest

from tests.support.annotator import Hand, chromium, moving_video, serving
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
    for x, y in [(-0.4, -0.4), (0.4, 0.4), (10, 20), (36.6, 41.4), (89.4, 30), (20, 59.4)]:  # around the centres of pixels
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
