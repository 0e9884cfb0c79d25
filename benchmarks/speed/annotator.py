"""Latency of the annotator's page (strokes, scrubbing, labels) and memory of its server, in headless Chromium.

    python -m benchmarks.speed.annotator VIDEO [--network FILE] [--results FILE]

VIDEO is a folder of frames. Measured at the video's own size, and enlarged to 3840x2160, there also with
``--short-side 480``: the time from a pointer's move to the image that shows it; from the end of a brush stroke to
its label, split into computing, saving and the rest (messages and waiting); the frames a second that the page shows
while scrubbing; the server's memory. Then, for servers with 100, 1,000 and 10,000 frames (links to those of VIDEO):
resident memory when the session is open, and after viewing thirty frames; the time to show the last frame, and to
get the label of a stroke; scrubbing from there with two objects in every frame of the timeline. Last, without a
browser: memory while a small untrained network propagates a mask across 10,000 frames of 64x48 pixels, the
session's size on disk, and the time to open it again.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from benchmarks.page import command, load, machine, parser_of, publish, table
from bl30k_gen.errors import run_entry_point
from models.checkpoint import build
from models.propagation import PropagationNetwork
from tests.support.annotator import FLAGS, Hand
from tests.support.browser import executable
from training.annotator.work import News
from training.annotator.workspace import Workspace, resident_bytes
from training.inference.options import published_options
from training.inference.video import FrameFolder
from training.interactive.script import BrushAction, PropagateAction
from training.interactive.session import InteractiveSession

STROKES, SCRUBBED = 12, 60
COUNTS = (100, 1000, 10_000)
LARGE, LARGE_FRAMES, SHORT = (3840, 2160), 24, ("--short-side", "480")
LONG = [
    *("frames", "MiB when open", "MiB after 30 frames", "ms to the last frame", "ms to a brush's label"),
    "frames/s scrubbed, with two objects' lanes",
]
SMALL = {"backbone": "resnet18", "memory_backbone": "resnet18", "key_dim": 16, "value_dim": 32, "decoder_dim": 16}

# Milliseconds from each move event, except the first, to the animation frame in which the canvas was drawn.
MOVES = """() => new Promise((done) => {
  const times = [];
  const view = document.getElementById('view');
  const {left, top, width, height} = view.getBoundingClientRect();
  const at = (i) => ({
    clientX: left + width * (0.3 + i / 200), clientY: top + height / 2, pointerId: 1, bubbles: true, buttons: 1});
  view.setPointerCapture = () => {};
  view.dispatchEvent(new PointerEvent('pointerdown', {...at(0), button: 0}));
  const step = (i) => {
    if (i === 40) { view.dispatchEvent(new PointerEvent('pointercancel', at(i))); return done(times.slice(1)); }
    const start = performance.now();
    view.dispatchEvent(new PointerEvent('pointermove', at(i)));
    annotate.onceDrawn(() => { times.push(performance.now() - start); requestAnimationFrame(() => step(i + 1)); });
  };
  step(0);
})"""


# As if two objects were in every frame: what the timeline draws.
FULL_LANES = """() => {
  annotate.told.objects.push({...annotate.told.objects[0], id: 2, name: "Object 2"});
  for (let i = 0; i < annotate.told.frames; i += 1) {
    const area = 0.1 + 0.05 * Math.sin(i / 40);
    annotate.told.rows[i] = [0, {1: [area, 0, ""], 2: [area / 2, 0, i % 97 ? "" : "its area jumps"]}];
  }
}"""


def start(folder: Path, out: Path, *flags: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start ``train.py annotate``; returns the process and its address."""
    log = out.with_suffix(".log")
    with open(log, "wb") as file:
        arguments = [sys.executable, "-u", "train.py", "annotate", str(folder), "--out", str(out), *flags]
        process = subprocess.Popen(arguments, stdout=file, stderr=file)
    while not (found := re.search(r"Open (\S+)", log.read_text())):
        if process.poll() is not None:
            raise RuntimeError(log.read_text())
        time.sleep(0.05)
    return process, found[1]


def resident_mib(process: subprocess.Popen[bytes]) -> float:
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def scrub(hand: Hand, frames: list[int]) -> float:
    """Show frames one after the other; returns frames a second, each counted when its image is drawn."""
    return hand.page.evaluate(
        """async (frames) => {
          const start = performance.now();
          for (const frame of frames) {
            annotate.go(frame);
            while (!annotate.atHand(frame)) await new Promise((r) => setTimeout(r, 1));
            await new Promise((r) => annotate.onceDrawn(r));
          }
          return 1000 * frames.length / (performance.now() - start);
        }""",
        frames,
    )


def stroke(page: Page, frame: int, shift: float = 0) -> float:
    """Milliseconds from the end of a brush stroke to the answer that has its label."""
    path = [[0.2, 0.2 + shift], [0.6, 0.3 + shift]]
    return page.evaluate(
        """async (action) => {
          const start = performance.now();
          await annotate.act(action);
          return performance.now() - start;
        }""",
        {"do": "brush", "frame": frame, "object": 1, "path": path, "radius": 12},
    )


def speed(page: Page, video: Path, out: Path, *flags: str) -> dict[str, str]:
    """Measure latency, scrubbing and memory; returns quantity -> value."""
    process, url = start(video, out, *flags)
    try:
        return _speed(Hand(page, url)) | {"the server's memory after all this (MiB)": f"{resident_mib(process):.0f}"}
    finally:
        process.terminate()
        process.wait()


def _speed(hand: Hand) -> dict[str, str]:
    hand.key("b")
    moves = sorted(hand.page.evaluate(MOVES))
    labels, computed, saved = [], [], []
    for number in range(STROKES):
        hand.page.wait_for_timeout(50)
        labels.append(stroke(hand.page, number, 0.03 * number))
        hand.page.wait_for_timeout(600)  # gauges come twice a second
        gauges = hand.told("gauges")
        computed.append(1000 * gauges["computed"])
        saved.append(1000 * gauges["saved"])
    rest = np.subtract(labels, np.add(computed, saved))
    frames = len(hand.told("names"))
    first = scrub(hand, list(range(frames - 1, max(0, frames - 1 - SCRUBBED), -1)))
    again = scrub(hand, list(range(max(0, frames - SCRUBBED), frames)))
    return {
        "pointer to image, median (ms)": f"{np.median(moves):.1f}",
        "pointer to image, 95 of 100 (ms)": f"{np.percentile(moves, 95):.1f}",
        "brush to label, median (ms)": f"{np.median(labels):.0f}",
        "of these, to compute it": f"{np.median(computed):.0f}",
        "to save it, with two syncs of the disk": f"{np.median(saved):.0f}",
        "and messages, and waiting": f"{np.median(rest):.0f}",
        "scrubbing for the first time (frames/s)": f"{first:.0f}",
        "scrubbing again (frames/s)": f"{again:.0f}",
    }


def enlarged(source: FrameFolder, folder: Path) -> Path:
    """Frames of 3840x2160 made of the video's."""
    folder.mkdir()
    for number in range(min(LARGE_FRAMES, len(source))):
        Image.fromarray(source[number]).resize(LARGE).save(folder / f"{number:05d}.jpg", quality=92)
    return folder


def memory(page: Page, source: FrameFolder, folder: Path) -> list[list[str]]:
    """Rows of frames, MiB when the session is open and after viewing some, and the page's times and rate."""
    rows: list[list[str]] = []
    for count in COUNTS:
        clip = folder / f"frames_{count}"
        clip.mkdir()
        for number in range(count):
            file = source.files[number % len(source)]
            os.symlink(file.resolve(), clip / f"{number:05d}{file.suffix}")
        process, url = start(clip, folder / f"out_{count}")
        try:
            hand = Hand(page, url)
            opened = resident_mib(process)
            scrub(hand, list(range(0, count - count // 30, max(1, count // 30))))
            looked = resident_mib(process)
            end = 1000 / scrub(hand, [count - 1])
            label = np.median([stroke(page, count * number // STROKES) for number in range(STROKES)])
            page.evaluate(FULL_LANES)
            again = scrub(hand, list(range(count - 1, count - 1 - SCRUBBED, -1)))
            rows.append([str(count), *(f"{value:.0f}" for value in (opened, looked, end, label, again))])
        finally:
            process.terminate()
            process.wait()
        print(*rows[-1], flush=True)
    return rows


class Rolling:
    """A video of moving noise; frames are computed on access."""

    path, rate = Path("rolling"), 0.0
    names = [f"{number:05d}" for number in range(COUNTS[-1])]
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> np.ndarray:
        return np.roll(self.noise, index, 1)


def propagate_memory(out: Path) -> list[list[str]]:
    """Propagate across all frames of a long video; returns rows of quantity and value."""
    torch.manual_seed(0)
    video, network = Rolling(), build("stcn", SMALL).eval()
    assert isinstance(network, PropagationNetwork)
    options = published_options(network, memory="bounded")

    def opened() -> Workspace:
        session = lambda: InteractiveSession(network, video, [], options=options, cache=64 * 2**20)  # noqa: E731
        workspace = Workspace(video, session, out)
        workspace.wait_until_open()
        return workspace

    def mib() -> str:
        return f"{resident_bytes() / 2**20:.0f}"

    workspace = opened()
    rows = [["MiB when open", mib()]]

    def record_memory(news: News) -> None:
        done = (news.get("progress") or {}).get("done", 0)
        if done and done % 2000 == 0 and "frames" in news:
            rows.append([f"MiB after {done} frames", mib()])

    workspace.listeners.add(record_memory)
    workspace.act(BrushAction(do="brush", frame=0, object=1, path=[(0.3, 0.5), (0.6, 0.5)], radius=10)).result()
    began = time.perf_counter()
    workspace.act(PropagateAction(do="propagate")).result()
    seconds = time.perf_counter() - began
    for frame in range(0, len(video), len(video) // 200):
        workspace.mask(frame)
    rows.append(["MiB at the end, after a look at 200 masks", mib()])
    workspace.close()
    size = sum(file.stat().st_size for file in (out / "session").iterdir())
    began = time.perf_counter()
    opened().close()
    rows.append(["seconds to propagate", f"{seconds:.0f}"])
    rows.append(["MiB of the session on the disk", f"{size / 2**20:.0f}"])
    return [*rows, ["seconds to open it again", f"{time.perf_counter() - began:.1f}"]]


def main() -> None:
    parser = parser_of(__doc__ or "")
    parser.add_argument("video", type=Path)
    parser.add_argument("--network", help="a propagation network; it works at a short side of 480")
    arguments = parser.parse_args()
    source = FrameFolder(arguments.video)
    height, width = source[0].shape[:2]
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary)
        browser = playwright.chromium.launch(executable_path=executable(), args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        large = enlarged(source, folder / "large")
        own = ["--network", arguments.network] if arguments.network else []
        found = {
            f"{width}x{height}": speed(page, arguments.video, folder / "speed", *own),
            "x".join(map(str, LARGE)): speed(page, large, folder / "speed_large"),
            f"the same, {' '.join(SHORT)}": speed(page, large, folder / "speed_short", *SHORT),
        }
        rows = [[what, *(values[what] for values in found.values())] for what in next(iter(found.values()))]
        rows_memory = memory(page, source, folder)
        rows_propagated = propagate_memory(folder / "across")
        browser.close()
    text = f"""# The page in the browser: speed and memory

    {command()}

{machine("torch", "starlette", "uvicorn")}; load {load():.1f} processes a processor.

{table(["frames of", *found], rows)}

The page draws a stroke immediately; its label comes from the session, through the websocket, after it is saved.

{table(LONG, rows_memory)}

A propagation across {COUNTS[-1]} frames of 64x48, without a browser:

{table(["what", "value"], rows_propagated)}
"""
    publish(text, arguments.results)


if __name__ == "__main__":
    run_entry_point(main)
