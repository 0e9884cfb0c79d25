"""The annotator's server in a thread of the test, and its page in Chromium."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from tests.support.browser import executable
from training.annotator.server import Server
from training.annotator.workspace import Workspace
from training.interactive.session import InteractiveSession

FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


class Video(list[np.ndarray]):
    """Frames in memory, with the attributes of a video."""

    rate = 0.0

    def __init__(self, frames: list[np.ndarray], name: str = "video"):
        super().__init__(frames)
        self.path = Path(name)
        self.names = [f"{number:05d}" for number in range(len(frames))]


def moving_video(count: int = 10, height: int = 60, width: int = 90) -> Video:
    """Two disks that move over a gradient."""
    y, x = np.mgrid[:height, :width]
    frames = []
    for t in range(count):
        rgb = np.stack([x * 2, y * 3, 90 + 0 * x], -1).astype(np.uint8)
        rgb[(x - 20 - 3 * t) ** 2 + (y - 20) ** 2 < 150] = (230, 40, 40)
        rgb[(x - 70 + 2 * t) ** 2 + (y - 42) ** 2 < 120] = (40, 220, 60)
        frames.append(rgb)
    return Video(frames)


@contextmanager
def serving(
    video: Video, out: Path, open_session: Callable[[], InteractiveSession], objects: int = 1
) -> Iterator[Server]:
    """A server for the duration of the block."""
    server = Server(
        video, lambda: Workspace(video, open_session, out, objects, say=lambda text: None), "127.0.0.1", 0
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while server.workspace is None or server.workspace.session is None:
        assert time.monotonic() < deadline and thread.is_alive()
        time.sleep(0.02)
    try:
        yield server
    finally:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()


@contextmanager
def chromium() -> Iterator[Browser]:
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


class Hand:
    """A user of the page; positions are pixels of the frame. ``requests``: all addresses that the page requested."""

    def __init__(self, page: Page, url: str):
        self.page = page
        self.requests: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", self._note)
        self.open(url)

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_selector("#opening", state="hidden", timeout=60_000)

    def reload(self) -> None:
        self.page.reload()
        self.page.wait_for_selector("#opening", state="hidden", timeout=60_000)

    def key(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def told(self, what: str):
        """A value of the server's latest messages to the page."""
        return self.page.evaluate(
            f"JSON.parse(JSON.stringify(annotate.told.{what}, (k, v) => v instanceof Set ? [...v] : v))"
        )

    def point(self, x: float, y: float) -> tuple[float, float]:
        """The position of a pixel of the frame in the window."""
        box = self.page.locator("#view").bounding_box()
        scale, left, top = self.page.evaluate("[annotate.place.scale, annotate.place.left, annotate.place.top]")
        assert box is not None
        return box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale

    def drag(self, *points: tuple[float, float], button: Literal["left", "right"] = "left") -> None:
        """Press, move through the points, release; wait for the answer."""
        before = self.settled()
        self.page.mouse.move(*self.point(*points[0]))
        self.page.mouse.down(button=button)
        for point in points[1:]:
            self.page.mouse.move(*self.point(*point), steps=3)
        self.page.mouse.up(button=button)
        self.until(lambda: self.settled() > before)

    def click(self, x: float, y: float, button: Literal["left", "right"] = "left") -> None:
        self.drag((x, y), button=button)

    def settled(self) -> int:
        """The number of answers that the page has received."""
        return self.page.evaluate("annotate.answers()")

    def idle(self) -> None:
        """Wait until all requests are answered."""
        self.until(lambda: self.page.evaluate("annotate.pending()") == 0)

    def until(self, condition: Callable[[], object], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.page.locator("#toasts").inner_text()
            self.page.wait_for_timeout(15)
