"""Fault campaign: disturb builds of a small real dataset at random, resume them, compare with an undisturbed build.

Two supervisors work on one dataset while seeded random events hit them or their Blender children; a supervisor that
ends is restarted, as a cluster would do. When all videos are published, the dataset must be byte-identical to an
undisturbed one, and a deep verification must find nothing. Rounds repeat until the number of events is reached, for
videos as files, in tar shards and in HDF5 shards.

    python -m benchmarks.faults.builds --events 210 --results docs/results/faults.md

The seed determines the events and the waits between them; the exact moments depend on the machine.
Disk-full events need root, for a small tmpfs; otherwise they are left out, and the table says so.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.page import ROOT, command, parser_of, publish, table
from bl30k_gen.dataset.layout import Layout, list_visible
from bl30k_gen.dataset.reader import open_dataset
from bl30k_gen.dataset.verify import verify
from bl30k_gen.render.output.journal import run_entries
from bl30k_gen.seeding import rng

RECIPE = [
    *("--config", str(ROOT / "render_configs/demo.yaml"), "--set", "video={frames: 6, width: 128, height: 96}"),
    *("--set", "motion.location_speed=0.4", "--set", "motion.rotation_speed=0.3", "--set", "render.samples=16"),
]
LEASE_TIMEOUT = 3.0  # seconds; short, so that others take over from frozen owners within the campaign
STORES = ("folder", "tar", "hdf5")
KINDS = ("kill child", "crash child", "kill supervisor", "kill both", "terminate", "freeze", "disk full")
DISK = "24m"
MAX_WAIT = 900.0  # seconds for a supervisor to end, or to make progress
EXPECTED_CODES = {0, 1, 2, 143, -signal.SIGKILL, -signal.SIGTERM}  # the last: in the first second, before any work


@dataclass
class Event:
    kind: str
    progress: str  # of the build at that moment
    outcome: str = ""


@dataclass
class Result:
    """Events and outcome of the campaign for one store; ``faults`` is empty if every build was correct."""

    store: str
    events: list[Event] = field(default_factory=list)
    rounds: int = 0
    videos: int = 0  # built in all rounds
    shards: int = 0
    faults: list[str] = field(default_factory=list)


def events_table(results: list[Result]) -> str:
    """Table of the events by kind and store, and of the builds' outcomes."""
    counts = [Counter(event.kind for event in result.events) for result in results]
    rows = [[kind, *(str(count[kind]) for count in counts)] for kind in KINDS]
    rows.append(["**events**", *(str(len(result.events)) for result in results)])
    rows.append(["builds, each byte-identical to a calm one", *(str(result.rounds) for result in results)])
    rows.append(["videos in them", *(str(result.videos) for result in results)])
    rows.append(["shards that they lie in", *(str(result.shards or "-") for result in results)])
    rows.append(["faults: lost, doubled, different or left over", *(str(len(result.faults)) for result in results)])
    return table(["event", *(result.store for result in results)], rows)


class Campaign:
    """The campaign for one store.

    Args:
        events: number of disturbances.
        videos: of the dataset.
        recipe: flags of ``render``.
        folder: of the datasets, logs and scratch files.
    """

    def __init__(self, events: int, seed: int, videos: int, recipe: list[str], folder: Path, store: str = "folder"):
        self.wanted, self.videos, self.recipe, self.folder, self.store = events, videos, recipe, folder, store
        self.scratch = folder / "scratch"
        self.random = rng(seed, "faults", store)
        self.result = Result(store)
        self.kinds = [*KINDS]
        self.supervisors: list[subprocess.Popen[bytes]] = []
        self.logs: dict[int, Path] = {}  # by process id
        self.starts = 0

    def run(self, say: Callable[[str], None] = lambda line: None) -> Result:
        calm = self.folder / "calm"
        subprocess.run(self._command(calm, 1), check=True, capture_output=True, timeout=MAX_WAIT)
        expected = content(calm)
        self.frames = sum(path.startswith("Annotations/") for path in expected) // self.videos
        disk = self.folder / "disk"
        disk.mkdir()
        mounted = not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", disk], capture_output=True
        ).returncode
        if not mounted:
            self.kinds.remove("disk full")
            say("no tmpfs can be mounted: without disk-full events")
        try:
            while len(self.result.events) < self.wanted:
                self._round(disk / "dataset", expected, say)
        finally:
            for supervisor in self.supervisors:
                end_all(supervisor.pid)
                supervisor.wait()
            if mounted:
                subprocess.run(["umount", "--lazy", disk], check=True)
        return self.result

    def _round(self, out: Path, expected: dict[str, bytes], say: Callable[[str], None]) -> None:
        """Build one dataset under disturbances, and check it."""
        shutil.rmtree(out, ignore_errors=True)
        while len(Layout(out).published()) < self.videos:
            self._keep_two_running(out)
            if len(self.result.events) < self.wanted and self._wait_for_progress(out):
                event = self._strike(out)
                self.result.events.append(event)
                say(f"{len(self.result.events):>4}  {event.kind:<16} {event.progress:<28} {event.outcome}")
            else:
                time.sleep(0.2)
        for supervisor in self.supervisors:
            supervisor.wait(MAX_WAIT)
        self._keep_two_running(out)  # once more: the command finds all videos published, and completes the lists
        for supervisor in self.supervisors:
            supervisor.wait(MAX_WAIT)
        self._check_codes(out)
        self._check_dataset(out, expected)

    def _check_dataset(self, out: Path, expected: dict[str, bytes]) -> None:
        self.result.rounds += 1
        found = content(out)
        different = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
        self.result.faults += [f"{path} differs from the undisturbed build" for path in different]
        self.result.faults += [f"{p.video} {p.kind}: {p.detail}" for p in verify(out, deep=True).problems]
        layout = Layout(out)
        published = Counter(entry["name"] for entry in run_entries(layout) if entry["event"] == "published")
        self.result.faults += [f"{name} was published {n} times" for name, n in published.items() if n > 1]
        self.result.videos += len(layout.published())
        records = filter(None, map(layout.shards.committed, layout.published()))
        self.result.shards += len({shard for _, shard in records})
        if left := list_visible(layout.staging_root) + list_visible(layout.shards.staging_root):
            self.result.faults.append(f"{' '.join(left)} is still in the making")

    def _command(self, out: Path, lease_timeout: float) -> list[str]:
        flags = ["--count", str(self.videos), "--threads-per-worker", "1", "--device", "cpu"]
        lease = ["--set", f"runtime.lease_timeout={lease_timeout}"]
        flags += ["--store", self.store, "--scratch", str(self.scratch)]
        return [sys.executable, str(ROOT / "generate.py"), "render", *self.recipe, *lease, "--out", str(out), *flags]

    def _keep_two_running(self, out: Path) -> None:
        self._check_codes(out)
        while len(self.supervisors) < 2:
            self.starts += 1
            with open(self.folder / f"{self.starts}.log", "wb") as log:
                command = self._command(out, LEASE_TIMEOUT)
                self.supervisors.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))
            self.logs[self.supervisors[-1].pid] = self.folder / f"{self.starts}.log"

    def _check_codes(self, out: Path) -> None:
        """Remove the supervisors that have ended; an unexpected code or output is a fault."""
        for supervisor in [s for s in self.supervisors if s.poll() is not None]:
            self.supervisors.remove(supervisor)
            said = self.logs.pop(supervisor.pid).read_text(errors="replace")
            # The progress bar may follow the error. A Blender that is killed twice while it starts ends the run.
            is_explained = supervisor.returncode != 2 or "no space left" in said or "Blender does not start" in said
            if supervisor.returncode not in EXPECTED_CODES or "Traceback" in said or not is_explained:
                self.result.faults.append(f"a supervisor ended with code {supervisor.returncode}: {said[-1500:]}")

    def _wait_for_progress(self, out: Path) -> bool:
        """Wait for some frames, or at times for some seconds; False if a supervisor ended meanwhile."""
        target = self._frames_done(out) + int(self.random.integers(1, 6))
        deadline = time.monotonic() + (float(self.random.uniform(0.5, 5.0)) if self.random.random() < 0.3 else 60.0)
        while time.monotonic() < deadline and self._frames_done(out) < target:
            if any(supervisor.poll() is not None for supervisor in self.supervisors):
                return False
            time.sleep(0.02)
        time.sleep(float(self.random.uniform(0.0, 0.3)))
        return True

    def _frames_done(self, out: Path) -> int:
        """The number of masks on disk, published or staged."""
        if self.store == "folder":
            patterns = ("Annotations/*/*.png", ".staging/*/*/Annotations/*.png")
            return sum(not path.name.startswith(".") for pattern in patterns for path in out.glob(pattern))
        staged = self.scratch.glob("*/.staging/*/Annotations/[!.]*.png")
        return len(Layout(out).published()) * self.frames + sum(1 for _ in staged)

    def _strike(self, out: Path) -> Event:
        kind = self.kinds[self.random.integers(len(self.kinds))]
        victim = self.supervisors[self.random.integers(len(self.supervisors))]
        event = Event(kind, f"{len(Layout(out).published())} videos, {self._frames_done(out)} frames")
        match kind:
            case "kill child" | "crash child":
                number = signal.SIGKILL if kind == "kill child" else signal.SIGSEGV
                hit = [send(pid, number) for pid in children_of(victim.pid)]
                event.outcome = "the supervisor continues" if any(hit) else "there was no child at that moment"
            case "kill supervisor":
                victim.kill()
                event.outcome = f"code {victim.wait(MAX_WAIT)}"
            case "kill both":
                end_all(victim.pid)
                event.outcome = f"code {victim.wait(MAX_WAIT)}"
            case "terminate":
                victim.terminate()
                event.outcome = f"code {victim.wait(MAX_WAIT)}"
            case "freeze":
                seconds = float(self.random.uniform(0.5, 3 * LEASE_TIMEOUT))
                send(victim.pid, signal.SIGSTOP)
                time.sleep(seconds)
                send(victim.pid, signal.SIGCONT)
                event.outcome = f"for {seconds:.1f} s"
            case "disk full":
                event.outcome = self._fill_disk(out)
        return event

    def _fill_disk(self, out: Path) -> str:
        """Fill the disk until both supervisors have ended, for at most 20 seconds."""
        filler = out.parent / "filler"
        try:
            with open(filler, "wb", buffering=0) as file:
                while file.write(bytes(4096)) == 4096:
                    pass
        except OSError:
            pass
        deadline = time.monotonic() + 20.0
        while time.monotonic() < deadline and any(s.poll() is None for s in self.supervisors):
            time.sleep(0.05)
        filler.unlink()
        return "codes " + ", ".join(str(s.poll()) for s in self.supervisors)


def content(root: Path) -> dict[str, bytes]:
    """``{path: bytes}`` of all files of a dataset, in any store."""
    store = open_dataset(root)
    paths = [path for name in store.videos for path in store.members(name)] + store.image_set_paths()
    return {path: store.tree.read(path) for path in paths}


def children_of(parent: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
        except OSError:
            continue
    return found


def send(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def end_all(supervisor: int) -> None:
    for pid in [*children_of(supervisor), supervisor]:
        send(pid, signal.SIGKILL)


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--events", type=int, default=210, help="Total, divided among the stores.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--videos", type=int, default=6)
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--at-once", type=int, default=1, help="Number of stores that run in parallel.")
    arguments = parser.parse_args()
    begin, events = time.monotonic(), -(-arguments.events // len(arguments.stores))

    def run(store: str) -> Result:
        with tempfile.TemporaryDirectory(prefix="bl30k-faults-") as folder:
            campaign = Campaign(events, arguments.seed, arguments.videos, RECIPE, Path(folder), store)
            return campaign.run(lambda line: print(f"{store:<7}{line}", flush=True))

    with ThreadPoolExecutor(arguments.at_once) as pool:
        results = list(pool.map(run, arguments.stores))
    faults = [f"{result.store}: {fault}" for result in results for fault in result.faults]
    minutes = (time.monotonic() - begin) / 60
    about = f"{arguments.videos} videos of 6 frames, seed {arguments.seed}, {minutes:.0f} minutes"
    load = " ".join(f"{load:.0f}" for load in os.getloadavg())
    text = PAGE.format(command=command(), table=events_table(results), took=about, cores=os.cpu_count(), load=load)
    publish("\n".join([text, *(f"FAULT: {fault}" for fault in faults)]), arguments.results)
    return 1 if faults else 0


PAGE = """# Fault campaign

`{command}`

Two supervisors build a small real dataset (128x96) while random events hit them or their Blender children; a
supervisor that ends is restarted. Each finished build is compared, byte by byte, with an undisturbed one and checked
by `verify --deep`; no staged file may be left, and no video may be published twice.

{table}

{took}, {cores} processors, load {load} at the end.

*kill child*, *kill supervisor*, *kill both*: SIGKILL; *crash child*: SIGSEGV; *terminate*: SIGTERM, as on preemption;
*freeze*: SIGSTOP for up to three times the lease's timeout, then SIGCONT; *disk full*: a tmpfs is filled up, for 20
seconds or until both supervisors have ended.
"""

if __name__ == "__main__":
    sys.exit(main())
