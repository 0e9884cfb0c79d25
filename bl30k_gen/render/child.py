"""One Blender child process, as its supervisor sees it.

The only place that starts one. A child may crash, hang or be killed at any time; here that becomes ``ChildDied``.
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

LOG_LINES = 40  # of Blender's own output that are kept of a child that died
START_TIMEOUT = 300.0  # seconds; a cold network file system can take minutes to give out 900 MB of Blender
EXIT_TIMEOUT = 10.0
SCRATCH = "bl30k-scratch-"  # how names of scratch folders begin


class ChildDied(Exception):
    """The child is gone: crashed, killed, or killed by us because it sent no event."""

    def __init__(self, reason: str, log: list[str]):
        super().__init__(reason)
        self.reason = reason
        self.log = log


def allotted_threads(workers: int) -> int:
    """Render threads of each worker: they share Slurm's allotment, or what this process may use outside of Slurm."""
    cpus = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return max(1, (int(cpus) if cpus.isdecimal() else usable()) // workers)


def scratch_root(scratch: Path | None) -> Path:
    """Where temporary folders of children lie."""
    memory = Path("/dev/shm")
    return scratch or (memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir()))


def new_scratch(scratch: Path | None) -> Path:
    """A temporary folder, named after this process; those of dead processes are removed."""
    root = scratch_root(scratch)
    remove_dead_scratch(root)
    folder = root / f"{SCRATCH}{process.new_name()}"
    with clear_disk_errors(folder):
        folder.mkdir(parents=True)
    return folder


def remove_dead_scratch(root: Path) -> list[Path]:
    """Remove what children left whose supervisor was killed, here on this machine; return what was removed."""
    dead = [path for path in root.glob(f"{SCRATCH}*") if process.surely_dead(path.name.removeprefix(SCRATCH))]
    for path in dead:
        shutil.rmtree(path, ignore_errors=True)
    return dead


class BlenderChild:
    """A running ``python -m bl30k_gen.blender``.

    Args:
        device, threads: as in ``blender.runtime.start``.
        timeout: seconds without an event after which the child counts as hung.
        scratch: where its temporary folder shall be; None: in memory where possible.

    Raises:
        UserError: Blender cannot start here, or the device is not there.
        ChildDied: it crashed while starting.
    """

    def __init__(self, device: str, threads: int, timeout: float, scratch: Path | None = None):
        self.timeout = timeout
        self.videos = 0
        self.scratch = new_scratch(scratch)
        self._log = self.scratch / "blender.log"
        flags = ("--device", device, "--threads", str(threads), "--scratch", str(self.scratch))
        # Blender makes folders in TMPDIR, and leaves them when it is killed.
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
        """Hand over a scene file; yield events up to and with ``done``, ``failed`` or ``stopped``.

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
        """Render one scene whole and return its events.

        Raises:
            ChildDied
            UserError: it cannot be rendered.
        """
        events = list(self.render(scene))
        if events[-1]["event"] != "done":
            raise UserError(events[-1].get("what", "Blender was stopped"), events[-1].get("remedy", "try again"))
        return events

    def stop(self) -> None:
        """Ask it to finish the current frame and to end."""
        self._process.signal(signal.SIGTERM)

    def close(self) -> None:
        """Let it end by itself, for a while."""
        self._process.close(EXIT_TIMEOUT)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def kill(self) -> None:
        self._process.kill()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def memory_gb(self) -> float:
        """Resident memory; 0 where the system does not tell."""
        try:
            pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**30

    def processor_seconds(self) -> float:
        """Processor time that it has used so far; 0 where the system does not tell."""
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
