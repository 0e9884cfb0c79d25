"""The supervisor's side of a Blender child process.

Every child is started here. It may crash, hang or be killed at any time; each of these raises ``ChildDied``.
"""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bl30k_gen.dataset.files import clear_disk_errors
from bl30k_gen.errors import UserError
from bl30k_gen.line_process import Ended, LineProcess, python_module
from bl30k_gen.processors import usable
from bl30k_gen.render import process

Event = dict[str, Any]

LOG_LINES = 40  # of Blender's own output, kept for the report of a child that died
START_TIMEOUT = 300.0  # seconds; a network file system can take minutes to deliver the 900 MB of Blender
EXIT_TIMEOUT = 10.0  # seconds
SCRATCH = "bl30k-scratch-"  # prefix of the names of scratch folders


class ChildDied(Exception):
    """The child crashed, was killed from outside, or was killed here because it sent no event."""

    def __init__(self, reason: str, log: list[str]):
        super().__init__(reason)
        self.reason = reason
        self.log = log


def allotted_threads(workers: int) -> int:
    """Render threads of each worker: they share Slurm's allotment, or what this process may use outside of Slurm."""
    cpus = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, (int(cpus) if cpus.isdecimal() else usable()) // workers)


def scratch_root(scratch: Path | None) -> Path:
    """The folder for temporary folders of children; None: in memory where possible."""
    memory = Path("/dev/shm")
    return scratch or (memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir()))


def new_scratch(scratch: Path | None) -> Path:
    """Make a temporary folder, named after this process; remove those of dead processes."""
    root = scratch_root(scratch)
    remove_dead_scratch(root)
    folder = root / f"{SCRATCH}{process.new_name()}"
    with clear_disk_errors(folder):
        folder.mkdir(parents=True)
    return folder


def remove_dead_scratch(root: Path) -> list[Path]:
    """Remove the scratch folders of killed supervisors on this machine; return the removed folders."""
    dead = [path for path in root.glob(f"{SCRATCH}*") if process.surely_dead(path.name.removeprefix(SCRATCH))]
    for path in dead:
        shutil.rmtree(path, ignore_errors=True)
    return dead


class BlenderChild:
    """A running ``python -m bl30k_gen.blender``.

    Args:
        device, threads: as in ``blender.runtime.start``.
        timeout: seconds without an event after which the child counts as hung.
        scratch: parent of its temporary folder; None: in memory where possible.

    Raises:
        UserError: Blender cannot start here, or the device is not available.
        ChildDied: it crashed while starting.
    """

    def __init__(self, device: str, threads: int, timeout: float, scratch: Path | None = None):
        self.timeout = timeout
        self.videos = 0
        self.scratch = new_scratch(scratch)
        self._log = self.scratch / "blender.log"
        flags = ("--device", device, "--threads", str(threads), "--scratch", str(self.scratch))
        # Blender makes folders in TMPDIR and leaves them behind when it is killed.
        environment = {"TMPDIR": str(self.scratch)}
        with open(self._log, "ab") as log:
            self._process = LineProcess(python_module("bl30k_gen.blender", *flags), environment, log)
        try:
            ready = self._next_event(START_TIMEOUT)
        except ChildDied:
            self.kill()
            raise
        if ready["event"] == "failed":
            self.kill()
            raise UserError(ready["what"], ready["remedy"])
        self.ready = ready

    @property
    def pid(self) -> int:
        return self._process.pid

    def render(self, scene: Path) -> Iterator[Event]:
        """Send a scene file to the child; yield its events, the last of which is ``done``, ``failed`` or ``stopped``.

        Raises:
            ChildDied
        """
        self.videos += 1
        with open(self._log, "r+b") as log:
            log.truncate()
        try:
            self._process.send(str(scene))
        except Ended as end:
            raise self._died(end) from None
        while True:
            event = self._next_event(self.timeout)
            yield event
            if event["event"] in ("done", "failed", "stopped"):
                return

    def render_once(self, scene: Path) -> list[Event]:
        """Render all frames of a scene and return the events.

        Raises:
            ChildDied
            UserError: the scene cannot be rendered.
        """
        events = list(self.render(scene))
        if events[-1]["event"] != "done":
            raise UserError(events[-1].get("what", "Blender was stopped"), events[-1].get("remedy", "try again"))
        return events

    def stop(self) -> None:
        """Ask the child to finish the current frame and to exit."""
        self._process.signal(signal.SIGTERM)

    def close(self) -> None:
        """Wait ``EXIT_TIMEOUT`` for the child to exit, then kill it; remove its scratch folder."""
        self._process.close(EXIT_TIMEOUT)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def kill(self) -> None:
        self._process.kill()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def memory_gb(self) -> float:
        """Resident memory, GiB; 0 where the system has no /proc."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**30

    def processor_seconds(self) -> float:
        """Processor time that it has used so far; 0 where the system has no /proc."""
        return self._process.processor_seconds()

    def _next_event(self, timeout: float) -> Event:
        try:
            return json.loads(self._process.receive(lambda waited: waited < timeout))
        except TimeoutError:
            self._process.signal(signal.SIGKILL)
            raise ChildDied(f"Blender sent no event for {timeout:.0f} s and was killed", self._tail()) from None
        except Ended as end:
            raise self._died(end) from None

    def _died(self, end: Ended) -> ChildDied:
        if end.signal is not None:
            hint = " (out of memory?)" if end.signal == "SIGKILL" else ""
            return ChildDied(f"Blender was ended by {end.signal}{hint}", self._tail())
        return ChildDied(f"Blender ended with exit code {end.code}", self._tail())

    def _tail(self) -> list[str]:
        try:
            return self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            return []
